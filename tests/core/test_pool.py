"""The pool by itself, over connections that a test can hold up, break and watch."""

from __future__ import annotations

import gc
import logging
import random
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from cream_store import DatabaseConnectionError
from cream_store.errors import PoolTimeoutError
from cream_store.pool import _PATIENCE, _SURELY_ALIVE, ConnectionPool, Driver, Lease, PoolStats
from cream_store.url import PoolSettings
from tests.core.notes import DEADLINE, wait_until


class Line:
    """A connection."""

    def __init__(self) -> None:
        self.is_open = True
        self.is_alive = True
        self.is_clean = True


class Exchange:
    """Where lines are made. Each new one takes as long, and fails, as the test says."""

    def __init__(self) -> None:
        self.made: list[Line] = []
        self.may_connect = threading.Event()
        self.may_connect.set()
        self.connecting = 0
        self.failures: list[Exception] = []
        self.most_open = 0
        self._counting = threading.Lock()

    def connect(self) -> Line:
        self.connecting += 1
        assert self.may_connect.wait(DEADLINE)
        self.connecting -= 1
        if self.failures:
            raise self.failures.pop()
        line = Line()
        with self._counting:
            self.made.append(line)
            self.most_open = max(self.most_open, len(self.open_lines))
        return line

    def close(self, line: Line) -> None:
        with self._counting:
            line.is_open = False

    @property
    def open_lines(self) -> list[Line]:
        return [line for line in self.made if line.is_open]

    def pool(self, size: int = 1, timeout: float = DEADLINE, idle_timeout: float = DEADLINE) -> ConnectionPool[Line]:
        driver = Driver(self.connect, self.close, lambda line: line.is_alive, lambda line: line.is_clean)
        return ConnectionPool("test", driver, PoolSettings(size, idle_timeout, timeout))


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(50) as executor:
        yield executor


def result_of(future: Future[Any]) -> Any:
    return future.result(DEADLINE)


# Taking and giving back


def test_a_connection_is_made_when_first_needed_and_used_again(exchange: Exchange) -> None:
    pool = exchange.pool(size=10)
    assert pool.stats() == PoolStats(total=0, idle=0, waiting=0, size=10)
    first = pool.acquire()
    assert pool.stats() == PoolStats(total=1, idle=0, waiting=0, size=10)
    pool.release(first)
    assert pool.stats() == PoolStats(total=1, idle=1, waiting=0, size=10)
    assert pool.acquire() is first


def test_there_are_never_more_connections_than_the_pool_has_places(
    exchange: Exchange, threads: ThreadPoolExecutor
) -> None:
    pool = exchange.pool(size=3)

    def use_often() -> None:
        for _ in range(50):
            connection = pool.acquire()
            assert pool.stats().total <= 3
            pool.release(connection)

    for user in [threads.submit(use_often) for _ in range(20)]:
        result_of(user)
    assert len(exchange.made) <= 3
    assert pool.stats().idle == pool.stats().total


