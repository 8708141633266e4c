"""What the database says about itself: which environment it belongs to, and which of its objects are ours.

On PostgreSQL it lies in a schema of our own, out of the way of other programs' tables.
"""

from __future__ import annotations

from cream_store.backend import Database

# Whoever opens the database reads the stamp, also a role that may not change any schema.
_CREATE = {
    "postgresql": (
        "CREATE SCHEMA IF NOT EXISTS cream_store",
        "GRANT USAGE ON SCHEMA cream_store TO PUBLIC",
        "CREATE TABLE cream_store.metadata (key text PRIMARY KEY, value text NOT NULL)",
        "GRANT SELECT ON cream_store.metadata TO PUBLIC",
    ),
    "sqlite": ("CREATE TABLE cream_store_metadata (key TEXT PRIMARY KEY, value TEXT NOT NULL)",),
}
_EXISTS = {
    "postgresql": "SELECT to_regclass('cream_store.metadata') IS NOT NULL",
    "sqlite": "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'cream_store_metadata')",
}
_READ = {
    "postgresql": "SELECT value FROM cream_store.metadata WHERE key = %s",
    "sqlite": "SELECT value FROM cream_store_metadata WHERE key = ?",
}
_WRITE = {
    "postgresql": "INSERT INTO cream_store.metadata (key, value) VALUES (%s, %s)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    "sqlite": "INSERT INTO cream_store_metadata (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
}

_ENVIRONMENT = "environment"


def read_stamp(database: Database) -> str | None:
    """The environment that is written in the database; None before the first push."""
    return read_metadata(database, _ENVIRONMENT)


def write_stamp(database: Database) -> None:
    """Writes the database's environment into it. Raises EnvironmentMismatchError when another one got there first."""
    stamp = read_stamp(database)
    if stamp is None:
        write_metadata(database, _ENVIRONMENT, database.environment.value)
    else:
        database.refuse_other_environment(stamp)


def read_metadata(database: Database, key: str) -> str | None:
    """What the database remembers under a key."""
    if not _has_metadata(database):
        return None
    rows = database.fetch_all(_READ[database.kind], (key,))
    return rows[0][0] if rows else None


def write_metadata(database: Database, key: str, value: str) -> None:
    """Has the database remember something under a key."""
    if not _has_metadata(database):
        for statement in _CREATE[database.kind]:
            database.change(statement)
    database.change(_WRITE[database.kind], (key, value))


def _has_metadata(database: Database) -> bool:
    return bool(database.fetch_all(_EXISTS[database.kind])[0][0])
