"""Transactions that can't write, and end what takes too long."""

from __future__ import annotations

import pytest

from cream_plugins.core_trading import CyclesRepository
from cream_store import RepositoryError, StatementCancelledError, Store, TransactionError

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"


def test_it_reads(store: Store) -> None:
    with store.database.read_only(5):
        assert store[CyclesRepository].count() == 0


def test_it_sees_one_state(store: Store) -> None:
    with store.database.read_only(5):
        assert store.database.fetch_all("SELECT COUNT(*) FROM cycles") == [(0,)]
        another = Store.open(environment="TEST", url=store.database.location.url)
        another[CyclesRepository].start("PAPER")
        another.close()
        assert store[CyclesRepository].count() == 0
    assert store[CyclesRepository].count() == 1


def test_it_writes_nothing_and_later_ones_do(store: Store) -> None:
    with pytest.raises(RepositoryError, match=r"read-?only"), store.database.read_only(5):
        store[CyclesRepository].start("PAPER")
    assert store[CyclesRepository].count() == 0
    store[CyclesRepository].start("PAPER")
    assert store[CyclesRepository].count() == 1


def test_a_statement_that_takes_too_long_is_ended(store: Store) -> None:
    with pytest.raises(StatementCancelledError), store.database.read_only(0.2):
        store.database.fetch_all(ENDLESS)


def test_the_limit_ends_with_the_transaction(store: Store) -> None:
    with store.database.read_only(0.05):
        pass
    slow = ENDLESS.replace("FROM n)", "FROM n WHERE i < 400000)")
    assert store.database.fetch_all(slow) == [(400_000,)]


def test_it_is_no_part_of_another_transaction(store: Store) -> None:
    with store.transaction():
        with pytest.raises(TransactionError, match="can't be part of another"), store.database.read_only(5):
            pytest.fail("it began")
        store[CyclesRepository].start("PAPER")
    assert store[CyclesRepository].count() == 1
