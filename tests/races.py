"""Races between real threads, on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from cream_store import RepositoryError, Store

T = TypeVar("T")


def at_once(*actions: Callable[[], T]) -> list[T | RepositoryError]:
    """Starts all actions together, each in a thread of its own. What each returned, or the error that it raised."""
    barrier = Barrier(len(actions))

    def run(action: Callable[[], T]) -> T | RepositoryError:
        barrier.wait()
        try:
            return action()
        except RepositoryError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(run, actions))


def overtaken(store: Store, action: Callable[[], T], by: Callable[[], object]) -> T:
    """Lets another thread begin an action while this one has done something that is not committed yet.

    The action is seen to wait for the commit, and has read by then whatever it reads before it writes.
    """
    with ThreadPoolExecutor(1) as threads:
        with store.transaction():
            by()
            result = threads.submit(action)
            while not (_is_waited_for(store) or result.done()):
                time.sleep(0.002)
        return result.result()


def _is_waited_for(store: Store) -> bool:
    [(is_waited_for,)] = store.database.fetch_all(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    )
    return bool(is_waited_for)
