"""Events of cycles: stored one by one or in batches, read in order of time, replayed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cream_plugins.core_trading import (
    STREAMING_EVENT_TYPES,
    AgentStreamingStatus,
    CycleEvent,
    CycleEventsRepository,
    CycleEventType,
    CyclePhase,
    CyclesRepository,
)
from cream_plugins.vocabulary import AgentType
from cream_store import (
    ConstraintViolationError,
    Environment,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    new_id,
)

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
TRADER = AgentType.TRADER


@pytest.fixture
def cycles(store: Store) -> CyclesRepository:
    return store[CyclesRepository]


def running(cycles: CyclesRepository) -> Any:
    """The id of a new cycle."""
    return cycles.start(Environment.PAPER).id


def event(cycle_id: Any, message: str = "", second: float = 0, kind: str = "progress", **others: Any) -> CycleEvent:
    return CycleEvent(
        cycle_id=cycle_id,
        event_type=CycleEventType(kind),
        message=message,
        timestamp=NOON + timedelta(seconds=second),
        **others,
    )


def messages(events: list[CycleEvent]) -> list[str | None]:
    return [event.message for event in events]


def test_an_event_comes_back_as_it_was_given_and_with_a_number(cycles: CyclesRepository) -> None:
    given = CycleEvent(
        cycle_id=running(cycles),
        event_type=CycleEventType.TOOL_RESULT,
        phase=CyclePhase.ORIENT,
        agent_type=TRADER,
        symbol=" aapl ",
        message="0 rows",
        data={"toolCallId": "c1", "durationMs": 0, "rows": []},
        timestamp=NOON,
        duration_ms=0,
    )
    stored = cycles.add_event(given)
    assert isinstance(stored.id, int)
    assert stored == given.replace(id=stored.id, symbol="AAPL")
    assert cycles.find_events(given.cycle_id) == [stored]


def test_an_event_that_says_little_has_happened_now(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    with clock_set_to(NOON):
        stored = cycles.add_event(CycleEvent(cycle_id=cycle_id, event_type=CycleEventType.DECISION))
    assert stored.timestamp == NOON
    assert stored.data == {}
    assert (stored.phase, stored.agent_type, stored.symbol, stored.message) == (None, None, None, None)


def test_an_event_needs_a_cycle(cycles: CyclesRepository) -> None:
    with pytest.raises(ConstraintViolationError):
        cycles.add_event(event(new_id()))


def test_an_impossible_value_is_refused(cycles: CyclesRepository) -> None:
    possible = event(running(cycles))
    impossible: list[dict[str, Any]] = [
        {"event_type": "party"},
        {"agent_type": ""},
        {"symbol": " "},
        {"timestamp": datetime(2024, 1, 1)},  # noqa: DTZ001  # naive on purpose
        {"data": {"rate": float("nan")}},
    ]
    for change in impossible:
        with pytest.raises(InvalidDataError):
            cycles.add_event(possible.replace(**change))
    assert cycles.events.count() == 0


def test_an_empty_batch_stores_nothing(cycles: CyclesRepository) -> None:
    cycles.add_events_batch([])
    assert cycles.events.count() == 0


def test_a_batch_keeps_its_order_even_at_one_time(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    given = [str(number) for number in range(237)]
    cycles.add_events_batch(event(cycle_id, message) for message in given)
    assert messages(cycles.find_events(cycle_id)) == given


def test_a_batch_is_stored_whole_or_not_at_all(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    with pytest.raises(ConstraintViolationError):
        cycles.add_events_batch([*(event(cycle_id) for _ in range(150)), event(new_id())])
    assert cycles.find_events(cycle_id) == []


def test_a_large_batch_is_stored(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch(event(cycle_id, second=number) for number in range(9_001))
    assert cycles.events.count({"cycle_id": cycle_id}) == 9_001


def test_events_are_read_in_the_order_in_which_they_happened(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch([event(cycle_id, "c", 3), event(cycle_id, "a", 1), event(cycle_id, "b", 1)])
    cycles.add_event(event(running(cycles), "of another cycle"))
    assert messages(cycles.find_events(cycle_id)) == ["a", "b", "c"]
    assert messages(cycles.find_events(str(cycle_id))) == ["a", "b", "c"]


def test_events_of_one_type(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch([event(cycle_id, "p"), event(cycle_id, "e", kind="error")])
    assert messages(cycles.find_events(cycle_id, CycleEventType.ERROR)) == ["e"]
    assert messages(cycles.find_events(cycle_id, "progress")) == ["p"]
    assert cycles.find_events(cycle_id, "order") == []
    with pytest.raises(InvalidDataError):
        cycles.find_events(cycle_id, "party")
    with pytest.raises(InvalidDataError):
        cycles.find_events(cycle_id, "")


@pytest.mark.parametrize("unknown", [new_id(), "no uuid"])
def test_an_unknown_cycle_has_no_events(cycles: CyclesRepository, unknown: Any) -> None:
    assert cycles.find_events(unknown) == []
    assert cycles.find_streaming_events(unknown) == []
    assert cycles.reconstruct_streaming_state(unknown).agents == {}


def test_streaming_events_are_those_of_the_agents(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch(event(cycle_id, kind, second, kind) for second, kind in enumerate(CycleEventType))
    assert messages(cycles.find_streaming_events(cycle_id)) == [
        kind for kind in CycleEventType if kind in STREAMING_EVENT_TYPES
    ]


def test_the_streaming_types_include_errors() -> None:
    assert STREAMING_EVENT_TYPES == (
        "tool_call",
        "tool_result",
        "reasoning_delta",
        "text_delta",
        "agent_start",
        "agent_complete",
        "error",
    )


def test_reading_on_from_an_event(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch(event(cycle_id, str(number), number, "text_delta") for number in range(5))
    ids = [stored.id for stored in cycles.find_events(cycle_id)]
    assert messages(cycles.find_events(cycle_id, after_id=0, limit=2)) == ["0", "1"]
    assert messages(cycles.find_events(cycle_id, after_id=ids[1], limit=2)) == ["2", "3"]
    assert messages(cycles.find_streaming_events(cycle_id, after_id=ids[3])) == ["4"]
    assert cycles.find_streaming_events(cycle_id, after_id=ids[4], limit=1) == []


def test_reading_on_misses_no_event_that_is_stored_late(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch([event(cycle_id, "third", 3), event(cycle_id, "first", 1)])
    seen = cycles.find_events(cycle_id, limit=2)
    cycles.add_events_batch([event(cycle_id, "second", 2), event(cycle_id, "fourth", 4)])
    highest = max(stored.id or 0 for stored in seen)
    assert messages(seen) == ["first", "third"]
    assert messages(cycles.find_events(cycle_id, after_id=highest)) == ["second", "fourth"]


def test_a_limit_that_makes_no_sense_is_refused(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    for limit in (0, -1, 10_001):
        with pytest.raises(InvalidDataError):
            cycles.find_events(cycle_id, limit=limit)


def test_the_state_of_the_agents_is_replayed_from_the_stored_events(cycles: CyclesRepository) -> None:
    cycle_id = running(cycles)
    cycles.add_events_batch(
        [
            # In the order in which their queues were emptied.
            event(cycle_id, "no quote", 3, "error", agent_type=TRADER),
            event(cycle_id, second=1, kind="text_delta", agent_type=TRADER, data={"text": "Buy "}),
            event(cycle_id, second=2, kind="text_delta", agent_type=TRADER, data={"text": "AAPL"}),
            event(cycle_id, second=0, kind="agent_start", agent_type=TRADER),
            event(cycle_id, second=9, kind="decision", agent_type=AgentType.CRITIC),
        ]
    )
    state = cycles.reconstruct_streaming_state(cycle_id)
    assert state.cycle_id == cycle_id
    assert list(state.agents) == [TRADER]
    trader = state.agents[TRADER]
    assert (trader.status, trader.error) == (AgentStreamingStatus.ERROR, "no quote")
    assert trader.text_output == "Buy AAPL"
    assert (trader.started_at, trader.last_update) == (NOON, NOON + timedelta(seconds=3))


def test_events_go_with_their_cycle(cycles: CyclesRepository) -> None:
    cycle_id, other = running(cycles), running(cycles)
    cycles.add_events_batch([event(cycle_id), event(other)])
    assert cycles.delete(cycle_id)
    assert [stored.cycle_id for stored in cycles.events.find_all()] == [other]


def test_an_event_of_a_failed_batch_leaves_the_callers_transaction_usable(store: Store) -> None:
    cycles = store[CyclesRepository]
    cycle_id = running(cycles)
    with store.transaction():
        cycles.add_event(event(cycle_id, "before"))
        with pytest.raises(ConstraintViolationError):
            cycles.add_events_batch([event(cycle_id, "lost"), event(new_id())])
        cycles.add_event(event(cycle_id, "after"))
    assert messages(cycles.find_events(cycle_id)) == ["before", "after"]


def test_events_of_all_cycles_can_be_filtered_changed_and_deleted(store: Store) -> None:
    cycles, events = store[CyclesRepository], store[CycleEventsRepository]
    cycle_id = running(cycles)
    cycles.add_events_batch(
        [
            event(cycle_id, "a", agent_type=TRADER, phase=CyclePhase.ACT, symbol="AAPL"),
            event(cycle_id, "b", 60 * 60 * 24),
        ]
    )
    assert messages(events.find_many({"agent_type": [TRADER], "phase": "act", "symbol": "aapl"}).data) == ["a"]
    assert messages(events.find_all({"to_date": date(2024, 3, 15)})) == ["a"]
    assert messages(events.find_all({"from_date": date(2024, 3, 16)})) == ["b"]
    first = events.find_all()[0]
    assert first.id is not None
    assert events.update(first.id, {"message": None, "data": {"corrected": True}}).data == {"corrected": True}
    with pytest.raises(InvalidDataError):
        events.update(first.id, {"cycle_id": new_id()})  # type: ignore[typeddict-unknown-key]  # which is the point
    assert events.delete(first.id)
    with pytest.raises(NotFoundError):
        events.update(first.id, {"message": "gone"})
