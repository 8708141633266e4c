"""Stores for asyncio: the same repositories, called in worker threads.

    async with AsyncStore.open(plugins=["core-trading"]) as store:
        decisions = store[DecisionsRepository]
        latest = await store.run(decisions.find_recent, limit=10)
        async with store.transaction():
            await store.run(decisions.update_status, latest[0].id, DecisionStatus.APPROVED)
            await store.run(orders.create, Order(...))

Each call has a thread and a connection to itself while it runs, a transaction from beginning to end. There are as many
threads as the pool has connections; who comes when all are busy waits in line, without a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from itertools import islice
from threading import Lock
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from cream_store.backend import Connection, Database
from cream_store.environment import Environment
from cream_store.errors import PoolTimeoutError, RetryableTransactionError, StoreError, TransactionError
from cream_store.pool import PoolStats
from cream_store.store import Store
from cream_store.table_access import TableAccess

P = ParamSpec("P")
T = TypeVar("T")
Repo = TypeVar("Repo", bound=TableAccess[Any])

INTERRUPT_AGAIN = 0.05
"""Seconds after which a cancelled call that still runs is interrupted again: it may have begun another statement."""


class AsyncStore:
    """A `Store` for the tasks of one event loop."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._pool = store.database.pool_settings
        self._free: list[_Worker] = []
        self._places = asyncio.Semaphore(self._pool.pool_size)

    @classmethod
    def open(
        cls,
        plugins: Iterable[str] | None = None,
        *,
        environment: Environment | str | None = None,
        url: str | None = None,
    ) -> Self:
        """Opens a store with a pool of its own; see `Store.open`. Nothing connects before the first call."""
        return cls(Store.open(plugins, environment=environment, url=url))

    def __getitem__(self, repository: type[Repo]) -> Repo:
        """The repository, whose methods `run` calls. Raises PluginError when no loaded plugin provides it."""
        return self.store[repository]

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function in a worker thread: in this task's transaction, if it is in one.

        Cancelling the task interrupts the statement that is under way and waits until its connection is free again.
        What the call had committed by then stays; what it had not is rolled back. Raises what the function raises, and
        PoolTimeoutError when no connection becomes free within the pool's `pool_timeout`.
        """
        call = partial(function, *args, **kwargs)
        transaction = self._transaction_of_task()
        if transaction is not None:
            return await transaction.worker.run(call)
        async with self._worker() as worker:
            return await worker.run(call)

    async def iterate(self, values: Iterator[T], chunk: int = 1_000) -> AsyncIterator[T]:
        """The values of an iterator that works on the database, such as `repository.iterate(...)`, taken by chunks."""
        while batch := await self.run(lambda: list(islice(values, chunk))):
            for value in batch:
                yield value

    def transaction(self, *, snapshot: bool = False) -> AsyncTransaction:
        """`async with store.transaction(): ...` - all that the block runs, or nothing. In another one, a savepoint.

        Tasks that the block starts belong to it, and their calls take turns. An exception or a cancellation rolls back.
        With `snapshot`, all reads see one state of the database.
        """
        return AsyncTransaction(self, snapshot)

    async def with_transaction(
        self, function: Callable[[], Awaitable[T]], *, retries: int = 5, snapshot: bool = False
    ) -> T:
        """Awaits a function in a transaction, and again after a deadlock, a serialization failure or a busy file.

        It may run up to `retries` + 1 times, but in another transaction only once; see `cream_store.with_transaction`.
        """
        if self._transaction_of_task() is not None:
            retries = 0
        for attempt in range(retries + 1):
            transaction = self.transaction(snapshot=snapshot)
            try:
                async with transaction:
                    return await function()
            except RetryableTransactionError:
                if attempt == retries or transaction.is_committed:  # then it comes from an `after_commit` callback
                    raise
                await asyncio.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
        raise AssertionError("unreachable")

    async def health_check(self) -> bool:
        """Whether the database answers. Never raises, but when the task is cancelled."""
        try:
            return await self.run(self.store.health_check)
        except StoreError:
            return False

    def pool_stats(self) -> PoolStats:
        """The connection pool's figures. Tasks that wait for a connection do not show in it."""
        return self.store.pool_stats()

    async def close(self) -> None:
        """Closes the idle connections, and those in use when their call ends."""
        workers, self._free = self._free, []
        for worker in workers:
            worker.end()
        await asyncio.to_thread(self.store.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[_Worker]:
        try:
            async with asyncio.timeout(self._pool.pool_timeout):
                await self._places.acquire()
        except TimeoutError:
            raise PoolTimeoutError(
                f"no connection to {self.store.database.url.display} became free within {self._pool.pool_timeout:g} s:"
                f" all {self._pool.pool_size} are in use; end transactions sooner, or raise pool_size in the database"
                " URL"
            ) from None
        worker = self._free.pop() if self._free else _Worker(self.store.database)
        try:
            yield worker
        finally:
            self._free.append(worker)
            self._places.release()

    def _transaction_of_task(self) -> AsyncTransaction | None:
        transaction = _innermost.get()
        while transaction is not None and transaction.store is not self:
            transaction = transaction.outer
        if transaction is not None and transaction.is_over:
            raise TransactionError(
                "this task was started inside a transaction that has ended; await it before the block ends, or start it"
                " outside"
            )
        return transaction


class AsyncTransaction:
    """A transaction of a task, or a savepoint inside one, and the worker that it holds."""

    worker: _Worker
    is_over = False
    _held: AbstractAsyncContextManager[_Worker]

    def __init__(self, store: AsyncStore, snapshot: bool) -> None:
        self.store = store
        self.outer: AsyncTransaction | None = None
        self._transaction = store.store.transaction(snapshot=snapshot)

    @property
    def is_committed(self) -> bool:
        """Whether its changes are stored for good."""
        return self._transaction.is_committed

    async def __aenter__(self) -> AsyncTransaction:
        self.outer = _innermost.get()
        around = self.store._transaction_of_task()
        self._held = nullcontext(around.worker) if around else self.store._worker()
        self.worker = await self._held.__aenter__()
        try:
            await self.worker.run(self._transaction.__enter__)
        except BaseException as error:
            await self._end(error)  # A cancelled BEGIN may have come through.
            raise
        _innermost.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _innermost.set(self.outer)
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        """Commits or rolls back, whatever happens to the task meanwhile."""
        self.is_over = True
        try:
            kind = None if error is None else type(error)
            await _to_its_end(self.worker.run(partial(self._transaction.__exit__, kind, error, None)))
        finally:
            await self._held.__aexit__(None, None, None)


class _Worker:
    """A thread that makes one call after the other, each on a connection that is its own meanwhile."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cream-store worker")
        self._lock = Lock()
        self._running: Callable[[], Any] | None = None
        self._connection: Connection = None

    async def run(self, call: Callable[[], T]) -> T:
        """Makes the call. A cancelled task leaves when the call has ended."""
        context = contextvars.copy_context()
        future = self._thread.submit(context.run, self._on_connection, call)
        result = asyncio.wrap_future(future)
        try:
            await asyncio.wait([result])
        except asyncio.CancelledError:
            if not future.cancel():
                await _to_its_end(self._interrupt_until_done(call, result))
            raise
        return result.result()

    def _on_connection(self, call: Callable[[], T]) -> T:
        self._database.connect(reuse_if_open=True)
        try:
            with self._lock:
                self._running, self._connection = call, self._database._state.conn
            return call()
        finally:
            with self._lock:  # An interruption on its way must not meet the connection's next user.
                self._running = self._connection = None
            if not self._database.in_transaction():
                self._database.close()

    async def _interrupt_until_done(self, call: Callable[[], Any], result: asyncio.Future[Any]) -> None:
        while not result.done():
            await asyncio.to_thread(self._interrupt, call)
            await asyncio.wait([result], timeout=INTERRUPT_AGAIN)
        result.exception()  # Retrieved: nobody else will ask for it.

    def _interrupt(self, call: Callable[[], Any]) -> None:
        with self._lock:
            if self._running is call:
                self._database.interrupt(self._connection)

    def end(self) -> None:
        """Ends the thread, after the call that it makes."""
        self._thread.shutdown(wait=False)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that a cancellation of the task must not leave half done; passes the cancellation on afterwards."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        with suppress(BaseException):
            task.result()
        raise cancellation
    return task.result()


_innermost: contextvars.ContextVar[AsyncTransaction | None] = contextvars.ContextVar("innermost", default=None)
"""The transaction that the task is in. Of several stores, each has its own among those around it."""
