"""The way of a configuration: drafted, tested, active, archived. At most one per environment is a draft, one active."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypedDict, TypeVar
from uuid import UUID

from cream_store import (
    ConstraintViolationError,
    Difference,
    DuplicateKeyError,
    Environment,
    Given,
    InvalidDataError,
    NotFoundError,
    QueryBuilder,
    Record,
    Repository,
    SeedOutcome,
    query,
    transactional,
)
from cream_store.comparison import differences
from cream_store.repository import Key
from cream_store.row import table_of
from cream_store.states import StateMachine


class ConfigStatus(StrEnum):
    """How far a configuration has come."""

    DRAFT = "draft"
    TESTING = "testing"
    ACTIVE = "active"
    ARCHIVED = "archived"


CONFIG_STATES: Final = StateMachine(
    {
        ConfigStatus.DRAFT: [ConfigStatus.TESTING, ConfigStatus.ARCHIVED],
        ConfigStatus.TESTING: [ConfigStatus.ACTIVE, ConfigStatus.DRAFT, ConfigStatus.ARCHIVED],
        ConfigStatus.ACTIVE: [ConfigStatus.ARCHIVED],
        ConfigStatus.ARCHIVED: [],
    }
)


class Configuration(Record):
    """Base of the records that go this way."""

    __slots__ = ()

    if TYPE_CHECKING:  # the fields that all of them have; each declares them where its table has the columns

        @property
        def id(self) -> UUID: ...
        @property
        def environment(self) -> Environment: ...
        @property
        def status(self) -> ConfigStatus: ...
        @property
        def created_at(self) -> datetime: ...
        @property
        def updated_at(self) -> datetime: ...

    @property
    def problems(self) -> list[str]:
        """The requirements of an active configuration that this one does not meet."""
        return [requirement for requirement, is_met in self._requirements().items() if not is_met]

    def _requirements(self) -> dict[str, bool]:
        """What an active configuration needs, in words, and whether this one has it."""
        raise NotImplementedError


W = TypeVar("W", bound=Configuration)
F = TypeVar("F", bound=Mapping[str, object])
C = TypeVar("C", bound=Mapping[str, object])


class ConfigFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    environment: Environment | str | None
    status: ConfigStatus | str | Sequence[ConfigStatus | str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(Generic[W]):
    """Two configurations, and the values in which they differ, in the order of the record's fields."""

    config1: W
    config2: W
    differences: list[Difference]


