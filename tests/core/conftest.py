"""Notebooks: databases with nothing but a table of notes, on each back end.

Each back end gets one per session, which every test finds empty; so they cost next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cream_store import Database, Environment, open_database
from cream_store.schema import push
from cream_store.testing import PostgresqlTemplates, SqliteTemplates, Templates
from tests.conftest import server_url
from tests.core.notes import NoteRow

_session = ExitStack()


@pytest.fixture(scope="session", autouse=True)
def _close_notebooks() -> Iterator[None]:
    yield
    _session.close()


@cache
def _notebook_url(back_end: str) -> str:
    templates: Templates
    if back_end == "sqlite":
        directory = _session.enter_context(TemporaryDirectory(prefix="cream-store-notes-"))
        templates = SqliteTemplates(Path(directory), plugins=())
    else:
        templates = PostgresqlTemplates(server_url(back_end), f"cream_store_notes_{os.getpid()}", plugins=())
    store = _session.enter_context(templates.copy())
    push(store.database, [NoteRow])
    store.close()
    return store.database.location.url


@contextmanager
def _notebook(back_end: str) -> Iterator[Database]:
    database = open_database(_notebook_url(back_end), Environment.TEST)
    NoteRow.delete().execute(database)
    yield database
    stats = database.pool_stats()
    database.close_pool()
    assert stats.idle == stats.total, "a connection was not given back"


@pytest.fixture
def notebook(back_end: str) -> Iterator[Database]:
    """An empty notebook, on each back end. Whatever a test does, all connections must have come back."""
    with _notebook(back_end) as database:
        yield database


@pytest.fixture
def postgresql_notebook(postgresql: str) -> Iterator[Database]:
    """An empty notebook, on each PostgreSQL."""
    with _notebook(postgresql) as database:
        yield database


@pytest.fixture
def sqlite_notebook() -> Iterator[Database]:
    """An empty notebook in a SQLite file."""
    with _notebook("sqlite") as database:
        yield database
