"""The databases of this process: one per environment, opened at first use, safe to share between threads."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import peewee

from cream_store.backend import Database
from cream_store.environment import DatabaseLocation, Environment, locate_database
from cream_store.errors import RetryableTransactionError
from cream_store.pool import PoolStats
from cream_store.transactions import Transaction
from cream_store.url import DatabaseURL

T = TypeVar("T")
P = ParamSpec("P")

_lock = threading.Lock()
_databases: dict[Environment, Database] = {}

if hasattr(os, "register_at_fork"):
    # A child must not inherit the lock from a thread that it does not have.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def open_database(url: str | None = None, environment: Environment | None = None) -> Database:
    """A new database object with a pool of its own. Most programs share the one that `get_db` gives.

    Nothing connects until the first operation. Raises ConfigurationError for an unusable URL.
    """
    environment = environment or Environment.current()
    # An empty URL was meant to be one: the environment's database is not what the caller asked for.
    location = locate_database(environment) if url is None else DatabaseLocation(url, "an explicit URL")
    if DatabaseURL.parse(location.url).kind == "sqlite":
        from cream_store.sqlite import SqliteDatabase

        return SqliteDatabase(environment, location)
    from cream_store.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(environment, location)


def get_db(environment: Environment | str | None = None) -> Database:
    """The process's database of an environment, by default of the current one. Call it as often as you like.

    Raises ConfigurationError for an unknown environment or one without a database.
    """
    environment = Environment.current() if environment is None else Environment.parse(environment)
    database = _databases.get(environment)
    if database is None:
        with _lock:
            database = _databases.get(environment)
            if database is None:
                database = _databases[environment] = open_database(environment=environment)
    return database


def close_db() -> None:
    """Closes the databases of all environments. The next use opens them anew, as configured then."""
    with _lock:
        databases = list(_databases.values())
        _databases.clear()
    for database in databases:
        database.close_pool()


class _CurrentDatabase(peewee.DatabaseProxy):
    """Stands for whatever `get_db()` gives at the moment of use."""

    def __getattr__(self, name: str) -> Any:
        # Programs that inspect whatever they find in a module, pytest among them, must not choose a database by that.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(get_db(), name)

    # Peewee's proxy answers these itself, without asking the database behind it.

    def __enter__(self) -> Any:
        return get_db().__enter__()

    def __exit__(self, *error: Any) -> None:
        get_db().__exit__(*error)

    def transaction(self, *, snapshot: bool = False) -> Transaction:  # type: ignore[override]  # instead of Peewee's
        return get_db().transaction(snapshot=snapshot)

    def atomic(self, *, snapshot: bool = False) -> Transaction:  # type: ignore[override]  # instead of Peewee's
        return get_db().atomic(snapshot=snapshot)

    def savepoint(self) -> Transaction:  # type: ignore[override]  # instead of Peewee's
        return get_db().savepoint()

    def connection_context(self) -> Any:
        return get_db().connection_context()

    def __repr__(self) -> str:
        return "<the current environment's database>"


db = _CurrentDatabase()
"""The current environment's database, opened at first use."""


def transaction(database: Database | None = None, *, snapshot: bool = False) -> Transaction:
    """`with transaction(): ...` - all or nothing. Inside another transaction, a savepoint.

    With `snapshot`, all reads of an outermost transaction see one state of the database (PostgreSQL: REPEATABLE READ).
    """
    return (get_db() if database is None else database).transaction(snapshot=snapshot)


def with_transaction(
    function: Callable[[], T],
    database: Database | None = None,
    *,
    retries: int = 5,
    snapshot: bool = False,
) -> T:
    """Runs a function in a transaction, and again after a deadlock, a serialization failure or a busy SQLite file.

    The function may run up to `retries` + 1 times, so its effects outside the database must bear that. Inside another
    transaction it runs once, in a savepoint: only the outermost transaction can be repeated.
    """
    database = get_db() if database is None else database
    return repeated(function, database, retries=0 if database.in_transaction() else retries, snapshot=snapshot)


def repeated(function: Callable[[], T], database: Database, *, retries: int, snapshot: bool = False) -> T:
    """Runs a function in a transaction or savepoint, and again after what a repetition may cure."""
    for attempt in range(retries + 1):
        transaction = database.transaction(snapshot=snapshot)
        try:
            with transaction:
                return function()
        except RetryableTransactionError:
            if attempt == retries or transaction.is_committed:  # then it comes from an `after_commit` callback
                raise
            # Full jitter: the transactions that met here should not meet again.
            time.sleep(random.uniform(0, min(1.0, 0.01 * 2**attempt)))
    raise AssertionError("unreachable")


def transactional(method: Callable[P, T]) -> Callable[P, T]:
    """Makes a repository method of several statements one transaction, repeated as `with_transaction` does."""

    @functools.wraps(method)
    def in_transaction(*args: P.args, **kwargs: P.kwargs) -> T:
        repository: Any = args[0]
        # An iterator would have nothing left for a second attempt, which would then write nothing.
        given: Any = [list(arg) if isinstance(arg, Iterator) else arg for arg in args]
        named: Any = {name: list(arg) if isinstance(arg, Iterator) else arg for name, arg in kwargs.items()}
        return with_transaction(lambda: method(*given, **named), repository.database)

    return in_transaction


def health_check(environment: Environment | str | None = None) -> bool:
    """Whether the database answers. Never raises."""
    try:
        return get_db(environment).fetch_all("SELECT 1") == [(1,)]
    except Exception:  # noqa: BLE001  # a health check reports, whatever went wrong
        return False


def pool_stats(environment: Environment | str | None = None) -> PoolStats:
    """The connection pool's figures: total, idle, waiting."""
    return get_db(environment).pool_stats()
