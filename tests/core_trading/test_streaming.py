"""What agents are doing, replayed from events: statuses, texts, calls of tools."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cream_plugins.core_trading import (
    AgentStreamingState,
    AgentStreamingStatus,
    CycleEvent,
    CycleEventType,
    ToolCall,
    ToolCallStatus,
    reconstruct_streaming_state,
)
from cream_plugins.vocabulary import AgentType
from cream_store import new_id

CYCLE = new_id()
NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
TRADER, CRITIC = AgentType.TRADER, AgentType.CRITIC


def event(kind: str, second: int = 0, agent: AgentType | None = TRADER, **others: Any) -> CycleEvent:
    return CycleEvent(
        cycle_id=CYCLE,
        event_type=CycleEventType(kind),
        agent_type=agent,
        timestamp=NOON + timedelta(seconds=second),
        **others,
    )


def delta(text: str, kind: str = "text_delta", second: int = 0, agent: AgentType = TRADER) -> CycleEvent:
    return event(kind, second, agent, data={"text": text})


def call(tool_call_id: Any, second: int = 0, agent: AgentType | None = TRADER, **data: Any) -> CycleEvent:
    return event("tool_call", second, agent, data={"toolCallId": tool_call_id, **data})


def result(tool_call_id: str, second: int = 0, agent: AgentType | None = TRADER, **data: Any) -> CycleEvent:
    return event("tool_result", second, agent, data={"toolCallId": tool_call_id, **data})


def trader(*events: CycleEvent) -> AgentStreamingState:
    """The trader's state after the events."""
    return reconstruct_streaming_state(events).agents[TRADER]


def only_call(*events: CycleEvent) -> ToolCall:
    [made] = trader(*events).tool_calls
    return made


def test_without_events_there_is_no_cycle_and_no_agent() -> None:
    state = reconstruct_streaming_state([])
    assert (state.cycle_id, state.agents) == (None, {})


def test_a_whole_run_of_an_agent() -> None:
    state = reconstruct_streaming_state(
        [
            event("agent_start", 1),
            delta("Let me ", "reasoning_delta", 2),
            delta("see.", "reasoning_delta", 3),
            call("c1", 4, toolName="quote", toolArgs='{"symbol":"AAPL"}'),
            result("c1", 5, success=True, resultSummary="187.20", durationMs=120),
            delta("Buy ", second=6),
            delta("AAPL.", second=7),
            event("agent_complete", 8),
        ]
    )
    assert state.cycle_id == CYCLE
    assert state.agents == {
        TRADER: AgentStreamingState(
            status=AgentStreamingStatus.COMPLETE,
            tool_calls=[
                ToolCall(
                    tool_call_id="c1",
                    tool_name="quote",
                    tool_args='{"symbol":"AAPL"}',
                    status=ToolCallStatus.COMPLETE,
                    result_summary="187.20",
                    duration_ms=120,
                    timestamp=NOON + timedelta(seconds=4),
                )
            ],
            reasoning_text="Let me see.",
            text_output="Buy AAPL.",
            error=None,
            last_update=NOON + timedelta(seconds=8),
            started_at=NOON + timedelta(seconds=1),
        )
    }


def test_agents_stand_in_the_order_of_their_first_events_and_keep_apart() -> None:
    state = reconstruct_streaming_state([delta("c", agent=CRITIC), delta("t"), delta("C", agent=CRITIC)])
    assert list(state.agents) == [CRITIC, TRADER]
    assert [agent.text_output for agent in state.agents.values()] == ["cC", "t"]


@pytest.mark.parametrize("kind", list(CycleEventType))
def test_an_event_of_no_agent_tells_nothing(kind: CycleEventType) -> None:
    state = reconstruct_streaming_state([event(kind, agent=None, data={"toolCallId": "c1", "text": "x"})])
    assert (state.cycle_id, state.agents) == (CYCLE, {})


@pytest.mark.parametrize("kind", ["decision", "order", "progress", "phase_change", "tool_result"])
def test_an_agent_that_only_was_mentioned_is_idle(kind: str) -> None:
    state = trader(event(kind, 3))
    assert state.status is AgentStreamingStatus.IDLE
    assert (state.started_at, state.last_update) == (None, NOON + timedelta(seconds=3))


def test_later_events_override_the_status_but_not_the_error() -> None:
    state = trader(event("error", message="rate limit"), delta("again"))
    assert (state.status, state.error) == (AgentStreamingStatus.PROCESSING, "rate limit")
    assert trader(event("agent_complete"), delta("more")).status is AgentStreamingStatus.PROCESSING


@pytest.mark.parametrize(("message", "error"), [(None, "Unknown error"), ("", ""), ("timeout", "timeout")])
def test_an_error_tells_its_message(message: str | None, error: str) -> None:
    state = trader(event("error", message=message))
    assert (state.status, state.error) == (AgentStreamingStatus.ERROR, error)


