"""A transaction of one thread on one database: how it begins, nests, ends and is undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from cream_store.cursors import read_count
from cream_store.errors import RepositoryError, TransactionError

if TYPE_CHECKING:
    from cream_store.backend import Database


class Transaction(AbstractContextManager["Transaction"]):
    """One `BEGIN ... COMMIT` of the calling thread, or `SAVEPOINT ... RELEASE` when it is in a transaction already.

    An exception rolls back and goes on to the caller.
    """

    is_committed = False
    """Whether its changes are stored for good."""

    def __init__(self, database: Database, snapshot: bool) -> None:
        self._database = database
        self._snapshot = snapshot

    def __enter__(self) -> Transaction:
        database, state = self._database, self._database._state
        self._opened = database.connect(reuse_if_open=True)
        self._is_outermost = not state.transactions
        self._savepoint = f"cream_store_{len(state.transactions)}"
        self._callbacks_before = len(state.commit_callbacks)
        try:
            database.change(
                database._begin_statement(self._snapshot) if self._is_outermost else f"SAVEPOINT {self._savepoint}"
            )
        except BaseException:
            self._give_connection_back()
            raise
        state.transactions.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = self._database._state
        if not state.transactions or state.transactions[-1] is not self:
            if kind is None:
                raise TransactionError("only the thread that began a transaction can end it, and no forked child")
            return
        callbacks: list[Callable[[], object]] = []
        try:
            state.stop_reading()
            if kind is None:
                self._commit()
                if self._is_outermost:
                    self.is_committed = True
                    callbacks, state.commit_callbacks = state.commit_callbacks, []
            else:
                self._roll_back()
        finally:
            state.transactions.pop()
            self._give_connection_back()
        for callback in callbacks:
            callback()

    def _commit(self) -> None:
        try:
            self._database.change("COMMIT" if self._is_outermost else f"RELEASE SAVEPOINT {self._savepoint}")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        database, state = self._database, self._database._state
        del state.commit_callbacks[self._callbacks_before :]
        undo = (
            ["ROLLBACK"]
            if self._is_outermost
            else [f"ROLLBACK TO SAVEPOINT {self._savepoint}", f"RELEASE SAVEPOINT {self._savepoint}"]
        )
        try:
            for statement in undo:
                database._run_on(state.conn, statement, (), read_count)
        except RepositoryError:
            # The connection is gone and the transaction with it. The caller gets the error that led here; the pool
            # closes the connection when it comes back.
            pass

    def _give_connection_back(self) -> None:
        if self._opened:
            self._database.close()
