"""The universe cache: expiry, tickers, one caller that refreshes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cream_plugins.market_data import (
    UniverseCacheEntry,
    UniverseCacheRepository,
    UniverseSourceType,
)
from cream_store import InvalidDataError, NotFoundError, Store, TransactionError, clock_set_to
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INDEX, ETF = UniverseSourceType.INDEX, UniverseSourceType.ETF


def entry(source_id: str = "SP500", **others: Any) -> UniverseCacheEntry:
    values: dict[str, Any] = {"source_type": INDEX, "source_hash": "abc", "tickers": ["AAPL"], "expires_at": NOW + HOUR}
    return UniverseCacheEntry(**values | {"source_id": source_id} | others)


@pytest.fixture
def cache(store: Store) -> UniverseCacheRepository:
    return store[UniverseCacheRepository]


def test_every_value_comes_back_as_it_was_stored(cache: UniverseCacheRepository) -> None:
    given = entry(tickers=["MSFT", "AAPL"], metadata={"asOf": "2024-03-15"}, provider="fmp")
    with clock_set_to(NOW):
        stored = cache.set(given)
        assert stored == given.replace(id=stored.id, cached_at=NOW)
        assert stored.ticker_count == 2
        assert cache.get("index", "SP500") == stored


def test_an_empty_universe_is_one(cache: UniverseCacheRepository) -> None:
    stored = cache.set(entry(tickers=[], metadata={}))
    assert (stored.tickers, stored.ticker_count, stored.metadata) == ([], 0, {})


class TestTickers:
    def test_each_counts_once_at_its_first_place(self, cache: UniverseCacheRepository) -> None:
        stored = cache.set(entry(tickers=["msft", " AAPL", "MSFT ", "aapl", "NVDA"], ticker_count=77))
        assert stored.tickers == ["MSFT", "AAPL", "NVDA"]
        assert stored.ticker_count == 3

    def test_the_count_follows_them_however_they_are_stored(self, cache: UniverseCacheRepository) -> None:
        [created] = cache.create_many([entry("A", ticker_count=5)])
        cache.bulk_upsert([entry("B", tickers=["X", "x", "Y"], ticker_count=5)])
        changed = cache.update(created.id or 0, {"tickers": ["b", "B", "a"]})
        assert (changed.tickers, changed.ticker_count) == (["B", "A"], 2)
        assert {one.source_id: one.ticker_count for one in cache.find_all()} == {"A": 2, "B": 2}

    @pytest.mark.parametrize("tickers", [["AAPL", ""], ["AAPL", "  "], ["AAPL", 5], "AAPL", None])
    def test_what_is_no_list_of_symbols_is_refused(self, cache: UniverseCacheRepository, tickers: Any) -> None:
        with pytest.raises(InvalidDataError, match="tickers"):
            cache.set(entry(tickers=tickers))
        stored = cache.set(entry())
        with pytest.raises(InvalidDataError, match="tickers"):
            cache.update(stored.id or 0, {"tickers": tickers})


class TestSet:
    def test_it_overwrites_every_value_and_is_cached_now(self, cache: UniverseCacheRepository) -> None:
        with clock_set_to(NOW - HOUR):
            first = cache.set(entry(metadata={"a": 1}, provider="fmp"))
        with clock_set_to(NOW):
            again = cache.set(entry(source_hash="def", tickers=["B", "C"], cached_at=NOW - 9 * HOUR))
        assert again == entry(source_hash="def", tickers=["B", "C"], id=first.id, cached_at=NOW)
        assert cache.count() == 1

    @pytest.mark.parametrize("source_type", ["sector", "INDEX", ""])
    def test_an_undeclared_type_of_source_is_refused(self, cache: UniverseCacheRepository, source_type: Any) -> None:
        with pytest.raises(InvalidDataError, match="source_type"):
            cache.set(entry(source_type=source_type))
        with pytest.raises(InvalidDataError, match="source_type"):
            cache.get(source_type, "SP500")

    def test_one_that_is_stored_already_is_read_as_it_is(self, cache: UniverseCacheRepository) -> None:
        cache.set(entry())
        cache.database.change("UPDATE universe_cache SET source_type = 'sector'")
        [found] = cache.find_all()
        assert found.source_type == "sector"

    def test_many_are_stored_all_or_none_and_the_last_of_a_source_counts(self, cache: UniverseCacheRepository) -> None:
        assert cache.bulk_upsert(iter([entry(source_hash="1"), entry("DJIA"), entry(source_hash="2")])) == 3
        assert {one.source_hash for one in cache.find_all({"source_id": "SP500"})} == {"2"}
        with pytest.raises(InvalidDataError):
            cache.bulk_upsert([entry("new"), entry(source_type="sector")])
        assert cache.count() == 2


class TestExpiry:
    def test_an_entry_is_valid_until_the_moment_it_expires(self, cache: UniverseCacheRepository) -> None:
        stored = cache.set(entry(expires_at=NOW))
        with clock_set_to(NOW - timedelta(microseconds=1)):
            assert cache.get(INDEX, "SP500") == cache.get_by_hash("abc") == stored
            assert cache.list_sources() == [(INDEX, "SP500")]
            assert cache.purge_expired() == 0
        with clock_set_to(NOW):
            assert cache.get(INDEX, "SP500") is None
            assert cache.get_by_hash("abc") is None
            assert cache.list_sources() == []
            assert cache.purge_expired() == 1
        assert cache.count() == 0

    def test_only_expired_entries_are_purged(self, cache: UniverseCacheRepository) -> None:
        cache.bulk_upsert(entry(f"source {i}", expires_at=NOW + i * HOUR) for i in range(-2, 3))
        with clock_set_to(NOW):
            assert cache.purge_expired() == 3
            assert [source for _, source in cache.list_sources()] == ["source 1", "source 2"]

    def test_a_stale_entry_can_be_stored(self, cache: UniverseCacheRepository) -> None:
        stored = cache.set(entry(expires_at=NOW - HOUR))
        with clock_set_to(NOW):
            assert cache.get(INDEX, "SP500") is None
        assert cache.find_by_id(stored.id or 0) == stored


def test_of_several_entries_with_one_hash_the_newest_is_given(cache: UniverseCacheRepository) -> None:
    for i, source_id in enumerate(("B", "C", "A")):
        with clock_set_to(NOW + i * timedelta(minutes=1)):
            cache.set(entry(source_id))
    with clock_set_to(NOW):
        cache.set(entry("C"))
        cache.set(entry("D", source_hash="other"))
        found = cache.get_by_hash("abc")
        assert found is not None
        assert found.source_id == "A"
        assert cache.get_by_hash("unheard of") is None


def test_sources_come_by_type_and_id(cache: UniverseCacheRepository) -> None:
    cache.bulk_upsert([entry("SP500"), entry("DJIA"), entry("XLK", source_type=ETF), entry("QQQ", source_type=ETF)])
    with clock_set_to(NOW):
        assert cache.list_sources() == [(ETF, "QQQ"), (ETF, "XLK"), (INDEX, "DJIA"), (INDEX, "SP500")]


def test_a_source_is_deleted_expired_or_not(cache: UniverseCacheRepository) -> None:
    cache.bulk_upsert([entry(), entry("DJIA", expires_at=NOW - HOUR), entry(source_type=ETF)])
    with clock_set_to(NOW):
        assert cache.delete("index", "DJIA")
        assert cache.delete(INDEX, "SP500")
        assert not cache.delete(INDEX, "SP500")
    assert [one.source_type for one in cache.find_all()] == [ETF]
    with pytest.raises(InvalidDataError, match="source_id"):
        cache.delete(ETF, None)  # type: ignore[arg-type]  # what is being tested


class TestGetOrLock:
    def test_one_caller_refreshes_and_the_others_get_what_it_stored(self, postgresql_store: Store) -> None:
        cache = postgresql_store[UniverseCacheRepository]
        refreshed: list[int] = []

        def refresh() -> UniverseCacheEntry:
            with postgresql_store.transaction():
                found = cache.get_or_lock(INDEX, "SP500")
                if found is not None:
                    return found
                refreshed.append(1)
                time.sleep(0.05)  # the others arrive meanwhile
                return cache.set(entry(tickers=["A", "B"], expires_at=datetime.now(UTC) + HOUR))

        outcomes = at_once(*[refresh] * 6)

        assert refreshed == [1]
        assert outcomes == [cache.get(INDEX, "SP500")] * 6

    def test_a_valid_entry_needs_no_lock(self, cache: UniverseCacheRepository) -> None:
        with clock_set_to(NOW):
            stored = cache.set(entry())
            with cache.database.transaction():
                assert cache.get_or_lock("index", "SP500") == stored
                assert cache.get_or_lock("etf", "SP500") is None

    def test_it_needs_a_transaction(self, cache: UniverseCacheRepository) -> None:
        with pytest.raises(TransactionError, match="needs a transaction"):
            cache.get_or_lock(INDEX, "SP500")


def test_the_usual_ways_of_a_repository_work(cache: UniverseCacheRepository) -> None:
    stored = cache.create(entry(provider="fmp"))
    assert stored.id is not None
    assert cache.find_many({"source_type": [INDEX, ETF], "provider": "fmp"}).data == [stored]
    assert cache.update(stored.id, {"provider": None}) == stored.replace(provider=None)
    with pytest.raises(InvalidDataError, match="source_id can't be changed"):
        cache.update(stored.id, {"source_id": "DJIA"})  # type: ignore[typeddict-unknown-key]  # what is being tested
    with pytest.raises(NotFoundError):
        cache.update(stored.id + 1, {"provider": None})
