"""A pool of database connections for threads, independent of the driver.

Threads that wait are served first come, first served. To wake one takes as long as some look-ups, in which a running
thread may use the connection; but nobody overtakes a thread that is awake, or has waited for a while: what is returned
next goes to it directly. Connecting happens outside the lock. An idle connection is closed after a while, also when
nothing else happens in the process.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cream_store.errors import DatabaseConnectionError, PoolTimeoutError
from cream_store.url import PoolSettings

logger = logging.getLogger("cream_store.pool")

_PATIENCE: Final = 0.05
"""Seconds of waiting after which a thread is not overtaken any more.

Handing each connection to a thread that has to wake up first would cost 32 threads on 10 connections a sixth to a third
of their look-ups; this costs some percent.
"""
_SURELY_ALIVE: Final = 0.001
"""Seconds after its last use in which a connection is not looked at.

A look gives the interpreter's lock away, which where many threads want it costs more than all the rest.
"""

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


class _Place(Generic[C]):
    """One of the pool's places: with a connection, or free for whoever holds it to make one."""

    __slots__ = ("connection", "generation", "idle_since")

    def __init__(self) -> None:
        self.connection: C | None = None
        self.generation = 0
        self.idle_since = 0.0


class _Waiter(Generic[C]):
    """A thread that waits for a place. All but `sleep` is done under the pool's lock."""

    __slots__ = ("_is_called", "_signal", "_since", "place", "woke_in_vain")

    def __init__(self) -> None:
        self._signal = threading.Lock()  # released to wake the thread: many times as quick as an Event
        self._signal.acquire()
        self._is_called = False
        self._since = time.monotonic()
        self.place: _Place[C] | None = None  # which is its own
        self.woke_in_vain = False  # somebody else was quicker

    def sleep(self, seconds: float) -> bool:
        """Sleeps until it is called, so many seconds after its beginning at most. Returns whether it was called."""
        return self._signal.acquire(timeout=max(0.0, self._since + seconds - time.monotonic()))

    def call(self) -> None:
        """Wakes the thread, unless somebody did already."""
        if not self._is_called:
            self._is_called = True
            self._signal.release()

    def note_in_vain(self) -> None:
        """There was nothing left when it came: it will be called again."""
        self.woke_in_vain, self._is_called = True, False

    def comes_first(self, now: float) -> bool:
        """Whether nobody may be quicker any more."""
        return self.woke_in_vain or now - self._since > _PATIENCE


