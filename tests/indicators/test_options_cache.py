"""The cache of options indicators: what is valid, for how long, and how old its numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.indicators import OptionsIndicatorsCacheEntry, OptionsIndicatorsCacheRepository
from cream_store import DuplicateKeyError, InvalidDataError, Store, clock_set_to
from tests.indicators.samples import NOON, SECOND

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def entry(symbol: str = "AAPL", **others: Any) -> OptionsIndicatorsCacheEntry:
    return OptionsIndicatorsCacheEntry(**{"symbol": symbol, **others})


@pytest.fixture
def cache(store: Store) -> Iterator[OptionsIndicatorsCacheRepository]:
    """At noon."""
    with clock_set_to(NOON):
        yield store[OptionsIndicatorsCacheRepository]


def symbols(found: list[OptionsIndicatorsCacheEntry]) -> list[str]:
    return [one.symbol for one in found]


class TestSet:
    def test_every_value_comes_back_as_it_was_stored(self, cache: OptionsIndicatorsCacheRepository) -> None:
        given = entry(
            implied_volatility=Decimal("0.3141"),
            iv_percentile_30d=Decimal("99.99"),
            vrp=Decimal(0),
            net_theta=Decimal("-12345678.1234"),
            timestamp=NOON - HOUR,
        )
        stored = cache.set(given)
        assert stored == given.replace(timestamp=NOON, expires_at=NOON + HOUR) == cache.get("aapl")
        with pytest.raises(DuplicateKeyError):
            cache.create(entry("aapl"))

    def test_it_overwrites_everything_but_the_id(self, cache: OptionsIndicatorsCacheRepository) -> None:
        first = cache.set(entry(vrp=Decimal(1)))
        with clock_set_to(NOON + HOUR):
            again = cache.set(entry("aapl", iv_skew=Decimal(1)))
        assert again == first.replace(vrp=None, iv_skew=Decimal(1), timestamp=NOON + HOUR, expires_at=NOON + 2 * HOUR)
        assert cache.find_all() == [again]

    @pytest.mark.parametrize(
        ("ttl", "expected"), [(1.5, 90 * SECOND), (timedelta(seconds=7), 7 * SECOND), (0, 0 * SECOND), (-1, -MINUTE)]
    )
    def test_it_is_valid_for_as_long_as_is_said(
        self, cache: OptionsIndicatorsCacheRepository, ttl: Any, expected: timedelta
    ) -> None:
        assert cache.set(entry(), ttl_minutes=ttl).expires_at == NOON + expected
        assert cache.has("AAPL") is (expected > timedelta())

    @pytest.mark.parametrize("ttl", [None, "1", float("nan"), float("inf")])
    def test_what_is_no_length_of_time_is_refused(self, cache: OptionsIndicatorsCacheRepository, ttl: Any) -> None:
        with pytest.raises(InvalidDataError, match="ttl_minutes"):
            cache.set(entry(), ttl_minutes=ttl)

    def test_many_are_stored_as_of_one_moment(self, cache: OptionsIndicatorsCacheRepository) -> None:
        given = [entry("B", expires_at=NOON + MINUTE), entry("A"), entry("b", vrp=Decimal(1), timestamp=NOON - HOUR)]
        assert cache.bulk_set([]) == 0
        assert cache.bulk_set(given) == 3
        assert [(one.symbol, one.timestamp, one.vrp) for one in cache.get_all()] == [("A", NOON, None), ("B", NOON, 1)]
        with pytest.raises(InvalidDataError, match="vrp"):
            cache.bulk_set([entry("C"), entry("D", vrp=Decimal("NaN"))])
        assert cache.count() == 2


class TestValidity:
    @pytest.fixture(autouse=True)
    def _entries(self, cache: OptionsIndicatorsCacheRepository) -> None:
        ages = [("NOW", 0), ("GONE", -9), ("LATER", 9), ("ALSO", 9)]
        cache.bulk_set(entry(symbol, expires_at=NOON + age * MINUTE) for symbol, age in ages)

    def test_an_entry_is_valid_until_it_expires(self, cache: OptionsIndicatorsCacheRepository) -> None:
        assert cache.has("later")
        assert not cache.has("NOW")
        assert cache.get("NOW") is cache.get("NONE") is cache.get_including_expired("NONE") is None
        assert cache.get_including_expired("now") is not None
        assert symbols(cache.get_all()) == ["ALSO", "LATER"]
        assert cache.get_expired_symbols() == ["GONE", "NOW"]
        assert sorted(cache.get_many(["later", "NOW", "NONE"])) == ["LATER"]
        assert cache.get_many([]) == {}
        assert (cache.count(), cache.count(include_expired=True)) == (2, 4)

    def test_a_symbol_is_named(self, cache: OptionsIndicatorsCacheRepository) -> None:
        none: Any = None
        for ask in (cache.get, cache.get_including_expired, cache.has, cache.delete, cache.refresh):
            with pytest.raises(InvalidDataError, match="symbol"):
                ask(none)

    def test_what_expired_can_be_cleared(self, cache: OptionsIndicatorsCacheRepository) -> None:
        assert cache.clear_expired() == 2
        assert cache.clear_expired() == 0
        assert cache.delete("also")
        assert not cache.delete("ALSO")
        assert symbols(cache.find_all()) == ["LATER"]
        assert cache.clear_all() == 1
        assert cache.clear_all() == 0

    def test_figures_tell_of_all_entries(self, cache: OptionsIndicatorsCacheRepository) -> None:
        with clock_set_to(NOON - HOUR):
            cache.set(entry("GONE"), ttl_minutes=0)
        stats = cache.get_stats()
        assert (stats.total, stats.valid, stats.expired) == (4, 2, 2)
        assert (stats.oldest_timestamp, stats.newest_timestamp) == (NOON - HOUR, NOON)

    def test_figures_of_nothing(self, cache: OptionsIndicatorsCacheRepository) -> None:
        cache.clear_all()
        stats = cache.get_stats()
        assert (stats.total, stats.valid, stats.expired) == (0, 0, 0)
        assert stats.oldest_timestamp is stats.newest_timestamp is None

    def test_a_refresh_makes_no_number_younger(self, cache: OptionsIndicatorsCacheRepository) -> None:
        with clock_set_to(NOON + MINUTE):
            assert cache.refresh("later")
            assert not cache.refresh("GONE")
            assert cache.refresh("GONE", 5, allow_expired=True)
            assert not cache.refresh("NONE", allow_expired=True)
        later, gone = cache.get("LATER"), cache.get("GONE")
        assert later is not None
        assert gone is not None
        assert (later.expires_at, later.timestamp) == (NOON + MINUTE + HOUR, NOON)
        assert (gone.expires_at, gone.timestamp) == (NOON + 6 * MINUTE, NOON)

    def test_an_update_writes_what_is_given(self, cache: OptionsIndicatorsCacheRepository) -> None:
        before = cache.get("LATER")
        assert before is not None
        with clock_set_to(NOON + MINUTE):
            assert cache.update("later", {}) == before
            after = cache.update("later", {"vrp": Decimal(0)})
            assert after == before.replace(vrp=Decimal(0), timestamp=NOON + MINUTE)
            assert cache.update("LATER", {"vrp": None}, ttl_minutes=2) == before.replace(
                timestamp=NOON + MINUTE, expires_at=NOON + 3 * MINUTE
            )
            assert cache.update("NONE", {"vrp": Decimal(0)}) is None
        with pytest.raises(InvalidDataError, match="expires_at"):
            cache.update("LATER", {"expires_at": NOON})  # type: ignore[typeddict-unknown-key]  # what is being tested

    def test_an_update_makes_an_expired_entry_valid(self, cache: OptionsIndicatorsCacheRepository) -> None:
        for symbol, ttl, expected in (("GONE", {}, HOUR), ("NOW", {"ttl_minutes": 5}, 5 * MINUTE)):
            updated = cache.update(symbol, {"vrp": Decimal(1)}, **ttl)
            assert updated is not None
            assert updated.expires_at == NOON + expected
