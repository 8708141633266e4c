"""Decisions: what a cycle of the OODA loop decided to do with an instrument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import SQL, Case, fn

from cream_plugins.core_trading.cycle_row import CycleRow
from cream_store import (
    EnumField,
    Environment,
    EnvironmentField,
    ForeignKey,
    InvalidDataError,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    SymbolField,
    TextField,
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
from cream_store.aggregates import ExactSum, percentage, ratio
from cream_store.repository import Key
from cream_store.states import StateMachine


class DecisionAction(StrEnum):
    """What to do with the position."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"
    CLOSE = "CLOSE"
    INCREASE = "INCREASE"
    REDUCE = "REDUCE"
    NO_TRADE = "NO_TRADE"


class DecisionDirection(StrEnum):
    """Which way the position points."""

    LONG = "LONG"
    SHORT = "SHORT"
    FLAT = "FLAT"


class SizeUnit(StrEnum):
    """What a decision's size counts."""

    SHARES = "SHARES"
    CONTRACTS = "CONTRACTS"
    DOLLARS = "DOLLARS"
    PCT_EQUITY = "PCT_EQUITY"


class DecisionStatus(StrEnum):
    """How far a decision has come."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXECUTED = "executed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


DECISION_STATES: Final = StateMachine(
    {
        DecisionStatus.PENDING: [status for status in DecisionStatus if status is not DecisionStatus.PENDING],
        DecisionStatus.APPROVED: [DecisionStatus.EXECUTED, DecisionStatus.CANCELLED, DecisionStatus.EXPIRED],
        DecisionStatus.REJECTED: [],
        DecisionStatus.EXECUTED: [],
        DecisionStatus.CANCELLED: [],
        DecisionStatus.EXPIRED: [],
    }
)

LONGEST_LOOKBACK_HOURS: Final = 24 * 366 * 10


class DecisionRow(Row):
    """Table `decisions`."""

    id = UUIDv7Field(primary_key=True)
    cycle = ForeignKey(CycleRow)
    symbol = SymbolField()
    action = EnumField(DecisionAction)
    direction = EnumField(DecisionDirection)
    size = NumericField(14, 4)
    size_unit = EnumField(SizeUnit, server_default="SHARES")
    entry_price = NumericField(12, 4, null=True)
    stop_price = NumericField(12, 4, null=True)
    target_price = NumericField(12, 4, null=True)
    strategy_family = TextField(null=True)
    time_horizon = TextField(null=True)
    bullish_factors = JSONField(list, null=True, server_default=[])
    bearish_factors = JSONField(list, null=True, server_default=[])
    confidence_score = NumericField(4, 3, null=True)
    risk_score = NumericField(4, 3, null=True)
    metadata = JSONField(dict, null=True, server_default={})
    status = EnumField(DecisionStatus, server_default="pending")
    rationale = TextField(null=True)
    environment = EnvironmentField()
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)
    executed_at = TimestampField(null=True)
    closed_at = TimestampField(null=True)

    class Meta:
        table_name = "decisions"
        constraints = [
            check("non_negative_size", "size >= 0"),
            check("valid_confidence", "confidence_score IS NULL OR (confidence_score >= 0 AND confidence_score <= 1)"),
            check("valid_risk", "risk_score IS NULL OR (risk_score >= 0 AND risk_score <= 1)"),
        ]
        indexes = [
            index("idx_decisions_created_at", "created_at"),
            index("idx_decisions_cycle_id", "cycle_id"),
            index("idx_decisions_environment", "environment"),
            index("idx_decisions_status", "status"),
            index("idx_decisions_symbol_created", "symbol", "created_at"),
        ]


@record
class Decision(Record):
    """A trading decision of one OODA cycle."""

    id: UUID = field(default_factory=new_id)
    cycle_id: UUID
    symbol: str
    action: DecisionAction
    direction: DecisionDirection
    size: Decimal  # in size_unit, >= 0
    size_unit: SizeUnit = SizeUnit.SHARES
    entry_price: Decimal | None = None
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    strategy_family: str | None = None
    time_horizon: str | None = None
    bullish_factors: list[Any] = field(default_factory=list)
    bearish_factors: list[Any] = field(default_factory=list)
    confidence_score: Decimal | None = None  # 0..1
    risk_score: Decimal | None = None  # 0..1
    metadata: dict[str, Any] = field(default_factory=dict)
    status: DecisionStatus = DecisionStatus.PENDING
    rationale: str | None = None
    environment: Environment
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)
    executed_at: datetime | None = None
    closed_at: datetime | None = None


class DecisionFilters(TypedDict, total=False):
    """What `find_many` and the analytics can be limited to. An empty list matches nothing."""

    symbol: str | Sequence[str] | None
    status: DecisionStatus | str | Sequence[DecisionStatus | str] | None
    action: DecisionAction | str | Sequence[DecisionAction | str] | None
    direction: DecisionDirection | str | Sequence[DecisionDirection | str] | None
    environment: Environment | str | None
    cycle_id: UUID | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class DecisionChanges(TypedDict, total=False):
    """What `update` can change. The cycle and the environment stay."""

    symbol: str
    action: DecisionAction
    direction: DecisionDirection
    size: Decimal
    size_unit: SizeUnit
    entry_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    strategy_family: str | None
    time_horizon: str | None
    bullish_factors: list[Any]
    bearish_factors: list[Any]
    confidence_score: Decimal | None
    risk_score: Decimal | None
    metadata: dict[str, Any]
    status: DecisionStatus
    rationale: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionMatch:
    """A decision that a search found."""

    id: UUID
    symbol: str
    action: DecisionAction


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionAnalytics:
    """Figures over a set of decisions. Rates are percentages, unrounded."""

    total_decisions: int
    executed: int
    approved: int
    execution_rate: Decimal  # executed and approved ones, of all
    status_distribution: dict[DecisionStatus, int]  # values that occur
    action_distribution: dict[DecisionAction, int]
    direction_distribution: dict[DecisionDirection, int]
    avg_confidence: Decimal | None
    avg_risk: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Decisions of similar confidence, and how many of them were carried out."""

    bin: str  # "0-20", "20-40", "40-60", "60-80", "80-100": percent, the lower bound included
    total: int
    executed: int  # executed or approved
    execution_rate: Decimal  # percent, unrounded


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyBreakdown:
    """Figures over the decisions of one strategy family."""

    strategy_family: str  # "Unknown" for decisions that name none
    is_named: bool  # tells a family that is named "Unknown" from those decisions
    count: int
    executed_count: int  # executed or approved
    approval_rate: Decimal  # percent, unrounded
    executed: int
    approved: int
    avg_confidence: Decimal | None
    avg_risk: Decimal | None


