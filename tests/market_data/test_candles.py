"""Candles: one of a bar, ranges, what was over at a moment, retention."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.market_data import Candle, CandleRow, CandlesRepository, Timeframe
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
)
from tests.races import at_once

DAY = datetime(2024, 3, 15, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def candle(timestamp: datetime = DAY, close: int | str = 10, **others: Any) -> Candle:
    price = Decimal(close)
    values: dict[str, Any] = {"symbol": "AAPL", "timeframe": Timeframe.DAY, "volume": 1000}
    prices = {"open": price, "high": price + 1, "low": price - 1, "close": price}
    return Candle(timestamp=timestamp, **values | prices | others)


def days(*closes: int, since: datetime = DAY, **others: Any) -> list[Candle]:
    """Daily candles with these closes."""
    return [candle(since + timedelta(days=day), close, **others) for day, close in enumerate(closes)]


def closes(candles: list[Candle]) -> list[int]:
    return [int(one.close) for one in candles]


@pytest.fixture
def candles(store: Store) -> CandlesRepository:
    return store[CandlesRepository]


def test_every_value_comes_back_as_it_was_stored(candles: CandlesRepository) -> None:
    given = candle(
        close=0,
        open=Decimal("99999999.9999"),
        high=Decimal("99999999.9999"),
        low=Decimal("-0.0001"),
        volume=999_999_999_999_999_999,
        vwap=Decimal("1.2345"),
        trade_count=7,
        adjusted=True,
        split_adjusted=True,
        dividend_adjusted=True,
        quality_flags=["gap", "späte"],
        provider="polygon",
    )

    stored = candles.upsert(given)

    assert stored.id is not None
    assert stored == given.replace(id=stored.id)
    assert candles.find_by_id_or_raise(stored.id) == stored
    assert candles.get_last_candle("AAPL", "1d") == stored


def test_what_is_left_out_has_a_default(candles: CandlesRepository) -> None:
    bare = Candle(
        symbol=" aapl ",
        timeframe=Timeframe.HOUR,
        timestamp=DAY,
        open=Decimal(1),
        high=Decimal(1),
        low=Decimal(1),
        close=Decimal(1),
    )
    stored = candles.upsert(bare)
    assert stored == bare.replace(id=stored.id, symbol="AAPL")
    assert (stored.volume, stored.vwap, stored.trade_count, stored.quality_flags) == (0, None, None, [])
    assert (stored.adjusted, stored.split_adjusted, stored.dividend_adjusted) == (False, False, False)
    assert stored.provider == "alpaca"


def test_an_upsert_overwrites_all_but_id_and_creation(candles: CandlesRepository) -> None:
    first = candles.upsert(candle(vwap=Decimal(5), trade_count=3, quality_flags=["gap"], provider="polygon"))

    with clock_set_to(DAY + timedelta(days=9)):
        again = candles.upsert(candle(close=20, volume=0, provider="alpaca"))

    assert again == candle(close=20, volume=0, id=first.id, created_at=first.created_at)
    assert (again.vwap, again.trade_count, again.provider) == (None, None, "alpaca")
    assert candles.count("AAPL", "1d") == 1


@pytest.mark.parametrize(
    "impossible",
    [
        {"high": Decimal(5)},
        {"low": Decimal(12)},
        {"open": Decimal(12)},
        {"close": Decimal(8)},
        {"volume": -1},
    ],
)
def test_a_bar_that_can_not_be_is_refused(candles: CandlesRepository, impossible: dict[str, Any]) -> None:
    with pytest.raises(ConstraintViolationError):
        candles.upsert(candle().replace(**impossible))
    assert candles.count("AAPL", "1d") == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("open", Decimal("1.00001")),
        ("high", Decimal("NaN")),
        ("low", Decimal("Infinity")),
        ("close", 1.5),
        ("vwap", Decimal("1.23456")),
        ("volume", Decimal("10.6")),
        ("volume", 10**18),
        ("timestamp", datetime(2024, 3, 15)),  # noqa: DTZ001  # naive
        ("timeframe", "4h"),
        ("symbol", " "),
        ("trade_count", 2**31),
        ("provider", None),
    ],
)
def test_what_can_not_be_stored_exactly_is_refused(candles: CandlesRepository, column: str, value: Any) -> None:
    changed: dict[str, Any] = {column: value}
    with pytest.raises((InvalidDataError, ConstraintViolationError), match=column):
        candles.upsert(candle().replace(**changed))
    with pytest.raises((InvalidDataError, ConstraintViolationError), match=column):
        candles.bulk_upsert([candle(DAY + MINUTE), candle().replace(**changed)])
    assert candles.find_all() == []


class TestManyAtOnce:
    def test_the_number_is_that_of_the_given_candles(self, candles: CandlesRepository) -> None:
        assert candles.bulk_upsert([]) == 0
        assert candles.bulk_upsert(iter(days(*range(10, 265)))) == 255
        assert candles.bulk_upsert(days(1, 2)) == 2
        assert candles.count("aapl", "1d") == 255
        assert closes(candles.get_latest("AAPL", "1d", 255))[:3] == [1, 2, 12]

    def test_of_several_candles_of_one_bar_the_last_counts(self, candles: CandlesRepository) -> None:
        assert candles.bulk_upsert([candle(close=5), candle(close=6, symbol="aapl"), candle(DAY + MINUTE)]) == 3
        assert closes(candles.get_latest("AAPL", "1d")) == [6, 10]

    def test_one_bad_candle_refuses_them_all(self, candles: CandlesRepository) -> None:
        good = days(*range(10, 260))
        with pytest.raises(ConstraintViolationError):
            candles.bulk_upsert([*good, candle(DAY - MINUTE, high=Decimal(1))])
        assert candles.count("AAPL", "1d") == 0

    def test_writers_of_the_same_bars_do_not_get_in_each_others_way(self, postgresql_store: Store) -> None:
        candles = postgresql_store[CandlesRepository]
        series = days(*range(2, 202))

        outcomes = at_once(
            *(partial(candles.bulk_upsert, series if i % 2 else series[::-1]) for i in range(6)),
        )

        assert outcomes == [200] * 6
        assert closes(candles.get_latest("AAPL", "1d", 200)) == list(range(2, 202))


class TestRawAndAdjustedBars:
    def test_by_default_the_last_one_wins(self, candles: CandlesRepository) -> None:
        candles.upsert(candle(split_adjusted=True))
        assert not candles.upsert(candle(close=40)).split_adjusted

    def test_a_raw_bar_can_be_kept_from_replacing_an_adjusted_one(self, candles: CandlesRepository) -> None:
        kept = candles.upsert(candle(split_adjusted=True))
        with pytest.raises(ConstraintViolationError, match="raw bar would replace a split-adjusted one"):
            candles.upsert(candle(close=40), on_adjustment_mismatch="reject")
        with pytest.raises(ConstraintViolationError, match="split-adjusted"):
            candles.bulk_upsert([*days(5, since=DAY - MINUTE), candle(close=40)], on_adjustment_mismatch="reject")
        assert candles.find_all() == [kept]

    def test_everything_else_goes_on(self, candles: CandlesRepository) -> None:
        upsert = partial(candles.upsert, on_adjustment_mismatch="reject")
        assert upsert(candle(close=5)).close == 5
        assert upsert(candle(close=6)).close == 6
        assert upsert(candle(close=7, split_adjusted=True)).close == 7
        assert upsert(candle(close=8, split_adjusted=True)).close == 8
        assert upsert(candle(DAY + MINUTE, close=9)).close == 9
        assert candles.bulk_upsert([candle(close=10, split_adjusted=True)], on_adjustment_mismatch="reject") == 1

    def test_there_is_no_third_way(self, candles: CandlesRepository) -> None:
        unknown: Any = "ignore"
        with pytest.raises(InvalidDataError, match="overwrite or reject"):
            candles.upsert(candle(), on_adjustment_mismatch=unknown)

    def test_a_race_does_not_lose_the_adjusted_bar(self, postgresql_store: Store) -> None:
        candles = postgresql_store[CandlesRepository]
        raw = partial(candles.upsert, candle(), on_adjustment_mismatch="reject")
        adjusted = partial(candles.upsert, candle(split_adjusted=True))
        for _ in range(5):
            CandleRow.delete().execute(postgresql_store.database)
            at_once(raw, adjusted, raw, raw)
            assert [one.split_adjusted for one in candles.find_all()] == [True]


class TestRange:
    def test_both_bounds_are_included_and_the_oldest_is_first(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert([*days(1, 2, 3, 4, 5), candle(symbol="MSFT"), candle(timeframe=Timeframe.HOUR)])
        found = candles.get_range("aapl", Timeframe.DAY, DAY + timedelta(days=1), DAY + timedelta(days=3))
        assert closes(found) == [2, 3, 4]

    def test_a_date_as_the_end_includes_its_whole_day(self, candles: CandlesRepository) -> None:
        last = DAY + timedelta(hours=23, minutes=59)
        candles.bulk_upsert(
            candle(time, timeframe=Timeframe.MINUTE) for time in (DAY - MINUTE, DAY, last, last + MINUTE)
        )
        found = candles.get_range("AAPL", "1m", date(2024, 3, 15), date(2024, 3, 15))
        assert [one.timestamp for one in found] == [DAY, last]

    def test_it_is_complete_unless_there_is_a_limit(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(*range(2, 1203)))
        everything = partial(candles.get_range, "AAPL", "1d", DAY, DAY + timedelta(days=5000))
        assert len(everything()) == 1201
        assert closes(everything(limit=3)) == [2, 3, 4]
        with pytest.raises(InvalidDataError, match="limit"):
            everything(limit=0)

    def test_it_can_be_read_a_part_at_a_time(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(*range(2, 1203)))
        end = DAY + timedelta(days=1100)
        assert list(candles.iterate_range("AAPL", "1d", DAY, end)) == candles.get_range("AAPL", "1d", DAY, end)
        assert len(list(candles.iterate_range("AAPL", "1d", None, None))) == 1201

    def test_nothing_is_an_empty_list(self, candles: CandlesRepository) -> None:
        assert candles.get_range("AAPL", "1d", DAY, DAY) == []
        assert candles.get_latest("AAPL", "1d") == []
        assert candles.get_closed_as_of("AAPL", "1d", DAY) == []
        assert candles.get_last_candle("AAPL", "1d") is None
        assert candles.count("AAPL", "1d") == 0

    def test_moments_are_compared_whatever_their_zone(self, candles: CandlesRepository) -> None:
        in_new_york = (DAY + timedelta(hours=14)).astimezone(timezone(timedelta(hours=-5)))
        candles.upsert(candle(in_new_york, timeframe=Timeframe.HOUR))
        [found] = candles.get_range("AAPL", "1h", in_new_york, in_new_york)
        assert found.timestamp == DAY + timedelta(hours=14)
        assert found.timestamp.utcoffset() == timedelta(0)


class TestLatest:
    def test_the_newest_come_oldest_first(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(1, 2, 3, 4))
        assert closes(candles.get_latest("AAPL", "1d", 2)) == [3, 4]
        assert closes(candles.get_latest("AAPL", "1d")) == [1, 2, 3, 4]
        last = candles.get_last_candle("AAPL", "1d")
        assert last is not None
        assert last.close == 4

    @pytest.mark.parametrize("limit", [0, -1, 10_001, 1.5])
    def test_an_impossible_limit_is_refused(self, candles: CandlesRepository, limit: Any) -> None:
        with pytest.raises(InvalidDataError, match="limit"):
            candles.get_latest("AAPL", "1d", limit)
        with pytest.raises(InvalidDataError, match="limit"):
            candles.get_closed_as_of("AAPL", "1d", DAY, limit)


class TestClosedAsOf:
    @pytest.mark.parametrize("timeframe", Timeframe)
    def test_a_bar_counts_from_the_moment_of_its_close(self, candles: CandlesRepository, timeframe: Timeframe) -> None:
        opening = DAY + timedelta(days=1)
        candles.bulk_upsert(candle(opening + i * timeframe.length, timeframe=timeframe, close=2 + i) for i in range(3))
        closing = opening + timeframe.length

        def seen(moment: datetime) -> list[int]:
            return closes(candles.get_closed_as_of("AAPL", timeframe, moment))

        assert seen(closing - timedelta(microseconds=1)) == []
        assert seen(closing) == [2]
        assert seen(closing + timeframe.length) == [2, 3]

    def test_the_newest_come_oldest_first(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(1, 2, 3, 4))
        assert closes(candles.get_closed_as_of("AAPL", "1d", DAY + timedelta(days=3), limit=2)) == [2, 3]

    def test_a_date_is_its_first_moment(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(1, 2, 3))
        assert closes(candles.get_closed_as_of("AAPL", "1d", date(2024, 3, 16))) == [1]

    @pytest.mark.parametrize("moment", [datetime(2024, 3, 15), "2024-03-15", None, datetime.min.replace(tzinfo=UTC)])  # noqa: DTZ001  # naive
    def test_an_impossible_moment_is_refused(self, candles: CandlesRepository, moment: Any) -> None:
        with pytest.raises(InvalidDataError):
            candles.get_closed_as_of("AAPL", "1d", moment)


class TestRetention:
    def test_only_what_is_older_goes(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert([*days(1, 2, 3), *days(1, symbol="MSFT"), *days(1, timeframe=Timeframe.HOUR)])
        assert candles.delete_older_than("aapl", "1d", DAY + timedelta(days=2)) == 2
        assert closes(candles.get_latest("AAPL", "1d")) == [3]
        assert candles.count("MSFT", "1d") == candles.count("AAPL", "1h") == 1
        assert candles.delete_older_than("AAPL", "1d", date(2024, 3, 17)) == 0

    def test_no_cutoff_is_no_request_to_delete_everything(self, candles: CandlesRepository) -> None:
        candles.upsert(candle())
        nothing: Any = None
        with pytest.raises(InvalidDataError, match="cutoff"):
            candles.delete_older_than("AAPL", "1d", nothing)
        assert candles.count("AAPL", "1d") == 1


class TestSymbols:
    def test_each_comes_once_in_order(self, candles: CandlesRepository) -> None:
        hours = days(1, 2, symbol="NVDA", timeframe=Timeframe.HOUR)
        candles.bulk_upsert([*days(1, 2, 3, symbol="msft"), *days(1, 2), *hours, *days(1, symbol="NVDA")])
        assert candles.get_symbols() == ["AAPL", "MSFT", "NVDA"]
        assert candles.get_symbols("1h") == ["NVDA"]
        assert candles.get_symbols(Timeframe.DAY) == ["AAPL", "MSFT", "NVDA"]
        assert candles.get_symbols("5m") == []

    def test_there_may_be_none(self, candles: CandlesRepository) -> None:
        assert candles.get_symbols() == []

    def test_an_unknown_timeframe_is_refused(self, candles: CandlesRepository) -> None:
        with pytest.raises(InvalidDataError, match="timeframe"):
            candles.get_symbols("4h")


@pytest.mark.parametrize(
    "call",
    [
        lambda candles, symbol, timeframe: candles.get_range(symbol, timeframe, DAY, DAY),
        lambda candles, symbol, timeframe: candles.get_latest(symbol, timeframe),
        lambda candles, symbol, timeframe: candles.get_last_candle(symbol, timeframe),
        lambda candles, symbol, timeframe: candles.get_closed_as_of(symbol, timeframe, DAY),
        lambda candles, symbol, timeframe: candles.count(symbol, timeframe),
        lambda candles, symbol, timeframe: candles.delete_older_than(symbol, timeframe, DAY + timedelta(days=1)),
    ],
)
@pytest.mark.parametrize(("symbol", "timeframe"), [(None, "1d"), ("", "1d"), ("AAPL", None), ("AAPL", "1w")])
def test_a_series_has_a_symbol_and_a_timeframe(
    candles: CandlesRepository, call: Callable[..., Any], symbol: Any, timeframe: Any
) -> None:
    candles.upsert(candle())
    with pytest.raises(InvalidDataError, match=r"symbol|timeframe"):
        call(candles, symbol, timeframe)
    assert candles.count("AAPL", "1d") == 1


def test_candles_are_found_by_what_they_have(candles: CandlesRepository) -> None:
    candles.bulk_upsert(
        [*days(1, 2, 3), *days(4, symbol="MSFT", provider="polygon"), *days(5, symbol="NVDA", split_adjusted=True)]
    )
    page = candles.find_many({"symbol": ["aapl", "msft"], "to_date": date(2024, 3, 15)}, page=1, page_size=1)
    assert (page.total, page.total_pages) == (2, 2)
    assert closes(candles.find_all({"provider": "polygon"})) == [4]
    assert closes(candles.find_all({"split_adjusted": True})) == [5]
    assert closes(candles.find_all({"symbol": "AAPL", "from_date": DAY + timedelta(days=1)})) == [3, 2]


def test_the_usual_ways_of_a_repository_work(candles: CandlesRepository) -> None:
    stored = candles.create(candle())
    assert stored.id is not None
    with pytest.raises(DuplicateKeyError):
        candles.create(candle())
    assert candles.update(stored.id, {"vwap": Decimal("9.5"), "volume": 0}).vwap == Decimal("9.5")
    with pytest.raises(InvalidDataError, match="symbol can't be changed"):
        candles.update(stored.id, {"symbol": "MSFT"})  # type: ignore[typeddict-unknown-key]  # what is being tested
    with pytest.raises(ConstraintViolationError):
        candles.update(stored.id, {"high": Decimal(1)})
    assert candles.delete(stored.id)
    assert not candles.delete(stored.id)
    with pytest.raises(NotFoundError):
        candles.update(stored.id, {"volume": 1})


class TestColumns:
    def test_a_range_comes_as_a_table_of_the_same_candles(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert([*days(1, 2, 3, 4), candle(symbol="MSFT")])
        table = candles.get_range_arrow("aapl", "1d", DAY + timedelta(days=1), date(2024, 3, 17))
        assert table["timestamp"].to_pylist() == [DAY + timedelta(days=1), DAY + timedelta(days=2)]
        assert table["close"].to_pylist() == [Decimal(2), Decimal(3)]

    def test_bounds_limit_and_columns_are_free(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(1, 2, 3))
        table = candles.get_range_arrow("AAPL", "1d", None, None, 2, columns=["close"], floats=True)
        assert table.to_pydict() == {"close": [1.0, 2.0]}

    def test_a_range_of_any_length_comes_in_batches(self, candles: CandlesRepository) -> None:
        candles.bulk_upsert(days(1, 2, 3))
        with candles.iterate_range_arrow("AAPL", "1d", DAY, None, columns=["close"], floats=True) as reader:
            assert reader.read_all().to_pydict() == {"close": [1.0, 2.0, 3.0]}
