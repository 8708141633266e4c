"""Upserts of many records: which of them mean the same row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import peewee
import pytest

from cream_plugins.core_trading import PortfolioSnapshot, PortfolioSnapshotRow
from cream_store import Changes, Environment, Filters, Repository, Store


class ByNumber(Repository[PortfolioSnapshot, Filters, Changes]):
    """Upserts by the key that the database numbers."""

    row = PortfolioSnapshotRow


def snapshot(hour: int) -> PortfolioSnapshot:
    amount, share = Decimal(hour), Decimal(0)
    return PortfolioSnapshot(
        timestamp=datetime(2024, 3, 15, tzinfo=UTC) + timedelta(hours=hour),
        environment=Environment.PAPER,
        nav=amount,
        cash=amount,
        equity=amount,
        gross_exposure=share,
        net_exposure=share,
    )


def test_records_without_a_key_are_all_new(store: Store) -> None:
    by_number = ByNumber(store.database)
    assert by_number.upsert_many(snapshot(hour) for hour in range(3)) == 3
    assert by_number.count() == 3


def test_of_records_with_the_same_key_the_last_wins(store: Store) -> None:
    by_number = ByNumber(store.database)
    assert by_number.upsert_many(snapshot(hour).replace(id=7) for hour in range(3)) == 3
    assert by_number.find_all() == [snapshot(2).replace(id=7)]


@pytest.mark.parametrize("count", [3, 150])
def test_a_table_that_peewees_own_queries_use_elsewhere_is_no_other_here(store: Store, count: int) -> None:
    elsewhere = peewee.SqliteDatabase(":memory:", returning_clause=True)
    with elsewhere.bind_ctx([PortfolioSnapshotRow], bind_refs=False, bind_backrefs=False):
        written = ByNumber(store.database).upsert_many(snapshot(hour) for hour in range(count))
    assert written.inserted == count
