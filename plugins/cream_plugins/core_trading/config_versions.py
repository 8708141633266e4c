"""Config versions: the configurations that an environment had, and the one that is active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypedDict
from uuid import UUID

from cream_store import (
    BooleanField,
    ConstraintViolationError,
    Environment,
    EnvironmentField,
    JSONField,
    NotFoundError,
    QueryBuilder,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.comparison import Difference, differences, nested_differences
from cream_store.repository import Key


class ConfigVersionRow(Row):
    """Table `config_versions`."""

    id = UUIDv7Field(primary_key=True)
    environment = EnvironmentField()
    config = JSONField(dict, column_name="config_json")
    description = TextField(null=True)
    active = BooleanField(server_default=False)
    created_at = TimestampField(default_now=True)
    created_by = TextField(null=True)
    activated_at = TimestampField(null=True)
    deactivated_at = TimestampField(null=True)

    class Meta:
        table_name = "config_versions"
        indexes = [
            index("idx_config_versions_active", "active"),
            index("idx_config_versions_created_at", "created_at"),
            index("idx_config_versions_env_active", "environment", unique=True, where="active = true"),
            index("idx_config_versions_environment", "environment"),
        ]


@record
class ConfigVersion(Record):
    """A configuration. A new one is inactive; of an environment's versions, one at most is active."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    config: dict[str, Any]
    description: str | None = None
    active: bool = False
    created_at: datetime = field(default_factory=utc_now)
    created_by: str | None = None
    activated_at: datetime | None = None  # the latest activation
    deactivated_at: datetime | None = None  # the end of the latest activation; None while active


class ConfigVersionFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `created_at`."""

    environment: Environment | str | None
    active: bool | None
    created_by: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class ConfigVersionChanges(TypedDict, total=False):
    """What `update` can change. What ran under a version stays on record: for another configuration, create another."""

    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigComparison:
    """Two versions, perhaps of two environments, and where their configurations differ."""

    config1: ConfigVersion
    config2: ConfigVersion
    differences: list[Difference]  # by top-level key, with whole values
    nested_differences: list[Difference]  # the innermost places

    @property
    def environments(self) -> tuple[Environment, Environment]:
        """The environment of each version."""
        return self.config1.environment, self.config2.environment


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigActivation:
    """The latest activation of a version."""

    id: UUID
    activated_at: datetime
    deactivated_at: datetime | None  # None while the version is active


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigHistory:
    """The newest versions, and the newest activations: perhaps of other versions, which were created long before."""

    versions: list[ConfigVersion]  # by creation, newest first
    activation_history: list[ConfigActivation]  # newest first; each version once


class ConfigVersionsRepository(Repository[ConfigVersion, ConfigVersionFilters, ConfigVersionChanges]):
    """The versions of the configuration. Versions become active by `activate` only, and active ones aren't deleted."""

    row = ConfigVersionRow
    default_order = ("-created_at",)
    filter_rules = {"from_date": since("created_at"), "to_date": until("created_at")}
    kept_on_conflict = ("id", "created_at", "active", "activated_at", "deactivated_at")
    beginning = {"active": False, "activated_at": None, "deactivated_at": None}
    history_told_by = "activate and deactivate"

    def get_active(self, environment: Environment | str | None = None) -> ConfigVersion | None:
        """The active version of one environment, if there is one."""
        return self.first({"environment": self.one_environment_of(environment), "active": True})

    def get_active_or_raise(self, environment: Environment | str | None = None) -> ConfigVersion:
        """The active version of one environment. Raises NotFoundError when there is none."""
        environment = self.one_environment_of(environment)
        active = self.get_active(environment)
        if active is None:
            raise NotFoundError(f"config_versions: no active version in {environment}", table="config_versions")
        return active

    def find_by_environment(self, environment: Environment | str | None = None, limit: int = 20) -> list[ConfigVersion]:
        """The newest versions."""
        return self.find_all({"environment": environment}, limit=limit)

    @transactional
    def activate(self, id: Key) -> ConfigVersion:
        """Makes a version the active one of its environment, in place of the one that was.

        Activating the active version changes nothing. Raises NotFoundError, and EnvironmentMismatchError for a
        version of another environment than the database's.
        """
        version = self.find_by_id_or_raise(id)
        self._guard_environment(version.environment)
        # Two activations at once take turns; else both would find the same version active, and one would fail.
        self.database.advisory_lock(f"active config version of {version.environment}")
        now = utc_now()
        others = query().equals("environment", version.environment).equals("active", True).differs("id", version.id)
        self._update_all(others, {"active": False, "deactivated_at": now})
        activation = {"active": True, "activated_at": now, "deactivated_at": None}
        activated = self._update_one(id, activation, only_if=query().equals("active", False))
        return activated or self.find_by_id_or_raise(id)

    @transactional
    def deactivate(self, id: Key) -> ConfigVersion:
        """Leaves the version's environment without an active one. An inactive version stays as it is.

        Raises NotFoundError, and EnvironmentMismatchError for a version of another environment than the database's.
        """
        self._guard_environment(self.find_by_id_or_raise(id).environment)
        ending = {"active": False, "deactivated_at": utc_now()}
        return self._update_one(id, ending, only_if=query().equals("active", True)) or self.find_by_id_or_raise(id)

    def compare(self, id1: Key, id2: Key) -> ConfigComparison:
        """Where the configurations of two versions differ. Raises NotFoundError when either is missing."""
        with self.database.transaction(snapshot=True):
            first, second = self.find_by_id_or_raise(id1), self.find_by_id_or_raise(id2)
        return ConfigComparison(
            config1=first,
            config2=second,
            differences=differences(first.config, second.config),
            nested_differences=nested_differences(first.config, second.config),
        )

    @transactional
    def delete(self, id: Key) -> bool:
        """Deletes an inactive version; False when there is none. Raises ConstraintViolationError for the active one."""
        if super().delete(id):
            return True
        if self.find_by_id(id) is None:
            return False
        raise ConstraintViolationError(
            f"config_versions {id} is active and can't be deleted; activate another version first",
            table="config_versions",
            columns=("active",),
        )

    def delete_many(self, filters: ConfigVersionFilters) -> int:
        """Deletes the inactive versions among those that match all filters, and returns how many they were."""
        return super().delete_many(filters)

    def get_history(self, environment: Environment | str | None = None, limit: int = 50) -> ConfigHistory:
        """The newest `limit` versions and the newest `limit` activations, of one state of the table."""
        everything = self._filtered({"environment": environment}).limit(limit)
        with self.database.transaction(snapshot=True):
            versions = self.find(everything.order_by("-created_at"))
            activated = self.find(everything.is_null("activated_at", False).order_by("-activated_at"))
        return ConfigHistory(
            versions=versions,
            activation_history=[
                ConfigActivation(
                    id=version.id, activated_at=version.activated_at, deactivated_at=version.deactivated_at
                )
                for version in activated
                if version.activated_at is not None
            ],
        )

    def _delete(self, builder: QueryBuilder) -> int:
        # Part of the DELETE itself, so that a version that is just being activated is safe too.
        return super()._delete(builder.equals("active", False))
