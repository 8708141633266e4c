"""Regime labels: which kind of market a model saw for an instrument, or for the whole market."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any, Final, TypedDict

import peewee
from peewee import SQL, fn

from cream_plugins.market_data.series import last_opening, series_of
from cream_plugins.market_data.timeframe import Timeframe
from cream_store import (
    EnumField,
    Given,
    InvalidDataError,
    NumericField,
    Param,
    Record,
    Repository,
    Row,
    SerialField,
    Statement,
    SymbolField,
    TextField,
    TimestampField,
    Written,
    check,
    field,
    index,
    query,
    record,
    since,
    until,
    utc_now,
)
from cream_store.skip_scan import distinct_values

MARKET_SYMBOL: Final = "_MARKET"
"""The symbol under which the labels of the whole market stand."""


class Regime(StrEnum):
    """The kind of market."""

    TRENDING_UP = "trending_up"
    TRENDING_DOWN = "trending_down"
    RANGING = "ranging"
    VOLATILE = "volatile"


class _PercentileField(NumericField):
    """A number from 0 to 100."""

    def encode(self, value: Any) -> str:
        text = super().encode(value)
        if not 0 <= Decimal(text) <= 100:
            self.refuse(f"a percentile is 0 to 100, got {value}")
        return text


class RegimeLabelRow(Row):
    """Table `regime_labels`."""

    id = SerialField()
    symbol = SymbolField()
    timestamp = TimestampField()
    timeframe = EnumField(Timeframe)
    regime = EnumField(Regime)
    confidence = NumericField(4, 3)
    trend_strength = NumericField(4, 3, null=True)
    volatility_percentile = _PercentileField(5, 2, null=True)
    correlation_to_market = NumericField(4, 3, null=True)
    model_name = TextField(server_default="hmm_regime")
    model_version = TextField(null=True)
    computed_at = TimestampField(default_now=True)

    class Meta:
        table_name = "regime_labels"
        constraints = [
            check("valid_confidence", "confidence >= 0 AND confidence <= 1"),
            check(
                "valid_correlation",
                "correlation_to_market IS NULL OR (correlation_to_market >= -1 AND correlation_to_market <= 1)",
            ),
            check("valid_trend_strength", "trend_strength IS NULL OR (trend_strength >= 0 AND trend_strength <= 1)"),
        ]
        indexes = [
            index("idx_regime_labels_regime", "regime"),
            index("idx_regime_labels_symbol_ts_tf", "symbol", "timestamp", "timeframe", unique=True),
        ]


@record
class RegimeLabel(Record):
    """What a model saw in one bar of an instrument, or of the market (`MARKET_SYMBOL`)."""

    id: int | None = None  # None until stored
    symbol: str
    timestamp: datetime  # when the bar opens
    timeframe: Timeframe
    regime: Regime
    confidence: Decimal  # 0..1
    trend_strength: Decimal | None = None  # 0..1
    volatility_percentile: Decimal | None = None  # 0..100
    correlation_to_market: Decimal | None = None  # -1..1
    model_name: str = "hmm_regime"
    model_version: str | None = None
    computed_at: datetime = field(default_factory=utc_now)


class RegimeLabelFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `timestamp`."""

    symbol: str | Sequence[str] | None
    timeframe: Timeframe | str | Sequence[Timeframe | str] | None
    regime: Regime | str | Sequence[Regime | str] | None
    model_name: str | Sequence[str] | None
    model_version: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class RegimeLabelChanges(TypedDict, total=False):
    """What `update` can change. Symbol, moment and timeframe stay."""

    regime: Regime
    confidence: Decimal
    trend_strength: Decimal | None
    volatility_percentile: Decimal | None
    correlation_to_market: Decimal | None
    model_name: str
    model_version: str | None


def _select_current(*columns: Any) -> Any:
    """Columns of the newest label that each symbol has of a timeframe; the market's is left out."""
    symbols = distinct_values(RegimeLabelRow.symbol)
    label = RegimeLabelRow.alias()
    newest = (
        label.select(label.id)
        .where(label.symbol == symbols.c.value, label.timeframe == Param("timeframe", RegimeLabelRow.timeframe))
        .order_by(label.timestamp.desc())
        .limit(1)
    )
    return (
        RegimeLabelRow.select(*columns)
        .with_cte(symbols)
        .where(
            RegimeLabelRow.id.in_(peewee.Select([symbols], [newest])),
            RegimeLabelRow.symbol != Param("market", RegimeLabelRow.symbol),
        )
    )


_CURRENT_SYMBOLS: Final = Statement(
    lambda: _select_current(RegimeLabelRow.symbol).where(
        RegimeLabelRow.regime == Param("regime", RegimeLabelRow.regime),
        RegimeLabelRow.confidence >= Param("min_confidence", RegimeLabelRow.confidence),
    )
)
_CURRENT_REGIMES: Final = Statement(
    lambda: _select_current(RegimeLabelRow.regime, fn.COUNT(SQL("*"))).group_by(RegimeLabelRow.regime)
)