def test_no_thread_waits_while_a_connection_is_free(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    """A connection may come back just when another thread has found none: that thread must not start to wait."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            pool = exchange.pool(size=1, timeout=5)

            def use_often(pool: ConnectionPool[Line] = pool) -> None:
                for _ in range(300):
                    pool.release(pool.acquire())

            for user in [threads.submit(use_often) for _ in range(2)]:
                result_of(user)
    finally:
        sys.setswitchinterval(interval)


def test_a_connection_that_could_not_be_cleaned_is_closed_and_its_place_freed(exchange: Exchange) -> None:
    pool = exchange.pool(size=1)
    spoilt = pool.acquire()
    spoilt.is_clean = False
    pool.release(spoilt)
    assert not spoilt.is_open
    assert pool.stats().total == 0
    assert pool.acquire() is not spoilt


def test_a_connection_that_died_in_the_pool_is_replaced(exchange: Exchange) -> None:
    pool = exchange.pool(size=1)
    dead = pool.acquire()
    pool.release(dead)
    dead.is_alive = False
    time.sleep(2 * _SURELY_ALIVE)
    replacement = pool.acquire()
    assert replacement.is_alive
    assert not dead.is_open
    assert pool.stats().total == 1


# Waiting


def test_threads_are_served_in_the_order_in_which_they_came(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    pool = exchange.pool(size=1)
    held = pool.acquire()
    served: list[int] = []

    def use(number: int) -> None:
        connection = pool.acquire()
        served.append(number)
        pool.release(connection)

    users = []
    for number in range(20):
        users.append(threads.submit(use, number))
        wait_until(lambda: pool.stats().waiting == len(users))
    pool.release(held)
    for user in users:
        result_of(user)
    assert served == list(range(20))


def test_nobody_overtakes_a_thread_that_has_waited_for_a_while(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    pool = exchange.pool(size=1)
    held = pool.acquire()
    waiting = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 1)
    time.sleep(2 * _PATIENCE)
    pool.release(held)
    late = threads.submit(pool.acquire)  # comes when the connection has been given back, but not yet been picked up
    assert result_of(waiting) is held
    wait_until(lambda: pool.stats().waiting == 1)
    assert not late.done()
    pool.release(held)
    assert result_of(late) is held


def test_a_thread_that_woke_in_vain_is_the_next(
    exchange: Exchange, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cream_store.pool._PATIENCE", DEADLINE)
    pool = exchange.pool(size=1)
    held = pool.acquire()
    waiting = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 1)
    with pool._lock:  # the waiting thread can't be quicker
        pool.release(held)
        assert pool.acquire() is held
    wait_until(lambda: pool._waiters[0].woke_in_vain)
    pool.release(held)
    late = threads.submit(pool.acquire)
    assert result_of(waiting) is held
    assert not late.done()
    pool.release(held)
    assert result_of(late) is held


def test_a_thread_is_served_in_spite_of_all_that_never_let_go_for_long(
    exchange: Exchange, threads: ThreadPoolExecutor
) -> None:
    pool = exchange.pool(size=2)
    is_done = threading.Event()

    def hurry() -> None:
        while not is_done.is_set():
            pool.release(pool.acquire())

    hurrying = [threads.submit(hurry) for _ in range(10)]
    try:
        for _ in range(5):
            pool.release(result_of(threads.submit(pool.acquire)))
    finally:
        is_done.set()
    for future in hurrying:
        result_of(future)


def test_a_thread_that_returns_a_connection_goes_behind_those_that_have_waited_for_a_while(
    exchange: Exchange, threads: ThreadPoolExecutor
) -> None:
    pool = exchange.pool(size=1)
    held = pool.acquire()
    served: list[int] = []

    def use(number: int) -> None:
        connection = pool.acquire()
        served.append(number)
        pool.release(connection)

    users = []
    for number in range(10):
        users.append(threads.submit(use, number))
        wait_until(lambda: pool.stats().waiting == len(users))
    time.sleep(2 * _PATIENCE)
    pool.release(held)
    pool.acquire()
    assert served == list(range(10))


def test_closing_reaches_a_connection_that_is_just_being_made(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    pool = exchange.pool(size=1)
    exchange.may_connect.clear()
    connecting = threads.submit(pool.acquire)
    wait_until(lambda: exchange.connecting)
    pool.close()
    exchange.may_connect.set()
    pool.release(result_of(connecting))
    assert exchange.open_lines == []


def test_waiting_ends_with_an_error_that_tells_what_to_do(exchange: Exchange) -> None:
    pool = exchange.pool(size=1, timeout=0.01)
    pool.acquire()
    with pytest.raises(PoolTimeoutError, match=r"within 0\.01 s: all 1 are in use.*raise pool_size") as caught:
        pool.acquire()
    assert isinstance(caught.value, DatabaseConnectionError)
    assert caught.value.code == "CONNECTION_ERROR"


def test_a_thread_that_gave_up_waiting_gets_no_connection_any_more(exchange: Exchange) -> None:
    pool = exchange.pool(size=1, timeout=0.01)
    held = pool.acquire()
    with pytest.raises(PoolTimeoutError):
        pool.acquire()
    pool.release(held)
    assert pool.stats() == PoolStats(total=1, idle=1, waiting=0, size=1)
    assert pool.acquire() is held


def test_a_thread_that_was_interrupted_while_waiting_gets_no_connection_any_more(exchange: Exchange) -> None:
    pool = exchange.pool(size=1)
    held = pool.acquire()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            pool.acquire()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert pool.stats().waiting == 0
    pool.release(held)
    assert pool.acquire() is held


def test_a_waiting_thread_takes_the_place_of_a_connection_that_could_not_be_used_again(
    exchange: Exchange, threads: ThreadPoolExecutor
) -> None:
    pool = exchange.pool(size=1)
    spoilt = pool.acquire()
    waiting = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 1)
    spoilt.is_clean = False
    pool.release(spoilt)
    assert result_of(waiting) is not spoilt
    assert pool.stats().total == 1


def test_a_waiting_thread_keeps_its_turn_when_its_connection_dies_on_the_way(
    exchange: Exchange, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cream_store.pool._SURELY_ALIVE", -1)  # as if the thread had been slow to wake up
    pool = exchange.pool(size=1)
    dying = pool.acquire()
    first = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 1)
    second = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 2)
    dying.is_alive = False
    pool.release(dying)
    replacement = result_of(first)
    assert replacement is not dying
    assert not second.done()
    pool.release(replacement)
    assert result_of(second) is replacement


# Connecting


def test_others_go_on_while_a_connection_is_being_made(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    pool = exchange.pool(size=2)
    quick = pool.acquire()
    exchange.may_connect.clear()
    slow = threads.submit(pool.acquire)
    wait_until(lambda: exchange.connecting)

    assert result_of(threads.submit(pool.stats)) == PoolStats(total=2, idle=0, waiting=0, size=2)
    pool.release(quick)
    assert result_of(threads.submit(pool.acquire)) is quick
    assert not slow.done()

    exchange.may_connect.set()
    assert result_of(slow) is not quick


def test_a_place_whose_connection_could_not_be_made_goes_to_the_next(
    exchange: Exchange, threads: ThreadPoolExecutor
) -> None:
    pool = exchange.pool(size=1)
    exchange.may_connect.clear()
    exchange.failures.append(DatabaseConnectionError("no answer"))
    unlucky = threads.submit(pool.acquire)
    wait_until(lambda: exchange.connecting)
    lucky = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 1)

    exchange.may_connect.set()
    with pytest.raises(DatabaseConnectionError, match="no answer"):
        result_of(unlucky)
    pool.release(result_of(lucky))
    assert pool.stats() == PoolStats(total=1, idle=1, waiting=0, size=1)


# Closing


def test_an_idle_connection_is_closed_after_a_while_though_nothing_else_happens(exchange: Exchange) -> None:
    pool = exchange.pool(size=3, idle_timeout=0.05)
    for connection in [pool.acquire() for _ in range(3)]:
        pool.release(connection)
    wait_until(lambda: pool.stats().total == 0)
    wait_until(lambda: not exchange.open_lines)
    pool.release(pool.acquire())
    wait_until(lambda: pool.stats().total == 0)


def test_idle_time_counts_from_the_last_use(exchange: Exchange) -> None:
    pool = exchange.pool(size=2)
    used, unused = pool.acquire(), pool.acquire()
    pool.release(unused)
    pool.release(used)
    time.sleep(1)
    pool.release(pool.acquire())
    pool.close_idle(seconds=1)
    assert exchange.open_lines == [used]


def test_a_connection_in_use_is_never_too_old(exchange: Exchange) -> None:
    pool = exchange.pool(size=1)
    held = pool.acquire()
    pool.close_idle()
    assert held.is_open


def test_closing_the_pool_closes_idle_connections_now_and_others_when_they_come_back(exchange: Exchange) -> None:
    pool = exchange.pool(size=2)
    idle, in_use = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.close()
    assert exchange.open_lines == [in_use]
    assert pool.stats().total == 1
    pool.release(in_use)
    assert exchange.open_lines == []
    assert pool.stats().total == 0


def test_a_closed_pool_goes_on_with_new_connections(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    pool = exchange.pool(size=1)
    held = pool.acquire()
    waiting = threads.submit(pool.acquire)
    wait_until(lambda: pool.stats().waiting == 1)
    pool.close()
    pool.close()
    assert not waiting.done()
    pool.release(held)
    fresh = result_of(waiting)
    assert fresh is not held
    pool.release(fresh)
    assert pool.acquire() is fresh


def test_closing_while_a_connection_is_being_made_counts_right(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    pool = exchange.pool(size=2)
    exchange.may_connect.clear()
    exchange.failures.append(DatabaseConnectionError("no answer"))
    connecting = [threads.submit(pool.acquire) for _ in range(2)]
    wait_until(lambda: exchange.connecting == 2)
    pool.close()
    exchange.may_connect.set()
    wait_until(lambda: all(future.done() for future in connecting))
    assert pool.stats().total == 1
    assert len([pool.acquire(), *(future.result() for future in connecting if not future.exception())]) == 2
    assert pool.stats().total == 2


def test_a_connection_goes_back_even_when_no_thread_can_be_started(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool = exchange.pool(idle_timeout=0.01)
    pool.release(pool.acquire())
    assert pool.stats().idle == 1
    monkeypatch.undo()
    pool.release(pool.acquire())
    wait_until(lambda: pool.stats().total == 0)


# Threads that end, processes that fork


def test_a_forked_child_neither_uses_nor_frees_what_its_parent_has(exchange: Exchange) -> None:
    pool = exchange.pool(size=2)
    in_use = pool.acquire()
    pool.release(pool.acquire())
    parents = [weakref.ref(line) for line in exchange.made]
    assert pool.forget()
    assert pool.stats().total == 0
    pool.release(in_use)
    assert len(exchange.open_lines) == 2
    assert pool.acquire() not in exchange.made[:2]

    exchange.made.clear()
    del in_use, pool
    gc.collect()
    assert all(line() is not None for line in parents)


def test_a_thread_that_ends_gives_its_connection_back(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    pool = exchange.pool(size=1)
    bound = threading.local()

    def take() -> None:
        bound.lease = Lease(pool)

    with caplog.at_level(logging.WARNING, "cream_store.pool"):
        for _ in range(3):
            thread = threading.Thread(target=take)
            thread.start()
            thread.join(DEADLINE)
        assert pool.stats() == PoolStats(total=1, idle=1, waiting=0, size=1)
        pool.release(pool.acquire())
    assert caplog.messages == ["pool test: a thread ended without giving its connection back"] * 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Dummy")]


def test_a_lease_ends_once(exchange: Exchange) -> None:
    pool = exchange.pool(size=1)
    lease = Lease(pool)
    lease.end()
    taken_by_another = pool.acquire()
    lease.end()
    assert pool.stats().idle == 0
    assert taken_by_another.is_open
    with pytest.raises(DatabaseConnectionError, match="given back"):
        _ = lease.connection


# All at once


def test_whatever_happens_no_place_is_lost_and_none_is_added(exchange: Exchange, threads: ThreadPoolExecutor) -> None:
    """Connections that die, can't be made or can't be cleaned, impatient threads, threads that end, a pool closed."""
    size = 3
    pool = exchange.pool(size, timeout=0.05, idle_timeout=0.05)
    bound = threading.local()
    is_done = threading.Event()
    outcomes: set[str] = set()

    def end_with_a_connection_in_hand() -> None:
        with suppress(PoolTimeoutError, ConnectionRefusedError):
            bound.lease = Lease(pool)

    def use(seed: int) -> None:
        chances = random.Random(seed)
        for _ in range(60):
            try:
                line = pool.acquire()
            except (PoolTimeoutError, ConnectionRefusedError) as error:
                outcomes.add(type(error).__name__)
                continue
            assert line.is_open
            if chances.random() < 0.3:
                time.sleep(chances.random() * 0.03)
            line.is_alive = chances.random() > 0.1
            line.is_clean = chances.random() > 0.1
            pool.release(line)
            event = chances.randrange(20)
            if event == 0:
                pool.close()
            elif event == 1:
                pool.close_idle()
            elif event == 2:
                exchange.failures.append(ConnectionRefusedError())
            elif event == 3:
                mortal = threading.Thread(target=end_with_a_connection_in_hand)
                mortal.start()
                mortal.join(DEADLINE)

    def watch() -> None:
        while not is_done.is_set():
            stats = pool.stats()
            assert 0 <= stats.idle <= stats.total <= size

    watching = threads.submit(watch)
    users = [threads.submit(use, seed) for seed in range(16)]
    try:
        for user in users:
            result_of(user)
    finally:
        is_done.set()
    result_of(watching)
    assert outcomes == {"PoolTimeoutError", "ConnectionRefusedError"}
    assert exchange.most_open == size

    wait_until(lambda: pool.stats().idle == pool.stats().total)
    exchange.failures.clear()
    lines = {id(pool.acquire()) for _ in range(size)}
    assert len(lines) == size
    with pytest.raises(PoolTimeoutError):
        pool.acquire()
