"""SQLite plans without statistics: the queries must lead it to the right index by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cream_plugins.core_trading import CyclesRepository, DecisionsRepository, DecisionStatus
from cream_store import Environment, Store
from tests.conftest import templates


@pytest.fixture
def store() -> Iterator[Store]:
    with templates("sqlite", None, Environment.PAPER).copy() as store:
        yield store


def plan_of(store: Store, read: Callable[[], object]) -> str:
    """How SQLite executes the last statement of a read."""
    statements: list[str] = []
    with store.transaction():
        connection = store.database.connection()  # type: ignore[no-untyped-call]  # of Peewee
        connection.set_trace_callback(statements.append)
        read()
        connection.set_trace_callback(None)
        steps = store.database.fetch_all(f"EXPLAIN QUERY PLAN {statements[-1]}")
    return "; ".join(step[3] for step in steps)


def test_the_newest_of_an_environment_are_read_in_order_and_not_sorted(store: Store) -> None:
    decisions = store[DecisionsRepository]

    for read in (decisions.find_recent, decisions.find_many, decisions.find_keyset):
        assert "USING INDEX idx_decisions_created_at" in plan_of(store, read)


def test_an_index_that_begins_with_the_environment_still_serves(store: Store) -> None:
    cycles = store[CyclesRepository]

    assert "INDEX idx_cycles_env_started (environment=?)" in plan_of(store, cycles.find_many)


def test_a_more_selective_filter_still_has_its_index(store: Store) -> None:
    decisions = store[DecisionsRepository]

    assert "INDEX idx_decisions_status" in plan_of(store, lambda: decisions.count({"status": DecisionStatus.PENDING}))
    assert "INDEX idx_decisions_symbol_created" in plan_of(store, lambda: decisions.find_by_symbol("AAPL"))
