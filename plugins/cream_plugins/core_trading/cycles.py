"""Cycles of the OODA loop: observe, orient, decide, act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NoReturn, TypedDict
from uuid import UUID

import peewee
from peewee import SQL, Case, fn

from cream_plugins.core_trading.cycle_events import (
    STREAMING_EVENT_TYPES,
    CycleEvent,
    CycleEventsRepository,
    CycleEventType,
)
from cream_plugins.core_trading.cycle_row import CyclePhase, CycleRow, CycleStatus
from cream_plugins.core_trading.cycle_summaries import DecisionSummary, OrderSummary
from cream_plugins.core_trading.streaming import StreamingState, reconstruct_streaming_state
from cream_store import (
    ConstraintViolationError,
    Environment,
    InvalidDataError,
    Param,
    QueryBuilder,
    Record,
    Repository,
    field,
    new_id,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.aggregates import percentage, ratio
from cream_store.fields import is_sqlite
from cream_store.repository import Key
from cream_store.states import StateMachine

CYCLE_STATES: Final = StateMachine(
    {
        CycleStatus.RUNNING: [CycleStatus.COMPLETED, CycleStatus.FAILED],
        CycleStatus.COMPLETED: [],
        CycleStatus.FAILED: [],
    }
)

ORPHANED_MESSAGE: Final = "Server restarted - cycle orphaned"


@record
class Cycle(Record):
    """One run of the OODA loop. A new one is running since now."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    status: CycleStatus = CycleStatus.RUNNING
    started_at: datetime = field(default_factory=utc_now)
    completed_at: datetime | None = None  # or failed
    duration_ms: int | None = None
    current_phase: CyclePhase | None = None
    phase_started_at: datetime | None = None
    total_symbols: int = 0
    completed_symbols: int = 0
    progress_pct: Decimal = Decimal(0)  # 0..100
    approved: bool | None = None
    iterations: int | None = None
    decisions_count: int = 0
    orders_count: int = 0
    decisions: list[Any] = field(default_factory=list)  # as stored, see decision_summaries
    orders: list[Any] = field(default_factory=list)  # as stored, see order_summaries
    error_message: str | None = None
    error_stack: str | None = None
    config_version: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    @property
    def decision_summaries(self) -> list[DecisionSummary]:
        """What was decided."""
        return [DecisionSummary.from_document(document) for document in self.decisions]

    @property
    def order_summaries(self) -> list[OrderSummary]:
        """What was ordered."""
        return [OrderSummary.from_document(document) for document in self.orders]


