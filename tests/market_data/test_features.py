"""Features: one of an indicator and bar, the newest ones, retention."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.market_data import Feature, FeaturesRepository, Timeframe
from cream_store import ConstraintViolationError, InvalidDataError, NotFoundError, Store, clock_set_to

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def feature(indicator_name: str = "rsi", timestamp: datetime = NOON, value: int = 1, **others: Any) -> Feature:
    given: dict[str, Any] = {"symbol": "AAPL", "timeframe": Timeframe.HOUR, "raw_value": Decimal(value)}
    return Feature(**given | {"indicator_name": indicator_name, "timestamp": timestamp} | others)


def names(found: list[Feature]) -> list[str]:
    return [one.indicator_name for one in found]


def values(found: list[Feature]) -> list[tuple[str, int]]:
    return [(one.indicator_name, int(one.raw_value)) for one in found]


@pytest.fixture
def features(store: Store) -> FeaturesRepository:
    return store[FeaturesRepository]


def test_every_value_comes_back_as_it_was_stored(features: FeaturesRepository) -> None:
    given = feature(
        raw_value=Decimal("-1234567.12345678"),
        normalized_value=Decimal("-99.999999"),
        parameters={"period": 14, "smoothing": {"kind": "wilder"}},
        quality_score=Decimal("0.995"),
    )
    with clock_set_to(NOON):
        stored = features.upsert(given)
    assert stored == given.replace(id=stored.id, computed_at=NOON)
    assert features.get_at_timestamp("aapl", NOON, "1h") == [stored]


def test_zero_and_an_empty_document_are_values_and_not_missing(features: FeaturesRepository) -> None:
    zeros = features.upsert(feature(value=0, normalized_value=Decimal(0), quality_score=Decimal(0), parameters={}))
    assert zeros.raw_value == zeros.normalized_value == zeros.quality_score == 0
    assert zeros.parameters == {}
    bare = features.upsert(feature())
    assert (bare.normalized_value, bare.quality_score, bare.parameters) == (None, None, None)


class TestUpsert:
    def test_it_overwrites_every_value_and_is_computed_now(self, features: FeaturesRepository) -> None:
        with clock_set_to(NOON):
            first = features.upsert(feature(normalized_value=Decimal(1), parameters={"period": 14}))
        with clock_set_to(NOON + HOUR):
            again = features.upsert(feature(value=2, computed_at=NOON - HOUR))
            features.bulk_upsert([feature("macd", computed_at=NOON - HOUR)])
        assert again == feature(value=2, id=first.id, computed_at=NOON + HOUR)
        assert [one.computed_at for one in features.find_all()] == [NOON + HOUR] * 2

    def test_what_the_caller_gave_stays_as_it_is(self, features: FeaturesRepository) -> None:
        given = feature(computed_at=NOON)
        features.upsert(given)
        assert given.computed_at == NOON

    @pytest.mark.parametrize("score", [Decimal("1.001"), Decimal("-0.001")])
    def test_a_quality_score_lies_between_0_and_1(self, features: FeaturesRepository, score: Decimal) -> None:
        with pytest.raises(ConstraintViolationError):
            features.upsert(feature(quality_score=score))

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("raw_value", Decimal("0.000000001")),
            ("raw_value", Decimal("NaN")),
            ("raw_value", 0.5),
            ("normalized_value", Decimal(100)),
            ("quality_score", Decimal("0.9999")),
            ("timeframe", "4h"),
            ("parameters", [1]),
            ("parameters", {"period": float("nan")}),
        ],
    )
    def test_what_can_not_be_stored_is_refused(self, features: FeaturesRepository, column: str, value: Any) -> None:
        with pytest.raises(InvalidDataError, match=column):
            features.bulk_upsert([feature("macd"), feature().replace(**{column: value})])
        assert features.find_all() == []

    def test_of_several_with_one_key_the_last_counts(self, features: FeaturesRepository) -> None:
        assert features.bulk_upsert([]) == 0
        assert features.bulk_upsert(feature(value=value) for value in range(250)) == 250
        assert [one.raw_value for one in features.find_all()] == [249]

    def test_one_bad_feature_refuses_them_all(self, features: FeaturesRepository) -> None:
        series = [feature(timestamp=NOON + i * HOUR) for i in range(250)]
        with pytest.raises(ConstraintViolationError):
            features.bulk_upsert([*series, feature("macd", quality_score=Decimal(2))])
        assert features.find_all() == []


def test_the_features_of_a_bar_come_by_indicator(features: FeaturesRepository) -> None:
    features.bulk_upsert([feature("rsi"), feature("atr"), feature("macd"), feature("ema", NOON + HOUR)])
    features.bulk_upsert([feature("sma", symbol="MSFT"), feature("vwap", timeframe=Timeframe.DAY)])
    assert names(features.get_at_timestamp("AAPL", NOON, "1h")) == ["atr", "macd", "rsi"]
    assert features.get_at_timestamp("AAPL", NOON - HOUR, "1h") == []


def test_a_date_as_an_exact_moment_is_its_first_one(features: FeaturesRepository) -> None:
    stored = features.upsert(feature(timestamp=datetime(2024, 3, 15, tzinfo=UTC)))
    assert features.get_at_timestamp("AAPL", date(2024, 3, 15), "1h") == [stored]
    assert features.get_at_timestamp("AAPL", date(2024, 3, 14), "1h") == []


class TestRange:
    @pytest.fixture(autouse=True)
    def _five_hours(self, features: FeaturesRepository) -> None:
        features.bulk_upsert(feature(timestamp=NOON + i * HOUR, value=i) for i in range(5))
        features.bulk_upsert([feature("macd"), feature(symbol="MSFT"), feature(timeframe=Timeframe.DAY)])

    def test_both_bounds_are_included_and_the_oldest_is_first(self, features: FeaturesRepository) -> None:
        found = features.get_indicator_range("aapl", "rsi", "1h", NOON + HOUR, NOON + 3 * HOUR)
        assert [one.raw_value for one in found] == [1, 2, 3]
        assert features.get_indicator_range("AAPL", "rsi", "1h", NOON + HOUR, NOON + 3 * HOUR, limit=2) == found[:2]
        assert list(features.iterate_indicator_range("AAPL", "rsi", "1h", NOON + HOUR, NOON + 3 * HOUR)) == found

    def test_a_date_as_the_end_includes_its_whole_day(self, features: FeaturesRepository) -> None:
        day = date(2024, 3, 15)
        assert len(features.get_indicator_range("AAPL", "rsi", "1h", day, day)) == 5
        assert features.get_indicator_range("AAPL", "rsi", "1h", date(2024, 3, 16), date(2024, 3, 17)) == []

    def test_an_indicator_is_named(self, features: FeaturesRepository) -> None:
        assert features.get_indicator_range("AAPL", "RSI", "1h", NOON, NOON) == []
        for name in (None, ""):
            with pytest.raises(InvalidDataError, match="indicator_name"):
                features.get_indicator_range("AAPL", name, "1h", NOON, NOON)  # type: ignore[arg-type]  # what is tested


class TestLatest:
    @pytest.fixture(autouse=True)
    def _staggered(self, features: FeaturesRepository) -> None:
        features.bulk_upsert(
            [
                *(feature(name, NOON, 1) for name in ("rsi", "atr", "macd")),
                *(feature(name, NOON + HOUR, 2) for name in ("rsi", "atr")),
                feature("vwap", NOON - HOUR, 0),
                feature("ema", NOON + 9 * HOUR, symbol="MSFT"),
                feature("ema", NOON + 9 * HOUR, timeframe=Timeframe.DAY),
            ]
        )

    def test_those_of_the_newest_bar_come_by_indicator(self, features: FeaturesRepository) -> None:
        found = features.get_latest("aapl", "1h")
        assert values(found) == [("atr", 2), ("rsi", 2)]
        assert features.get_latest("AAPL", "1h", []) == found

    def test_a_name_that_the_newest_bar_lacks_is_missing(self, features: FeaturesRepository) -> None:
        assert names(features.get_latest("AAPL", "1h", ["rsi", "macd"])) == ["rsi"]
        assert features.get_latest("AAPL", "1h", ["macd"]) == []

    def test_each_can_be_given_as_of_its_own_newest_bar(self, features: FeaturesRepository) -> None:
        latest = partial(features.get_latest, "aapl", "1h", same_timestamp=False)
        everything = [("atr", 2), ("macd", 1), ("rsi", 2), ("vwap", 0)]
        assert values(latest()) == everything
        assert values(latest([])) == everything
        assert names(latest(["macd", "rsi", "unheard of"])) == ["macd", "rsi"]

    def test_what_came_later_can_be_left_out(self, features: FeaturesRepository) -> None:
        latest = partial(features.get_latest, "AAPL", "1h")
        assert names(latest(as_of=NOON + HOUR)) == ["atr", "rsi"]
        assert names(latest(as_of=NOON + HOUR - timedelta(microseconds=1))) == ["atr", "macd", "rsi"]
        assert names(latest(as_of=NOON - HOUR)) == ["vwap"]
        assert latest(as_of=NOON - 2 * HOUR) == latest(as_of=date(2024, 3, 15)) == []
        assert [one.raw_value for one in latest(same_timestamp=False, as_of=NOON)] == [1, 1, 1, 0]
        assert latest(same_timestamp=False, as_of=date(2024, 3, 15)) == []

    def test_a_symbol_without_features_has_none(self, features: FeaturesRepository) -> None:
        assert features.get_latest("NVDA", "1h") == features.get_latest("NVDA", "1h", same_timestamp=False) == []

    def test_the_names_of_the_indicators_come_in_order(self, features: FeaturesRepository) -> None:
        assert features.list_indicators("aapl", "1h") == ["atr", "macd", "rsi", "vwap"]
        assert features.list_indicators("AAPL", "5m") == []


class TestRetention:
    @pytest.fixture(autouse=True)
    def _three_hours(self, features: FeaturesRepository) -> None:
        for others in ({}, {"symbol": "MSFT"}, {"timeframe": Timeframe.DAY}):
            features.bulk_upsert(feature(timestamp=NOON + i * HOUR, **others) for i in range(3))

    def test_only_what_is_older_goes_of_all_symbols_and_timeframes(self, features: FeaturesRepository) -> None:
        assert features.delete_older_than(NOON + 2 * HOUR) == 6
        assert {one.timestamp for one in features.find_all()} == {NOON + 2 * HOUR}

    def test_it_can_be_narrowed(self, features: FeaturesRepository) -> None:
        assert features.delete_older_than(NOON + HOUR, symbol="msft") == 1
        assert features.delete_older_than(NOON + HOUR, timeframe="1d") == 1
        assert features.delete_older_than(date(2024, 3, 16), "AAPL", Timeframe.HOUR) == 3
        assert features.count() == 4

    def test_no_cutoff_is_no_request_to_delete_everything(self, features: FeaturesRepository) -> None:
        with pytest.raises(InvalidDataError, match="cutoff"):
            features.delete_older_than(None)  # type: ignore[arg-type]  # what is being tested
        with pytest.raises(InvalidDataError, match="symbol"):
            features.delete_older_than(NOON + HOUR, symbol="")
        assert features.count() == 9


@pytest.mark.parametrize("symbol", [None, " "])
def test_there_is_no_asking_for_every_symbol(features: FeaturesRepository, symbol: Any) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: features.get_at_timestamp(symbol, NOON, "1h"),
        lambda: features.get_indicator_range(symbol, "rsi", "1h", NOON, NOON),
        lambda: features.get_latest(symbol, "1h"),
        lambda: features.get_latest(symbol, "1h", same_timestamp=False),
        lambda: features.list_indicators(symbol, "1h"),
    ]
    for ask in asked:
        with pytest.raises(InvalidDataError, match="symbol"):
            ask()


def test_the_usual_ways_of_a_repository_work(features: FeaturesRepository) -> None:
    stored = features.create(feature(computed_at=NOON))
    assert stored.id is not None
    assert stored.computed_at == NOON
    assert features.find_many({"indicator_name": "rsi", "from_date": date(2024, 3, 15)}).data == [stored]
    assert features.update(stored.id, {"quality_score": Decimal(0)}).quality_score == 0
    assert features.delete(stored.id)
    with pytest.raises(NotFoundError):
        features.update(stored.id, {"quality_score": None})


def test_a_range_comes_as_columns_too(features: FeaturesRepository) -> None:
    features.bulk_upsert([*(feature(timestamp=NOON + i * HOUR, value=i) for i in range(4)), feature("macd")])
    given = ("AAPL", "rsi", "1h", NOON + HOUR, NOON + 3 * HOUR)
    table = features.get_indicator_range_arrow(*given, limit=2, columns=["timestamp", "raw_value"])
    assert table.to_pydict() == {"timestamp": [NOON + HOUR, NOON + 2 * HOUR], "raw_value": [Decimal(1), Decimal(2)]}
    with features.iterate_indicator_range_arrow(*given, columns=["raw_value"], floats=True) as reader:
        assert reader.read_all().to_pydict() == {"raw_value": [1.0, 2.0, 3.0]}