class RegimeLabelsRepository(Repository[RegimeLabel, RegimeLabelFilters, RegimeLabelChanges]):
    """The regime labels of all instruments and of the market.

    An upsert overwrites every value of the label with the same symbol, moment and timeframe, and sets `computed_at` to
    now.
    """

    row = RegimeLabelRow
    default_order = ("-timestamp",)
    default_limit = 100
    filter_rules = {"from_date": since("timestamp"), "to_date": until("timestamp")}
    conflict_target = ("symbol", "timestamp", "timeframe")
    stamped_on_upsert = ("computed_at",)

    def bulk_upsert(self, labels: Given[RegimeLabel]) -> Written:
        """Upserts all labels or none; of several with the same key, the last wins. Returns how many were given."""
        return self.upsert_many(labels)

    def get_current(self, symbol: str, timeframe: Timeframe | str) -> RegimeLabel | None:
        """The newest label of a symbol and timeframe."""
        return self._first(series_of(RegimeLabelRow, symbol, timeframe).order_by("-timestamp"))

    def get_market_regime(self, timeframe: Timeframe | str) -> RegimeLabel | None:
        """The newest label of the whole market."""
        return self.get_current(MARKET_SYMBOL, timeframe)

    def get_latest_for_symbol(self, symbol: str) -> RegimeLabel | None:
        """The newest label of a symbol over all timeframes; at one moment, that of the longest one."""
        builder = query().equals("symbol", RegimeLabelRow.symbol.encode(symbol)).order_by("-timestamp")
        newest = self.find(builder.limit(len(Timeframe)))  # a moment has one label of each timeframe at most
        return max(newest, key=lambda label: (label.timestamp, label.timeframe.length), default=None)

    def get_history(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        start: date | datetime,
        end: date | datetime,
        limit: int | None = None,
    ) -> list[RegimeLabel]:
        """A symbol's labels from start to end, both included, oldest first: all, unless there is a limit.

        A `date` as the end includes its whole day in UTC.
        """
        builder = series_of(RegimeLabelRow, symbol, timeframe).at_least("timestamp", start).at_most("timestamp", end)
        return self.find(builder.order_by("timestamp").limit(limit))

    def get_symbols_in_regime(
        self, regime: Regime | str, timeframe: Timeframe | str, min_confidence: Decimal | float = 0.5
    ) -> list[str]:
        """The symbols whose newest label of a timeframe is of a regime, with that confidence or more, ascending.

        Not the market's. `min_confidence`: 0 to 1; raises InvalidDataError otherwise.
        """
        values = {
            "regime": RegimeLabelRow.regime.encode(regime),
            "timeframe": RegimeLabelRow.timeframe.encode(timeframe),
            "min_confidence": _least_confidence(min_confidence),
            "market": MARKET_SYMBOL,
        }
        return sorted(symbol for (symbol,) in _CURRENT_SYMBOLS.fetch_all(self.database, values))

    def get_regime_distribution(self, timeframe: Timeframe | str, zero_fill: bool = False) -> dict[Regime, int]:
        """How many symbols are in each regime by their newest label of a timeframe; the market is not counted.

        Regimes without a symbol are left out, unless `zero_fill`.
        """
        values = {"timeframe": RegimeLabelRow.timeframe.encode(timeframe), "market": MARKET_SYMBOL}
        counts = {Regime(regime): count for regime, count in _CURRENT_REGIMES.fetch_all(self.database, values)}
        return {regime: counts.get(regime, 0) for regime in Regime if zero_fill or regime in counts}

    def get_regime_at_date(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        as_of: date | datetime,
        known_at: date | datetime | None = None,
        exclude_current_bar: bool = False,
    ) -> RegimeLabel | None:
        """The newest label with a timestamp up to a moment; a `date` means its first moment in UTC.

        What a strategy could know then is less: `known_at` leaves out labels that were computed later,
        `exclude_current_bar` those of bars that were not over at `as_of`.
        """
        builder = series_of(RegimeLabelRow, symbol, timeframe).as_of("computed_at", known_at)
        newest = last_opening(timeframe, as_of) if exclude_current_bar else as_of
        return self._first(builder.as_of("timestamp", newest).order_by("-timestamp"))

    def delete_older_than(
        self, before: date | datetime, symbol: str | None = None, timeframe: Timeframe | str | None = None
    ) -> int:
        """Deletes the labels from before a moment, of all symbols and timeframes unless one is named, in batches.

        Returns how many they were. A `date` means its first moment in UTC.
        """
        builder = query().equals("symbol", symbol).equals("timeframe", timeframe)
        return self._delete_older_than("timestamp", before, builder)


def _least_confidence(value: Decimal | float) -> Decimal:
    """The lowest confidence that a label can have and that is not below the value."""
    confidence = Decimal(str(value))
    if not (confidence.is_finite() and 0 <= confidence <= 1):
        raise InvalidDataError(f"min_confidence is 0 to 1, got {value}")
    return confidence.quantize(Decimal("0.001"), ROUND_CEILING)
