"""Cycles: their course, what becomes of orphans, figures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.core_trading import (
    ORPHANED_MESSAGE,
    Cycle,
    CycleAnalytics,
    CycleChanges,
    CyclePhase,
    CycleResult,
    CycleRow,
    CyclesRepository,
    CycleStatus,
    DecisionAction,
    DecisionDirection,
    DecisionSummary,
    OrderSide,
    OrderSummary,
    OrderSummaryStatus,
)
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    RepositoryError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once, overtaken

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
RUNNING, COMPLETED, FAILED = CycleStatus
BOUGHT = DecisionSummary(
    symbol="AAPL", action=DecisionAction.BUY, direction=DecisionDirection.LONG, confidence=Decimal("0.85")
)
ORDERED = OrderSummary(
    order_id="b-17", symbol="AAPL", side=OrderSide.BUY, quantity=Decimal("12.5"), status=OrderSummaryStatus.FILLED
)
RESULT = CycleResult(approved=True, iterations=2, decisions=[BOUGHT], orders=[ORDERED], duration_ms=4_200)


@pytest.fixture
def cycles(store: Store) -> CyclesRepository:
    return store[CyclesRepository]


def cycle(minute: int = 0, **others: Any) -> Cycle:
    """A cycle that started so many minutes after noon."""
    values: dict[str, Any] = {"environment": PAPER, "started_at": NOON + timedelta(minutes=minute)}
    return Cycle(**values | others)


def started(cycles: CyclesRepository, total_symbols: int = 10) -> Cycle:
    """A cycle that started at noon."""
    with clock_set_to(NOON):
        return cycles.start(PAPER, total_symbols)


def seconds(number: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=number)


def ended(cycles: CyclesRepository, status: CycleStatus) -> Cycle:
    new = started(cycles)
    return cycles.complete(new.id, RESULT) if status is COMPLETED else cycles.fail(new.id, "no quotes", "line 1")


def has_ended(outcome: object) -> bool:
    return isinstance(outcome, Cycle)


# Start


def test_a_started_cycle_is_running_since_now(cycles: CyclesRepository) -> None:
    with clock_set_to(NOON):
        new = cycles.start(PAPER, 25, "v7")
    assert new == Cycle(
        id=new.id,
        environment=PAPER,
        status=RUNNING,
        started_at=NOON,
        total_symbols=25,
        completed_symbols=0,
        progress_pct=Decimal(0),
        config_version="v7",
        created_at=NOON,
        updated_at=NOON,
    )
    assert cycles.find_by_id_or_raise(new.id) == new


def test_a_cycle_is_stored_with_all_that_it_says(cycles: CyclesRepository) -> None:
    given = cycle(
        status=COMPLETED,
        completed_at=seconds(4),
        duration_ms=0,
        current_phase=CyclePhase.COMPLETE,
        phase_started_at=seconds(3),
        total_symbols=3,
        completed_symbols=3,
        progress_pct=Decimal("99.99"),
        approved=False,
        iterations=0,
        decisions_count=1,
        orders_count=1,
        decisions=[BOUGHT.document()],
        orders=[ORDERED.document()],
        error_message="",
        error_stack="",
        config_version="",
    )
    assert cycles.create(given) == given


def test_a_given_id_is_honoured_and_taken_once(cycles: CyclesRepository) -> None:
    id = new_id()
    assert cycles.start(PAPER, id=str(id)).id == id
    with pytest.raises(DuplicateKeyError):
        cycles.start(PAPER, id=id)
    with pytest.raises(DuplicateKeyError):
        cycles.create(cycle(id=id))
    assert isinstance(cycles.start(PAPER, id="").id, UUID)
    with pytest.raises(InvalidDataError):
        cycles.start(PAPER, id="no uuid")


def test_a_test_database_must_be_told_the_environment(cycles: CyclesRepository) -> None:
    assert cycles.start("LIVE").environment is LIVE
    with pytest.raises(InvalidDataError):
        cycles.start()


def test_a_database_starts_cycles_of_its_own_environment_only(paper_store: Store) -> None:
    cycles = paper_store[CyclesRepository]
    assert cycles.start().environment is PAPER
    with pytest.raises(EnvironmentMismatchError):
        cycles.start(LIVE)


def test_a_number_of_symbols_that_makes_no_sense_is_refused(cycles: CyclesRepository) -> None:
    nonsense: list[Any] = [-1, 2**31, "3", True]
    for total in nonsense:
        with pytest.raises(InvalidDataError):
            cycles.start(PAPER, total)
    assert cycles.count() == 0


def test_two_cycles_may_run_in_one_environment(cycles: CyclesRepository) -> None:
    assert cycles.start(PAPER).id != cycles.start(PAPER).id


# Progress


def test_progress_is_written_and_told(cycles: CyclesRepository) -> None:
    new = started(cycles)
    with clock_set_to(seconds(5)):
        cycles.update_progress(new.id, CyclePhase.OBSERVE, 4, Decimal("40.25"), "4 of 10")
    assert cycles.find_by_id_or_raise(new.id) == new.replace(
        current_phase=CyclePhase.OBSERVE,
        phase_started_at=seconds(5),
        completed_symbols=4,
        progress_pct=Decimal("40.25"),
        updated_at=seconds(5),
    )
    [told] = cycles.find_events(new.id)
    assert (told.event_type, told.phase, told.message) == ("progress", CyclePhase.OBSERVE, "4 of 10")
    assert told.timestamp == seconds(5)


@pytest.mark.parametrize("message", [None, ""])
def test_progress_without_a_message_is_no_event(cycles: CyclesRepository, message: str | None) -> None:
    new = started(cycles)
    cycles.update_progress(new.id, "orient", 1, 10, message)
    assert cycles.find_events(new.id) == []


def test_a_phase_that_goes_on_keeps_its_start(cycles: CyclesRepository) -> None:
    new = started(cycles)
    starts = []
    for second, phase in enumerate(["observe", "observe", "orient", "observe"]):
        with clock_set_to(seconds(second)):
            cycles.update_progress(new.id, phase, second, 0)
        starts.append(cycles.find_by_id_or_raise(new.id).phase_started_at)
    assert starts == [seconds(0), seconds(0), seconds(2), seconds(3)]


def test_the_bounds_of_progress_belong_to_it(cycles: CyclesRepository) -> None:
    new = started(cycles)
    for completed, progress in ((0, 0), (10, 100), (10, Decimal("0.01"))):
        cycles.update_progress(new.id, "act", completed, progress)
        stored = cycles.find_by_id_or_raise(new.id)
        assert (stored.completed_symbols, stored.progress_pct) == (completed, progress)


def test_progress_that_makes_no_sense_changes_nothing(cycles: CyclesRepository) -> None:
    new = started(cycles)
    nonsense: list[tuple[str, Any, Any]] = [
        ("act", -1, 50),
        ("act", True, 50),
        ("act", "5", 50),
        ("act", 5, -1),
        ("act", 5, Decimal("-0.01")),
        ("act", 5, Decimal("100.01")),
        ("act", 5, 1_000),
        ("act", 5, Decimal("33.333")),
        ("act", 5, Decimal("NaN")),
        ("act", 5, 33.3),
        ("lunch", 5, 50),
        ("", 5, 50),
    ]
    for phase, completed, progress in nonsense:
        with pytest.raises(InvalidDataError):
            cycles.update_progress(new.id, phase, completed, progress, "told")
    with pytest.raises(ConstraintViolationError, match="11 completed symbols are more than its 10"):
        cycles.update_progress(new.id, "act", 11, 50, "told")
    assert cycles.find_by_id_or_raise(new.id) == new
    assert cycles.find_events(new.id) == []


def test_any_total_allows_none_completed(cycles: CyclesRepository, store: Store) -> None:
    new = started(cycles, total_symbols=0)
    CycleRow.update(total_symbols=None).execute(store.database)
    cycles.update_progress(new.id, "observe", 0, 0)
    with pytest.raises(ConstraintViolationError):
        cycles.update_progress(new.id, "observe", 1, 0)


def test_progress_is_undone_when_its_event_cannot_be_stored(cycles: CyclesRepository) -> None:
    new = started(cycles)
    with pytest.raises(InvalidDataError):
        cycles.update_progress(new.id, "observe", 1, 10, "nul \x00")
    assert cycles.find_by_id_or_raise(new.id) == new


# End


def test_completion_writes_the_result_and_what_follows_from_it(cycles: CyclesRepository) -> None:
    new = started(cycles)
    cycles.update(new.id, {"error_message": "a hiccup", "error_stack": "line 1", "phase_started_at": seconds(1)})
    with clock_set_to(seconds(5)):
        completed = cycles.complete(new.id, RESULT)
    assert completed == new.replace(
        status=COMPLETED,
        completed_at=seconds(5),
        duration_ms=4_200,
        current_phase=CyclePhase.COMPLETE,
        phase_started_at=seconds(1),
        completed_symbols=10,
        progress_pct=Decimal(100),
        approved=True,
        iterations=2,
        decisions_count=1,
        orders_count=1,
        decisions=[{"symbol": "AAPL", "action": "BUY", "direction": "LONG", "confidence": 0.85}],
        orders=[{"orderId": "b-17", "symbol": "AAPL", "side": "buy", "quantity": 12.5, "status": "filled"}],
        error_message=None,
        error_stack=None,
        updated_at=seconds(5),
    )
    assert cycles.find_by_id_or_raise(new.id) == completed


def test_an_empty_result_is_a_result(cycles: CyclesRepository) -> None:
    new = started(cycles, total_symbols=0)
    completed = cycles.complete(str(new.id), CycleResult(approved=False, iterations=0, duration_ms=0))
    assert (completed.approved, completed.iterations, completed.duration_ms) == (False, 0, 0)
    assert (completed.decisions, completed.orders) == ([], [])
    assert (completed.decisions_count, completed.orders_count, completed.completed_symbols) == (0, 0, 0)


def test_failure_keeps_how_far_the_cycle_came(cycles: CyclesRepository) -> None:
    new = started(cycles)
    with clock_set_to(seconds(1)):
        cycles.update_progress(new.id, "orient", 3, 30)
    before = cycles.find_by_id_or_raise(new.id)
    with clock_set_to(seconds(5)):
        failed = cycles.fail(new.id, "no quotes", "line 1", 4_200)
    assert failed == before.replace(
        status=FAILED,
        completed_at=seconds(5),
        duration_ms=4_200,
        error_message="no quotes",
        error_stack="line 1",
        updated_at=seconds(5),
    )


def test_failure_without_a_stack_keeps_the_one_that_is_there(cycles: CyclesRepository) -> None:
    new = started(cycles)
    cycles.update(new.id, {"error_stack": "line 1"})
    assert cycles.fail(new.id, "").error_stack == "line 1"
    assert cycles.find_events(new.id) == []


@pytest.mark.parametrize("end", ["complete", "fail", "orphan"])
def test_the_duration_is_by_default_since_the_start(cycles: CyclesRepository, end: str) -> None:
    def duration_until(time: datetime) -> int | None:
        new = started(cycles)
        with clock_set_to(time):
            if end == "complete":
                cycles.complete(new.id, CycleResult(approved=True, iterations=1))
            elif end == "fail":
                cycles.fail(new.id, "no quotes")
            else:
                cycles.mark_orphaned_as_failed()
        stored = cycles.find_by_id_or_raise(new.id)
        assert stored.status is not RUNNING
        return stored.duration_ms

    assert duration_until(seconds(0)) == 0
    assert duration_until(seconds(12.3456)) == 12_345
    assert duration_until(NOON + timedelta(microseconds=999)) == 0
    assert duration_until(NOON + timedelta(milliseconds=2**31 - 1)) == 2**31 - 1
    # What the column can't hold is no reason to leave a cycle running.
    assert duration_until(NOON + timedelta(milliseconds=2**31)) is None
    assert duration_until(seconds(-1)) is None


def test_a_duration_of_zero_is_a_duration(cycles: CyclesRepository) -> None:
    assert cycles.fail(started(cycles).id, "no quotes", duration_ms=0).duration_ms == 0


@pytest.mark.parametrize("status", [COMPLETED, FAILED])
def test_what_has_ended_neither_progresses_nor_ends_again(cycles: CyclesRepository, status: CycleStatus) -> None:
    stored = ended(cycles, status)
    for action in (
        partial(cycles.update_progress, stored.id, "act", 1, 10, "told"),
        partial(cycles.update_progress, stored.id, "act", 11, 10),
        partial(cycles.complete, stored.id, CycleResult(approved=False, iterations=9)),
        partial(cycles.fail, stored.id, "again"),
    ):
        with pytest.raises(ConstraintViolationError, match=f"it is {status}"):
            action()
    assert cycles.find_by_id_or_raise(stored.id) == stored
    assert cycles.find_events(stored.id) == []


@pytest.mark.parametrize("unknown", [new_id(), "no uuid", "", None])
def test_a_cycle_that_does_not_exist_is_not_found(cycles: CyclesRepository, unknown: Any) -> None:
    other = started(cycles)
    assert cycles.find_by_id(unknown) is None
    assert not cycles.delete(unknown)
    for action in (
        partial(cycles.find_by_id_or_raise, unknown),
        partial(cycles.update, unknown, {"iterations": 1}),
        partial(cycles.update, unknown, {"status": COMPLETED}),
        partial(cycles.update_progress, unknown, "act", 1, 10, "told"),
        partial(cycles.complete, unknown, RESULT),
        partial(cycles.fail, unknown, "again"),
    ):
        with pytest.raises(NotFoundError):
            action()
    assert cycles.find_all() == [other]
    assert cycles.events.count() == 0


# Summaries


def test_summaries_come_back_as_they_were_given(cycles: CyclesRepository) -> None:
    decisions = [
        DecisionSummary(
            symbol="BRK.B", action=action, direction=DecisionDirection.FLAT, confidence=Decimal("0.123456789012345")
        )
        for action in DecisionAction
    ]
    orders = [
        OrderSummary(order_id="", symbol="BRK.B", side=OrderSide.SELL, quantity=Decimal(0), status=status)
        for status in OrderSummaryStatus
    ]
    result = CycleResult(approved=True, iterations=1, decisions=decisions, orders=orders)
    completed = cycles.complete(started(cycles).id, result)
    assert completed.decision_summaries == decisions
    assert completed.order_summaries == orders
    assert [type(summary.action) for summary in completed.decision_summaries] == [DecisionAction] * 7


def test_what_nobody_declares_reads_as_plain_text() -> None:
    stored = cycle(
        decisions=[{"symbol": "AAPL", "action": "HEDGE", "direction": "UP", "confidence": "high"}, {}],
        orders=[{"orderId": "1", "symbol": "AAPL", "side": "BUY", "quantity": 3, "status": "lost"}, {}],
    )
    [decided, _], [ordered, _] = stored.decision_summaries, stored.order_summaries
    assert (decided.action, decided.direction, decided.confidence) == ("HEDGE", "UP", None)
    assert (ordered.side, ordered.quantity, ordered.status) == ("BUY", Decimal(3), "lost")


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": " "},
        {"action": "HEDGE"},
        {"direction": "UP"},
        {"confidence": Decimal("NaN")},
        {"confidence": Decimal("0.12345678901234567890")},
    ],
)
def test_a_decision_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    values: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "direction": "LONG", "confidence": None}
    with pytest.raises(InvalidDataError):
        DecisionSummary(**values | change).document()


@pytest.mark.parametrize(
    "change", [{"symbol": ""}, {"side": "BUY"}, {"status": "lost"}, {"quantity": Decimal("Infinity")}]
)
def test_an_order_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    values: dict[str, Any] = {"order_id": "1", "symbol": "AAPL", "side": "buy", "quantity": None, "status": "filled"}
    with pytest.raises(InvalidDataError):
        OrderSummary(**values | change).document()


# Update


def test_an_update_writes_what_is_given_and_nulls_too(cycles: CyclesRepository) -> None:
    new = started(cycles)
    changes: CycleChanges = {
        "completed_at": seconds(4),
        "duration_ms": 0,
        "current_phase": CyclePhase.ACT,
        "phase_started_at": seconds(3),
        "completed_symbols": 0,
        "progress_pct": Decimal("12.34"),
        "approved": False,
        "iterations": 0,
        "decisions_count": 0,
        "orders_count": 0,
        "decisions": [],
        "orders": [ORDERED.document()],
        "error_message": "",
        "error_stack": "",
    }
    with clock_set_to(seconds(5)):
        updated = cycles.update(new.id, changes)
    assert updated == new.replace(**changes, updated_at=seconds(5))
    emptied = cycles.update(new.id, {"duration_ms": None, "approved": None, "current_phase": None})
    assert (emptied.duration_ms, emptied.approved, emptied.current_phase) == (None, None, None)


def test_an_update_of_nothing_changes_nothing(cycles: CyclesRepository) -> None:
    new = started(cycles)
    assert cycles.update(new.id, {}) == new
    assert cycles.update(new.id, {"status": RUNNING}) == new


def test_what_a_cycle_started_with_stays(cycles: CyclesRepository) -> None:
    new = started(cycles)
    for name in ("id", "environment", "total_symbols", "config_version", "started_at", "created_at", "updated_at"):
        with pytest.raises(InvalidDataError):
            cycles.update(new.id, {name: getattr(new, name)})  # type: ignore[misc]  # which is the point


@pytest.mark.parametrize("status", [COMPLETED, FAILED])
def test_a_status_can_be_updated_from_running_only(cycles: CyclesRepository, status: CycleStatus) -> None:
    new = started(cycles)
    updated = cycles.update(new.id, {"status": status, "iterations": 3})
    assert (updated.status, updated.iterations, updated.completed_at) == (status, 3, None)
    assert cycles.update(new.id, {"status": status, "iterations": 4}).iterations == 4
    for other in set(CycleStatus) - {status}:
        with pytest.raises(ConstraintViolationError):
            cycles.update(new.id, {"status": other, "iterations": 5})
    assert cycles.find_by_id_or_raise(new.id).iterations == 4


def test_an_upsert_does_not_bring_a_cycle_back_to_life(cycles: CyclesRepository) -> None:
    completed = ended(cycles, COMPLETED)
    again = cycles.upsert(completed.replace(status=RUNNING, completed_at=None, duration_ms=None, iterations=7))
    assert again == completed.replace(iterations=7)


# Orphans


def test_orphans_fail_with_an_event_each(cycles: CyclesRepository) -> None:
    first, second = started(cycles), started(cycles)
    with clock_set_to(seconds(1)):
        cycles.update_progress(second.id, "orient", 3, 30)
    untouched = ended(cycles, COMPLETED)
    before = cycles.find_by_id_or_raise(second.id)
    with clock_set_to(seconds(5)):
        assert cycles.mark_orphaned_as_failed() == 2
    assert cycles.find_by_id_or_raise(second.id) == before.replace(
        status=FAILED,
        completed_at=seconds(5),
        duration_ms=5_000,
        error_message="Server restarted - cycle orphaned",
        updated_at=seconds(5),
    )
    for orphan, phase in ((first, None), (second, CyclePhase.ORIENT)):
        [told] = cycles.find_events(orphan.id)
        assert (told.event_type, told.phase, told.message) == ("error", phase, ORPHANED_MESSAGE)
        assert told.timestamp == seconds(5)
    assert cycles.find_by_id_or_raise(untouched.id) == untouched
    assert cycles.find_events(untouched.id) == []
    assert cycles.mark_orphaned_as_failed() == 0


def test_orphans_are_those_of_one_environment(cycles: CyclesRepository) -> None:
    paper, live = cycles.create(cycle()), cycles.create(cycle(environment=LIVE))
    assert cycles.mark_orphaned_as_failed("LIVE") == 1
    assert cycles.find_by_id_or_raise(live.id).status is FAILED
    assert cycles.find_by_id_or_raise(paper.id) == paper
    assert cycles.mark_orphaned_as_failed() == 1
    with pytest.raises(InvalidDataError):
        cycles.mark_orphaned_as_failed("PAPERS")


def test_a_database_ends_cycles_of_its_own_environment_only(paper_store: Store) -> None:
    cycles = paper_store[CyclesRepository]
    live = cycle(environment=LIVE)
    # As a program that shares the database would have it.
    CycleRow.insert(id=live.id, environment=LIVE, started_at=NOON).execute(paper_store.database)
    paper = cycles.start()
    assert cycles.mark_orphaned_as_failed() == 1
    assert cycles.mark_orphaned_as_failed(LIVE) == 0
    assert cycles.find_by_id_or_raise(paper.id).status is FAILED
    for action in (
        partial(cycles.update_progress, live.id, "act", 0, 10, "told"),
        partial(cycles.complete, live.id, RESULT),
        partial(cycles.fail, live.id, "no quotes"),
    ):
        with pytest.raises(NotFoundError):
            action()
    assert cycles.find_by_id_or_raise(live.id).status is RUNNING


def test_young_cycles_are_spared(cycles: CyclesRepository) -> None:
    old, exactly, young = (cycles.create(cycle(minute)) for minute in (0, 1, 2))
    with clock_set_to(NOON + timedelta(minutes=11)):
        assert cycles.mark_orphaned_as_failed(older_than=timedelta(minutes=10)) == 1
    assert [cycles.find_by_id_or_raise(one.id).status for one in (old, exactly, young)] == [FAILED, RUNNING, RUNNING]


def test_many_orphans_fail_at_once(cycles: CyclesRepository) -> None:
    cycles.create_many(cycle(minute) for minute in range(123))
    assert cycles.mark_orphaned_as_failed(PAPER) == 123
    assert cycles.events.count({"event_type": "error"}) == 123


# Look-ups


def test_pages_are_newest_first_and_ties_by_id(cycles: CyclesRepository) -> None:
    stored = [cycles.create(cycle(minute)) for minute in (1, 3, 2, 2)]
    newest_first = [stored[1], stored[3], stored[2], stored[0]]
    page = cycles.find_many(page=1, page_size=3)
    assert (page.data, page.total, page.page, page.page_size, page.total_pages) == (newest_first[:3], 4, 1, 3, 2)
    assert cycles.find_many(page=2, page_size=3).data == newest_first[3:]
    assert cycles.find_many(page=3, page_size=3).data == []
    assert cycles.find_many().page_size == 50
    assert cycles.find_recent(PAPER, 2) == newest_first[:2]
    assert cycles.find_recent() == newest_first


def test_recent_cycles_are_ten(cycles: CyclesRepository) -> None:
    cycles.create_many(cycle(minute) for minute in range(12))
    assert len(cycles.find_recent(PAPER)) == 10
    with pytest.raises(InvalidDataError):
        cycles.find_recent(PAPER, 0)


def test_filters_hold_together(cycles: CyclesRepository) -> None:
    paper = cycles.create(cycle())
    cycles.create(cycle(environment=LIVE))
    failed = cycles.create(cycle(60 * 24, status=FAILED))
    assert cycles.find_many({"environment": "PAPER", "status": "running"}).data == [paper]
    assert cycles.find_many({"environment": PAPER, "status": [RUNNING, FAILED]}).data == [failed, paper]
    assert cycles.find_many({"status": []}).data == []
    assert cycles.find_many({"environment": PAPER, "to_date": date(2024, 3, 15)}).data == [paper]
    assert cycles.find_many({"from_date": date(2024, 3, 16)}).data == [failed]


def test_the_running_cycle_is_the_newest_one(cycles: CyclesRepository) -> None:
    assert cycles.find_running(PAPER) is None
    cycles.create(cycle(3, status=COMPLETED))
    cycles.create(cycle(1))
    newest = cycles.create(cycle(2))
    live = cycles.create(cycle(4, environment=LIVE))
    assert cycles.find_running(PAPER) == newest
    assert cycles.find_running("LIVE") == live
    assert cycles.find_running() == live


def test_without_an_environment_the_databases_own_is_meant(paper_store: Store) -> None:
    cycles = paper_store[CyclesRepository]
    own = cycles.start()
    CycleRow.insert(environment=LIVE, started_at=own.started_at + timedelta(1)).execute(paper_store.database)
    assert cycles.find_running() == own
    assert cycles.find_recent() == [own]
    assert cycles.find_many().data == [own]
    assert cycles.get_cycle_analytics().total_cycles == 1


def test_what_other_programs_left_null_reads_as_nothing(store: Store) -> None:
    CycleRow.insert(
        environment=PAPER,
        started_at=NOON,
        total_symbols=None,
        completed_symbols=None,
        progress_pct=None,
        decisions_count=None,
        orders_count=None,
        decisions=None,
        orders=None,
    ).execute(store.database)
    [stored] = store[CyclesRepository].find_all()
    assert stored == cycle(id=stored.id, created_at=stored.created_at, updated_at=stored.updated_at)


# Figures


def test_figures_over_no_cycles(cycles: CyclesRepository) -> None:
    assert cycles.get_cycle_analytics() == CycleAnalytics(
        total_cycles=0,
        completion_rate=Decimal(0),
        approval_rate=Decimal(0),
        avg_duration_ms=None,
        avg_duration_ms_by_status=dict.fromkeys(CycleStatus),
        total_decisions=0,
        total_orders=0,
        status_distribution=dict.fromkeys(CycleStatus, 0),
    )


def test_figures(cycles: CyclesRepository) -> None:
    cycles.create_many(
        [
            cycle(status=COMPLETED, approved=True, duration_ms=100, decisions_count=3, orders_count=2),
            cycle(status=COMPLETED, approved=False, duration_ms=0, decisions_count=1),
            cycle(status=COMPLETED, approved=None),
            cycle(status=FAILED, approved=True, duration_ms=25),
            cycle(status=FAILED, approved=True),
            cycle(approved=True, orders_count=1),
        ]
    )
    figures = cycles.get_cycle_analytics()
    assert figures == CycleAnalytics(
        total_cycles=6,
        completion_rate=Decimal(50),
        approval_rate=Decimal(100) / 3,
        avg_duration_ms=Decimal(125) / 3,
        avg_duration_ms_by_status={RUNNING: None, COMPLETED: Decimal(50), FAILED: Decimal(25)},
        total_decisions=4,
        total_orders=3,
        status_distribution={RUNNING: 1, COMPLETED: 3, FAILED: 2},
    )
    assert list(figures.status_distribution) == list(CycleStatus)


def test_no_more_is_approved_than_completed(cycles: CyclesRepository) -> None:
    cycles.create_many([cycle(status=COMPLETED, approved=True), *(cycle(status=FAILED, approved=True) for _ in "123")])
    assert cycles.get_cycle_analytics().approval_rate == 100


def test_figures_are_of_the_cycles_that_the_filters_leave(cycles: CyclesRepository) -> None:
    cycles.create_many(
        [
            cycle(-1, status=COMPLETED),
            cycle(0, status=COMPLETED),
            cycle(0, status=FAILED),
            cycle(60 * 12 - 1, status=COMPLETED),
            cycle(60 * 12, status=COMPLETED),
            cycle(0, environment=LIVE),
        ]
    )

    def total(**filters: Any) -> int:
        return cycles.get_cycle_analytics(filters).total_cycles  # type: ignore[arg-type]  # keywords read better here

    assert total() == 6
    assert total(environment=PAPER) == 5
    assert total(environment=PAPER, status=[FAILED]) == 1
    assert total(environment=PAPER, status=[]) == 0
    assert total(environment=PAPER, from_date=NOON, to_date=date(2024, 3, 15)) == 3
    assert total(environment=PAPER, from_date=NOON, to_date=NOON) == 2
    assert cycles.get_cycle_analytics({"status": [FAILED]}).completion_rate == 0


def test_sums_may_exceed_what_a_column_holds(cycles: CyclesRepository) -> None:
    cycles.create_many(cycle(duration_ms=2**31 - 1, orders_count=2**31 - 1) for _ in range(3))
    figures = cycles.get_cycle_analytics()
    assert figures.avg_duration_ms == 2**31 - 1
    assert figures.total_orders == 3 * (2**31 - 1)


# Races


def test_a_cycle_ends_once(postgresql_store: Store) -> None:
    cycles = postgresql_store[CyclesRepository]
    for _ in range(5):
        new = started(cycles)
        outcomes: list[Cycle | RepositoryError] = at_once(
            *[partial(cycles.complete, new.id, RESULT), partial(cycles.fail, new.id, "no quotes")] * 3
        )
        [winner] = filter(has_ended, outcomes)
        assert all(isinstance(other, ConstraintViolationError | Cycle) for other in outcomes)
        assert cycles.find_by_id_or_raise(new.id) == winner


def test_a_cycle_that_completes_meanwhile_is_no_orphan(postgresql_store: Store) -> None:
    cycles = postgresql_store[CyclesRepository]
    new = started(cycles)
    assert overtaken(postgresql_store, cycles.mark_orphaned_as_failed, by=partial(cycles.complete, new.id, RESULT)) == 0
    assert cycles.find_by_id_or_raise(new.id).status is COMPLETED
    assert cycles.find_events(new.id) == []


def test_progress_that_comes_too_late_is_refused(postgresql_store: Store) -> None:
    cycles = postgresql_store[CyclesRepository]
    new = started(cycles)
    with pytest.raises(ConstraintViolationError):
        overtaken(
            postgresql_store,
            partial(cycles.update_progress, new.id, "act", 9, 90, "told"),
            by=partial(cycles.fail, new.id, "no quotes"),
        )
    assert cycles.find_events(new.id) == []


def test_servers_that_start_together_fail_each_orphan_once(postgresql_store: Store) -> None:
    cycles = postgresql_store[CyclesRepository]
    cycles.create_many(cycle(minute) for minute in range(20))
    counts = at_once(*[cycles.mark_orphaned_as_failed] * 4)
    assert sum(count for count in counts if isinstance(count, int)) == 20
    assert cycles.events.count() == 20
