"""Plan and push: make the database match the models.

plan(database, rows)   what would be done, and what it would cost; changes nothing
push(database, rows)   does it: one transaction, all or nothing
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cream_store.backend import Database
from cream_store.errors import RepositoryError, SchemaError, TransactionError
from cream_store.row import Row, table_of
from cream_store.schema.catalogue import Catalogue
from cream_store.schema.differences import differences
from cream_store.schema.ownership import Ownership, remember
from cream_store.schema.planner import Planner
from cream_store.schema.stamp import read_stamp, write_stamp
from cream_store.schema.steps import Action, Risk, Step

LOCK_TIMEOUT: Final = 10.0
"""Seconds that a push waits for other sessions to let go of a table."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps from the schema that is there to the one that should be."""

    steps: tuple[Step, ...]
    allowed: frozenset[str]

    @property
    def accepted(self) -> tuple[Step, ...]:
        """What a push does: everything safe, and what is allowed by name."""
        return tuple(step for step in self.steps if step.risk is Risk.SAFE or self._is_allowed(step))

    @property
    def refused(self) -> tuple[Step, ...]:
        """What a push leaves undone because it would lose data and is not allowed."""
        return tuple(step for step in self.steps if step.risk is Risk.LOSSY and not self._is_allowed(step))

    @property
    def blocked(self) -> tuple[Step, ...]:
        """What the stored rows make impossible. While there is any, a push does nothing at all."""
        return tuple(step for step in self.steps if step.risk is Risk.BLOCKED)

    @property
    def statements(self) -> list[str]:
        """The statements of the accepted steps, in order."""
        return [statement for step in self.accepted for statement in step.sql]

    def _is_allowed(self, step: Step) -> bool:
        return step.risk is Risk.LOSSY and step.name in self.allowed


def plan(
    database: Database,
    rows: Sequence[type[Row]],
    *,
    owners: Mapping[str, str] | None = None,
    allow: Collection[str] = (),
) -> Plan:
    """What a push would do now. Changes nothing.

    `owners`: which plugin each table belongs to. `allow`: names of lossy steps to accept (`drop-column:orders.note`);
    raises SchemaError for a text that can't be a step's name.
    """
    with database.transaction():
        return _plan(database, rows, _owners(rows, owners), allow)[0]


def push(
    database: Database,
    rows: Sequence[type[Row]],
    *,
    owners: Mapping[str, str] | None = None,
    allow: Collection[str] = (),
    lock_timeout: float = LOCK_TIMEOUT,
) -> Plan:
    """Makes the database match the models, and returns the plan that was carried out.

    Does everything safe and what is allowed by name; nothing at all while a step is blocked (see `Plan`). Stamps the
    database with its environment. Two pushes at once take turns. Raises RepositoryError, with nothing changed, when a
    step fails; TransactionError when other sessions hold a table for longer than `lock_timeout` seconds.
    """
    owners = _owners(rows, owners)
    first_look = plan(database, rows, owners=owners, allow=allow)
    if not first_look.steps and read_stamp(database) is not None:
        return first_look
    planner = planner_for(database, rows)
    try:
        with planner.session(first_look.accepted):
            database.advisory_lock("schema push")
            database.limit_lock_waits(lock_timeout)
            made, desired = _plan(database, rows, owners, allow)
            if not made.blocked:
                _carry_out(database, made)
                write_stamp(database)
                dropped = [step.subject for step in made.accepted if step.action is Action.DROP_TABLE]
                remember(database, owners, desired, dropped)
            return made
    except TransactionError as error:
        blockers = database.describe_lock_holders([table_of(row) for row in rows])
        raise TransactionError(
            f"the push waited {lock_timeout:g} s for a table and gave up, nothing was changed: {error.message}"
            + (f"; held by {'; '.join(blockers)}" if blockers else ""),
            cause=error,
        ) from error


def planner_for(database: Database, rows: Sequence[type[Row]]) -> Planner:
    """The planner for the database's kind."""
    if database.kind == "sqlite":
        from cream_store.schema.sqlite_planner import SqlitePlanner

        return SqlitePlanner(database, rows)
    from cream_store.schema.postgresql_planner import PostgresqlPlanner

    return PostgresqlPlanner(database, rows)


def _owners(rows: Sequence[type[Row]], owners: Mapping[str, str] | None) -> dict[str, str]:
    return {table_of(row): (owners or {}).get(table_of(row), "") for row in rows}


def _plan(
    database: Database, rows: Sequence[type[Row]], owners: Mapping[str, str], allow: Collection[str]
) -> tuple[Plan, Catalogue]:
    for name in allow:
        action, _, subject = name.partition(":")
        if action not in [known.value for known in Action] or not subject:
            raise SchemaError(
                f"{name!r} is no step that could be allowed; write it as `db diff` shows it, like"
                " drop-column:orders.note"
            )
    planner = planner_for(database, rows)
    ownership = Ownership.read(database)
    desired = planner.desired()
    found = planner.current([*owners, *ownership.removed_tables(owners)])
    ours = Catalogue(
        {
            name: ownership.ours(name, table, desired.tables[name]) if name in desired.tables else table
            for name, table in found.tables.items()
        },
        found.enums,
        found.functions,
    )
    steps = planner.steps(differences(ours, desired), ours, allow)
    return Plan(tuple(steps), frozenset(allow)), desired


def _carry_out(database: Database, made: Plan) -> None:
    for step in made.accepted:
        for statement in step.sql:
            try:
                database.change(statement)
            except TransactionError:
                raise
            except RepositoryError as error:
                raise SchemaError(f"step {step.name} failed, nothing was changed: {error.message}") from error
