"""What the agents of a cycle are doing, or were, replayed from its events."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from cream_plugins.core_trading.cycle_events import CycleEvent, CycleEventType
from cream_plugins.vocabulary import AgentType


class AgentStreamingStatus(StrEnum):
    """How an agent stands."""

    IDLE = "idle"
    PROCESSING = "processing"
    COMPLETE = "complete"
    ERROR = "error"


class ToolCallStatus(StrEnum):
    """How a call of a tool stands."""

    PENDING = "pending"
    COMPLETE = "complete"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool by an agent."""

    tool_call_id: str
    tool_name: str  # "unknown" when the event does not tell
    tool_args: str  # JSON
    status: ToolCallStatus = ToolCallStatus.PENDING
    result_summary: str | None = None
    duration_ms: int | float | None = None
    timestamp: datetime  # when it was called


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStreamingState:
    """What an agent is doing, and what it has said."""

    status: AgentStreamingStatus
    tool_calls: list[ToolCall]  # by time
    reasoning_text: str  # since the agent last started
    text_output: str  # since the agent last started
    error: str | None  # the last one
    last_update: datetime  # the latest of its events
    started_at: datetime | None  # the last time


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingState:
    """What the agents of a cycle are doing."""

    cycle_id: UUID | None  # None when there are no events
    agents: dict[AgentType, AgentStreamingState]  # in the order of their first events


def reconstruct_streaming_state(events: Iterable[CycleEvent]) -> StreamingState:
    """Replays the events of one cycle in the order given; those of no agent tell nothing."""
    cycle_id: UUID | None = None
    agents: dict[AgentType, _Agent] = {}
    for event in events:
        if cycle_id is None:
            cycle_id = event.cycle_id
        if event.agent_type:
            agent = agents.get(event.agent_type)
            if agent is None:
                agent = agents[event.agent_type] = _Agent(event.timestamp)
            agent.replay(event)
    return StreamingState(cycle_id=cycle_id, agents={name: agent.state() for name, agent in agents.items()})


class _Agent:
    """The state of an agent while its events are replayed."""

    def __init__(self, first_seen: datetime) -> None:
        self._status = AgentStreamingStatus.IDLE
        self._tool_calls: dict[str, ToolCall] = {}
        self._reasoning: list[str] = []
        self._text: list[str] = []
        self._error: str | None = None
        self._last_update = first_seen
        self._started_at: datetime | None = None

    def replay(self, event: CycleEvent) -> None:
        """Goes on to what the agent is doing after the event."""
        self._last_update = max(self._last_update, event.timestamp)
        match event.event_type:
            case CycleEventType.AGENT_START:
                self._start(event.timestamp)
            case CycleEventType.AGENT_COMPLETE:
                self._status = AgentStreamingStatus.COMPLETE
            case CycleEventType.TOOL_CALL:
                self._status = AgentStreamingStatus.PROCESSING
                self._call_tool(event)
            case CycleEventType.TOOL_RESULT:
                self._take_result(event.data)
            case CycleEventType.REASONING_DELTA:
                self._status = AgentStreamingStatus.PROCESSING
                self._reasoning.append(_text(event.data.get("text")) or "")
            case CycleEventType.TEXT_DELTA:
                self._status = AgentStreamingStatus.PROCESSING
                self._text.append(_text(event.data.get("text")) or "")
            case CycleEventType.ERROR:
                self._status = AgentStreamingStatus.ERROR
                self._error = "Unknown error" if event.message is None else event.message

    def _start(self, time: datetime) -> None:
        if self._started_at is not None:
            self._reasoning.clear()
            self._text.clear()
        self._status = AgentStreamingStatus.PROCESSING
        self._started_at = time

    def _call_tool(self, event: CycleEvent) -> None:
        call_id = _text(event.data.get("toolCallId"))
        if not call_id or call_id.isspace():
            return
        name, arguments = _text(event.data.get("toolName")), _text(event.data.get("toolArgs"))
        self._tool_calls[call_id] = ToolCall(
            tool_call_id=call_id,
            tool_name="unknown" if name is None else name,
            tool_args="{}" if arguments is None else arguments,
            timestamp=event.timestamp,
        )

    def _take_result(self, data: dict[str, Any]) -> None:
        call = self._tool_calls.get(_text(data.get("toolCallId")) or "")
        if call is None:
            return
        self._tool_calls[call.tool_call_id] = replace(
            call,
            status=ToolCallStatus.COMPLETE if data.get("success") else ToolCallStatus.ERROR,
            result_summary=_text(data.get("resultSummary")),
            duration_ms=_number(data.get("durationMs")),
        )

    def state(self) -> AgentStreamingState:
        """The state after the events replayed so far."""
        return AgentStreamingState(
            status=self._status,
            tool_calls=sorted(self._tool_calls.values(), key=lambda call: call.timestamp),
            reasoning_text="".join(self._reasoning),
            text_output="".join(self._text),
            error=self._error,
            last_update=self._last_update,
            started_at=self._started_at,
        )


def _text(value: Any) -> str | None:
    """Text as it is; what another program stored in its place as the JSON that it is."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