class WorkflowRepository(Repository[W, F, C]):
    """Configurations of which an environment has at most one draft and one active one.

    Only a draft's values change. Whatever decides which configuration is the draft, which is active and which version
    comes next holds a lock of the table and the environment, so such calls take turns.
    """

    # Create

    @transactional
    def create(self, record: W) -> W:
        """Stores a new configuration and returns it as stored.

        One that begins as active (seeds, imports) needs to be fit for it. Raises DuplicateKeyError when the
        environment has a draft or an active one already and this would be another, InvalidDataError when it is unfit.
        """
        self._guard(record)
        self._lock(record.environment)
        self._refuse_second(record.environment, record.status)
        stored = super().create(self._completed(record))
        if stored.status is ConfigStatus.ACTIVE:
            self._refuse_unfit(stored)
        return stored

    @transactional
    def create_many(self, records: Given[W]) -> list[W]:
        """Stores new configurations, all or none, each as `create` does."""
        return [self.create(record) for record in self._records(records)]

    def upsert(self, record: W) -> NoReturn:
        """Raises ConstraintViolationError: what an environment ran with is never overwritten."""
        self._refuse_overwriting()

    def upsert_many(self, records: Given[W]) -> NoReturn:
        """Raises ConstraintViolationError, as `upsert` does."""
        self._refuse_overwriting()

    # Read

    def get_active(self, environment: Environment | str | None = None) -> W | None:
        """The configuration that the environment runs with, if there is one."""
        return self._newest(self.one_environment_of(environment), ConfigStatus.ACTIVE)

    def get_active_or_raise(self, environment: Environment | str | None = None) -> W:
        """The configuration that the environment runs with. Raises NotFoundError when there is none."""
        environment = self.one_environment_of(environment)
        active = self.get_active(environment)
        if active is None:
            raise NotFoundError(
                f"{self._table}: {environment} has no active configuration; `cream-store db seed` creates one",
                table=self._table,
            )
        return active

    def get_draft(self, environment: Environment | str | None = None) -> W | None:
        """The environment's draft, if there is one."""
        return self._newest(self.one_environment_of(environment), ConfigStatus.DRAFT)

    def get_history(self, environment: Environment | str | None = None, limit: int = 20) -> list[W]:
        """The newest configurations of any status."""
        builder = query().equals("environment", self.environment_of(environment))
        return self.find(builder.order_by(*self.default_order).limit(limit))

    def compare(self, id1: Key, id2: Key) -> Comparison[W]:
        """Two configurations, perhaps of two environments, and where they differ. Raises NotFoundError."""
        with self.database.transaction(snapshot=True):
            config1, config2 = self.find_by_id_or_raise(id1), self.find_by_id_or_raise(id2)
        return Comparison(
            config1=config1,
            config2=config2,
            differences=differences(self._values(config1), self._values(config2)),
        )

    # Change

    def save_draft(self, environment: Environment | str | None, changes: C) -> W:
        """Writes the given values into the environment's draft and returns it.

        Without a draft, a new one takes what is not given from the active configuration; without that, from the
        defaults.
        """
        return self._write_draft(self.one_environment_of(environment), self._checked_changes(changes))

    def update(self, id: Key, changes: C) -> W:
        """Writes the given values into a draft. Raises NotFoundError; ConstraintViolationError when it is no draft."""
        is_draft = query().equals("status", ConfigStatus.DRAFT)
        updated = self._update_one(id, self._checked_changes(changes), is_draft)
        if updated is not None:
            return updated
        status = self.find_by_id_or_raise(id).status
        raise ConstraintViolationError(
            f"{self._table} {id} is {status}, and only a draft can be changed; use save_draft", table=self._table
        )

    @transactional
    def set_status(self, id: Key, status: ConfigStatus | str) -> W:
        """Moves a configuration on. The status that it has already changes nothing.

        Activation archives the environment's active configuration. Raises NotFoundError; ConstraintViolationError for
        a move that `CONFIG_STATES` does not allow, and for archiving the active one (see `archive`); InvalidDataError
        when an unfit one (see `problems`) would become active; DuplicateKeyError when a second draft would result.
        """
        status = ConfigStatus(self._column("status").encode(status))
        if status is ConfigStatus.ARCHIVED:
            return self.archive(id)
        config = self._locked(id)
        if CONFIG_STATES.allows(config.status, status):
            if status is ConfigStatus.ACTIVE:
                self._refuse_unfit(config)
                self._archive_active(config.environment)
            self._refuse_second(config.environment, status)
        return self._move(id, CONFIG_STATES, status)

    @transactional
    def archive(self, id: Key, *, allow_none_active: bool = False) -> W:
        """Puts a configuration away for good. An archived one stays as it is.

        Raises NotFoundError; ConstraintViolationError for the active one, which another should replace, unless it is
        allowed that the environment has none afterwards.
        """
        config = self._locked(id)
        if config.status is ConfigStatus.ACTIVE and not allow_none_active:
            raise ConstraintViolationError(
                f"{self._table} {id} is active: activate another one in its place, or say allow_none_active=True",
                table=self._table,
                columns=("status",),
            )
        return self._move(id, CONFIG_STATES, ConfigStatus.ARCHIVED)

    def promote(self, source_id: Key, target: Self) -> W:
        """Copies PAPER's active configuration into LIVE's draft, in the target repository; returns the draft.

        A draft that LIVE has gets the values. Nothing is activated. Raises NotFoundError; ConstraintViolationError
        when the source is not active, or for any other direction.
        """
        source = self.find_by_id_or_raise(source_id)
        own = target.database.environment
        environment = Environment.LIVE if own is Environment.TEST else own
        if (source.environment, environment) != (Environment.PAPER, Environment.LIVE):
            raise ConstraintViolationError(
                f"{self._table} {source_id}: configurations are promoted from PAPER to LIVE, not from"
                f" {source.environment} to {environment}",
                table=self._table,
            )
        if source.status is not ConfigStatus.ACTIVE:
            raise ConstraintViolationError(
                f"{self._table} {source_id} is {source.status}, and only the active configuration is promoted",
                table=self._table,
                columns=("status",),
            )
        # The source may be archived from here on: then what is promoted is what was active a moment ago. Holding it
        # would take a transaction in each database, which lock each other out where both are one SQLite file.
        return target._write_draft(environment, {**self._values(source), **self._provenance(source)})

    @transactional
    def seed(self, config: W, *, force: bool = False) -> SeedOutcome:
        """Makes a configuration its environment's active one if there is none; with `force`, also in place of one."""
        self._lock(config.environment)
        replaced = self.get_active(config.environment)
        if replaced is not None:
            if not force:
                return SeedOutcome.SKIPPED
            self._archive_active(config.environment)
        self.create(config.replace(status=ConfigStatus.ACTIVE))
        return SeedOutcome.CREATED if replaced is None else SeedOutcome.REPLACED

    # What tables add

    def _completed(self, record: W) -> W:
        """A new record with what is known only under the lock."""
        return record

    def _provenance(self, source: W) -> Mapping[str, Any]:
        """The columns of a promoted draft that tell where it comes from."""
        return {}

    # The rest is how it is done

    @property
    def _table(self) -> str:
        return table_of(self.row)

    def _values(self, config: W) -> dict[str, Any]:
        """The configured values: what a draft can change, in the order of the columns."""
        return {name: getattr(config, name) for name in self._columns if name in self._changeable}

    def _newest(self, environment: Environment, status: ConfigStatus) -> W | None:
        builder = query().equals("environment", environment).equals("status", status)
        return self._first(builder.order_by("-created_at"))

    def _lock(self, environment: Environment) -> None:
        """Holds the table's configurations of an environment until the transaction ends."""
        self._guard_environment(environment)
        self.database.advisory_lock(f"{self._table} {environment}")

    def _locked(self, id: Key) -> W:
        """The configuration, in an environment that is held."""
        self._lock(self.find_by_id_or_raise(id).environment)
        return self.find_by_id_or_raise(id)

    @transactional
    def _write_draft(self, environment: Environment, values: Mapping[str, Any]) -> W:
        self._lock(environment)
        draft = self.get_draft(environment)
        if draft is not None and (updated := self._update_one(draft.id, values)):
            return updated
        active = self.get_active(environment)
        inherited = {} if active is None else self._values(active)
        new: Callable[..., W] = self.record
        return self.create(new(environment=environment, **{**inherited, **values}))

    def _archive_active(self, environment: Environment) -> None:
        active = query().equals("environment", environment).equals("status", ConfigStatus.ACTIVE)
        self._update_all(active, {"status": ConfigStatus.ARCHIVED})

    @transactional
    def _delete(self, builder: QueryBuilder) -> int:
        deleted = super()._delete(builder.differs("status", ConfigStatus.ACTIVE))
        if self.count_of(builder):
            raise ConstraintViolationError(
                f"{self._table}: the active configuration can't be deleted; activate another one first",
                table=self._table,
                columns=("status",),
            )
        return deleted

    def _refuse_second(self, environment: Environment, status: ConfigStatus) -> None:
        if status not in (ConfigStatus.DRAFT, ConfigStatus.ACTIVE):
            return
        other = self._newest(environment, status)
        if other is not None:
            raise DuplicateKeyError(
                f"{self._table}: {environment} has one that is {status} already: {other.id}",
                table=self._table,
                columns=("environment", "status"),
            )

    def _refuse_overwriting(self) -> NoReturn:
        raise ConstraintViolationError(
            f"rows of {self._table} are never overwritten; use create, save_draft or set_status", table=self._table
        )

    def _refuse_unfit(self, config: W) -> None:
        if problems := config.problems:
            raise InvalidDataError(
                f"{self._table} {config.id} can't be active; needed: {'; '.join(problems)}", table=self._table
            )
