"""SQLite files: write-ahead log, foreign keys on, writers take turns."""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import peewee

from cream_store import errors
from cream_store.backend import Connection, Database
from cream_store.cursors import Cursor
from cream_store.environment import DatabaseLocation, Environment
from cream_store.secret import Secret
from cream_store.unique_keys import unique_keys
from cream_store.url import Kind, PoolSettings

sqlite3.register_adapter(Secret, Secret.reveal)

BUSY_TIMEOUT = 5.0
"""Seconds that a writer waits for another one."""

_STEPS_BETWEEN_LOOKS = 10_000
"""Steps of SQLite's machine, some fractions of a millisecond, after which a limited statement looks at the clock."""


class SqliteDatabase(Database, peewee.SqliteDatabase):
    """A pooled SQLite file. Readers never wait; writing transactions begin IMMEDIATE, so they queue, not fail."""

    kind: ClassVar[Kind] = "sqlite"
    version_query = "SELECT sqlite_version()"
    driver_errors = (sqlite3.Error, OverflowError)

    def __init__(self, environment: Environment, location: DatabaseLocation) -> None:
        super().__init__(environment, location, returning_clause=True)
        self.path = self.url.target

    @property
    def _is_in_memory(self) -> bool:
        return self.url.target == ":memory:"

    @property
    def pool_settings(self) -> PoolSettings:
        if self._is_in_memory:
            # Every connection to :memory: would be a database of its own, and closing it the end of its data.
            return replace(self.url.pool, pool_size=1, pool_idle_timeout=math.inf)
        return self.url.pool

    def _connect_driver(self) -> Connection:
        if not self._is_in_memory:
            self._refuse_file_of_parent()
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

    # SQLite remembers for each process which locks it holds on a file. A forked child inherits the memory but not the
    # locks: it would write to a file that the parent, on closing its last connection, believes nobody else to use, and
    # all of that would be lost. Without a connection at the moment of the fork there is nothing to remember.

    def _before_fork(self) -> None:
        if not self._is_in_memory:
            self.pool.close_idle()

    def _after_fork_in_child(self) -> bool:
        inherited = super()._after_fork_in_child()
        if inherited and not self._is_in_memory:
            _files_of_parent.add(Path(self.path).resolve())
        return inherited

    def _refuse_file_of_parent(self) -> None:
        if Path(self.path).resolve() in _files_of_parent:
            raise errors.DatabaseConnectionError(
                f"can't use {self.path}: this process was forked while its parent was using the file, which SQLite does"
                " not support; fork when no operation or transaction is under way, or use multiprocessing's `spawn`"
            )

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

    def _is_lost(self, connection: Connection) -> bool:
        return False

    def _is_in_transaction(self, connection: Connection) -> bool:
        return bool(connection.in_transaction)

    def _is_undone(self, connection: Connection) -> bool:
        return not connection.in_transaction

    def _make_clean(self, connection: Connection) -> bool:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        return not connection.in_transaction

    def _feed(self, cursor: Cursor, sql: str, rows: Any) -> None:
        cursor.executemany(sql, rows)

    def interrupt(self, connection: Connection) -> None:
        connection.interrupt()

    def _execute(self, connection: Connection, sql: str, parameters: Sequence[Any] | None, by_key: bool) -> Cursor:
        return connection.execute(sql, parameters or ())

    def _begin_statement(self, snapshot: bool) -> str:
        return "BEGIN" if snapshot else "BEGIN IMMEDIATE"

    @contextmanager
    def read_only(self, seconds: float) -> Iterator[None]:
        self._refuse_nesting()
        deadline = time.monotonic() + seconds
        with self.transaction(snapshot=True):
            connection = self._state.conn
            assert connection is not None
            connection.execute("PRAGMA query_only = ON")
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
            try:
                yield
            finally:
                connection.set_progress_handler(None, 0)
                connection.execute("PRAGMA query_only = OFF")

    def advisory_lock(self, name: str) -> None:
        """Nothing to do: a writing transaction excludes every other one already."""

    def limit_lock_waits(self, seconds: float) -> None:
        """Nothing to do: the transaction holds the file already."""

    def describe_lock_holders(self, tables: Sequence[str]) -> list[str]:
        return []

    def end_sessions_on(self, tables: Sequence[str]) -> None:
        """Nothing to do: SQLite has no sessions to end."""

    def existing_tables(self, tables: Sequence[str]) -> list[str]:
        found = {name for (name,) in self.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        return [table for table in tables if table in found]

    def empty_tables(self, tables: Sequence[str]) -> None:
        self.change("PRAGMA defer_foreign_keys = ON")
        for table in tables:
            self.change(f'DELETE FROM "{table}"')

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
        elif kind is errors.StatementCancelledError:
            message = "a statement took longer than it may"
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
    "SQLITE_INTERRUPT": errors.StatementCancelledError,
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
    table, columns = qualified[0][0], tuple(column for _, column in qualified)
    if name == "SQLITE_CONSTRAINT_NOTNULL":
        return table, columns, None
    return table, columns, next((key for key, of_key in unique_keys(table).items() if of_key == columns), None)


_files_of_parent: set[Path] = set()
