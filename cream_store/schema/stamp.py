"""The stamp: the database itself says which environment it belongs to.

On PostgreSQL it lies in a schema of our own, out of the way of other programs' tables.
"""

from __future__ import annotations

from cream_store.backend import Database

_CREATE = {
    "postgresql": (
        "CREATE SCHEMA IF NOT EXISTS cream_store",
        "CREATE TABLE IF NOT EXISTS cream_store.metadata (key text PRIMARY KEY, value text NOT NULL)",
    ),
    "sqlite": ("CREATE TABLE IF NOT EXISTS cream_store_metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL)",),
}
_WRITE = {
    "postgresql": "INSERT INTO cream_store.metadata (key, value) VALUES ('environment', %s) ON CONFLICT DO NOTHING",
    "sqlite": "INSERT INTO cream_store_metadata (key, value) VALUES ('environment', ?) ON CONFLICT DO NOTHING",
}


def read_stamp(database: Database) -> str | None:
    """The environment that is written in the database; None before the first push."""
    return database.read_stamp()


def write_stamp(database: Database) -> None:
    """Writes the database's environment into it, unless one stands there already."""
    for statement in _CREATE[database.kind]:
        database.change(statement)
    database.change(_WRITE[database.kind], (database.environment.value,))
