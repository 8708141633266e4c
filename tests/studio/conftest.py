from __future__ import annotations

from collections.abc import Iterator

import pytest

from cream_store import Store
from tests.studio.stranger import session, strange_store


@pytest.fixture(scope="session", autouse=True)
def _close_databases() -> Iterator[None]:
    yield
    session.close()


@pytest.fixture
def ships(back_end: str) -> Iterator[Store]:
    """A PAPER database with a stranger's tables, on each back end."""
    with strange_store(back_end) as store:
        yield store


@pytest.fixture
def sqlite_ships() -> Iterator[Store]:
    """The same on SQLite alone, for what has nothing to do with the database."""
    with strange_store("sqlite") as store:
        yield store
