"""Push: create what the loaded plugins' schema lacks in the database."""

from __future__ import annotations

from collections.abc import Iterable

from cream_store.backend import Database
from cream_store.database import with_transaction
from cream_store.row import Row
from cream_store.schema.definition import Definition, definitions
from cream_store.schema.stamp import read_stamp, write_stamp

_EXISTING = {
    "postgresql": """
        SELECT 'type', typname FROM pg_type WHERE typtype = 'e' AND pg_type_is_visible(oid)
        UNION ALL SELECT 'function', proname FROM pg_proc WHERE proname = 'uuidv7' AND pg_function_is_visible(oid)
        UNION ALL SELECT 'table', relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
        UNION ALL SELECT 'index', relname FROM pg_class WHERE relkind IN ('i', 'I') AND pg_table_is_visible(oid)
    """,
    "sqlite": "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'index')",
}


def missing(database: Database, rows: Iterable[type[Row]]) -> list[Definition]:
    """What the tables need and the database lacks, in the order in which it can be created."""
    existing = set(database.fetch_all(_EXISTING[database.kind]))
    return [wanted for wanted in definitions(database, rows) if (wanted.kind, wanted.name) not in existing]


def push(database: Database, rows: Iterable[type[Row]]) -> list[str]:
    """Creates missing types, functions, tables and indexes, and stamps the database with its environment.

    One transaction: all or nothing. Two pushes at once take turns. Returns the statements that were run; none when
    nothing was missing. Raises RepositoryError.
    """
    rows = list(rows)
    if not missing(database, rows) and read_stamp(database) is not None:
        return []

    def create() -> list[str]:
        database.advisory_lock("schema push")
        statements = [definition.sql for definition in missing(database, rows)]
        for statement in statements:
            database.change(statement)
        write_stamp(database)
        return statements

    return with_transaction(create, database)
