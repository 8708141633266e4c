"""Databases with nothing but the tables of the universe, on each back end.

Each back end gets one per session, which every test finds empty; so they cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from cream_store import Environment, Store
from tests.conftest import templates

_session = ExitStack()


@pytest.fixture(scope="session", autouse=True)
def _close_stores() -> Iterator[None]:
    yield
    _session.close()
    _store.cache_clear()


@cache
def _store(back_end: str) -> Store:
    return _session.enter_context(templates(back_end, ("universe",), Environment.PAPER).copy())


def _emptied(back_end: str) -> Store:
    store = _store(back_end)
    for row in store.rows:
        row.delete().execute(store.database)
    return store


@pytest.fixture
def store(back_end: str) -> Store:
    """A PAPER database with empty tables, on each back end."""
    return _emptied(back_end)


@pytest.fixture
def postgresql_store(postgresql: str) -> Store:
    """A PAPER database with empty tables, on each PostgreSQL."""
    return _emptied(postgresql)
