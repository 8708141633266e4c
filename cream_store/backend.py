"""What PostgreSQL and SQLite databases have in common: pooled connections, transactions, statements.

A `Database` is a Peewee database, so any Peewee query runs on it. It differs from Peewee's in three ways: an
operation outside a transaction takes a connection from the pool and gives it back at once; a transaction holds one
connection from beginning to end; and every failure is a RepositoryError.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import peewee

from cream_store.cursors import Cursor, FetchedCursor, read_all, read_count
from cream_store.environment import DatabaseLocation, Environment
from cream_store.errors import ConnectionLostError, EnvironmentMismatchError, RepositoryError, TransactionError
from cream_store.pool import ConnectionPool, Driver, Lease, PoolStats
from cream_store.transactions import Transaction
from cream_store.url import DatabaseURL, Kind, PoolSettings

if TYPE_CHECKING:
    from cream_store.held_connection import HeldConnection

logger = logging.getLogger("cream_store")

T = TypeVar("T")
Connection = Any


class _ThreadState(threading.local):
    """What the calling thread holds: Peewee's own state, plus the lease of its connection."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lease: Lease[Connection] | None = None
        self.closed = True
        self.conn: Connection | None = None
        self.ctx: list[Any] = []
        self.transactions: list[Any] = []
        self.commit_callbacks: list[Callable[[], object]] = []
        self.held: HeldConnection | None = None

    def bind(self, lease: Lease[Connection]) -> None:
        self.reset()
        self.lease = lease
        self.conn = lease.connection
        self.closed = False

    def stop_reading(self) -> None:
        """Ends the reading of a result that somebody left unfinished on the connection."""
        if self.held is not None:
            self.held.stop()
            self.held = None


