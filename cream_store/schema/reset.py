"""Reset: our tables as a first push would leave them, without a row.

Tables are emptied and brought up to date rather than dropped. What others hung on them - views, grants, triggers,
replication - stays, as do all tables that are not ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cream_store.backend import Database
from cream_store.errors import ConstraintViolationError, QueryError, SchemaError, TransactionError
from cream_store.row import Row, table_of
from cream_store.schema.push import LOCK_TIMEOUT, Plan, plan, push


def reset(
    database: Database,
    rows: Sequence[type[Row]],
    *,
    owners: Mapping[str, str] | None = None,
    terminate: bool = False,
    lock_timeout: float = LOCK_TIMEOUT,
) -> Plan:
    """Deletes every row of our tables and makes their schema match the models; returns the plan of the latter.

    Raises TransactionError when other sessions hold a table for longer than `lock_timeout` seconds; with `terminate`,
    those sessions are ended instead. Raises SchemaError when another program's table refers to ours. Emptying is one
    transaction, the push another.
    """
    tables = [table_of(row) for row in rows]
    existing = database.existing_tables(tables)
    try:
        if terminate:
            database.end_sessions_on(existing)
        with database.transaction():
            database.limit_lock_waits(lock_timeout)
            database.empty_tables(existing)
    except TransactionError as error:
        holders = "; ".join(database.describe_lock_holders(existing)) or "another session"
        raise TransactionError(
            f"nothing was changed: the tables are held by {holders}; end these sessions, or reset with --terminate",
            cause=error,
        ) from error
    except (ConstraintViolationError, QueryError) as error:
        raise SchemaError(
            f"nothing was changed: {error.message}; a table that is not ours refers to ours, empty it first"
        ) from error
    lossy = [step.name for step in plan(database, rows, owners=owners).refused]
    return push(database, rows, owners=owners, allow=lossy, lock_timeout=lock_timeout)