_CARRIED_OUT = (DecisionStatus.EXECUTED, DecisionStatus.APPROVED)


class DecisionsRepository(Repository[Decision, DecisionFilters, DecisionChanges]):
    """The decisions of all cycles."""

    row = DecisionRow
    default_order = ("-created_at",)
    filter_rules = {"from_date": since("created_at"), "to_date": until("created_at")}
    kept_on_conflict = ("id", "cycle_id", "status", "environment", "created_at", "executed_at", "closed_at")

    def find_by_symbol(
        self, symbol: str, limit: int = 20, environment: Environment | str | None = None
    ) -> list[Decision]:
        """The newest decisions on an instrument."""
        of_symbol = self._filtered({"environment": environment}).exactly("symbol", symbol)
        return self.find(of_symbol.limit(limit))

    def find_by_cycle(self, cycle_id: UUID | str) -> list[Decision]:
        """All decisions of a cycle, newest first."""
        return self.find(query().exactly("cycle_id", cycle_id).order_by("-created_at"))

    def find_recent(self, environment: Environment | str | None = None, limit: int = 10) -> list[Decision]:
        """The newest decisions."""
        return self.find_all({"environment": environment}, limit=limit)

    def find_recent_within_window(
        self,
        environment: Environment | str | None,
        lookback_hours: float | Decimal,
        actions: Sequence[DecisionAction | str] | None = None,
        status: Sequence[DecisionStatus | str] | None = None,
        symbols: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[Decision]:
        """The decisions of the last hours, newest first: all, unless there is a limit. An empty list limits nothing.

        `lookback_hours`: more than 0, at most ten years; fractions count. Raises InvalidDataError otherwise.
        """
        hours = float(lookback_hours)
        if not (math.isfinite(hours) and 0 < hours <= LONGEST_LOOKBACK_HOURS):
            raise InvalidDataError(f"lookback_hours is more than 0 and at most {LONGEST_LOOKBACK_HOURS}, got {hours}")
        return self.find_all(
            {
                "environment": environment,
                "from_date": utc_now() - timedelta(hours=hours),
                "action": actions or None,
                "status": status or None,
                "symbol": symbols or None,
            },
            limit=limit,
        )

    def update_status(self, id: Key, status: DecisionStatus | str) -> Decision:
        """Moves a decision on. The status that it has already changes nothing.

        Sets `executed_at` on execution and `closed_at` on every final status. Raises NotFoundError, and
        ConstraintViolationError for a move that `DECISION_STATES` does not allow.
        """
        return self._move_on(id, status, {})

    def update(self, id: Key, changes: DecisionChanges) -> Decision:
        """Writes the given columns; lists and metadata are replaced whole. A new status must be an allowed move."""
        others = dict(self._checked_changes(changes))
        if "status" not in others:
            return super().update(id, changes)
        return self._move_on(id, others.pop("status"), others)

    def _move_on(self, id: Key, to: DecisionStatus | str, others: dict[str, Any]) -> Decision:
        status = DecisionStatus(DecisionRow.status.encode(to))
        now = utc_now()
        stamps: dict[str, Any] = {}
        if status is DecisionStatus.EXECUTED:
            stamps["executed_at"] = now
        if status in DECISION_STATES.terminal:
            stamps["closed_at"] = now
        return self._move(id, DECISION_STATES, status, stamps, in_any_case=others)

    def count_by_status(self, environment: Environment | str | None = None) -> dict[DecisionStatus, int]:
        """How many decisions have each status; every status is listed."""
        return self._count_by("status", environment)

    def search(self, query: str, limit: int = 5, environment: Environment | str | None = None) -> list[DecisionMatch]:
        """Decisions whose symbol or action contains the text, in any case, newest first; none for blank text."""
        found = self._search(query, ("symbol", "action"), limit, environment)
        return [DecisionMatch(id=match.id, symbol=match.symbol, action=match.action) for match in found]

    def get_decision_analytics(self, filters: DecisionFilters | None = None) -> DecisionAnalytics:
        """Counts, distributions and averages, all of one state of the table."""
        groups = self._aggregate(
            "analytics",
            self._filtered(filters),
            [
                fn.COUNT(SQL("*")),
                fn.COUNT(DecisionRow.confidence_score),
                ExactSum(DecisionRow.confidence_score),
                fn.COUNT(DecisionRow.risk_score),
                ExactSum(DecisionRow.risk_score),
            ],
            group_by=[DecisionRow.status, DecisionRow.action, DecisionRow.direction],
        )
        by_status: dict[DecisionStatus, int] = {}
        by_action: dict[DecisionAction, int] = {}
        by_direction: dict[DecisionDirection, int] = {}
        for status, action, direction, count, *_ in groups:
            by_status[status] = by_status.get(status, 0) + count
            by_action[action] = by_action.get(action, 0) + count
            by_direction[direction] = by_direction.get(direction, 0) + count
        total = sum(by_status.values())
        executed, approved = (by_status.get(status, 0) for status in _CARRIED_OUT)
        return DecisionAnalytics(
            total_decisions=total,
            executed=executed,
            approved=approved,
            execution_rate=percentage(executed + approved, total),
            status_distribution=by_status,
            action_distribution=by_action,
            direction_distribution=by_direction,
            avg_confidence=ratio(sum(group[5] or 0 for group in groups), sum(group[4] for group in groups)),
            avg_risk=ratio(sum(group[7] or 0 for group in groups), sum(group[6] for group in groups)),
        )

    def get_confidence_calibration(self, filters: DecisionFilters | None = None) -> list[CalibrationBin]:
        """How often decisions of each confidence were carried out; bins without decisions are left out."""
        score = DecisionRow.confidence_score
        bins = Case(
            None,
            [(score < Decimal(upper) / 100, f"{upper - 20}-{upper}") for upper in (20, 40, 60, 80)],
            "80-100",
        )
        rows = self._aggregate(
            "calibration",
            self._filtered(filters).is_null("confidence_score", False),
            [fn.COUNT(SQL("*")), fn.COUNT(SQL("*")).filter(DecisionRow.status.in_(_CARRIED_OUT))],
            group_by=[bins],
        )
        return [
            CalibrationBin(bin=name, total=total, executed=executed, execution_rate=percentage(executed, total))
            for name, total, executed in sorted(rows)
        ]

    def get_strategy_breakdown(self, filters: DecisionFilters | None = None) -> list[StrategyBreakdown]:
        """Figures per strategy family, the most frequent first, then by name."""
        rows = self._aggregate(
            "strategies",
            self._filtered(filters),
            [
                fn.COUNT(SQL("*")),
                fn.COUNT(SQL("*")).filter(DecisionRow.status == DecisionStatus.EXECUTED),
                fn.COUNT(SQL("*")).filter(DecisionRow.status == DecisionStatus.APPROVED),
                fn.COUNT(DecisionRow.confidence_score),
                ExactSum(DecisionRow.confidence_score),
                fn.COUNT(DecisionRow.risk_score),
                ExactSum(DecisionRow.risk_score),
            ],
            group_by=[DecisionRow.strategy_family],
        )
        families = [
            StrategyBreakdown(
                strategy_family="Unknown" if family is None else family,
                is_named=family is not None,
                count=count,
                executed_count=executed + approved,
                approval_rate=percentage(executed + approved, count),
                executed=executed,
                approved=approved,
                avg_confidence=ratio(confidence, with_confidence),
                avg_risk=ratio(risk, with_risk),
            )
            for family, count, executed, approved, with_confidence, confidence, with_risk, risk in rows
        ]
        return sorted(families, key=lambda one: (-one.count, one.strategy_family, not one.is_named))
