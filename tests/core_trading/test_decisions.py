"""Decisions: what a cycle of the OODA loop decided to do with an instrument."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.core_trading import (
    DECISION_STATES,
    CalibrationBin,
    Cycle,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionAnalytics,
    DecisionDirection,
    DecisionMatch,
    DecisionRow,
    DecisionsRepository,
    DecisionStatus,
    Order,
    OrderSide,
    OrdersRepository,
    OrderType,
    SizeUnit,
    StrategyBreakdown,
)
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once, overtaken

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
FINAL = [DecisionStatus.REJECTED, DecisionStatus.EXECUTED, DecisionStatus.CANCELLED, DecisionStatus.EXPIRED]


@pytest.fixture
def decisions(store: Store) -> DecisionsRepository:
    return store[DecisionsRepository]


@pytest.fixture
def cycle_id(store: Store) -> UUID:
    return a_cycle_id(store)


def a_cycle_id(store: Store) -> UUID:
    return store[CyclesRepository].create(Cycle(environment=Environment.PAPER)).id


def a_decision(cycle_id: UUID, **values: Any) -> Decision:
    decided: dict[str, Any] = {
        "cycle_id": cycle_id,
        "symbol": "AAPL",
        "action": DecisionAction.BUY,
        "direction": DecisionDirection.LONG,
        "size": Decimal(100),
        "environment": Environment.PAPER,
    }
    return Decision(**(decided | values))


def ids(decisions: list[Decision]) -> list[UUID]:
    return [decision.id for decision in decisions]


# Storing


def test_a_decision_is_stored_as_it_was_given(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    given = a_decision(
        cycle_id,
        symbol="brk.b\n",
        action=DecisionAction.REDUCE,
        direction=DecisionDirection.SHORT,
        size=Decimal("9999999999.9999"),
        size_unit=SizeUnit.PCT_EQUITY,
        entry_price=Decimal("187.25"),
        stop_price=Decimal("-0.0001"),
        target_price=Decimal(0),
        strategy_family="",
        time_horizon="1d",
        bullish_factors=["margins", {"weight": 0.5}],
        bearish_factors=[[]],
        confidence_score=Decimal("0.123"),
        risk_score=Decimal(1),
        metadata={"model": None, "depth": [1, 2]},
        rationale="Günstig.",
        environment=Environment.LIVE,
        created_at=NOON,
        updated_at=LATER,
        executed_at=NOON,
        closed_at=LATER,
        status=DecisionStatus.EXECUTED,
    )

    stored = decisions.create(given)

    assert stored == given.replace(symbol="BRK.B")
    assert decisions.find_by_id(given.id) == stored
    assert decisions.find_by_id_or_raise(str(given.id)) == stored


def test_a_new_decision_is_pending_and_plain(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    with clock_set_to(NOON):
        decision = decisions.create(a_decision(cycle_id, size=Decimal(0)))

    assert (decision.status, decision.size, decision.size_unit) == (
        DecisionStatus.PENDING,
        Decimal(0),
        SizeUnit.SHARES,
    )
    assert (decision.bullish_factors, decision.bearish_factors, decision.metadata) == ([], [], {})
    assert (decision.entry_price, decision.stop_price, decision.target_price) == (None, None, None)
    assert (decision.confidence_score, decision.risk_score, decision.rationale) == (None, None, None)
    assert (decision.strategy_family, decision.time_horizon) == (None, None)
    assert (decision.created_at, decision.updated_at) == (NOON, NOON)
    assert (decision.executed_at, decision.closed_at) == (None, None)


def test_documents_that_another_program_left_out_read_as_empty(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = decisions.create(a_decision(cycle_id))
    DecisionRow.update(bullish_factors=None, bearish_factors=None, metadata=None).execute(decisions.database)

    assert decisions.find_by_id(decision.id) == decision


def test_impossible_decisions_are_refused(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = a_decision(cycle_id)
    broken_checks: list[tuple[str, dict[str, Any]]] = [
        ("non_negative_size", {"size": Decimal("-0.0001")}),
        ("valid_confidence", {"confidence_score": Decimal("1.001")}),
        ("valid_confidence", {"confidence_score": Decimal("-0.001")}),
        ("valid_risk", {"risk_score": Decimal("1.001")}),
    ]
    for check, values in broken_checks:
        with pytest.raises(ConstraintViolationError) as caught:
            decisions.create(decision.replace(**values))
        assert caught.value.constraint == check
    with pytest.raises(ConstraintViolationError):
        decisions.create(a_decision(new_id()))
    impossible: list[dict[str, Any]] = [
        {"symbol": " "},
        {"size": Decimal("0.00001")},
        {"action": "buy"},
        {"metadata": {"size": float("nan")}},
        {"bullish_factors": "margins"},
    ]
    for values in impossible:
        with pytest.raises(InvalidDataError):
            decisions.create(decision.replace(**values))
    assert decisions.count() == 0

    decisions.create(decision)
    with pytest.raises(DuplicateKeyError):
        decisions.create(decision)


def test_a_batch_is_stored_whole_or_not_at_all(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    batch = [a_decision(cycle_id) for _ in range(3)]

    with pytest.raises(ConstraintViolationError):
        decisions.create_many([*batch, a_decision(new_id())])
    assert decisions.count() == 0
    assert decisions.create_many(batch) == batch


def test_storing_a_decision_again_does_not_undo_its_course(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    given = a_decision(cycle_id)
    decisions.create(given)
    executed = decisions.update_status(given.id, DecisionStatus.EXECUTED)

    again = decisions.upsert(given.replace(rationale="Cheap.", updated_at=LATER))

    assert again == executed.replace(rationale="Cheap.", updated_at=LATER)
    with pytest.raises(ConstraintViolationError, match="another environment"):
        decisions.upsert(given.replace(environment=Environment.LIVE))
    assert decisions.find_by_id(given.id) == again


def test_a_decision_with_orders_stays(store: Store, decisions: DecisionsRepository, cycle_id: UUID) -> None:
    ordered = decisions.create(a_decision(cycle_id))
    order = store[OrdersRepository].create(
        Order(
            decision_id=ordered.id,
            symbol="AAPL",
            side=OrderSide.BUY,
            quantity=Decimal(1),
            order_type=OrderType.MARKET,
            environment=Environment.PAPER,
        )
    )

    with pytest.raises(ConstraintViolationError):
        decisions.delete(ordered.id)
    store[OrdersRepository].delete(order.id)
    assert decisions.delete(ordered.id) is True
    assert decisions.delete(ordered.id) is False


def test_text_that_is_no_id_names_no_decision(decisions: DecisionsRepository) -> None:
    assert decisions.find_by_id("decision-1") is None
    assert decisions.find_by_cycle("cycle-1") == []
    assert decisions.find_many({"cycle_id": "cycle-1"}).total == 0
    assert decisions.delete("decision-1") is False
    for attempt in (
        partial(decisions.find_by_id_or_raise, "decision-1"),
        partial(decisions.update, "decision-1", {"rationale": None}),
        partial(decisions.update_status, "decision-1", DecisionStatus.APPROVED),
    ):
        with pytest.raises(NotFoundError, match="decision-1"):
            attempt()


# Finding


def test_a_page_holds_the_newest_decisions_and_ties_go_by_id(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    old = decisions.create(a_decision(cycle_id, created_at=NOON - timedelta(hours=1)))
    tied = sorted(ids(decisions.create_many([a_decision(cycle_id, created_at=NOON) for _ in range(4)])))

    first, second = decisions.find_many(limit=3), decisions.find_many(limit=3, offset=3)

    assert ids(first.data) == [*reversed(tied[1:])]
    assert ids(second.data) == [tied[0], old.id]
    assert (first.total, first.limit, first.offset, second.total) == (5, 3, 0, 5)
    assert decisions.find_many().limit == 20


def test_decisions_are_found_by_what_they_are(store: Store, decisions: DecisionsRepository, cycle_id: UUID) -> None:
    other = decisions.create(a_decision(cycle_id, created_at=NOON - timedelta(days=1)))
    wanted = decisions.create(
        a_decision(
            a_cycle_id(store),
            symbol="MSFT",
            action=DecisionAction.SELL,
            direction=DecisionDirection.FLAT,
            status=DecisionStatus.APPROVED,
            environment=Environment.LIVE,
            created_at=NOON,
        )
    )

    filters: list[Any] = [
        {"symbol": " msft"},
        {"symbol": ["msft", "NVDA"]},
        {"status": "approved"},
        {"status": [DecisionStatus.APPROVED, DecisionStatus.EXECUTED]},
        {"action": DecisionAction.SELL},
        {"direction": "FLAT"},
        {"environment": "LIVE"},
        {"cycle_id": wanted.cycle_id},
        {"from_date": NOON},
        {"from_date": date(2026, 3, 2), "to_date": date(2026, 3, 2)},
    ]
    for one in filters:
        assert decisions.find_many(one).data == [wanted], one
        assert decisions.get_decision_analytics(one).total_decisions == 1
    assert decisions.find_many({"to_date": NOON - timedelta(days=1)}).data == [other]
    assert decisions.find_many({"symbol": None, "status": None}).data == [wanted, other]
    assert decisions.find_many({"status": []}).total == 0
    assert decisions.find_many({"symbol": "MSFT", "action": "BUY"}).total == 0


def test_filters_that_make_no_sense_are_refused(decisions: DecisionsRepository) -> None:
    naive = NOON.replace(tzinfo=None)
    nonsense: list[Any] = [{"symbol": ""}, {"status": "open"}, {"to_date": naive}, {"from_date": "now"}, {"size": 1}]
    for filters in nonsense:
        for find in (
            decisions.find_many,
            decisions.get_decision_analytics,
            decisions.get_confidence_calibration,
            decisions.get_strategy_breakdown,
        ):
            with pytest.raises(InvalidDataError):
                find(filters)


def test_the_decisions_on_an_instrument_are_the_newest(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    stored = decisions.create_many([a_decision(cycle_id) for _ in range(21)])
    live = decisions.create(a_decision(cycle_id, environment=Environment.LIVE))
    decisions.create(a_decision(cycle_id, symbol="MSFT"))

    assert decisions.find_by_symbol("aapl ") == [live, *stored[:1:-1]]
    assert decisions.find_by_symbol("AAPL", environment="PAPER") == stored[:0:-1]
    assert decisions.find_by_symbol("AAPL", 1, Environment.LIVE) == [live]
    assert decisions.find_by_symbol("A") == []
    for symbol, limit in (("", 20), ("AAPL", 0), ("AAPL", 10_001)):
        with pytest.raises(InvalidDataError):
            decisions.find_by_symbol(symbol, limit)


def test_the_decisions_of_a_cycle_are_complete(store: Store, decisions: DecisionsRepository, cycle_id: UUID) -> None:
    stored = decisions.create_many([a_decision(cycle_id) for _ in range(25)])
    decisions.create(a_decision(a_cycle_id(store)))

    assert decisions.find_by_cycle(cycle_id) == decisions.find_by_cycle(str(cycle_id)) == stored[::-1]
    assert decisions.find_by_cycle(new_id()) == []


def test_recent_decisions_are_the_newest(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    stored = decisions.create_many([a_decision(cycle_id) for _ in range(11)])
    live = decisions.create(a_decision(cycle_id, environment=Environment.LIVE))

    assert decisions.find_recent("PAPER") == stored[:0:-1]
    assert decisions.find_recent(limit=2) == [live, stored[-1]]
    assert decisions.find_recent(Environment.LIVE) == [live]


def test_a_window_holds_the_decisions_of_the_last_hours(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    at_the_edge = decisions.create(a_decision(cycle_id, created_at=NOON - timedelta(minutes=90)))
    decisions.create(a_decision(cycle_id, created_at=NOON - timedelta(minutes=90, microseconds=1)))
    sale = decisions.create(
        a_decision(
            cycle_id,
            symbol="MSFT",
            action=DecisionAction.SELL,
            status=DecisionStatus.EXECUTED,
            created_at=NOON - timedelta(minutes=1),
        )
    )
    live = decisions.create(a_decision(cycle_id, environment=Environment.LIVE, created_at=NOON))

    with clock_set_to(NOON):
        find = partial(decisions.find_recent_within_window, Environment.PAPER)
        assert find(1.5) == find(Decimal("1.5")) == [sale, at_the_edge]
        assert find(1) == find(0.017) == [sale]
        assert find(1.5, actions=[], status=[], symbols=[]) == [sale, at_the_edge]
        assert find(1.5, actions=["BUY"]) == find(1.5, symbols=["aapl"]) == [at_the_edge]
        assert find(1.5, status=[DecisionStatus.EXECUTED, DecisionStatus.APPROVED]) == [sale]
        assert find(1.5, actions=["BUY"], symbols=["MSFT"]) == []
        assert find(1.5, limit=1) == [sale]
        assert decisions.find_recent_within_window("LIVE", 1) == [live]
        assert decisions.find_recent_within_window(None, 1) == [live, sale]


def test_a_window_is_neither_empty_nor_endless(decisions: DecisionsRepository) -> None:
    for hours in (0, -1, float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"), 24 * 366 * 10 + 1):
        with pytest.raises(InvalidDataError, match="lookback_hours"):
            decisions.find_recent_within_window("PAPER", hours)
    assert decisions.find_recent_within_window("PAPER", 24 * 366 * 10) == []


def test_search_finds_text_in_symbol_or_action(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    bought = decisions.create(a_decision(cycle_id, symbol="SELB"))
    sold = decisions.create(a_decision(cycle_id, symbol="A_B", action=DecisionAction.SELL))
    live = decisions.create(a_decision(cycle_id, symbol="A%B", environment=Environment.LIVE))

    assert decisions.search(" sel ") == [
        DecisionMatch(id=sold.id, symbol="A_B", action=DecisionAction.SELL),
        DecisionMatch(id=bought.id, symbol="SELB", action=DecisionAction.BUY),
    ]
    assert [match.id for match in decisions.search("buy")] == [live.id, bought.id]
    assert [match.id for match in decisions.search("buy", environment="PAPER")] == [bought.id]
    assert [match.id for match in decisions.search("_")] == [sold.id]
    assert [match.id for match in decisions.search("%")] == [live.id]
    assert [match.id for match in decisions.search("b", limit=1)] == [live.id]
    assert decisions.search("") == decisions.search("  ") == decisions.search("\\") == []
    assert decisions.search("'; DROP TABLE decisions") == []


def test_search_gives_five_matches_unless_told_otherwise(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    stored = decisions.create_many([a_decision(cycle_id) for _ in range(6)])

    assert [match.id for match in decisions.search("aapl")] == ids(stored)[:0:-1]
    assert len(decisions.search("aapl", 6)) == 6


def test_every_status_is_counted(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    none = dict.fromkeys(DecisionStatus, 0)
    assert decisions.count_by_status() == none

    decisions.create_many([a_decision(cycle_id), a_decision(cycle_id)])
    decisions.create(a_decision(cycle_id, status=DecisionStatus.EXPIRED, environment=Environment.LIVE))

    assert decisions.count_by_status("PAPER") == none | {DecisionStatus.PENDING: 2}
    assert decisions.count_by_status() == none | {DecisionStatus.PENDING: 2, DecisionStatus.EXPIRED: 1}
    with pytest.raises(InvalidDataError):
        decisions.count_by_status("DEMO")


def test_a_paper_database_shows_and_takes_its_own_decisions_only(paper_store: Store) -> None:
    decisions = paper_store[DecisionsRepository]
    cycle_id = a_cycle_id(paper_store)
    own = decisions.create(a_decision(cycle_id, confidence_score=Decimal("0.5")))
    live = a_decision(cycle_id, confidence_score=Decimal("0.7"), environment=Environment.LIVE).as_dict()
    written_by_another_program = {DecisionRow._meta.combined[name]: value for name, value in live.items()}
    DecisionRow.insert(written_by_another_program).execute(paper_store.database)

    assert decisions.find_recent() == decisions.find_by_symbol("AAPL") == decisions.find_many().data == [own]
    assert decisions.find_recent_within_window(None, 1) == [own]
    assert [match.id for match in decisions.search("AAPL")] == [own.id]
    assert decisions.count_by_status()[DecisionStatus.PENDING] == 1
    assert decisions.get_decision_analytics().avg_confidence == Decimal("0.5")
    assert [one.bin for one in decisions.get_confidence_calibration()] == ["40-60"]
    assert [one.count for one in decisions.get_strategy_breakdown()] == [1]
    assert decisions.get_decision_analytics({"environment": "LIVE"}).avg_confidence == Decimal("0.7")
    with pytest.raises(EnvironmentMismatchError):
        decisions.create(a_decision(cycle_id, environment=Environment.LIVE))


# Changing


def test_given_columns_are_written_and_others_stay(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = decisions.create(
        a_decision(
            cycle_id,
            entry_price=Decimal(1),
            bullish_factors=["margins"],
            metadata={"model": "a"},
            confidence_score=Decimal("0.5"),
            rationale="Cheap.",
            updated_at=NOON,
        )
    )

    with clock_set_to(LATER):
        changed = decisions.update(
            decision.id,
            {
                "symbol": "msft",
                "size": Decimal(0),
                "size_unit": SizeUnit.DOLLARS,
                "entry_price": None,
                "target_price": Decimal(0),
                "strategy_family": "momentum",
                "time_horizon": "1w",
                "bullish_factors": [],
                "metadata": {"depth": 1},
                "confidence_score": None,
                "risk_score": Decimal(0),
            },
        )

    assert changed == decision.replace(
        symbol="MSFT",
        size=Decimal(0),
        size_unit=SizeUnit.DOLLARS,
        entry_price=None,
        target_price=Decimal(0),
        strategy_family="momentum",
        time_horizon="1w",
        bullish_factors=[],
        metadata={"depth": 1},
        confidence_score=None,
        risk_score=Decimal(0),
        updated_at=LATER,
    )
    assert decisions.find_by_id(decision.id) == changed


def test_nothing_given_changes_nothing(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = decisions.create(a_decision(cycle_id))

    assert decisions.update(decision.id, {}) == decision
    assert decisions.update(decision.id, {"status": DecisionStatus.PENDING}) == decision
    for changes in ({}, {"rationale": None}, {"status": DecisionStatus.PENDING}):
        with pytest.raises(NotFoundError):
            decisions.update(new_id(), changes)  # type: ignore[arg-type]  # a loop variable is no TypedDict


def test_cycle_environment_and_times_can_not_be_changed(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = decisions.create(a_decision(cycle_id))

    for name in ("id", "cycle_id", "environment", "created_at", "executed_at", "closed_at", "price"):
        for others in ({}, {"status": DecisionStatus.APPROVED}):
            with pytest.raises(InvalidDataError, match=f"decisions.{name} can't be changed"):
                decisions.update(decision.id, {name: None, **others})  # type: ignore[misc]  # as a checker says too
    assert decisions.find_by_id(decision.id) == decision


def test_an_impossible_change_leaves_the_decision_as_it_was(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = decisions.create(a_decision(cycle_id))

    with pytest.raises(ConstraintViolationError):
        decisions.update(decision.id, {"size": Decimal(-1), "status": DecisionStatus.APPROVED})
    with pytest.raises(InvalidDataError, match=r"decisions.status: 'done' is not one of"):
        decisions.update_status(decision.id, "done")
    assert decisions.find_by_id(decision.id) == decision


# Status


def test_only_allowed_moves_are_made(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    for state in DecisionStatus:
        for successor in DecisionStatus:
            decision = decisions.create(a_decision(cycle_id, status=state))
            if state == successor:
                assert decisions.update_status(decision.id, successor) == decision
            elif DECISION_STATES.allows(state, successor):
                assert decisions.update_status(decision.id, successor).status == successor
            else:
                with pytest.raises(ConstraintViolationError, match=f"status {state} can't become {successor}"):
                    decisions.update(decision.id, {"status": successor, "rationale": "Late."})
                assert decisions.find_by_id(decision.id) == decision


def test_which_moves_are_allowed() -> None:
    assert DECISION_STATES.terminal == frozenset(FINAL)
    assert set(DECISION_STATES.after(DecisionStatus.PENDING)) == set(DecisionStatus) - {DecisionStatus.PENDING}
    assert set(DECISION_STATES.after(DecisionStatus.APPROVED)) == {
        DecisionStatus.EXECUTED,
        DecisionStatus.CANCELLED,
        DecisionStatus.EXPIRED,
    }


def test_final_statuses_set_their_times_once(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    for status in DecisionStatus:
        decision = decisions.create(a_decision(cycle_id, updated_at=NOON - timedelta(days=1)))

        with clock_set_to(NOON):
            moved = decisions.update_status(decision.id, status.value)
        with clock_set_to(LATER):
            repeated = decisions.update_status(decision.id, status)

        assert moved.executed_at == (NOON if status is DecisionStatus.EXECUTED else None)
        assert moved.closed_at == (NOON if status in FINAL else None)
        assert moved.updated_at == (decision.updated_at if status is DecisionStatus.PENDING else NOON)
        assert repeated == moved


def test_other_changes_come_with_a_move_and_without_one(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    decision = decisions.create(a_decision(cycle_id))

    with clock_set_to(NOON):
        executed = decisions.update(decision.id, {"status": DecisionStatus.EXECUTED, "rationale": "Cheap."})
    with clock_set_to(LATER):
        repeated = decisions.update(decision.id, {"status": DecisionStatus.EXECUTED, "rationale": "Very cheap."})

    assert (executed.status, executed.rationale, executed.executed_at) == (DecisionStatus.EXECUTED, "Cheap.", NOON)
    assert repeated == executed.replace(rationale="Very cheap.", updated_at=LATER)


# Figures


def test_without_decisions_there_are_no_figures(decisions: DecisionsRepository) -> None:
    assert decisions.get_decision_analytics() == DecisionAnalytics(
        total_decisions=0,
        executed=0,
        approved=0,
        execution_rate=Decimal(0),
        status_distribution={},
        action_distribution={},
        direction_distribution={},
        avg_confidence=None,
        avg_risk=None,
    )
    assert decisions.get_confidence_calibration() == []
    assert decisions.get_strategy_breakdown() == []


def test_analytics_count_and_average_what_matches(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    sold = {"action": DecisionAction.SELL, "direction": DecisionDirection.FLAT}
    decisions.create_many(
        [
            a_decision(cycle_id, status=DecisionStatus.EXECUTED, confidence_score=Decimal("0.1")),
            a_decision(cycle_id, status=DecisionStatus.APPROVED, confidence_score=Decimal("0.2"), **sold),
            a_decision(cycle_id, risk_score=Decimal(0), **sold),
            a_decision(cycle_id, symbol="MSFT", status=DecisionStatus.EXECUTED, confidence_score=Decimal(1)),
        ]
    )

    assert decisions.get_decision_analytics({"symbol": "AAPL"}) == DecisionAnalytics(
        total_decisions=3,
        executed=1,
        approved=1,
        execution_rate=Decimal(200) / 3,
        status_distribution={
            DecisionStatus.EXECUTED: 1,
            DecisionStatus.APPROVED: 1,
            DecisionStatus.PENDING: 1,
        },
        action_distribution={DecisionAction.BUY: 1, DecisionAction.SELL: 2},
        direction_distribution={DecisionDirection.LONG: 1, DecisionDirection.FLAT: 2},
        avg_confidence=Decimal("0.15"),
        avg_risk=Decimal(0),
    )
    assert decisions.get_decision_analytics({"status": []}).total_decisions == 0


def test_an_average_is_not_rounded(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    scores = [Decimal("0.1"), Decimal("0.1"), Decimal("0.2")]
    decisions.create_many([a_decision(cycle_id, confidence_score=score, risk_score=score) for score in scores])

    analytics = decisions.get_decision_analytics()
    [breakdown] = decisions.get_strategy_breakdown()

    third = Decimal("0.4") / 3
    assert (analytics.avg_confidence, analytics.avg_risk) == (third, third)
    assert (breakdown.avg_confidence, breakdown.avg_risk) == (third, third)


def test_bins_include_their_lower_bound(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    scores = ["0", "0.199", "0.2", "0.399", "0.4", "0.599", "0.6", "0.799", "0.8", "1"]
    decisions.create_many([a_decision(cycle_id, confidence_score=Decimal(score)) for score in scores])
    decisions.create(a_decision(cycle_id))

    bins = decisions.get_confidence_calibration()

    assert [(one.bin, one.total) for one in bins] == [
        ("0-20", 2),
        ("20-40", 2),
        ("40-60", 2),
        ("60-80", 2),
        ("80-100", 2),
    ]


def test_calibration_tells_how_often_each_bin_was_carried_out(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    low, high = Decimal("0.1"), Decimal("0.9")
    decisions.create_many(
        [
            a_decision(cycle_id, confidence_score=high, status=DecisionStatus.EXECUTED),
            a_decision(cycle_id, confidence_score=high, status=DecisionStatus.APPROVED),
            a_decision(cycle_id, confidence_score=high, status=DecisionStatus.REJECTED),
            a_decision(cycle_id, confidence_score=low),
        ]
    )

    assert decisions.get_confidence_calibration() == [
        CalibrationBin(bin="0-20", total=1, executed=0, execution_rate=Decimal(0)),
        CalibrationBin(bin="80-100", total=3, executed=2, execution_rate=Decimal(200) / 3),
    ]
    assert [one.bin for one in decisions.get_confidence_calibration({"status": "pending"})] == ["0-20"]


def test_strategies_come_by_frequency_then_name(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    families = ["value", "value", "value", None, "momentum", "Unknown", None, "carry", "Unknown"]
    decisions.create_many([a_decision(cycle_id, strategy_family=family) for family in families])

    breakdown = decisions.get_strategy_breakdown()

    assert [(one.strategy_family, one.is_named, one.count) for one in breakdown] == [
        ("value", True, 3),
        ("Unknown", True, 2),
        ("Unknown", False, 2),
        ("carry", True, 1),
        ("momentum", True, 1),
    ]


def test_a_strategys_figures(decisions: DecisionsRepository, cycle_id: UUID) -> None:
    momentum = partial(a_decision, cycle_id, strategy_family="momentum")
    decisions.create_many(
        [
            momentum(status=DecisionStatus.EXECUTED, confidence_score=Decimal("0.1"), risk_score=Decimal("0.3")),
            momentum(status=DecisionStatus.EXECUTED, confidence_score=Decimal("0.2")),
            momentum(status=DecisionStatus.APPROVED, confidence_score=Decimal("0.6")),
            momentum(),
            momentum(symbol="MSFT"),
        ]
    )

    assert decisions.get_strategy_breakdown({"symbol": "AAPL"}) == [
        StrategyBreakdown(
            strategy_family="momentum",
            is_named=True,
            count=4,
            executed_count=3,
            approval_rate=Decimal(75),
            executed=2,
            approved=1,
            avg_confidence=Decimal("0.3"),
            avg_risk=Decimal("0.3"),
        )
    ]
    [without_scores] = decisions.get_strategy_breakdown({"symbol": "MSFT"})
    assert (without_scores.avg_confidence, without_scores.avg_risk) == (None, None)
    assert without_scores.approval_rate == Decimal(0)


# Races


def test_a_move_that_waited_for_another_is_judged_by_the_new_status(postgresql_store: Store) -> None:
    decisions = postgresql_store[DecisionsRepository]
    decision = decisions.create(a_decision(a_cycle_id(postgresql_store)))

    with pytest.raises(ConstraintViolationError, match="status rejected can't become executed"):
        overtaken(
            postgresql_store,
            lambda: decisions.update_status(decision.id, DecisionStatus.EXECUTED),
            by=lambda: decisions.update_status(decision.id, DecisionStatus.REJECTED),
        )

    stored = decisions.find_by_id_or_raise(decision.id)
    assert (stored.status, stored.executed_at) == (DecisionStatus.REJECTED, None)


def test_changes_are_not_lost_to_somebody_elses_move(postgresql_store: Store) -> None:
    decisions = postgresql_store[DecisionsRepository]
    decision = decisions.create(a_decision(a_cycle_id(postgresql_store)))

    with clock_set_to(NOON):
        moved = overtaken(
            postgresql_store,
            lambda: decisions.update(decision.id, {"status": DecisionStatus.APPROVED, "rationale": "Cheap."}),
            by=lambda: decisions.update_status(decision.id, DecisionStatus.APPROVED),
        )

    assert moved == decision.replace(status=DecisionStatus.APPROVED, rationale="Cheap.", updated_at=NOON)


def test_of_two_moves_at_once_exactly_one_holds(postgresql_store: Store) -> None:
    decisions = postgresql_store[DecisionsRepository]
    cycle_id = a_cycle_id(postgresql_store)
    for _ in range(10):
        decision = decisions.create(a_decision(cycle_id))

        outcomes = at_once(
            partial(decisions.update_status, decision.id, DecisionStatus.EXECUTED),
            partial(decisions.update_status, decision.id, DecisionStatus.REJECTED),
        )

        [winner] = [outcome for outcome in outcomes if isinstance(outcome, Decision)]
        [refusal] = [outcome for outcome in outcomes if not isinstance(outcome, Decision)]
        assert isinstance(refusal, ConstraintViolationError)
        assert decisions.find_by_id(decision.id) == winner


def test_a_missing_cycle_or_symbol_finds_nothing_rather_than_everything(
    decisions: DecisionsRepository, cycle_id: UUID
) -> None:
    decisions.create(a_decision(cycle_id))

    assert decisions.find_by_cycle(None) == []  # type: ignore[arg-type]  # what a careless caller passes
    assert decisions.find_by_symbol(None) == []  # type: ignore[arg-type]  # as above