class Database(peewee.Database):
    """A pooled database of one environment. Thread-safe; a forked child gets connections of its own."""

    kind: ClassVar[Kind]
    version_query: ClassVar[str]
    driver_errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, environment: Environment, location: DatabaseLocation, **peewee_options: Any) -> None:
        self.environment = environment
        self.location = location
        self.url = DatabaseURL.parse(location.url)
        super().__init__(self.url.target, **peewee_options)
        self._state = _ThreadState()
        driver = Driver(self._open_connection, self._close_connection, self._is_alive, self._make_clean)
        self.pool: ConnectionPool[Connection] = ConnectionPool(self.url.display, driver, self.pool_settings)
        _open_databases.add(self)
        for watch in watchers:
            watch(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.environment} {self.url.display}>"

    # Connections

    @abstractmethod
    def _connect_driver(self) -> Connection:
        """A new driver connection with the session settings of its kind."""

    @abstractmethod
    def _read_stamp(self, connection: Connection) -> str | None:
        """The environment that is written in the database; None before the first push."""

    @abstractmethod
    def _is_alive(self, connection: Connection) -> bool: ...

    @abstractmethod
    def _is_lost(self, connection: Connection) -> bool:
        """Whether an operation found the connection broken, so that its caller knows."""

    @abstractmethod
    def _is_in_transaction(self, connection: Connection) -> bool: ...

    @abstractmethod
    def _is_undone(self, connection: Connection) -> bool:
        """Whether the database has given up the connection's transaction after an error."""

    @abstractmethod
    def _make_clean(self, connection: Connection) -> bool: ...

    @abstractmethod
    def interrupt(self, connection: Connection) -> None:
        """Ends the statement that another thread executes on a connection, with an error there; none is no harm."""

    @property
    def pool_settings(self) -> PoolSettings:
        """How many connections there may be, and for how long."""
        return self.url.pool

    @abstractmethod
    def _cannot_connect(self, error: Exception) -> RepositoryError:
        """The error for a connection that could not be made."""

    @abstractmethod
    def translate(self, error: Exception) -> RepositoryError:
        """The RepositoryError that says what a driver's exception means."""

    def _open_connection(self) -> Connection:
        try:
            connection = self._connect_driver()
            try:
                self.refuse_other_environment(self._read_stamp(connection))
            except BaseException:
                self._close_connection(connection)
                raise
        except self.driver_errors as error:
            raise self._cannot_connect(error) from error
        return connection

    def refuse_other_environment(self, stamp: str | None) -> None:
        """Raises EnvironmentMismatchError when the stamp is not this database's environment."""
        if stamp is None or stamp == self.environment:
            return
        if stamp == Environment.LIVE and self.environment == Environment.PAPER and self.location.is_live_fallback:
            return
        raise EnvironmentMismatchError(
            f"the database {self.url.display} belongs to environment {stamp}, but this process opened it for"
            f" {self.environment} (from {self.location.source}); correct the URL or CREAM_ENV"
        )

    def _close_connection(self, connection: Connection) -> None:
        with suppress(*self.driver_errors):  # It may be broken already, which is often why it is being closed.
            connection.close()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Binds a connection to the calling thread until `close()`. Rarely needed: transactions do it themselves."""
        state = self._state
        if not state.closed:
            if reuse_if_open:
                return False
            raise TransactionError("this thread holds a connection already")
        state.bind(Lease(self.pool))
        return True

    def close(self) -> bool:
        """Gives the calling thread's connection back to the pool."""
        state = self._state
        if state.transactions:
            raise TransactionError("this thread is inside a transaction; its connection can't be given back")
        state.stop_reading()
        lease = state.lease
        state.reset()
        if lease is None:
            return False
        lease.end()
        return True

    def __enter__(self) -> Database:
        """Peewee's `with database:`, a transaction that takes a connection and gives it back."""
        transaction = self.transaction().__enter__()
        self._state.ctx.append(transaction)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.ctx.pop().__exit__(kind, error, trace)

    def close_pool(self) -> None:
        """Closes all connections; those in use, when their operation ends. The database can be used again."""
        self.pool.close()

    def pool_stats(self) -> PoolStats:
        """The pool's figures at this moment."""
        return self.pool.stats()

    def _before_fork(self) -> None:
        """Called in the parent."""

    def _after_fork_in_child(self) -> bool:
        """Starts afresh, without the parent's connections. Returns whether there were any."""
        self._state = _ThreadState()
        return self.pool.forget()

    # Statements

    def run(
        self, sql: str, parameters: Sequence[Any] | None, read: Callable[[Cursor], T], *, by_key: bool = False
    ) -> T:
        """Executes one statement and returns what `read` takes from its cursor.

        Without parameters (None) the driver takes the statement as it is, its percent signs too. Uses the calling
        thread's transaction if there is one. Of a statement `by_key`, all values share one plan, which the database
        may keep. Raises RepositoryError.
        """
        bound = self._bound_connection()
        if bound is not None:
            return self._run_on(bound, sql, parameters, read, by_key)
        connection = self.pool.acquire()
        try:
            result = self._run_on(connection, sql, parameters, read, by_key)
            if self._is_in_transaction(connection):
                logger.warning("%r began a transaction that ends at once; use `with database.transaction()`", sql)
            return result
        finally:
            self.pool.release(connection)

    def _bound_connection(self) -> Connection | None:
        """The connection of the calling thread's transaction, or the one that `connect()` took for it."""
        state = self._state
        if state.lease is None:
            return None
        if state.held is not None and not state.held.is_over:
            raise TransactionError(
                "a result is still being read on this thread's connection: read it to its end, or close it, first"
            )
        if state.transactions:
            if self._is_undone(state.conn):
                raise TransactionError(
                    "a statement of this transaction failed, which undid the whole of it; let its error leave the"
                    " block, or put what may fail into a nested transaction"
                )
        elif self._is_lost(state.conn):
            state.lease.end()
            state.lease = Lease(self.pool)
            state.conn = state.lease.connection
        return state.conn

    def _run_on(
        self,
        connection: Connection,
        sql: str,
        parameters: Sequence[Any] | None,
        read: Callable[[Cursor], T],
        by_key: bool = False,
    ) -> T:
        try:
            return read(self._execute(connection, sql, parameters, by_key))
        except self.driver_errors as error:
            translated = self.translated(error, connection)
        # Out here, where the driver's error is neither the context of ours nor a variable of the frame: it may quote
        # values, unlike the `cause`.
        raise translated from translated.cause

    def translated(self, error: Exception, connection: Connection) -> RepositoryError:
        """What a driver's exception on a connection means, to be raised from its `cause`."""
        translated = self.translate(error)
        if isinstance(translated, ConnectionLostError):
            self._close_connection(connection)  # The driver itself does not always know yet that it is lost.
        return translated

    @abstractmethod
    def _execute(self, connection: Connection, sql: str, parameters: Sequence[Any] | None, by_key: bool) -> Cursor:
        """Sends one statement and returns its cursor."""

    def fetch_all(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        return self.run(sql, parameters, read_all)

    def change(self, sql: str, parameters: Sequence[Any] | None = None) -> int:
        """Executes one statement and returns how many rows it changed."""
        return self.run(sql, parameters, read_count)

    def feed(self, sql: str, rows: Any) -> None:
        """Executes a statement that takes many rows, inside a transaction.

        SQLite takes tuples, for an INSERT with one `?` per value; PostgreSQL the text of a `COPY ... FROM STDIN`.
        """
        connection = self._bound_connection()
        if connection is None:
            raise TransactionError("many rows are written inside a transaction, to be stored all or none")
        try:
            self._feed(connection.cursor(), sql, rows)
            return
        except self.driver_errors as error:
            translated = self.translated(error, connection)
        raise translated from translated.cause  # out here, for the reason that `_run_on` has

    @abstractmethod
    def _feed(self, cursor: Cursor, sql: str, rows: Any) -> None: ...

    def execute_sql(self, sql: str, params: Sequence[Any] | None = None) -> Cursor:
        """Peewee's way in. Returns a cursor whose rows stay readable after the connection went back to the pool."""
        return self.run(sql, params or (), FetchedCursor)

    def _execute_cursor(self, sql: str, params: Sequence[Any] | None = None, **_: Any) -> Cursor:
        return self.execute_sql(sql, params)

    # Transactions

    def transaction(self, *, snapshot: bool = False) -> Transaction:  # type: ignore[override]  # instead of Peewee's
        """A transaction, or a savepoint inside one.

        With `snapshot`, all reads of an outermost transaction see one state of the database.
        """
        return Transaction(self, snapshot)

    def atomic(self, *, snapshot: bool = False) -> Transaction:  # type: ignore[override]  # instead of Peewee's
        """Peewee's name for `transaction`."""
        return Transaction(self, snapshot)

    def savepoint(self) -> Transaction:  # type: ignore[override]  # instead of Peewee's
        """Peewee's name for a nested `transaction`."""
        return Transaction(self, snapshot=False)

    @abstractmethod
    def read_only(self, seconds: float) -> AbstractContextManager[None]:
        """A transaction that sees one state of the database and can't write; not inside another one.

        A statement that takes longer than `seconds` raises StatementCancelledError; SQLite gives that time to all of
        the transaction's statements together.
        """

    def _refuse_nesting(self) -> None:
        if self.in_transaction():
            raise TransactionError("a read-only transaction can't be part of another one, which may write")

    @abstractmethod
    def _begin_statement(self, snapshot: bool) -> str: ...

    @abstractmethod
    def advisory_lock(self, name: str) -> None:
        """Makes the transaction wait for any other one that holds the lock of that name; ends with the transaction."""

    @abstractmethod
    def limit_lock_waits(self, seconds: float) -> None:
        """Has the transaction's statements fail with TransactionError when a lock is not granted in time."""

    @abstractmethod
    def describe_lock_holders(self, tables: Sequence[str]) -> list[str]:
        """The sessions that hold locks on tables, in words for an operator."""

    @abstractmethod
    def end_sessions_on(self, tables: Sequence[str]) -> None:
        """Ends the other sessions that hold locks on tables."""

    @abstractmethod
    def existing_tables(self, tables: Sequence[str]) -> list[str]:
        """Those of the tables that exist."""

    @abstractmethod
    def empty_tables(self, tables: Sequence[str]) -> None:
        """Deletes all rows of the tables, which may refer to each other, and begins their numbering anew."""


_open_databases: weakref.WeakSet[Database] = weakref.WeakSet()
watchers: list[Callable[[Database], object]] = []
"""What is told of every new database: tests look for those that were left open."""


def _before_fork() -> None:
    for database in list(_open_databases):
        database._before_fork()


def _after_fork_in_child() -> None:
    for database in list(_open_databases):
        database._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
