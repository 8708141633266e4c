"""Plan and push: make the database match the models.

plan(database, rows)   what would be done, and what it would cost; changes nothing
push(database, rows)   does it: one transaction, all or nothing
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from cream_store.backend import Database
from cream_store.errors import SchemaError
from cream_store.row import Row
from cream_store.schema.plan import Draft, Plan
from cream_store.schema.steps import Action

LOCK_TIMEOUT: Final = 10.0
"""Seconds that a plan or push waits for other sessions to let go of a table."""

PUSH_TIMEOUT: Final = 600.0
"""Seconds that a push waits for another one, which may be building large indexes."""


def plan(
    database: Database,
    rows: Sequence[type[Row]],
    *,
    owners: Mapping[str, str] | None = None,
    allow: Collection[str] = (),
    lock_timeout: float = LOCK_TIMEOUT,
) -> Plan:
    """What a push would do now. Changes nothing.

    `owners`: which plugin each table belongs to; without, no table is ever found to be left over. `allow`: names of
    lossy steps to accept (`drop-column:orders.note`). Raises SchemaError for a text that can't be a step's name, and
    for models that can't be created; TransactionError when other sessions hold a table for longer than `lock_timeout`
    seconds.
    """
    _refuse_unknown_steps(allow)
    draft = Draft(database, rows, owners, allow)
    with draft.explaining_locks(lock_timeout), draft.planner.look(lock_timeout, lock_timeout):
        return draft.plan()


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
    database with its environment. Two pushes at once take turns. Raises SchemaError when a step fails, or inside a
    transaction; TransactionError when other sessions hold a table for longer than `lock_timeout` seconds. After any
    error nothing is changed.
    """
    _refuse_unknown_steps(allow)
    refuse_inside_transaction(database)
    draft = Draft(database, rows, owners, allow)
    with draft.explaining_locks(lock_timeout):
        with draft.planner.look(lock_timeout, PUSH_TIMEOUT):
            first_look = draft.plan()
            if draft.is_settled(first_look):
                return first_look
        with draft.planner.session(lock_timeout, PUSH_TIMEOUT):
            return draft.carry_out(first_look)


def _refuse_unknown_steps(allow: Collection[str]) -> None:
    for name in allow:
        action, _, subject = name.partition(":")
        if action not in [known.value for known in Action] or not subject:
            raise SchemaError(
                f"{name!r} is no step that could be allowed; write it as `db diff` shows it, like"
                " drop-column:orders.note"
            )


def refuse_inside_transaction(database: Database) -> None:
    """A change of schema takes or leaves everything, so it is a transaction of its own."""
    if database.in_transaction():
        raise SchemaError("the schema can't be changed inside a transaction; do it before or after")
