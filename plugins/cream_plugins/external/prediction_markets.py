"""Prediction markets: snapshots of their prices; with signals and arbitrage alerts, all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_plugins.external.arbitrage_alerts import (
    ArbitrageAlert,
    ArbitrageFilters,
    PredictionMarketArbitrageRepository,
    PredictionMarketArbitrageRow,
)
from cream_plugins.external.market_types import PredictionMarketType
from cream_plugins.external.prediction_signals import (
    ComputedSignal,
    PredictionMarketSignalRow,
    PredictionMarketSignalsRepository,
    SignalFilters,
    SignalType,
)
from cream_plugins.external.retention import days_ago
from cream_store import (
    EnumField,
    Given,
    JSONField,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.aggregates import Extreme
from cream_store.repository import Key


class PredictionMarketPlatform(StrEnum):
    """Where a market is."""

    KALSHI = "kalshi"
    POLYMARKET = "polymarket"


class PredictionMarketSnapshotRow(Row):
    """Table `prediction_market_snapshots`."""

    id = UUIDv7Field(primary_key=True)
    platform = EnumField(PredictionMarketPlatform)
    market_ticker = TextField()
    market_type = EnumField(PredictionMarketType)
    market_question = TextField(null=True)
    snapshot_time = TimestampField()
    data = JSONField(dict)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "prediction_market_snapshots"
        indexes = [
            index("idx_pm_snapshots_platform", "platform"),
            index("idx_pm_snapshots_ticker", "market_ticker"),
            index("idx_pm_snapshots_time", "snapshot_time"),
            index("idx_pm_snapshots_type", "market_type"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketOutcome:
    """One of a market's answers."""

    outcome: str
    probability: Decimal
    price: Decimal
    volume_24h: Decimal | None


@record
class MarketSnapshot(Record):
    """A market at a moment. The properties read `data`, whose keys other programs share."""

    id: UUID = field(default_factory=new_id)
    platform: PredictionMarketPlatform
    market_ticker: str
    market_type: PredictionMarketType
    market_question: str | None = None
    snapshot_time: datetime
    data: dict[
        str, Any
    ]  # outcomes: [{outcome, probability, price, volume24h}]; liquidityScore, volume24h, openInterest
    created_at: datetime = field(default_factory=utc_now)

    @property
    def outcomes(self) -> list[MarketOutcome]:
        """The market's answers."""
        return [
            MarketOutcome(
                outcome=outcome["outcome"],
                probability=Decimal(str(outcome["probability"])),
                price=Decimal(str(outcome["price"])),
                volume_24h=_number(outcome, "volume24h"),
            )
            for outcome in self.data.get("outcomes", ())
        ]

    @property
    def liquidity_score(self) -> Decimal | None:
        """How easily the market trades, if that is known."""
        return _number(self.data, "liquidityScore")

    @property
    def volume_24h(self) -> Decimal | None:
        """What was traded in 24 hours, if that is known."""
        return _number(self.data, "volume24h")

    @property
    def open_interest(self) -> Decimal | None:
        """What is held in the market, if that is known."""
        return _number(self.data, "openInterest")


def _number(document: dict[str, Any], key: str) -> Decimal | None:
    value = document.get(key)
    return None if value is None else Decimal(str(value))


class SnapshotFilters(TypedDict, total=False):
    """What `find_snapshots` can be limited to; the times are about `snapshot_time`."""

    platform: PredictionMarketPlatform | str | Sequence[PredictionMarketPlatform | str] | None
    market_type: PredictionMarketType | str | Sequence[PredictionMarketType | str] | None
    market_ticker: str | Sequence[str] | None
    from_time: date | datetime | None
    to_time: date | datetime | None


class SnapshotChanges(TypedDict, total=False):
    """What `update` can change."""

    market_type: PredictionMarketType
    market_question: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionMarketStats:
    """How much is stored, and since when; the times are None when there is no snapshot."""

    snapshot_count: int
    signal_count: int
    arbitrage_count: int
    unresolved_arbitrage_count: int
    oldest_snapshot: datetime | None
    newest_snapshot: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedPredictionMarkets:
    """How many rows were deleted."""

    snapshots: int
    signals: int
    arbitrage: int


