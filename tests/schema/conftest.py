"""Blank databases: one for each back end and session, empty at the beginning of every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cream_store import Database, Environment, open_database
from cream_store.testing import PostgresqlTemplates
from tests.conftest import server_url

_session = ExitStack()


class Blank:
    """A database that can be emptied to the last object."""

    def __init__(self, back_end: str) -> None:
        self._url = _blank_url(back_end)
        self._is_sqlite = back_end == "sqlite"
        self.database = self.open()

    def open(self, environment: Environment = Environment.TEST) -> Database:
        """The database, with a pool of its own."""
        return open_database(self._url, environment)

    def wipe(self) -> Database:
        """Empties the database and returns it."""
        if self._is_sqlite:
            self.database.close_pool()
            for file in Path(self.database.url.target).parent.iterdir():
                file.unlink()
            return self.database
        for (schema,) in self.database.fetch_all(
            "SELECT quote_ident(nspname) FROM pg_namespace"
            " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        ):
            self.database.change(f"DROP SCHEMA {schema} CASCADE")
        self.database.change("CREATE SCHEMA public")
        return self.database

    def close(self) -> None:
        """Gives all connections back."""
        stats = self.database.pool_stats()
        self.database.close_pool()
        assert stats.idle == stats.total, "a connection was not given back"


@cache
def _blank_url(back_end: str) -> str:
    if back_end == "sqlite":
        return f"sqlite:///{_session.enter_context(TemporaryDirectory(prefix='cream-store-blank-'))}/blank.db"
    templates = PostgresqlTemplates(server_url(back_end), f"cream_store_blank_{os.getpid()}", plugins=())
    store = _session.enter_context(templates.copy())
    store.close()
    return store.database.location.url


@pytest.fixture(scope="session", autouse=True)
def _close_blanks() -> Iterator[None]:
    yield
    _session.close()


@pytest.fixture
def blank(back_end: str) -> Iterator[Blank]:
    """A blank database, on each back end. Whatever a test does, all connections must have come back."""
    blank = Blank(back_end)
    blank.wipe()
    yield blank
    blank.close()


@pytest.fixture
def postgresql_blank(postgresql: str) -> Iterator[Blank]:
    """A blank database on each PostgreSQL."""
    blank = Blank(postgresql)
    blank.wipe()
    yield blank
    blank.close()
