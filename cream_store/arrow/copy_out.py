"""`COPY (query) TO STDOUT`: the quickest way of rows out of PostgreSQL, received while others already read it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from cream_store.backend import Connection, Database
from cream_store.errors import RepositoryError
from cream_store.held_connection import HeldConnection, unfinished

_BLOCK_SIZE: Final = 1 << 20
_BLOCKS_AHEAD: Final = 2
_SECONDS_BETWEEN_SIGNALS: Final = 0.2
_SECONDS_BETWEEN_CANCELS: Final = 0.5
_SAVEPOINT: Final = "cream_store_copy_out"


class _Blocks:
    """Whole rows on their way from the thread that receives them to the one that reads them, in blocks.

    The receiver is never more than a few blocks ahead, so a result of any length takes the memory of these.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(_BLOCKS_AHEAD)
        self._rows: list[bytes] = []
        self._size = 0
        self._is_discarding = False
        self.error: BaseException | None = None

    # The receiver's side

    def write(self, row: bytes) -> None:
        """Takes a row. Called by the driver."""
        self._rows.append(row)
        self._size += len(row)
        if self._size >= _BLOCK_SIZE:
            self._hand_over()

    def finish(self, error: BaseException | None) -> None:
        """Hands over what is left, and says that nothing follows."""
        self.error = error
        self._hand_over()
        self._queue.put(None)

    def _hand_over(self) -> None:
        block = b"".join(self._rows)
        self._rows, self._size = [], 0
        if block and not self._is_discarding:
            self._queue.put(block)

    # The reader's side

    def take(self) -> bytes | None:
        """The next block; None at the end."""
        while True:
            # With an end, because some libraries' signal handlers (polars has one) let a wait without one go on: Ctrl-C
            # would be noticed when the block arrives.
            with suppress(queue.Empty):
                return self._queue.get(timeout=_SECONDS_BETWEEN_SIGNALS)

    def discard(self) -> None:
        """Has the receiver go on without a reader."""
        self._is_discarding = True
        # It may be waiting for a free place, and needs another one to finish: these are what becomes free here.
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def release_reader(self) -> None:
        """Lets a reader go that waits in another thread."""
        with suppress(queue.Full):  # then it has something to take
            self._queue.put_nowait(None)


def _receive(connection: Connection, sql: str, parameters: Sequence[Any], blocks: _Blocks) -> None:
    error: BaseException | None = None
    try:
        with connection.cursor() as cursor:
            # COPY takes no parameters: the driver writes the values into the text, quoted as in any other statement.
            query = cursor.mogrify(sql, parameters)
            cursor.copy_expert(b"COPY (" + query + b") TO STDOUT (FORMAT csv, ENCODING 'UTF8')", blocks)
    except BaseException as raised:  # noqa: BLE001  # the reader raises it
        error = raised
    blocks.finish(error)


class CopyOut:
    """The rows of a query as CSV, in blocks of whole rows: NULL as nothing, empty text as `""`.

    A thread receives them, on the connection of the caller's transaction or on one from the pool, which goes back at
    the end. Closed before its end, it cancels the query; a transaction goes on.
    """

    def __init__(self, database: Database, sql: str, parameters: Sequence[Any]) -> None:
        self._database = database
        self._process = os.getpid()
        self._is_at_end = False
        self._blocks = _Blocks()
        self._held: HeldConnection | None = None
        held = HeldConnection(database, self.close)
        try:
            self._has_savepoint = held.is_in_transaction
            if self._has_savepoint:
                held.execute(f"SAVEPOINT {_SAVEPOINT}")
            # It knows the blocks and not this object, which therefore may be forgotten, and closes itself then.
            self._receiver = threading.Thread(
                target=_receive,
                args=(held.connection, sql, parameters, self._blocks),
                name="cream-store copy",
                daemon=True,
            )
            self._receiver.start()
        except BaseException:
            held.end()
            raise
        self._held = held

    def __iter__(self) -> Iterator[bytes]:
        """The blocks. Raises RepositoryError when the query fails, perhaps after some of them."""
        try:
            while (block := self._blocks.take()) is not None:
                yield block
            if self._held is None:
                raise unfinished()
            self._is_at_end = True
            self._raise_failure(self._held)
        finally:
            self.close()

    def _raise_failure(self, held: HeldConnection) -> None:
        error = self._blocks.error
        if isinstance(error, self._database.driver_errors):
            error = held.translated(error)  # instead of the driver's, which may quote values to whoever shows the frame
            raise error from error.cause
        if error is not None:
            raise error

    def close(self) -> None:
        """Ends the query, if it has not ended, and gives the connection back. Safe to call again."""
        held, self._held = self._held, None
        if held is None or os.getpid() != self._process:  # a forked child has neither the thread nor the connection
            return
        try:
            if not self._is_at_end:
                self._cancel(held)
            self._receiver.join()
            if self._has_savepoint:
                self._end_savepoint(held)
        finally:
            held.end()

    def _cancel(self, held: HeldConnection) -> None:
        self._blocks.discard()
        while self._receiver.is_alive():
            with suppress(*self._database.driver_errors):  # then the receiver throws away all that comes
                self._database.interrupt(held.connection)
            self._receiver.join(_SECONDS_BETWEEN_CANCELS)  # the query may not have begun yet
        self._blocks.release_reader()

    def _end_savepoint(self, held: HeldConnection) -> None:
        if self._blocks.error is None:
            held.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
            return
        with suppress(RepositoryError):  # a connection that is lost has no transaction
            held.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            held.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def __del__(self) -> None:
        self.close()
