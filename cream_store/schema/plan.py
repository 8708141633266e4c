"""A plan: what a push would do now, and how it comes about."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cream_store.backend import Database
from cream_store.errors import RepositoryError, SchemaError, TransactionError
from cream_store.row import Row, table_of
from cream_store.schema.catalogue import Catalogue
from cream_store.schema.differences import differences
from cream_store.schema.ownership import Ownership
from cream_store.schema.planner import Planner
from cream_store.schema.stamp import read_stamp, write_stamp
from cream_store.schema.steps import Action, Risk, Step

_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps from the schema that is there to the one that should be."""

    steps: tuple[Step, ...]

    @property
    def accepted(self) -> tuple[Step, ...]:
        """What a push does: everything safe, and what is allowed by name."""
        return tuple(step for step in self.steps if step.is_accepted)

    @property
    def refused(self) -> tuple[Step, ...]:
        """What a push leaves undone because it, or a step that it waits for, would lose data and is not allowed."""
        return tuple(step for step in self.steps if not step.is_accepted and step.risk is not Risk.BLOCKED)

    @property
    def blocked(self) -> tuple[Step, ...]:
        """What the database as it is makes impossible. While there is any, a push does nothing at all."""
        return tuple(step for step in self.steps if step.risk is Risk.BLOCKED)

    @property
    def statements(self) -> list[str]:
        """The statements of the accepted steps, in order."""
        return [statement for step in self.accepted for statement in step.sql]


class Draft:
    """A plan in the making, and what it takes to carry it out."""

    def __init__(
        self,
        database: Database,
        rows: Sequence[type[Row]],
        owners: Mapping[str, str] | None,
        allow: Container[str],
    ) -> None:
        self.database = database
        self.planner = planner_for(database, rows)
        self._owners = {table_of(row): (owners or {}).get(table_of(row), "") for row in rows}
        self._allow = allow

    def own_tables(self) -> list[str]:
        """Our tables, and those that their plugins have no more."""
        known = Ownership.read(self.database, self.planner.scope)
        return [*self._owners, *known.removed_tables(self._owners)]

    def plan(self) -> Plan:
        """Looks at the database, inside a transaction."""
        if stamp := read_stamp(self.database):
            self.database.refuse_other_environment(stamp)
        known = Ownership.read(self.database, self.planner.scope)
        desired = self.planner.desired()
        current = self.planner.current(
            [*self._owners, *known.removed_tables(self._owners)], known.released_enums(self._owners, desired)
        )
        ours = {
            name: known.ours(name, table, desired.tables[name]) if name in desired.tables else table
            for name, table in current.tables.items()
        }
        found = differences(Catalogue(ours, current.enums, current.functions), desired)
        made = Plan(tuple(self.planner.steps(found, current, desired, self._allow)))
        dropped = {step.subject for step in made.accepted if step.action in (Action.DROP_TABLE, Action.DROP_TYPE)}
        self._existing = current.tables.keys()
        self._known, self._remembered = known, known.after_push(self._owners, desired, dropped)
        return made

    def is_settled(self, made: Plan) -> bool:
        """Whether carrying out a plan, the latest, would change nothing at all."""
        is_recorded = self._remembered == self._known and read_stamp(self.database) is not None
        return bool(made.blocked) or (not made.accepted and is_recorded)

    def carry_out(self, foreseen: Plan) -> Plan:
        """Plans and changes the schema, in the planner's session; `foreseen` tells which tables that will take."""
        held: set[str] = set()
        tables = self._changed_tables(foreseen)
        while True:
            # Between the look at the stored rows and the change, nobody may add to them.
            self.planner.hold([step for step in foreseen.accepted if step.table in tables])
            held |= tables
            made = self.plan()
            tables = self._changed_tables(made) - held
            if not tables:
                break
            foreseen = made
        if not self.is_settled(made):
            for step in made.accepted:
                self._take(step)
            write_stamp(self.database)
            if self._remembered != self._known:
                self._remembered.write(self.database, self.planner.scope)
        return made

    def _changed_tables(self, made: Plan) -> set[str]:
        if made.blocked:
            return set()
        return {step.table for step in made.accepted if step.table is not None and step.table in self._existing}

    def _take(self, step: Step) -> None:
        for statement in step.sql:
            try:
                self.database.change(statement)
            except TransactionError:
                raise
            except RepositoryError as error:
                raise SchemaError(f"step {step.name} failed, nothing was changed: {error.message}") from error

    @contextmanager
    def explaining_locks(self, lock_timeout: float) -> Iterator[None]:
        """Has the error for a lock that was not granted say who holds it."""
        try:
            yield
        except TransactionError as error:
            message = error.message
            if self.database.kind == "sqlite":
                message = f"another process kept writing to {self.database.url.display} for {lock_timeout:g} s"
            elif getattr(error.cause, "pgcode", None) == _LOCK_NOT_AVAILABLE:
                holders = "; ".join(self.database.describe_lock_holders(self.own_tables())) or "another session"
                message = f"waited {lock_timeout:g} s in vain for a table, held by {holders}"
            raise TransactionError(f"nothing was changed: {message}", cause=error) from error


def planner_for(database: Database, rows: Sequence[type[Row]]) -> Planner:
    """The planner for the database's kind."""
    if database.kind == "sqlite":
        from cream_store.schema.sqlite_planner import SqlitePlanner

        return SqlitePlanner(database, rows)
    from cream_store.schema.postgresql_planner import PostgresqlPlanner

    return PostgresqlPlanner(database, rows)
