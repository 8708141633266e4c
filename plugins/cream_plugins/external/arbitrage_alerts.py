"""Arbitrage alerts: the same question at different prices on two prediction markets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from cream_plugins.external.market_types import PredictionMarketType
from cream_store import (
    EnumField,
    NumericField,
    QueryBuilder,
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
from cream_store.repository import Key


class PredictionMarketArbitrageRow(Row):
    """Table `prediction_market_arbitrage`."""

    id = UUIDv7Field(primary_key=True)
    kalshi_ticker = TextField()
    polymarket_token = TextField()
    kalshi_price = NumericField(6, 4)
    polymarket_price = NumericField(6, 4)
    divergence_pct = NumericField(6, 4)
    market_type = EnumField(PredictionMarketType)
    detected_at = TimestampField()
    resolved_at = TimestampField(null=True)
    resolution_price = NumericField(6, 4, null=True)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "prediction_market_arbitrage"
        indexes = [
            index("idx_pm_arbitrage_detected", "detected_at"),
            index("idx_pm_arbitrage_divergence", "divergence_pct"),
            index("idx_pm_arbitrage_unresolved", "resolved_at", where="resolved_at IS NULL"),
        ]


@record
class ArbitrageAlert(Record):
    """A divergence of two prices, until it is resolved."""

    id: UUID = field(default_factory=new_id)
    kalshi_ticker: str
    polymarket_token: str
    kalshi_price: Decimal
    polymarket_price: Decimal
    divergence_pct: Decimal  # percent of the Kalshi price, below 100
    market_type: PredictionMarketType
    detected_at: datetime
    resolved_at: datetime | None = None
    resolution_price: Decimal | None = None
    created_at: datetime = field(default_factory=utc_now)


class ArbitrageFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the times are about `detected_at`."""

    kalshi_ticker: str | Sequence[str] | None
    polymarket_token: str | Sequence[str] | None
    market_type: PredictionMarketType | str | Sequence[PredictionMarketType | str] | None
    min_divergence: Decimal | int | None
    resolved: bool | None
    from_time: date | datetime | None
    to_time: date | datetime | None


class ArbitrageChanges(TypedDict, total=False):
    """What `update` can change."""

    kalshi_price: Decimal
    polymarket_price: Decimal
    divergence_pct: Decimal


def _resolved(builder: QueryBuilder, resolved: bool) -> QueryBuilder:
    return builder.is_null("resolved_at", not resolved)


class PredictionMarketArbitrageRepository(Repository[ArbitrageAlert, ArbitrageFilters, ArbitrageChanges]):
    """The arbitrage alerts, the newest first."""

    row = PredictionMarketArbitrageRow
    default_order = ("-detected_at",)
    default_limit = 100
    filter_rules = {
        "min_divergence": since("divergence_pct"),
        "resolved": _resolved,
        "from_time": since("detected_at"),
        "to_time": until("detected_at"),
    }

    def get_unresolved(self, limit: int | None = None) -> list[ArbitrageAlert]:
        """The open alerts, the greatest divergence first: every one, unless there is a limit."""
        return self.find_all({"resolved": False}, limit=limit, order_by="-divergence_pct")

    def resolve(self, id: Key, resolution_price: Decimal) -> ArbitrageAlert | None:
        """Closes an alert now at a price; one that is closed already stays as it is. None when there is none."""
        price = Decimal(PredictionMarketArbitrageRow.resolution_price.encode(resolution_price))
        changes = {"resolved_at": utc_now(), "resolution_price": price}
        return self._update_one(id, changes, _resolved(query(), False)) or self.find_by_id(id)

    @transactional
    def upsert_open(self, alert: ArbitrageAlert) -> ArbitrageAlert:
        """Stores an alert, or refreshes prices and divergence of the open one about the same two markets."""
        self._guard(alert)
        open_alerts = _resolved(query(), False).exactly("kalshi_ticker", alert.kalshi_ticker)
        open_alerts = open_alerts.exactly("polymarket_token", alert.polymarket_token)
        # No key forbids a second one, so those who store alerts about the same markets take turns.
        self.database.advisory_lock(f"arbitrage {alert.kalshi_ticker} {alert.polymarket_token}")
        stored = self._first(open_alerts.order_by("detected_at"))
        changes = {name: getattr(alert, name) for name in ("kalshi_price", "polymarket_price", "divergence_pct")}
        refreshed = stored and self._update_one(stored.id, changes, open_alerts)
        return refreshed or self.create(alert)
