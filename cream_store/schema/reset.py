"""Reset: our tables as a first push would leave them, without a row.

Tables are emptied and brought up to date rather than dropped. What others hung on them - views, grants, triggers,
replication - stays, as do all tables that are not ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cream_store.backend import Database
from cream_store.errors import SchemaError
from cream_store.row import Row
from cream_store.schema.plan import Draft, Plan
from cream_store.schema.push import LOCK_TIMEOUT, PUSH_TIMEOUT, refuse_inside_transaction


def reset(
    database: Database,
    rows: Sequence[type[Row]],
    *,
    owners: Mapping[str, str] | None = None,
    terminate: bool = False,
    lock_timeout: float = LOCK_TIMEOUT,
) -> Plan:
    """Deletes every row of our tables and makes their schema match the models; returns the plan of the latter.

    Columns that the models don't declare go, as do tables that the owners of ours once had. One transaction. Raises
    TransactionError when other sessions hold a table for longer than `lock_timeout` seconds; with `terminate`, those
    sessions are ended instead. Raises SchemaError when a table that is not among ours refers to them, and inside a
    transaction.
    """
    refuse_inside_transaction(database)
    draft = Draft(database, rows, owners, _Everything())
    if terminate:
        database.end_sessions_on(database.existing_tables(draft.own_tables()))
    with draft.explaining_locks(lock_timeout), draft.planner.session(lock_timeout, PUSH_TIMEOUT):
        existing = database.existing_tables(draft.own_tables())
        if references := draft.planner.references_to(existing):
            raise SchemaError(
                f"nothing was changed: {', '.join(references)} refer to tables that would be emptied; reset the plugin"
                " that they belong to as well, or drop them"
            )
        database.empty_tables(existing)
        made = draft.carry_out(Plan(()))
        if made.blocked:
            raise SchemaError(f"nothing was changed: {'; '.join(f'{s.name}: {s.reason}' for s in made.blocked)}")
        return made


class _Everything:
    """Contains whatever it is asked for."""

    def __contains__(self, item: object) -> bool:
        return True
