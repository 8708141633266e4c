"""Regime labels: the newest of each symbol, and what could be known when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from cream_plugins.market_data import MARKET_SYMBOL, Regime, RegimeLabel, RegimeLabelsRepository, Timeframe
from cream_store import ConstraintViolationError, InvalidDataError, NotFoundError, Store, clock_set_to

UP, DOWN, RANGING, VOLATILE = Regime
NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def label(
    symbol: str = "AAPL", regime: Regime = UP, timestamp: datetime = NOON, confidence: str = "0.8", **others: Any
) -> RegimeLabel:
    values: dict[str, Any] = {"timeframe": Timeframe.HOUR, "confidence": Decimal(confidence)}
    return RegimeLabel(**values | {"symbol": symbol, "regime": regime, "timestamp": timestamp} | others)


@pytest.fixture
def labels(store: Store) -> RegimeLabelsRepository:
    return store[RegimeLabelsRepository]


def test_every_value_comes_back_as_it_was_stored(labels: RegimeLabelsRepository) -> None:
    given = label(
        trend_strength=Decimal("0.123"),
        volatility_percentile=Decimal("99.99"),
        correlation_to_market=Decimal("-0.999"),
        model_name="markov",
        model_version="2",
    )
    with clock_set_to(NOON):
        stored = labels.upsert(given)
    assert stored == given.replace(id=stored.id, computed_at=NOON)
    assert labels.get_current("aapl", "1h") == stored


@pytest.mark.parametrize("regime", Regime)
def test_every_regime_can_be_stored_and_searched(labels: RegimeLabelsRepository, regime: Regime) -> None:
    labels.upsert(label(regime=regime))
    assert labels.get_symbols_in_regime(regime.value, "1h") == ["AAPL"]
    assert labels.get_regime_distribution("1h") == {regime: 1}


class TestUpsert:
    def test_it_overwrites_every_value_and_is_computed_now(self, labels: RegimeLabelsRepository) -> None:
        with clock_set_to(NOON):
            first = labels.upsert(label(trend_strength=Decimal(1), model_name="markov", model_version="2"))
        with clock_set_to(NOON + HOUR):
            again = labels.upsert(label(regime=DOWN, computed_at=NOON - HOUR))
        assert again == label(regime=DOWN, id=first.id, computed_at=NOON + HOUR)
        assert (again.model_name, again.model_version, again.trend_strength) == ("hmm_regime", None, None)

    @pytest.mark.parametrize(
        "bounds",
        [
            {"confidence": ("0", "1"), "beyond": ("-0.001", "1.001")},
            {"trend_strength": ("0", "1"), "beyond": ("-0.001", "1.001")},
            {"correlation_to_market": ("-1", "1"), "beyond": ("-1.001", "1.001")},
        ],
    )
    def test_values_lie_within_their_bounds(self, labels: RegimeLabelsRepository, bounds: dict[str, Any]) -> None:
        column = next(iter(bounds))
        for value in bounds[column]:
            stored = labels.upsert(label().replace(**{column: Decimal(value)}))
            assert getattr(stored, column) == Decimal(value)
        for value in bounds["beyond"]:
            with pytest.raises(ConstraintViolationError):
                labels.upsert(label().replace(**{column: Decimal(value)}))

    @pytest.mark.parametrize("value", [Decimal("-0.01"), Decimal("100.01"), Decimal("50.001"), 50.0])
    def test_a_percentile_lies_between_0_and_100(self, labels: RegimeLabelsRepository, value: Any) -> None:
        with pytest.raises(InvalidDataError, match="volatility_percentile"):
            labels.upsert(label(volatility_percentile=value))
        for bound in (0, 100):
            stored = labels.upsert(label(volatility_percentile=Decimal(bound)))
            assert stored.volatility_percentile == bound
            with pytest.raises(InvalidDataError, match="volatility_percentile"):
                labels.update(stored.id or 0, {"volatility_percentile": value})

    @pytest.mark.parametrize(
        ("column", "value"), [("regime", "bull_trend"), ("timeframe", "1w"), ("confidence", Decimal("0.9999"))]
    )
    def test_what_can_not_be_stored_is_refused(self, labels: RegimeLabelsRepository, column: str, value: Any) -> None:
        with pytest.raises(InvalidDataError, match=column):
            labels.bulk_upsert([label("MSFT"), label().replace(**{column: value})])
        assert labels.find_all() == []

    def test_many_are_stored_all_or_none_and_the_last_of_a_key_counts(self, labels: RegimeLabelsRepository) -> None:
        assert labels.bulk_upsert([]) == 0
        assert labels.bulk_upsert(iter([label(regime=UP), label("MSFT"), label(regime=DOWN)])) == 3
        assert [one.regime for one in labels.find_all({"symbol": "AAPL"})] == [DOWN]
        with pytest.raises(ConstraintViolationError):
            labels.bulk_upsert([label("NVDA"), label("TSLA", confidence="2")])
        assert labels.count() == 2


class TestTheNewest:
    def test_it_is_that_of_the_timeframe(self, labels: RegimeLabelsRepository) -> None:
        labels.bulk_upsert([label(), label(regime=DOWN, timestamp=NOON + HOUR)])
        labels.bulk_upsert([label(regime=RANGING, timestamp=NOON + 2 * HOUR, timeframe=Timeframe.DAY)])
        current = labels.get_current("AAPL", "1h")
        assert current is not None
        assert current.regime == DOWN
        assert labels.get_current("AAPL", "5m") is None
        assert labels.get_current("MSFT", "1h") is None

    def test_the_market_has_its_own(self, labels: RegimeLabelsRepository) -> None:
        assert MARKET_SYMBOL == "_MARKET"
        assert labels.get_market_regime("1h") is None
        stored = labels.upsert(label(MARKET_SYMBOL, VOLATILE))
        labels.upsert(label(timestamp=NOON + HOUR))
        assert labels.get_market_regime("1h") == stored

    @pytest.mark.parametrize("order", list(permutations([Timeframe.MINUTE, Timeframe.FIFTEEN_MINUTES, Timeframe.DAY])))
    def test_over_all_timeframes_the_longest_decides_ties(
        self, labels: RegimeLabelsRepository, order: tuple[Timeframe, ...]
    ) -> None:
        labels.bulk_upsert([label(timeframe=Timeframe.DAY, timestamp=NOON - HOUR)])
        labels.create_many(label(timeframe=timeframe) for timeframe in order)
        found = labels.get_latest_for_symbol("aapl")
        assert found is not None
        assert (found.timeframe, found.timestamp) == (Timeframe.DAY, NOON)

    def test_over_all_timeframes_the_newest_comes_before_the_longest(self, labels: RegimeLabelsRepository) -> None:
        assert labels.get_latest_for_symbol("AAPL") is None
        labels.bulk_upsert([label(timeframe=Timeframe.DAY), label(timeframe=Timeframe.MINUTE, timestamp=NOON + HOUR)])
        found = labels.get_latest_for_symbol("AAPL")
        assert found is not None
        assert found.timeframe == Timeframe.MINUTE


def test_the_history_includes_its_bounds_and_begins_with_the_oldest(labels: RegimeLabelsRepository) -> None:
    labels.bulk_upsert(label(timestamp=NOON + i * HOUR) for i in range(5))
    labels.bulk_upsert([label("MSFT"), label(timeframe=Timeframe.DAY)])
    found = labels.get_history("aapl", "1h", NOON + HOUR, NOON + 3 * HOUR)
    assert [one.timestamp for one in found] == [NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert labels.get_history("AAPL", "1h", NOON + HOUR, NOON + 3 * HOUR, limit=1) == found[:1]
    assert len(labels.get_history("AAPL", "1h", date(2024, 3, 15), date(2024, 3, 15))) == 5
    assert labels.get_history("AAPL", "1h", date(2024, 3, 16), date(2024, 3, 17)) == []


class TestSymbolsInARegime:
    @pytest.fixture(autouse=True)
    def _several(self, labels: RegimeLabelsRepository) -> None:
        later = NOON + HOUR
        labels.bulk_upsert(
            [
                label("TSLA", UP),
                label("AAPL", DOWN),
                label("AAPL", UP, later, "0.5"),
                label("MSFT", UP),
                label("MSFT", DOWN, later),  # no longer
                label("NVDA", UP),
                label("NVDA", UP, later, "0.499"),  # no longer sure
                label("AMD", UP, timeframe=Timeframe.DAY),
                label(MARKET_SYMBOL, UP),
            ]
        )

    def test_the_newest_label_of_a_symbol_decides(self, labels: RegimeLabelsRepository) -> None:
        assert labels.get_symbols_in_regime(UP, "1h") == ["AAPL", "TSLA"]
        assert labels.get_symbols_in_regime("trending_down", Timeframe.HOUR) == ["MSFT"]
        assert labels.get_symbols_in_regime(UP, "1d") == ["AMD"]
        assert labels.get_symbols_in_regime(VOLATILE, "1h") == labels.get_symbols_in_regime(UP, "5m") == []

    @pytest.mark.parametrize(
        ("min_confidence", "symbols"),
        [
            (0, ["AAPL", "NVDA", "TSLA"]),
            (Decimal("0.499"), ["AAPL", "NVDA", "TSLA"]),
            (0.4990001, ["AAPL", "TSLA"]),
            (Decimal("0.8"), ["TSLA"]),
            (1, []),
        ],
    )
    def test_confidence_is_compared_exactly(
        self, labels: RegimeLabelsRepository, min_confidence: Any, symbols: list[str]
    ) -> None:
        assert labels.get_symbols_in_regime(UP, "1h", min_confidence) == symbols

    @pytest.mark.parametrize("min_confidence", [-0.1, 1.1, float("nan"), Decimal("Infinity")])
    def test_an_impossible_confidence_is_refused(self, labels: RegimeLabelsRepository, min_confidence: Any) -> None:
        with pytest.raises(InvalidDataError, match="min_confidence"):
            labels.get_symbols_in_regime(UP, "1h", min_confidence)

    @pytest.mark.parametrize(("regime", "timeframe"), [("bull_trend", "1h"), (None, "1h"), (UP, "4h"), (UP, None)])
    def test_an_unknown_regime_or_timeframe_is_refused(
        self, labels: RegimeLabelsRepository, regime: Any, timeframe: Any
    ) -> None:
        with pytest.raises(InvalidDataError):
            labels.get_symbols_in_regime(regime, timeframe)

    def test_the_distribution_counts_symbols_whatever_their_confidence(self, labels: RegimeLabelsRepository) -> None:
        assert labels.get_regime_distribution("1h") == {UP: 3, DOWN: 1}
        assert labels.get_regime_distribution("5m") == {}

    def test_the_distribution_can_name_every_regime(self, labels: RegimeLabelsRepository) -> None:
        assert labels.get_regime_distribution("1h", zero_fill=True) == {UP: 3, DOWN: 1, RANGING: 0, VOLATILE: 0}
        assert labels.get_regime_distribution("5m", zero_fill=True) == dict.fromkeys(Regime, 0)


class TestAtADate:
    def test_a_label_counts_from_its_own_moment(self, labels: RegimeLabelsRepository) -> None:
        labels.bulk_upsert([label(regime=UP), label(regime=DOWN, timestamp=NOON + HOUR)])

        def regime(moment: datetime) -> Regime | None:
            found = labels.get_regime_at_date("aapl", "1h", moment)
            return found.regime if found else None

        assert regime(NOON - MICROSECOND) is None
        assert regime(NOON) == UP
        assert regime(NOON + HOUR - MICROSECOND) == UP
        assert regime(NOON + HOUR) == DOWN

    def test_a_date_is_its_first_moment(self, labels: RegimeLabelsRepository) -> None:
        stored = labels.upsert(label(timestamp=datetime(2024, 3, 15, tzinfo=UTC)))
        labels.upsert(label())
        assert labels.get_regime_at_date("AAPL", "1h", date(2024, 3, 15)) == stored

    @pytest.mark.parametrize("timeframe", [Timeframe.FIVE_MINUTES, Timeframe.HOUR, Timeframe.DAY])
    def test_the_bar_that_is_not_over_can_be_left_out(
        self, labels: RegimeLabelsRepository, timeframe: Timeframe
    ) -> None:
        stored = labels.upsert(label(timeframe=timeframe))
        at_date = partial(labels.get_regime_at_date, "AAPL", timeframe, exclude_current_bar=True)
        assert at_date(NOON + timeframe.length - MICROSECOND) is None
        assert at_date(NOON + timeframe.length) == stored

    def test_what_was_computed_later_can_be_left_out(self, labels: RegimeLabelsRepository) -> None:
        with clock_set_to(NOON + 2 * HOUR):
            early = labels.upsert(label(regime=UP))
        with clock_set_to(NOON + 30 * HOUR):
            late = labels.upsert(label(regime=DOWN, timestamp=NOON + HOUR))
        at_date = partial(labels.get_regime_at_date, "AAPL", "1h", NOON + 9 * HOUR)
        assert at_date() == late
        assert at_date(known_at=NOON + 30 * HOUR) == late
        assert at_date(known_at=NOON + 30 * HOUR - MICROSECOND) == early
        assert at_date(known_at=NOON + HOUR) is None
        assert at_date(known_at=date(2024, 3, 15)) is None


class TestRetention:
    def test_only_what_is_older_goes_of_all_symbols(self, labels: RegimeLabelsRepository) -> None:
        labels.bulk_upsert(label(symbol, timestamp=NOON + i * HOUR) for symbol in ("AAPL", "_MARKET") for i in range(3))
        assert labels.delete_older_than(NOON + 2 * HOUR) == 4
        assert {one.timestamp for one in labels.find_all()} == {NOON + 2 * HOUR}

    def test_it_can_be_narrowed(self, labels: RegimeLabelsRepository) -> None:
        labels.bulk_upsert([label(), label("MSFT"), label("MSFT", timeframe=Timeframe.DAY)])
        assert labels.delete_older_than(date(2024, 3, 16), symbol="msft", timeframe="1d") == 1
        assert labels.delete_older_than(date(2024, 3, 16), symbol="msft") == 1
        assert labels.count() == 1


@pytest.mark.parametrize("symbol", [None, ""])
def test_there_is_no_asking_for_every_symbol(labels: RegimeLabelsRepository, symbol: Any) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: labels.get_current(symbol, "1h"),
        lambda: labels.get_latest_for_symbol(symbol),
        lambda: labels.get_history(symbol, "1h", NOON, NOON),
        lambda: labels.get_regime_at_date(symbol, "1h", NOON),
    ]
    for ask in asked:
        with pytest.raises(InvalidDataError, match="symbol"):
            ask()


def test_the_usual_ways_of_a_repository_work(labels: RegimeLabelsRepository) -> None:
    stored = labels.create(label(computed_at=NOON))
    assert stored.id is not None
    assert stored.computed_at == NOON
    assert labels.find_many({"regime": [UP, DOWN], "model_name": "hmm_regime"}).data == [stored]
    assert labels.update(stored.id, {"confidence": Decimal(0)}).confidence == 0
    assert labels.delete(stored.id)
    with pytest.raises(NotFoundError):
        labels.update(stored.id, {"confidence": Decimal(1)})
