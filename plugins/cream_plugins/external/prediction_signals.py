"""Prediction market signals: what is computed from the prices of several markets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

from cream_store import (
    ChoiceField,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    query,
    record,
    since,
    until,
    utc_now,
)


class SignalType(StrEnum):
    """What a signal is about."""

    FED_CUT_PROBABILITY = "fed_cut_probability"
    FED_HIKE_PROBABILITY = "fed_hike_probability"
    RECESSION_12M = "recession_12m"
    MACRO_UNCERTAINTY = "macro_uncertainty"
    POLICY_EVENT_RISK = "policy_event_risk"
    CPI_SURPRISE = "cpi_surprise"
    GDP_SURPRISE = "gdp_surprise"
    SHUTDOWN_PROBABILITY = "shutdown_probability"
    TARIFF_ESCALATION = "tariff_escalation"


class PredictionMarketSignalRow(Row):
    """Table `prediction_market_signals`."""

    id = UUIDv7Field(primary_key=True)
    signal_type = ChoiceField(SignalType)
    signal_value = NumericField(8, 4)
    confidence = NumericField(4, 3, null=True)
    computed_at = TimestampField()
    inputs = JSONField(dict)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "prediction_market_signals"
        constraints = [check("valid_confidence", "confidence IS NULL OR (confidence >= 0 AND confidence <= 1)")]
        indexes = [
            index("idx_pm_signals_time", "computed_at"),
            index("idx_pm_signals_type", "signal_type"),
        ]


@record
class ComputedSignal(Record):
    """A signal. A back-filled one has an early `computed_at`, but a late `created_at`."""

    id: UUID = field(default_factory=new_id)
    signal_type: SignalType | str  # plain text only when another program stored an undeclared value
    signal_value: Decimal
    confidence: Decimal | None = None  # 0..1
    computed_at: datetime
    inputs: dict[str, Any]  # {"sources": [{"platform", "ticker", "price", "weight"}, ...], "method"}
    created_at: datetime = field(default_factory=utc_now)  # when it became known here


class SignalFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the times are about `computed_at`, `known_at` about `created_at`."""

    signal_type: SignalType | str | Sequence[SignalType | str] | None
    from_time: date | datetime | None
    to_time: date | datetime | None
    min_value: Decimal | int | None
    max_value: Decimal | int | None
    known_at: date | datetime | None


class SignalChanges(TypedDict, total=False):
    """What `update` can change."""

    signal_value: Decimal
    confidence: Decimal | None
    inputs: dict[str, Any]


class PredictionMarketSignalsRepository(Repository[ComputedSignal, SignalFilters, SignalChanges]):
    """The signals, the newest first."""

    row = PredictionMarketSignalRow
    default_order = ("-computed_at",)
    default_limit = 100
    filter_rules = {
        "from_time": since("computed_at"),
        "to_time": until("computed_at"),
        "min_value": since("signal_value"),
        "max_value": until("signal_value"),
        "known_at": lambda builder, value: builder.as_of("created_at", value),
    }

    def get_history(
        self, signal_type: SignalType | str, limit: int = 100, known_at: date | datetime | None = None
    ) -> list[ComputedSignal]:
        """The newest signals of a type; `known_at`: of those that were stored by then."""
        return self.find(query().exactly("signal_type", signal_type).as_of("created_at", known_at).limit(limit))

    def get_latest(self) -> list[ComputedSignal]:
        """The newest signal of each type, by type."""
        return self._among_latest_of_each("signal_type", query(), query().order_by("signal_type"))
