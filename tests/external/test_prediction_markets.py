"""Prediction markets: snapshots, signals, arbitrage alerts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.external import (
    ArbitrageAlert,
    ComputedSignal,
    MarketSnapshot,
    PredictionMarketPlatform,
    PredictionMarketsRepository,
    PredictionMarketType,
    SignalType,
)
from cream_store import ConstraintViolationError, InvalidDataError, Store, clock_set_to, new_id
from tests.races import at_once

KALSHI, POLYMARKET = PredictionMarketPlatform
NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


def snapshot(time: datetime = NOON, **others: Any) -> MarketSnapshot:
    given: dict[str, Any] = {
        "platform": KALSHI,
        "market_ticker": "FED-24MAR",
        "market_type": PredictionMarketType.RATE,
        "snapshot_time": time,
        "data": {"outcomes": []},
    }
    return MarketSnapshot(**given | others)


def signal(time: datetime = NOON, **others: Any) -> ComputedSignal:
    given: dict[str, Any] = {
        "signal_type": SignalType.FED_CUT_PROBABILITY,
        "signal_value": Decimal("0.5"),
        "computed_at": time,
        "inputs": {"sources": [], "method": "mean"},
    }
    return ComputedSignal(**given | others)


def alert(divergence: str = "8.33", **others: Any) -> ArbitrageAlert:
    given: dict[str, Any] = {
        "kalshi_ticker": "FED-24MAR",
        "polymarket_token": "0x1",
        "kalshi_price": Decimal("0.72"),
        "polymarket_price": Decimal("0.78"),
        "divergence_pct": Decimal(divergence),
        "market_type": PredictionMarketType.RATE,
        "detected_at": NOON,
    }
    return ArbitrageAlert(**given | others)


@pytest.fixture
def markets(store: Store) -> PredictionMarketsRepository:
    return store[PredictionMarketsRepository]


class TestSnapshots:
    def test_one_comes_back_as_it_was_stored(self, markets: PredictionMarketsRepository) -> None:
        outcome = {"outcome": "cut", "probability": 0.7, "price": 0.72, "volume24h": 1000}
        given = snapshot(data={"outcomes": [outcome], "liquidityScore": 0.9, "openInterest": 0})
        assert markets.save_snapshot(given) == given == markets.find_snapshot_by_id(given.id)
        assert [(one.outcome, one.price, one.volume_24h) for one in given.outcomes] == [
            ("cut", Decimal("0.72"), Decimal(1000))
        ]
        assert (given.liquidity_score, given.open_interest, given.volume_24h) == (Decimal("0.9"), Decimal(0), None)

    def test_an_unknown_id_finds_nothing(self, markets: PredictionMarketsRepository) -> None:
        finders: list[Any] = [markets.find_snapshot_by_id, markets.find_signal_by_id, markets.find_arbitrage_by_id]
        assert [find(id) for find in finders for id in (new_id(), "no uuid")] == [None] * 6

    def test_many_are_stored_all_or_none(self, markets: PredictionMarketsRepository) -> None:
        assert markets.save_snapshots([]) == 0
        assert markets.save_snapshots(snapshot() for _ in range(3)) == 3
        with pytest.raises(InvalidDataError):
            markets.save_snapshots([snapshot(), snapshot(data=[])])
        assert markets.count() == 3

    def test_those_of_a_ticker_come_newest_first(self, markets: PredictionMarketsRepository) -> None:
        given = [snapshot(NOON + i * HOUR, platform=p) for i in range(3) for p in (KALSHI, POLYMARKET)]
        markets.save_snapshots([*given, snapshot(market_ticker="OTHER")])
        assert markets.get_snapshots("FED-24MAR", NOON, NOON + HOUR) == given[3::-1]
        assert markets.get_snapshots("FED-24MAR", NOON, NOON + HOUR, limit=1) == [given[3]]
        assert markets.get_snapshots("FED-24MAR", NOON + TICK, NOON + HOUR - TICK) == []

    def test_filters_and_limit(self, markets: PredictionMarketsRepository) -> None:
        given = [snapshot(NOON), snapshot(NOON + DAY, market_type="election"), snapshot(NOON, platform=POLYMARKET)]
        markets.save_snapshots(given)
        assert markets.find_snapshots(limit=2) == [given[1], given[2]]
        assert markets.find_snapshots({"platform": "polymarket"}) == [given[2]]
        assert markets.find_snapshots({"market_type": "election", "market_ticker": "FED-24MAR"}) == [given[1]]
        assert markets.find_snapshots({"from_time": date(2024, 3, 16)}) == [given[1]]
        assert markets.find_snapshots({"to_time": date(2024, 3, 15)}) == [given[2], given[0]]

    def test_the_latest_of_each_market(self, markets: PredictionMarketsRepository) -> None:
        old, new, same_time = snapshot(NOON - HOUR), snapshot(), snapshot()
        other_platform, other_ticker = snapshot(platform=POLYMARKET), snapshot(NOON - DAY, market_ticker="A")
        markets.save_snapshots([old, new, same_time, other_platform, other_ticker])
        assert markets.get_latest_snapshots() == [other_ticker, same_time, other_platform]
        assert markets.get_latest_snapshots("polymarket") == [other_platform]


class TestSignals:
    def test_one_comes_back_as_it_was_stored(self, markets: PredictionMarketsRepository) -> None:
        given = signal(confidence=Decimal("0.000"), signal_value=Decimal("-9999.9999"))
        assert markets.save_signal(given) == given == markets.find_signal_by_id(given.id)

    def test_impossible_ones_are_refused(self, markets: PredictionMarketsRepository) -> None:
        with pytest.raises(ConstraintViolationError):
            markets.save_signal(signal(confidence=Decimal("1.001")))
        with pytest.raises(InvalidDataError, match="signal_type"):
            markets.save_signal(signal(signal_type="weather"))

    def test_history_is_what_was_known(self, markets: PredictionMarketsRepository) -> None:
        first, back_filled = signal(created_at=NOON), signal(NOON + HOUR, created_at=NOON + DAY)
        for one in (first, back_filled, signal(signal_type="cpi_surprise")):
            markets.save_signal(one)
        kind = SignalType.FED_CUT_PROBABILITY
        assert markets.get_signal_history(kind) == [back_filled, first]
        assert markets.get_signal_history(kind, limit=1) == [back_filled]
        assert markets.get_signal_history(kind, known_at=NOON) == [first]
        assert markets.find_signals({"signal_type": kind, "known_at": NOON}) == [first]

    def test_filters_and_limit(self, markets: PredictionMarketsRepository) -> None:
        given = [signal(NOON + i * HOUR, signal_value=Decimal(i)) for i in range(4)]
        for one in given:
            markets.save_signal(one)
        assert markets.find_signals(limit=1) == [given[3]]
        assert markets.find_signals({"min_value": 1, "max_value": 2}) == [given[2], given[1]]
        assert markets.find_signals({"from_time": NOON + HOUR, "to_time": NOON + HOUR}) == [given[1]]

    def test_the_latest_of_each_type(self, markets: PredictionMarketsRepository) -> None:
        given = [signal(), signal(), signal(NOON - HOUR), signal(NOON - DAY, signal_type="cpi_surprise")]
        for one in given:
            markets.save_signal(one)
        assert markets.get_latest_signals() == [given[3], given[1]]


class TestArbitrageAlerts:
    def test_one_comes_back_as_it_was_stored(self, markets: PredictionMarketsRepository) -> None:
        given = alert()
        assert markets.save_arbitrage_alert(given) == given == markets.find_arbitrage_by_id(given.id)

    def test_a_divergence_of_100_percent_is_refused(self, markets: PredictionMarketsRepository) -> None:
        with pytest.raises(InvalidDataError, match="divergence_pct"):
            markets.save_arbitrage_alert(alert("100"))

    def test_open_ones_come_widest_first(self, markets: PredictionMarketsRepository) -> None:
        given = [markets.save_arbitrage_alert(alert(str(percent))) for percent in (1, 5, 3, 9)]
        markets.resolve_arbitrage_alert(given[3].id, Decimal(1))
        assert markets.get_unresolved_arbitrage_alerts() == [given[1], given[2], given[0]]
        assert markets.get_unresolved_arbitrage_alerts(1) == [given[1]]

    def test_the_first_resolution_stays(self, markets: PredictionMarketsRepository) -> None:
        stored = markets.save_arbitrage_alert(alert())
        with clock_set_to(NOON):
            resolved = markets.resolve_arbitrage_alert(stored.id, Decimal("0.75"))
        assert resolved == stored.replace(resolved_at=NOON, resolution_price=Decimal("0.75"))
        assert markets.resolve_arbitrage_alert(stored.id, Decimal(1)) == resolved
        assert markets.resolve_arbitrage_alert(new_id(), Decimal(1)) is None

    def test_filters_and_limit(self, markets: PredictionMarketsRepository) -> None:
        given = [markets.save_arbitrage_alert(alert(str(i), detected_at=NOON + i * HOUR)) for i in range(3)]
        closed = markets.resolve_arbitrage_alert(given[0].id, Decimal(0))
        assert markets.find_arbitrage_alerts() == [given[2], given[1], closed]
        assert markets.find_arbitrage_alerts(limit=1) == [given[2]]
        assert markets.find_arbitrage_alerts({"resolved": True}) == [closed]
        assert markets.find_arbitrage_alerts({"resolved": False, "min_divergence": 2}) == [given[2]]
        assert markets.find_arbitrage_alerts({"from_time": NOON + HOUR, "to_time": NOON + HOUR}) == [given[1]]

    def test_an_open_one_is_refreshed(self, markets: PredictionMarketsRepository) -> None:
        first = markets.upsert_open_alert(alert())
        again = markets.upsert_open_alert(alert("2", detected_at=NOON + HOUR))
        assert again == first.replace(divergence_pct=Decimal(2))
        assert markets.upsert_open_alert(alert(polymarket_token="0x2")).id != first.id
        markets.resolve_arbitrage_alert(first.id, Decimal(1))
        assert markets.upsert_open_alert(alert()).id != first.id

    def test_scans_at_once_open_one(self, postgresql_store: Store) -> None:
        markets = postgresql_store[PredictionMarketsRepository]
        stored = at_once(*(partial(markets.upsert_open_alert, alert()) for _ in range(6)))
        assert [one.id for one in markets.get_unresolved_arbitrage_alerts()] == list({one.id for one in stored})  # type: ignore[union-attr]  # none fails


class TestTheWhole:
    def test_stats(self, markets: PredictionMarketsRepository) -> None:
        empty = markets.get_stats()
        assert (empty.snapshot_count, empty.unresolved_arbitrage_count, empty.oldest_snapshot) == (0, 0, None)
        markets.save_snapshots([snapshot(), snapshot(NOON + DAY)])
        markets.save_signal(signal())
        markets.save_arbitrage_alert(alert())
        markets.resolve_arbitrage_alert(markets.save_arbitrage_alert(alert()).id, Decimal(1))
        stats = markets.get_stats()
        assert (stats.snapshot_count, stats.signal_count, stats.arbitrage_count) == (2, 1, 2)
        assert stats.unresolved_arbitrage_count == 1
        assert (stats.oldest_snapshot, stats.newest_snapshot) == (NOON, NOON + DAY)

    def test_what_was_stored_before_the_cutoff_is_pruned(self, markets: PredictionMarketsRepository) -> None:
        for created_at in (NOON - TICK, NOON):
            markets.save_snapshot(snapshot(created_at=created_at))
            markets.save_signal(signal(created_at=created_at))
            markets.save_arbitrage_alert(alert(created_at=created_at))
            resolved = markets.save_arbitrage_alert(alert(created_at=created_at))
            markets.resolve_arbitrage_alert(resolved.id, Decimal(1))
        with clock_set_to(NOON + 30 * DAY):
            pruned = markets.prune_old_data(30)
        assert (pruned.snapshots, pruned.signals, pruned.arbitrage) == (1, 1, 1)
        assert len(markets.get_unresolved_arbitrage_alerts()) == 2

    @pytest.mark.parametrize("days", [0, -1, 1.5, True])
    def test_at_least_a_day_is_kept(self, markets: PredictionMarketsRepository, days: Any) -> None:
        with pytest.raises(InvalidDataError, match="retention_days"):
            markets.prune_old_data(days)
