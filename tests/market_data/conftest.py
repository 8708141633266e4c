"""Databases with nothing but the tables that these tests are about."""

import pytest

from cream_store import Store


@pytest.fixture
def plugins() -> tuple[str, ...]:
    return ("market-data",)


@pytest.fixture
def store(paper_store: Store) -> Store:
    """A PAPER database, as commands open it when nothing else is said."""
    return paper_store
