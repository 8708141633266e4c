"""A connection on which a result is read bit by bit, while the caller does other things in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cream_store.backend import Connection, Database
from cream_store.cursors import Cursor
from cream_store.errors import RepositoryError, TransactionError
from cream_store.pool import Lease


class HeldConnection:
    """The connection of the calling thread's transaction, or one from the pool, until `end()`.

    A transaction executes no other statement until then; one that ends before calls `stop`, which has to end the
    reading. Raises PoolTimeoutError, and whatever else a statement raises that can't be executed.
    """

    def __init__(self, database: Database, stop: Callable[[], None]) -> None:
        self._database = database
        self._lease: Lease[Connection] | None = None
        self.is_over = False
        state, bound = database._state, database._bound_connection()
        self.is_in_transaction = bool(state.transactions)
        if bound is None:
            self._lease = Lease(database.pool)
            self.connection: Connection = self._lease.connection
        else:
            self.connection = bound
            state.held, self.stop = self, stop

    def execute(self, sql: str, parameters: Sequence[Any] | None = None) -> Cursor:
        """The cursor of a statement. Raises RepositoryError."""
        return self._database._run_on(self.connection, sql, parameters, _as_it_is)

    def translated(self, error: Exception) -> RepositoryError:
        """What a driver's exception means, to be raised from its `cause`."""
        return self._database.translated(error, self.connection)

    def end(self) -> None:
        """Gives the connection back."""
        self.is_over = True
        if self._lease is not None:
            self._lease.end()


def _as_it_is(cursor: Cursor) -> Cursor:
    return cursor


def unfinished() -> TransactionError:
    """The error for reading on after the end of the reading: what was read is not the whole result."""
    return TransactionError("this result was closed, or its transaction ended, before it was read to its end")
