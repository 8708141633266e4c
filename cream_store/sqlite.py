"""SQLite files: write-ahead log, foreign keys on, writers take turns."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import peewee

from cream_store import errors
from cream_store.backend import Connection, Cursor, Database
from cream_store.environment import DatabaseLocation, Environment
from cream_store.url import Kind

BUSY_TIMEOUT = 5.0
"""Seconds that a writer waits for another one."""


class SqliteDatabase(Database, peewee.SqliteDatabase):
    """A pooled SQLite file. Readers never wait; writing transactions begin IMMEDIATE and so queue instead of failing."""

    kind: ClassVar[Kind] = "sqlite"
    driver_errors = (sqlite3.Error, OverflowError)

    def __init__(self, environment: Environment, location: DatabaseLocation) -> None:
        super().__init__(environment, location, returning_clause=True)
        self.path = self.url.target
        if self.path == ":memory:":
            # Every connection to :memory: would be a database of its own, so there is one, and it is never idle.
            settings = self.url.pool
            self.pool._settings = type(settings)(1, 86_400.0, settings.pool_timeout, settings.connect_timeout)

    def _connect_driver(self) -> Connection:
        if self.path != ":memory:":
            self._make_directory()
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            cast(Any, self)._add_conn_hooks(connection)  # Peewee's SQL functions
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_directory(self) -> None:
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.DatabaseConnectionError(
                f"can't create the directory of {self.path}: {error.strerror}; set CREAM_HOME or DATABASE_URL_PAPER",
                cause=error,
            ) from error

    def _read_stamp(self, connection: Connection) -> str | None:
        has_stamp = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'cream_store_metadata'").fetchone()
        if not has_stamp:
            return None
        row = connection.execute("SELECT value FROM cream_store_metadata WHERE key = 'environment'").fetchone()
        return row[0] if row else None

    def _is_alive(self, connection: Connection) -> bool:
        return True

    def _make_clean(self, connection: Connection) -> bool:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        return not connection.in_transaction

    def _begin_statement(self, snapshot: bool) -> str:
        return "BEGIN" if snapshot else "BEGIN IMMEDIATE"

    def advisory_lock(self, name: str) -> None:
        """Nothing to do: a writing transaction excludes every other one already."""

    def _detach(self, cursor: Cursor) -> Cursor:
        return _FetchedCursor(cursor)

    def _cannot_connect(self, error: Exception) -> errors.RepositoryError:
        return self.translate(error)

    def translate(self, error: Exception) -> errors.RepositoryError:
        message = str(error)
        name: str = getattr(error, "sqlite_errorname", None) or ""
        table, columns, constraint = _subject_of(name, message)
        kind = kind_of_code(name, error)
        if kind is errors.DatabaseConnectionError:
            message = f"can't use {self.path}: {message}; {_ADVICE.get(name.rsplit('_')[1], _CHECK_FILE)}"
        elif kind is errors.RetryableTransactionError:
            message = f"{self.path} is busy: another writer held it for {BUSY_TIMEOUT:g} s"
        elif message.startswith("no such table"):
            message += "; run `cream-store db push` to create the tables of the loaded plugins"
        return kind(message, table=table, columns=columns, constraint=constraint, cause=error)


_CHECK_FILE = "check that the file and its directory exist and may be read and written"
_ADVICE = {"FULL": "free some space on its disk", "CORRUPT": "restore it from a backup", "NOTADB": "is it a database?"}


_KINDS: dict[str, type[errors.RepositoryError]] = {
    "SQLITE_CONSTRAINT_UNIQUE": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_PRIMARYKEY": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT_ROWID": errors.DuplicateKeyError,
    "SQLITE_CONSTRAINT": errors.ConstraintViolationError,
    "SQLITE_MISMATCH": errors.InvalidDataError,
    "SQLITE_TOOBIG": errors.InvalidDataError,
    "SQLITE_BUSY": errors.RetryableTransactionError,
    "SQLITE_LOCKED": errors.RetryableTransactionError,
    "SQLITE_CANTOPEN": errors.DatabaseConnectionError,
    "SQLITE_READONLY": errors.DatabaseConnectionError,
    "SQLITE_FULL": errors.DatabaseConnectionError,
    "SQLITE_IOERR": errors.DatabaseConnectionError,
    "SQLITE_CORRUPT": errors.DatabaseConnectionError,
    "SQLITE_NOTADB": errors.DatabaseConnectionError,
    "SQLITE_PERM": errors.DatabaseConnectionError,
    "SQLITE_AUTH": errors.DatabaseConnectionError,
}


def kind_of_code(name: str, error: Exception) -> type[errors.RepositoryError]:
    """The error kind of an extended result code's name, or else of its primary code (`SQLITE_BUSY_SNAPSHOT`)."""
    primary = "_".join(name.split("_")[:2])
    if isinstance(error, OverflowError):
        return errors.InvalidDataError
    return _KINDS.get(name) or _KINDS.get(primary) or errors.QueryError


def _subject_of(name: str, message: str) -> tuple[str | None, tuple[str, ...], str | None]:
    """Table, columns and constraint of a violation. SQLite tells them only in the message's text."""
    if not name.startswith("SQLITE_CONSTRAINT"):
        return None, (), None
    subject = message.partition("constraint failed: ")[2]
    if name == "SQLITE_CONSTRAINT_CHECK":
        return None, (), subject or None
    qualified = re.findall(r"(\w+)\.(\w+)", subject)
    if not qualified:
        return None, (), None
    return qualified[0][0], tuple(column for _, column in qualified), None


class _FetchedCursor:
    """A cursor whose rows were read already, so that its connection may go on to other work."""

    def __init__(self, cursor: Cursor) -> None:
        self.description: Any = cursor.description
        self._rows: Iterator[tuple[Any, ...]] = iter(cursor.fetchall())
        self.rowcount: int = cursor.rowcount
        self.lastrowid: int | None = cursor.lastrowid

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def close(self) -> None:
        """Nothing is left to close."""
