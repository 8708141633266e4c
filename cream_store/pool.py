"""A pool of database connections for threads, independent of the driver.

Connections are handed over first come, first served, and directly: a returned connection goes to the thread that has
waited longest, so nobody can overtake it. Connecting happens outside the lock. An idle connection is closed after
a while, also when nothing else happens in the process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cream_store.errors import DatabaseConnectionError, PoolTimeoutError
from cream_store.url import PoolSettings

logger = logging.getLogger("cream_store.pool")

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment."""

    total: int
    """Connections that exist or are being made."""
    idle: int
    """Connections that nobody uses."""
    waiting: int
    """Threads that wait for a connection."""
    size: int
    """Connections at most."""


@dataclass(frozen=True, slots=True)
class Driver(Generic[C]):
    """What a pool needs to know about connections."""

    connect: Callable[[], C]
    close: Callable[[C], None]
    is_alive: Callable[[C], bool]
    """Whether an idle connection may be handed out; cheap, without a round trip."""
    make_clean: Callable[[C], bool]
    """Ends what the last user left open; False when the connection can't be used again."""


class _Waiter(Generic[C]):
    """One waiting thread: it is woken with a connection, or with leave to make one."""

    __slots__ = ("connection", "woken")

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.connection: C | None = None


class ConnectionPool(Generic[C]):
    """At most `settings.pool_size` connections, shared by all threads of a process."""

    def __init__(self, name: str, driver: Driver[C], settings: PoolSettings) -> None:
        self.name = name
        self._driver = driver
        self._settings = settings
        self._inherited: list[C] = []
        self._start_empty()

    def _start_empty(self) -> None:
        # Re-entrant, because a garbage-collected Lease may return its connection while this thread holds the lock.
        self._lock = threading.RLock()
        self._idle: deque[tuple[C, float]] = deque()
        self._waiters: deque[_Waiter[C]] = deque()
        self._total = 0
        self._generation = 0
        self._reaper: threading.Timer | None = None
        self._in_use: dict[int, tuple[C, int]] = {}

    def acquire(self) -> C:
        """A connection for the calling thread, until it is released or discarded.

        Raises PoolTimeoutError when none becomes free in time, DatabaseConnectionError when connecting fails.
        """
        while True:
            with self._lock:
                if not self._idle or self._waiters:
                    break
                connection, _ = self._idle.pop()
                self._in_use[id(connection)] = (connection, self._generation)
            if self._driver.is_alive(connection):
                return connection
            logger.info("pool %s: replacing a connection that the server closed", self.name)
            self.discard(connection)
        return self._acquire_new_or_wait()

    def _acquire_new_or_wait(self) -> C:
        deadline = time.monotonic() + self._settings.pool_timeout
        while True:
            with self._lock:
                if self._total < self._settings.pool_size and not self._waiters:
                    self._total += 1
                    waiter = None
                else:
                    waiter = _Waiter[C]()
                    self._waiters.append(waiter)
            if waiter is None:
                return self._connect()
            if not waiter.woken.wait(deadline - time.monotonic()):
                self._stop_waiting(waiter)
            if waiter.connection is None:
                # The slot of a connection that was discarded: its count was left to us.
                return self._connect()
            if self._driver.is_alive(waiter.connection):
                return waiter.connection
            self.discard(waiter.connection)

    def _stop_waiting(self, waiter: _Waiter[C]) -> None:
        with self._lock:
            if waiter.woken.is_set():  # served between the timeout and the lock: take it
                return
            self._waiters.remove(waiter)
        raise PoolTimeoutError(
            f"no connection to {self.name} became free within {self._settings.pool_timeout:g} s: all"
            f" {self._settings.pool_size} are in use; end transactions sooner, or raise pool_size in the database URL"
        )

    def _connect(self) -> C:
        try:
            connection = self._driver.connect()
        except BaseException:
            self._give_up_slot()
            raise
        with self._lock:
            self._in_use[id(connection)] = (connection, self._generation)
        return connection

    def release(self, connection: C) -> None:
        """Takes a connection back, for the next user; closes it instead when it is not usable any more."""
        is_clean = self._driver.make_clean(connection)
        with self._lock:
            if is_clean and self._is_current(connection):
                if self._waiters:
                    waiter = self._waiters.popleft()
                    waiter.connection = connection
                    waiter.woken.set()
                else:
                    del self._in_use[id(connection)]
                    self._idle.append((connection, time.monotonic()))
                    if self._reaper is None:
                        self._schedule_reaper(self._settings.pool_idle_timeout)
                return
        self.discard(connection)

    def discard(self, connection: C) -> None:
        """Closes a connection instead of taking it back."""
        with self._lock:
            if id(connection) not in self._in_use:  # the parent's, after a fork: not ours to close
                return
            counts = self._is_current(connection)
            del self._in_use[id(connection)]
        self._driver.close(connection)
        if counts:
            self._give_up_slot()

    def _is_current(self, connection: C) -> bool:
        """Whether the connection was made after the pool was last closed."""
        held = self._in_use.get(id(connection))
        return held is not None and held[1] == self._generation

    def _give_up_slot(self) -> None:
        with self._lock:
            if self._waiters:
                self._waiters.popleft().woken.set()
            else:
                self._total -= 1

    def _schedule_reaper(self, seconds: float) -> None:
        self._reaper = threading.Timer(seconds, self._close_idle)
        self._reaper.daemon = True
        self._reaper.name = f"cream-store pool {self.name}"
        self._reaper.start()

    def _close_idle(self) -> None:
        """Closes what has been idle for too long; comes again while connections are idle."""
        expired = []
        with self._lock:
            self._reaper = None
            oldest = time.monotonic() - self._settings.pool_idle_timeout
            while self._idle and self._idle[0][1] <= oldest:
                expired.append(self._idle.popleft()[0])
            self._total -= len(expired)
            if self._idle:
                self._schedule_reaper(max(self._idle[0][1] - oldest, 0.05))
        for connection in expired:
            self._driver.close(connection)

    def close(self) -> None:
        """Closes the idle connections now, and each one in use when it comes back. The pool can be used again."""
        with self._lock:
            idle = [connection for connection, _ in self._idle]
            self._idle.clear()
            if self._reaper is not None:
                self._reaper.cancel()
                self._reaper = None
            # Connections in use belong to the old generation: they no longer count, and are closed on return.
            self._generation += 1
            self._total = min(len(self._waiters), self._settings.pool_size)
            for _ in range(self._total):
                self._waiters.popleft().woken.set()
        for connection in idle:
            self._driver.close(connection)

    def forget(self) -> None:
        """For a forked child: the parent's connections are neither used nor closed, since both share their sockets."""
        self._inherited += [connection for connection, _ in self._idle]
        self._inherited += [connection for connection, _ in self._in_use.values()]
        self._start_empty()

    def stats(self) -> PoolStats:
        """The pool's figures at this moment."""
        with self._lock:
            return PoolStats(self._total, len(self._idle), len(self._waiters), self._settings.pool_size)


class Lease(Generic[C]):
    """A connection bound to a thread. When the thread dies without giving it back, it is closed and its slot freed."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool[C]) -> None:
        self._pool = pool
        self._connection: C | None = pool.acquire()

    @property
    def connection(self) -> C:
        if self._connection is None:
            raise DatabaseConnectionError("this connection was given back already")
        return self._connection

    def end(self) -> None:
        """Gives the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            logger.warning("pool %s: a thread ended without giving its connection back", self._pool.name)
            self._pool.discard(connection)
