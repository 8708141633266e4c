"""Events of a cycle: what its agents did, step by step, for those who watch it or look back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from cream_plugins.core_trading.cycle_row import CyclePhase, CycleRow
from cream_plugins.vocabulary import AgentType
from cream_store import (
    EnumField,
    ForeignKey,
    IntegerField,
    JSONField,
    Record,
    Repository,
    Row,
    SerialField,
    SymbolField,
    TextField,
    TimestampField,
    field,
    index,
    query,
    record,
    since,
    until,
    utc_now,
)


class CycleEventType(StrEnum):
    """What happened."""

    PHASE_CHANGE = "phase_change"
    AGENT_START = "agent_start"
    AGENT_COMPLETE = "agent_complete"
    DECISION = "decision"
    ORDER = "order"
    ERROR = "error"
    PROGRESS = "progress"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    REASONING_DELTA = "reasoning_delta"
    TEXT_DELTA = "text_delta"


STREAMING_EVENT_TYPES: Final = (
    CycleEventType.TOOL_CALL,
    CycleEventType.TOOL_RESULT,
    CycleEventType.REASONING_DELTA,
    CycleEventType.TEXT_DELTA,
    CycleEventType.AGENT_START,
    CycleEventType.AGENT_COMPLETE,
    CycleEventType.ERROR,
)
"""The events that tell what each agent is doing; see `reconstruct_streaming_state`."""


class CycleEventRow(Row):
    """Table `cycle_events`."""

    id = SerialField()
    cycle = ForeignKey(CycleRow, on_delete="CASCADE")
    event_type = EnumField(CycleEventType)
    phase = EnumField(CyclePhase, null=True)
    agent_type = EnumField(AgentType, null=True)
    symbol = SymbolField(null=True)
    message = TextField(null=True)
    data = JSONField(dict, null=True, column_name="data_json")
    timestamp = TimestampField(default_now=True)
    duration_ms = IntegerField(null=True)

    class Meta:
        table_name = "cycle_events"
        indexes = [
            index("idx_cycle_events_agent_event", "cycle_id", "agent_type", "event_type"),
            index("idx_cycle_events_timestamp", "timestamp"),
            index("idx_cycle_events_type", "event_type"),
        ]


@record
class CycleEvent(Record):
    """Something that happened during a cycle."""

    id: int | None = None  # given by the database
    cycle_id: UUID
    event_type: CycleEventType
    phase: CyclePhase | None = None
    agent_type: AgentType | None = None
    symbol: str | None = None
    message: str | None = None
    data: dict[str, Any] = field(default_factory=dict)  # keys in camelCase: toolCallId, text, ...
    timestamp: datetime = field(default_factory=utc_now)  # when it happened, not when it was stored
    duration_ms: int | None = None


class CycleEventFilters(TypedDict, total=False):
    """What `find_many` can be limited to. An empty list matches nothing."""

    cycle_id: UUID | str | None
    event_type: CycleEventType | str | Sequence[CycleEventType | str] | None
    phase: CyclePhase | str | Sequence[CyclePhase | str] | None
    agent_type: AgentType | str | Sequence[AgentType | str] | None
    symbol: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class CycleEventChanges(TypedDict, total=False):
    """What `update` can change. An event stays with its cycle."""

    event_type: CycleEventType
    phase: CyclePhase | None
    agent_type: AgentType | None
    symbol: str | None
    message: str | None
    data: dict[str, Any]
    timestamp: datetime
    duration_ms: int | None


class CycleEventsRepository(Repository[CycleEvent, CycleEventFilters, CycleEventChanges]):
    """The events of all cycles, in the order in which they happened."""

    row = CycleEventRow
    default_order = ("timestamp",)
    default_limit = 50
    filter_rules = {"from_date": since("timestamp"), "to_date": until("timestamp")}

    def find_by_cycle(
        self,
        cycle_id: UUID | str,
        event_types: Iterable[CycleEventType | str] | None = None,
        after_id: int | None = None,
        limit: int | None = None,
    ) -> list[CycleEvent]:
        """The events of a cycle, of some types or of all, by time and then by id: every one, unless there is a limit.

        `after_id` and `limit` go by the order in which events were stored, so that who reads on after the highest id
        seen so far (at first 0) misses none, even one that is stored late. Events of several connections may become
        visible in another order than that of their ids.
        """
        builder = query().exactly("cycle_id", cycle_id).one_of("event_type", event_types).above("id", after_id)
        stored = self.find(builder.order_by("id").limit(limit))
        return sorted(stored, key=lambda event: event.timestamp)