def test_the_last_update_is_the_latest_time_whatever_the_order() -> None:
    assert trader(delta("b", second=9), delta("a", second=2)).last_update == NOON + timedelta(seconds=9)


def test_a_second_start_begins_new_texts_and_keeps_the_calls() -> None:
    state = trader(
        event("agent_start", 1),
        delta("old", second=2),
        delta("old", "reasoning_delta", 2),
        call("c1", 3),
        event("agent_start", 4),
        delta("new", second=5),
    )
    assert (state.text_output, state.reasoning_text) == ("new", "")
    assert state.started_at == NOON + timedelta(seconds=4)
    assert [made.tool_call_id for made in state.tool_calls] == ["c1"]


def test_a_first_start_that_comes_late_keeps_the_texts() -> None:
    assert trader(delta("early"), event("agent_start")).text_output == "early"


@pytest.mark.parametrize("data", [{}, {"text": None}, {"text": ""}])
def test_a_delta_without_text_only_sets_the_status(data: dict[str, Any]) -> None:
    state = trader(event("text_delta", data=data))
    assert (state.status, state.text_output) == (AgentStreamingStatus.PROCESSING, "")


def test_a_call_is_pending_and_has_defaults() -> None:
    made = only_call(call("c1", 2))
    assert (made.tool_name, made.tool_args, made.status) == ("unknown", "{}", ToolCallStatus.PENDING)
    assert (made.result_summary, made.duration_ms) == (None, None)
    assert made.timestamp == NOON + timedelta(seconds=2)


def test_blank_names_and_arguments_are_not_missing_ones() -> None:
    made = only_call(call("c1", toolName="", toolArgs=""))
    assert (made.tool_name, made.tool_args) == ("", "")


def test_arguments_stored_as_a_document_read_as_its_text() -> None:
    assert only_call(call("c1", toolArgs={"symbol": "AAPL"})).tool_args == '{"symbol": "AAPL"}'


@pytest.mark.parametrize("tool_call_id", [None, "", "  "])
def test_a_call_without_an_id_only_sets_the_status(tool_call_id: str | None) -> None:
    state = trader(call(tool_call_id))
    assert (state.status, state.tool_calls) == (AgentStreamingStatus.PROCESSING, [])


@pytest.mark.parametrize("data", [{}, {"success": False}, {"success": None}, {"success": 0}])
def test_a_result_that_is_no_success_is_an_error(data: dict[str, Any]) -> None:
    assert only_call(call("c1"), result("c1", **data)).status is ToolCallStatus.ERROR


def test_a_later_result_overwrites_an_earlier_one_with_what_it_has() -> None:
    made = only_call(
        call("c1"),
        result("c1", success=False, resultSummary="timeout", durationMs=0),
        result("c1", success=True),
    )
    assert (made.status, made.result_summary, made.duration_ms) == (ToolCallStatus.COMPLETE, None, None)


@pytest.mark.parametrize("duration", [0, 7, 12.5])
def test_a_duration_is_the_number_that_is_stored(duration: float) -> None:
    assert only_call(call("c1"), result("c1", durationMs=duration)).duration_ms == duration


def test_a_result_of_an_unknown_call_is_ignored() -> None:
    state = trader(call("c1"), result("c2", success=True), event("tool_result", data={"success": True}))
    assert [made.status for made in state.tool_calls] == [ToolCallStatus.PENDING]


def test_agents_that_use_the_same_id_have_calls_of_their_own() -> None:
    state = reconstruct_streaming_state(
        [
            call("c1", toolName="quote"),
            call("c1", agent=CRITIC, toolName="news"),
            result("c1", agent=CRITIC, success=True, resultSummary="calm"),
        ]
    )
    [of_trader], [of_critic] = (state.agents[agent].tool_calls for agent in (TRADER, CRITIC))
    assert (of_trader.tool_name, of_trader.status) == ("quote", ToolCallStatus.PENDING)
    assert (of_critic.tool_name, of_critic.result_summary) == ("news", "calm")


def test_a_repeated_id_replaces_the_call_in_its_place() -> None:
    state = trader(
        call("c1", toolName="first"),
        result("c1", success=True, resultSummary="done"),
        call("c2"),
        call("c1", toolName="second"),
    )
    assert [(made.tool_call_id, made.tool_name) for made in state.tool_calls] == [("c1", "second"), ("c2", "unknown")]
    assert state.tool_calls[0].status is ToolCallStatus.PENDING
    assert state.tool_calls[0].result_summary is None


def test_calls_stand_by_time_and_at_one_time_in_the_order_of_the_events() -> None:
    state = trader(call("late", 5), call("b", 1), call("a", 1), call("early", 0))
    assert [made.tool_call_id for made in state.tool_calls] == ["early", "b", "a", "late"]