class PredictionMarketsRepository(Repository[MarketSnapshot, SnapshotFilters, SnapshotChanges]):
    """Snapshots of prediction markets, and the signals and arbitrage alerts that are drawn from them.

    What all repositories have, such as `find_many`, is about snapshots; `signals` and `arbitrage` have it too.
    """

    row = PredictionMarketSnapshotRow
    default_order = ("-snapshot_time",)
    default_limit = 100
    filter_rules = {"from_time": since("snapshot_time"), "to_time": until("snapshot_time")}

    @property
    def signals(self) -> PredictionMarketSignalsRepository:
        """The signals, on the same database."""
        return PredictionMarketSignalsRepository(self._database)

    @property
    def arbitrage(self) -> PredictionMarketArbitrageRepository:
        """The arbitrage alerts, on the same database."""
        return PredictionMarketArbitrageRepository(self._database)

    def save_snapshot(self, snapshot: MarketSnapshot) -> MarketSnapshot:
        """Stores a snapshot."""
        return self.create(snapshot)

    def save_snapshots(self, snapshots: Given[MarketSnapshot]) -> int:
        """Stores all snapshots or none, and returns how many they were."""
        return len(self.create_many(snapshots))

    def find_snapshot_by_id(self, id: Key) -> MarketSnapshot | None:
        """The snapshot with that key, or None."""
        return self.find_by_id(id)

    def get_snapshots(
        self, ticker: str, start: date | datetime, end: date | datetime, limit: int | None = None
    ) -> list[MarketSnapshot]:
        """A ticker's snapshots on any platform from start to end, both included, newest first: all without a limit."""
        within = query().exactly("market_ticker", ticker).at_least("snapshot_time", start).at_most("snapshot_time", end)
        return self.find(within.limit(limit))

    def find_snapshots(self, filters: SnapshotFilters | None = None, limit: int = 100) -> list[MarketSnapshot]:
        """The newest snapshots that match all filters."""
        return self.find_all(filters, limit=limit)

    def get_latest_snapshots(self, platform: PredictionMarketPlatform | str | None = None) -> list[MarketSnapshot]:
        """The newest snapshot of each market of all platforms or of one, by platform and ticker."""
        return self._latest_of_each(("platform", "market_ticker"), query().equals("platform", platform))

    def save_signal(self, signal: ComputedSignal) -> ComputedSignal:
        """Stores a signal. Raises ConstraintViolationError for a confidence outside 0 to 1."""
        return self.signals.create(signal)

    def find_signal_by_id(self, id: Key) -> ComputedSignal | None:
        """The signal with that key, or None."""
        return self.signals.find_by_id(id)

    def get_signal_history(
        self, signal_type: SignalType | str, limit: int = 100, known_at: date | datetime | None = None
    ) -> list[ComputedSignal]:
        """The newest signals of a type; `known_at`: of those that were stored by then."""
        return self.signals.get_history(signal_type, limit, known_at)

    def find_signals(self, filters: SignalFilters | None = None, limit: int = 100) -> list[ComputedSignal]:
        """The newest signals that match all filters."""
        return self.signals.find_all(filters, limit=limit)

    def get_latest_signals(self) -> list[ComputedSignal]:
        """The newest signal of each type, by type."""
        return self.signals.get_latest()

    def save_arbitrage_alert(self, alert: ArbitrageAlert) -> ArbitrageAlert:
        """Stores an alert, even if an open one about the same markets is stored; see `upsert_open_alert`."""
        return self.arbitrage.create(alert)

    def upsert_open_alert(self, alert: ArbitrageAlert) -> ArbitrageAlert:
        """Stores an alert, or refreshes prices and divergence of the open one about the same two markets."""
        return self.arbitrage.upsert_open(alert)

    def find_arbitrage_by_id(self, id: Key) -> ArbitrageAlert | None:
        """The alert with that key, or None."""
        return self.arbitrage.find_by_id(id)

    def get_unresolved_arbitrage_alerts(self, limit: int | None = None) -> list[ArbitrageAlert]:
        """The open alerts, the greatest divergence first: every one, unless there is a limit."""
        return self.arbitrage.get_unresolved(limit)

    def resolve_arbitrage_alert(self, id: Key, resolution_price: Decimal) -> ArbitrageAlert | None:
        """Closes an alert now at a price; one that is closed already stays as it is. None when there is none."""
        return self.arbitrage.resolve(id, resolution_price)

    def find_arbitrage_alerts(self, options: ArbitrageFilters | None = None, limit: int = 100) -> list[ArbitrageAlert]:
        """The newest alerts that match all filters."""
        return self.arbitrage.find_all(options, limit=limit)

    @transactional
    def prune_old_data(self, retention_days: int) -> PrunedPredictionMarkets:
        """Deletes what was stored more than so many times 24 hours ago, at least 1; open alerts stay."""
        cutoff = days_ago(retention_days)
        resolved = query().is_null("resolved_at", False)
        return PrunedPredictionMarkets(
            snapshots=self._delete_older_than("created_at", cutoff, query()),
            signals=self.signals._delete_older_than("created_at", cutoff, query()),
            arbitrage=self.arbitrage._delete_older_than("created_at", cutoff, resolved),
        )

    def get_stats(self) -> PredictionMarketStats:
        """How much is stored, and since when."""
        alerts = PredictionMarketArbitrageRow.select(fn.COUNT(SQL("*")))
        [(snapshots, oldest, newest, signals, all_alerts, open_alerts)] = self._aggregate(
            "stats",
            query(),
            [
                fn.COUNT(SQL("*")),
                Extreme("MIN", PredictionMarketSnapshotRow.snapshot_time),
                Extreme("MAX", PredictionMarketSnapshotRow.snapshot_time),
                PredictionMarketSignalRow.select(fn.COUNT(SQL("*"))),
                alerts,
                alerts.where(PredictionMarketArbitrageRow.resolved_at.is_null()),
            ],
        )
        return PredictionMarketStats(
            snapshot_count=snapshots,
            signal_count=signals,
            arbitrage_count=all_alerts,
            unresolved_arbitrage_count=open_alerts,
            oldest_snapshot=oldest,
            newest_snapshot=newest,
        )