class ConnectionPool(Generic[C]):
    """At most `settings.pool_size` connections, shared by all threads of a process."""

    def __init__(self, name: str, driver: Driver[C], settings: PoolSettings) -> None:
        self.name = name
        self._driver = driver
        self._settings = settings
        self._start_empty()

    def _start_empty(self) -> None:
        # Re-entrant, because a garbage-collected Lease may return its connection while this thread holds the lock.
        self._lock = threading.RLock()
        # While anybody waits and a place is idle, or left to make, the first in line has been called.
        self._idle: deque[_Place[C]] = deque()  # the longest idle first
        self._in_use: dict[int, _Place[C]] = {}  # by the connection's identity
        self._waiters: deque[_Waiter[C]] = deque()
        self._total = 0
        self._generation = 0  # how often the pool was closed: connections made before are not used again
        self._abandoned = 0
        self._stop_reaper: threading.Event | None = None

    def acquire(self) -> C:
        """A connection for the calling thread, until it is released.

        Raises PoolTimeoutError when none becomes free in time, DatabaseConnectionError when connecting fails.
        """
        if self._abandoned:
            logger.warning("pool %s: a thread ended without giving its connection back", self.name)
            self._abandoned = 0
        place = self._take_place()
        try:
            connection = self._connection_at(place)
            self._in_use[id(connection)] = place
            return connection
        except BaseException:
            self._vacate(place)
            raise

    def _take_place(self) -> _Place[C]:
        with self._lock:
            if place := self._free_place():
                return place
            waiter = _Waiter[C]()
            self._waiters.append(waiter)
        return self._wait_for_place(waiter)

    def _free_place(self) -> _Place[C] | None:
        if self._idle:
            return self._idle.pop()
        if self._total < self._settings.pool_size:
            self._total += 1
            return _Place()
        return None

    def _wait_for_place(self, waiter: _Waiter[C]) -> _Place[C]:
        try:
            while waiter.sleep(self._settings.pool_timeout):
                if place := self._place_for(waiter):
                    return place
        except BaseException:  # Ctrl-C: nobody may be served who is gone
            if place := self._stop_waiting(waiter):
                self._give_back(place)
            raise
        if place := self._stop_waiting(waiter):
            return place
        raise PoolTimeoutError(
            f"no connection to {self.name} became free within {self._settings.pool_timeout:g} s: all"
            f" {self._settings.pool_size} are in use; end transactions sooner, or raise pool_size in the database URL"
        )

    def _place_for(self, waiter: _Waiter[C]) -> _Place[C] | None:
        """The place that a waiter finds when it was called."""
        with self._lock:
            if waiter.place is None:
                waiter.place = self._free_place()
                if waiter.place is None:
                    waiter.note_in_vain()
                else:
                    self._waiters.remove(waiter)
                    self._call_first()
            return waiter.place

    def _stop_waiting(self, waiter: _Waiter[C]) -> _Place[C] | None:
        """The place that the waiter was given, perhaps just now."""
        with self._lock:
            with suppress(ValueError):  # who was given a place is out of the queue already
                self._waiters.remove(waiter)
            self._call_first()
            return waiter.place

    def _call_first(self) -> None:
        """Wakes the thread that has waited longest, if there is anything for it."""
        if self._waiters and (self._idle or self._total < self._settings.pool_size):
            self._waiters[0].call()

    def _connection_at(self, place: _Place[C]) -> C:
        if place.connection is not None and not self._is_alive(place, place.connection):
            logger.info("pool %s: replacing a connection that the server closed", self.name)
            self._driver.close(place.connection)
            place.connection = None
        if place.connection is None:
            place.generation = self._generation
            place.connection = self._driver.connect()
        return place.connection

    def _is_alive(self, place: _Place[C], connection: C) -> bool:
        return time.monotonic() - place.idle_since < _SURELY_ALIVE or self._driver.is_alive(connection)

    def release(self, connection: C) -> None:
        """Takes a connection back, for the next user; closes it instead when it is not usable any more."""
        place = self._in_use.pop(id(connection), None)
        if place is None:  # the parent's, after a fork: not ours to touch
            return
        try:
            is_clean = self._driver.make_clean(connection)
        except BaseException:
            self._vacate(place)
            raise
        if is_clean:
            self._give_back(place)
        else:
            self._vacate(place)

    def _give_back(self, place: _Place[C]) -> None:
        if not self._pass_on(place):
            self._vacate(place)

    def _vacate(self, place: _Place[C]) -> None:
        """Closes the place's connection, if it has one, before somebody else may make another."""
        try:
            if place.connection is not None:
                self._driver.close(place.connection)
        finally:
            self._pass_on(_Place())

    def _pass_on(self, place: _Place[C]) -> bool:
        """Gives a place to the first in line, if nobody may be quicker any more, or else back to the pool.

        Does nothing, and returns False, if it has a connection from before the pool was closed.
        """
        place.idle_since = time.monotonic()
        with self._lock:
            if place.connection is not None and place.generation != self._generation:
                return False
            if self._waiters and self._waiters[0].comes_first(place.idle_since):
                waiter = self._waiters.popleft()
                waiter.place = place
                waiter.call()
            elif place.connection is None:
                self._total -= 1
            else:
                self._idle.append(place)
                if self._stop_reaper is None and self._settings.pool_idle_timeout != math.inf:
                    self._start_reaper()
            self._call_first()
        return True

    def _start_reaper(self) -> None:
        stop = threading.Event()
        reaper = threading.Thread(target=self._reap, args=(stop,), name=f"cream-store pool {self.name}", daemon=True)
        try:
            reaper.start()
        except RuntimeError:
            return  # No thread can be started, by a limit or because the process ends. The next return tries again.
        self._stop_reaper = stop

    def _reap(self, stop: threading.Event) -> None:
        """Closes what has been idle for too long, until no connection is idle."""
        wait = self._settings.pool_idle_timeout
        while not stop.wait(max(wait, 0.05)):
            self.close_idle(self._settings.pool_idle_timeout)
            with self._lock:
                if stop.is_set():
                    return
                if not self._idle:
                    self._stop_reaper = None
                    return
                wait = self._idle[0].idle_since + self._settings.pool_idle_timeout - time.monotonic()

    def close_idle(self, seconds: float = 0.0) -> None:
        """Closes the connections that nobody has used for so long."""
        with self._lock:
            latest = time.monotonic() - seconds
            expired = []
            while self._idle and self._idle[0].idle_since <= latest:
                expired.append(self._idle.popleft())
        for place in expired:
            self._vacate(place)

    def close(self) -> None:
        """Closes the idle connections now, and each one in use when it comes back. The pool can be used again."""
        with self._lock:
            self._generation += 1
            if self._stop_reaper is not None:
                self._stop_reaper.set()
                self._stop_reaper = None
        self.close_idle()

    def forget(self) -> bool:
        """For a forked child: the parent's connections are neither used nor closed, since both share their sockets.

        Returns whether there were any.
        """
        inherited = [place.connection for place in (*self._idle, *self._in_use.values())]
        for connection in inherited:
            # Not even the end of the interpreter may close them.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._start_empty()
        return bool(inherited)

    def note_abandoned(self) -> None:
        """Has the next user log that a thread ended with a connection in hand.

        The dying thread must not: Python would take it for a new thread, and keep that for good.
        """
        self._abandoned += 1

    def stats(self) -> PoolStats:
        """The pool's figures at this moment."""
        with self._lock:
            return PoolStats(self._total, len(self._idle), len(self._waiters), self._settings.pool_size)


class Lease(Generic[C]):
    """A connection bound to a thread. When the thread dies without giving it back, it goes back by itself."""

    __slots__ = ("_connection", "_pool", "_process")

    def __init__(self, pool: ConnectionPool[C]) -> None:
        self._pool = pool
        self._process = os.getpid()
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
        # A forked child loses the parent's other threads, and with them their leases, before the pool hears of it.
        if getattr(self, "_connection", None) is not None and self._process == os.getpid():
            self._pool.note_abandoned()
            self.end()