class CycleFilters(TypedDict, total=False):
    """What `find_many` and the analytics can be limited to. The dates are those of the cycles' starts."""

    environment: Environment | str | None
    status: CycleStatus | str | Sequence[CycleStatus | str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class CycleChanges(TypedDict, total=False):
    """What `update` can change."""

    status: CycleStatus
    completed_at: datetime | None
    duration_ms: int | None
    current_phase: CyclePhase | None
    phase_started_at: datetime | None
    completed_symbols: int
    progress_pct: Decimal
    approved: bool | None
    iterations: int | None
    decisions_count: int
    orders_count: int
    decisions: list[Any]
    orders: list[Any]
    error_message: str | None
    error_stack: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleResult:
    """What a cycle came to."""

    approved: bool
    iterations: int
    decisions: Sequence[DecisionSummary] = ()
    orders: Sequence[OrderSummary] = ()
    duration_ms: int | None = None  # None: since its start


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleAnalytics:
    """Figures over a set of cycles. Rates are percentages; they and the averages are unrounded."""

    total_cycles: int
    completion_rate: Decimal  # completed ones, of all
    approval_rate: Decimal  # approved ones, of the completed ones
    avg_duration_ms: Decimal | None  # of all whose duration is known
    avg_duration_ms_by_status: dict[CycleStatus, Decimal | None]
    total_decisions: int
    total_orders: int
    status_distribution: dict[CycleStatus, int]  # every status


class CyclesRepository(Repository[Cycle, CycleFilters, CycleChanges]):
    """The cycles, and what happens during them."""

    row = CycleRow
    default_order = ("-started_at",)
    default_limit = 50
    kept_on_conflict = (
        "id",
        "environment",
        "status",
        "started_at",
        "completed_at",
        "duration_ms",
        "total_symbols",
        "config_version",
        "created_at",
    )
    filter_rules = {"from_date": since("started_at"), "to_date": until("started_at")}

    @property
    def events(self) -> CycleEventsRepository:
        """The events of all cycles, on the same database."""
        return CycleEventsRepository(self._database)

    def find_recent(self, environment: Environment | str | None = None, limit: int = 10) -> list[Cycle]:
        """The newest cycles."""
        return self.find_all({"environment": environment}, limit=limit)

    def find_running(self, environment: Environment | str | None = None) -> Cycle | None:
        """The newest cycle that is running."""
        return self.first({"environment": environment, "status": CycleStatus.RUNNING})

    # The course of a cycle

    def start(
        self,
        environment: Environment | str | None = None,
        total_symbols: int = 0,
        config_version: str | None = None,
        id: UUID | str | None = None,
    ) -> Cycle:
        """A new cycle, running since now. Raises DuplicateKeyError when its id is taken.

        `environment` must be said on a TEST database, which holds both.
        """
        if CycleRow.total_symbols.encode(total_symbols) < 0:
            raise InvalidDataError(f"total_symbols is 0 or more, got {total_symbols}", columns=("total_symbols",))
        return self.create(
            Cycle(
                id=UUID(CycleRow.id.encode(id)) if id else new_id(),
                environment=self.one_environment_of(environment),
                total_symbols=total_symbols,
                config_version=config_version,
            )
        )

    @transactional
    def update_progress(
        self,
        id: Key,
        phase: CyclePhase | str,
        completed_symbols: int,
        progress_pct: Decimal | int,
        message: str | None = None,
    ) -> None:
        """Says how far a running cycle has come, and with a message also tells it as an event.

        `completed_symbols`: 0 or more; `progress_pct`: 0 to 100. Raises InvalidDataError otherwise, NotFoundError, and
        ConstraintViolationError for more symbols than the cycle's `total_symbols` or when the cycle is not running.
        """
        completed = CycleRow.completed_symbols.encode(completed_symbols)
        progress = Decimal(CycleRow.progress_pct.encode(progress_pct))
        if completed < 0 or not 0 <= progress <= 100:
            raise InvalidDataError(
                f"progress is 0 to 100 percent of 0 or more symbols, got {progress_pct} and {completed_symbols}",
                table="cycles",
                columns=("progress_pct", "completed_symbols"),
            )
        progressed = self._update_where(
            # Any total allows 0, a NULL one too.
            _running(self._by_key(id)).at_least("total_symbols", completed_symbols or None),
            {"current_phase": phase, "completed_symbols": completed_symbols, "progress_pct": progress_pct},
            {"phase_started_at": _PHASE_START},
        )
        if not progressed:
            self._raise_unchanged(id, completed_symbols)
        if message:
            self.add_event(
                CycleEvent(
                    cycle_id=progressed[0].id,
                    event_type=CycleEventType.PROGRESS,
                    phase=progressed[0].current_phase,
                    message=message,
                    timestamp=progressed[0].updated_at,
                )
            )

    def complete(self, id: Key, result: CycleResult) -> Cycle:
        """Ends a running cycle with its result: all symbols completed, no error.

        Raises NotFoundError, and ConstraintViolationError when the cycle is not running.
        """
        return self._end(
            id,
            {
                "status": CycleStatus.COMPLETED,
                "current_phase": CyclePhase.COMPLETE,
                "progress_pct": Decimal(100),
                "approved": result.approved,
                "iterations": result.iterations,
                "decisions": [summary.document() for summary in result.decisions],
                "orders": [summary.document() for summary in result.orders],
                "decisions_count": len(result.decisions),
                "orders_count": len(result.orders),
                "error_message": None,
                "error_stack": None,
            },
            {"completed_symbols": CycleRow.total_symbols},
            result.duration_ms,
        )

    def fail(self, id: Key, error: str, stack: str | None = None, duration_ms: int | None = None) -> Cycle:
        """Ends a running cycle with an error; its phase and progress stay. The duration is by default since its start.

        Raises NotFoundError, and ConstraintViolationError when the cycle is not running.
        """
        changes = {"status": CycleStatus.FAILED, "error_message": error}
        if stack is not None:
            changes["error_stack"] = stack
        return self._end(id, changes, {}, duration_ms)

    @transactional
    def mark_orphaned_as_failed(
        self, environment: Environment | str | None = None, older_than: timedelta | None = None
    ) -> int:
        """Fails the running cycles that nobody runs any more, with an error event each; returns how many they were.

        `older_than`: spares those that started since; without it every running cycle of the environment is failed.
        """
        now = utc_now()
        orphans = self._update_where(
            _running(query())
            .equals("environment", self.environment_of(environment))
            .below("started_at", None if older_than is None else now - older_than),
            {"status": CycleStatus.FAILED, "completed_at": now, "updated_at": now, "error_message": ORPHANED_MESSAGE},
            {"duration_ms": _DURATION},
        )
        self.add_events_batch(
            CycleEvent(
                cycle_id=orphan.id,
                event_type=CycleEventType.ERROR,
                phase=orphan.current_phase,
                message=ORPHANED_MESSAGE,
                timestamp=now,
            )
            for orphan in orphans
        )
        return len(orphans)

    def update(self, id: Key, changes: CycleChanges) -> Cycle:
        """Writes the given columns, whether they fit each other or not. A new status must be an allowed move.

        `decisions` and `orders` are given as they are stored, see `DecisionSummary.document`.
        """
        others = dict(self._checked_changes(changes))
        if "status" not in others:
            return super().update(id, changes)
        status = CycleStatus(CycleRow.status.encode(others.pop("status")))
        return self._move(id, CYCLE_STATES, status, in_any_case=others)

    # Events

    def add_event(self, event: CycleEvent) -> CycleEvent:
        """Stores an event. Raises ConstraintViolationError when there is no such cycle."""
        return self.events.create(event)

    def add_events_batch(self, events: Iterable[CycleEvent]) -> None:
        """Stores events, all or none, in the order given. Raises ConstraintViolationError for an unknown cycle."""
        self.events.create_many(events)

    def find_events(
        self,
        cycle_id: UUID | str,
        event_type: CycleEventType | str | None = None,
        after_id: int | None = None,
        limit: int | None = None,
    ) -> list[CycleEvent]:
        """The events of a cycle, by time. See `CycleEventsRepository.find_by_cycle` for `after_id` and `limit`."""
        return self.events.find_by_cycle(cycle_id, None if event_type is None else [event_type], after_id, limit)

    def find_streaming_events(
        self, cycle_id: UUID | str, after_id: int | None = None, limit: int | None = None
    ) -> list[CycleEvent]:
        """The events of a cycle that tell what its agents are doing, by time; see `find_events`."""
        return self.events.find_by_cycle(cycle_id, STREAMING_EVENT_TYPES, after_id, limit)

    def reconstruct_streaming_state(self, cycle_id: UUID | str) -> StreamingState:
        """What the agents of a cycle are doing, or were at its end; of nothing known, no agents."""
        return reconstruct_streaming_state(self.find_streaming_events(cycle_id))

    # Figures

    def get_cycle_analytics(self, filters: CycleFilters | None = None) -> CycleAnalytics:
        """Counts, rates and average durations, all of one state of the table."""
        groups = {
            status: figures
            for status, *figures in self._aggregate(
                "analytics",
                self._filtered(filters),
                [
                    fn.COUNT(SQL("*")),
                    fn.COUNT(SQL("*")).filter(CycleRow.approved),
                    fn.COUNT(CycleRow.duration_ms),
                    fn.SUM(CycleRow.duration_ms),
                    fn.SUM(CycleRow.decisions_count),
                    fn.SUM(CycleRow.orders_count),
                ],
                group_by=[CycleRow.status],
            )
        }
        of_status = {status: [figure or 0 for figure in groups.get(status, [0] * 6)] for status in CycleStatus}
        total, _, timed, duration, decisions, orders = (sum(column) for column in zip(*of_status.values(), strict=True))
        completed, approved, *_ = of_status[CycleStatus.COMPLETED]
        return CycleAnalytics(
            total_cycles=total,
            completion_rate=percentage(completed, total),
            approval_rate=percentage(approved, completed),
            avg_duration_ms=ratio(duration, timed),
            avg_duration_ms_by_status={status: ratio(figures[3], figures[2]) for status, figures in of_status.items()},
            total_decisions=decisions,
            total_orders=orders,
            status_distribution={status: figures[0] for status, figures in of_status.items()},
        )

    def _end(
        self, id: Key, changes: Mapping[str, Any], computed: Mapping[str, peewee.Node], duration_ms: int | None
    ) -> Cycle:
        now = utc_now()
        changes = {**changes, "completed_at": now, "updated_at": now}
        if duration_ms is None:
            computed = {**computed, "duration_ms": _DURATION}
        else:
            changes["duration_ms"] = duration_ms
        ended = self._update_where(_running(self._by_key(id)), changes, computed)
        return ended[0] if ended else self._raise_unchanged(id)

    def _raise_unchanged(self, id: Key, completed_symbols: int = 0) -> NoReturn:
        cycle = self._first(self._own(self._by_key(id))) or self._raise_not_found(id)
        if cycle.status is CycleStatus.RUNNING:
            reason = f"{completed_symbols} completed symbols are more than its {cycle.total_symbols}"
        else:
            reason = f"it is {cycle.status}; only a running cycle progresses, completes or fails"
        raise ConstraintViolationError(f"cycles {id}: {reason}", table="cycles")


def _running(which: QueryBuilder) -> QueryBuilder:
    """Only a running cycle changes, which is decided inside the UPDATE."""
    return which.equals("status", CycleStatus.RUNNING)


_PHASE_START: Final = Case(
    None,
    [(CycleRow.current_phase == Param("current_phase", CycleRow.current_phase), CycleRow.phase_started_at)],
    Param("updated_at", CycleRow.updated_at),
)
"""A phase that goes on keeps its start."""


class _ElapsedMilliseconds(peewee.ColumnBase):
    """Whole milliseconds from a cycle's start to its end."""

    def __sql__(self, context: Any) -> Any:
        start, end = CycleRow.started_at, Param("completed_at", CycleRow.completed_at)
        if is_sqlite(context):
            # Cut to milliseconds, as julianday() would round to them.
            days = fn.julianday(fn.substr(end, 1, 23)) - fn.julianday(fn.substr(start, 1, 23))
            return context.sql(fn.ROUND(days * 86_400_000).cast("INTEGER"))
        elapsed = fn.date_trunc("milliseconds", end.cast("TIMESTAMPTZ")) - fn.date_trunc("milliseconds", start)
        return context.sql((fn.date_part("epoch", elapsed) * 1000).cast("BIGINT"))


_DURATION: Final = Case(None, [(_ElapsedMilliseconds().between(0, 2**31 - 1), _ElapsedMilliseconds())])
"""NULL when it has no place in the column, which is no reason to leave a cycle running."""
