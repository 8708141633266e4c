"""The course of a thesis: which state may follow which, entering and closing, and the history of it all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal, localcontext
from functools import partial
from typing import Any

import pytest

from cream_plugins.thesis import (
    THESIS_STATES,
    CloseReason,
    Thesis,
    ThesisState,
    ThesisStateHistoryEntry,
    ThesisStateRepository,
    is_valid_transition,
)
from cream_store import ConstraintViolationError, InvalidDataError, RepositoryError, Store, clock_set_to, new_id
from tests.races import at_once, overtaken
from tests.thesis.samples import ENTRY, NOON, STOP, TARGET, a_thesis, hours, stored, write

WATCHING, ENTERED, ADDING, MANAGING, EXITING, CLOSED = ThesisState
BY_TRANSITION = (ADDING, MANAGING, EXITING)

PUBLISHED = {
    WATCHING: {ENTERED, CLOSED},
    ENTERED: {ADDING, MANAGING, EXITING, CLOSED},
    ADDING: {MANAGING, EXITING, CLOSED},
    MANAGING: {ADDING, EXITING, CLOSED},
    EXITING: {MANAGING, CLOSED},
    CLOSED: {WATCHING},
}


@pytest.fixture
def theses(store: Store) -> ThesisStateRepository:
    return store[ThesisStateRepository]


def assert_unchanged(
    theses: ThesisStateRepository, thesis: Thesis, attempt: Callable[[], object], why: str | None = None
) -> None:
    """An attempt is refused as a violation, and leaves thesis and history as they are."""
    history = theses.get_history(thesis.thesis_id)
    with pytest.raises(ConstraintViolationError, match=why):
        attempt()
    assert theses.find_by_id_or_raise(thesis.thesis_id) == thesis
    assert theses.get_history(thesis.thesis_id) == history


# Transitions


def test_the_published_table_is_kept() -> None:
    for before in ThesisState:
        for after in ThesisState:
            assert is_valid_transition(before, after) == (after in PUBLISHED[before])
            assert is_valid_transition(before.value, after.value) == (after in PUBLISHED[before])
    assert not is_valid_transition("OPEN", "CLOSED")
    assert not is_valid_transition("WATCHING", "entered")


def test_a_closed_thesis_stays_closed_whatever_the_table_says() -> None:
    assert {state: set(THESIS_STATES.after(state)) for state in ThesisState} == PUBLISHED | {CLOSED: set()}


def test_a_transition_is_made_and_told(theses: ThesisStateRepository) -> None:
    cycle_id = new_id()
    thesis = stored(theses, ENTERED, conviction=Decimal("0.8"))
    with clock_set_to(hours(1)):
        moved = theses.transition_state(
            thesis.thesis_id, "MANAGING", "Trend holds", cycle_id, Decimal("101.5"), "by the book"
        )

    assert moved == thesis.replace(state=MANAGING, last_updated=hours(1))
    assert theses.find_by_id(thesis.thesis_id) == moved
    entry = theses.get_history(thesis.thesis_id)[-1]
    assert entry == ThesisStateHistoryEntry(
        id=entry.id,
        thesis_id=thesis.thesis_id,
        from_state=ENTERED,
        to_state=MANAGING,
        trigger_reason="Trend holds",
        cycle_id=cycle_id,
        price_at_transition=Decimal("101.5000"),
        conviction_at_transition=Decimal("0.800"),
        notes="by the book",
        created_at=hours(1),
    )


def test_only_moves_of_the_table_are_made(theses: ThesisStateRepository) -> None:
    for before in ThesisState:
        for after in BY_TRANSITION:
            thesis = stored(theses, before)
            if after in PUBLISHED[before]:
                assert theses.transition_state(thesis.thesis_id, after).state is after
            else:
                attempt = partial(theses.transition_state, thesis.thesis_id, after)
                assert_unchanged(theses, thesis, attempt, f"it is {before}")


def test_a_transition_does_not_do_what_has_a_method_of_its_own(theses: ThesisStateRepository) -> None:
    for state in ThesisState:
        thesis = stored(theses, state)
        for to, instead in {WATCHING: "create a new", ENTERED: "enter_position", CLOSED: "use close"}.items():
            assert_unchanged(theses, thesis, partial(theses.transition_state, thesis.thesis_id, to), instead)
    with pytest.raises(InvalidDataError):
        theses.transition_state(new_id(), "OPEN")


def test_what_the_history_can_not_hold_stops_the_transition(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ENTERED)
    refused: list[dict[str, Any]] = [
        {"price_at_transition": Decimal(0)},
        {"price_at_transition": Decimal("0.00001")},
        {"cycle_id": "no UUID"},
        {"notes": "\x00"},
    ]
    for told in refused:
        with pytest.raises(RepositoryError):
            theses.transition_state(thesis.thesis_id, MANAGING, **told)
        assert theses.find_by_id(thesis.thesis_id) == thesis
    assert len(theses.get_history(thesis.thesis_id)) == 1


# Entering


def test_entering_opens_the_position(theses: ThesisStateRepository) -> None:
    cycle_id = new_id()
    thesis = stored(theses, conviction=Decimal("0.6"), current_stop=Decimal(90), current_target=TARGET)
    with clock_set_to(hours(1)):
        entered = theses.enter_position(thesis.thesis_id, ENTRY, STOP, cycle_id=str(cycle_id))

    assert entered == thesis.replace(
        state=ENTERED, entry_price=ENTRY, entry_date=hours(1), current_stop=STOP, last_updated=hours(1)
    )
    [entry] = theses.get_history(thesis.thesis_id)
    assert (entry.from_state, entry.to_state, entry.created_at) == (WATCHING, ENTERED, hours(1))
    assert (entry.trigger_reason, entry.cycle_id, entry.notes) == ("Entry conditions met", cycle_id, None)
    assert (entry.price_at_transition, entry.conviction_at_transition) == (ENTRY, Decimal("0.600"))


def test_a_target_that_is_given_replaces_the_planned_one(theses: ThesisStateRepository) -> None:
    targets = [stored(theses, current_target=TARGET, instrument_id=symbol).thesis_id for symbol in ("A", "B")]

    assert theses.enter_position(targets[0], ENTRY, STOP, Decimal(130)).current_target == Decimal(130)
    assert theses.enter_position(targets[1], ENTRY, STOP, None).current_target is None


def test_only_a_thesis_that_is_watched_is_entered(theses: ThesisStateRepository) -> None:
    for state in ThesisState:
        if state is not WATCHING:
            thesis = stored(theses, state)
            attempt = partial(theses.enter_position, thesis.thesis_id, ENTRY, STOP)
            assert_unchanged(theses, thesis, attempt, "needs one that is WATCHING")
    with pytest.raises(ConstraintViolationError, match="create a new thesis"):
        theses.enter_position(stored(theses, CLOSED).thesis_id, ENTRY, STOP)


def test_a_position_needs_a_price_and_a_stop(theses: ThesisStateRepository) -> None:
    thesis = stored(theses)
    for price in (Decimal(0), Decimal(-1)):
        assert_unchanged(theses, thesis, partial(theses.enter_position, thesis.thesis_id, price, STOP))
    refused: list[tuple[Any, Any]] = [(None, STOP), (ENTRY, None), (100.5, STOP), (Decimal("0.00001"), STOP)]
    for entry_price, stop_loss in refused:
        with pytest.raises(InvalidDataError):
            theses.enter_position(thesis.thesis_id, entry_price, stop_loss)
    with pytest.raises(InvalidDataError):
        theses.enter_position(thesis.thesis_id, ENTRY, STOP, cycle_id="no UUID")
    assert theses.find_all() == [thesis]
    assert theses.history.count() == 0


# Closing


def test_closing_tells_what_came_of_it(theses: ThesisStateRepository) -> None:
    cycle_id = new_id()
    thesis = stored(theses, MANAGING, conviction=Decimal("0.4"))
    with clock_set_to(hours(2)):
        closed = theses.close(
            thesis.thesis_id, "TARGET_HIT", Decimal(120), Decimal("2000.00"), cycle_id, quantity=Decimal(100)
        )

    assert closed == thesis.replace(
        state=CLOSED,
        close_reason=CloseReason.TARGET_HIT,
        exit_price=Decimal(120),
        realized_pnl=Decimal(2000),
        realized_pnl_pct=Decimal(20),
        closed_at=hours(2),
        cooldown_until=hours(6),
        last_updated=hours(2),
    )
    entry = theses.get_history(thesis.thesis_id)[-1]
    assert (entry.from_state, entry.to_state, entry.created_at) == (MANAGING, CLOSED, hours(2))
    assert (entry.trigger_reason, entry.cycle_id) == ("TARGET_HIT", cycle_id)
    assert (entry.price_at_transition, entry.conviction_at_transition) == (Decimal(120), Decimal("0.400"))


def test_every_open_thesis_can_be_closed_and_no_closed_one(theses: ThesisStateRepository) -> None:
    for state in ThesisState:
        thesis = stored(theses, state)
        close = partial(theses.close, thesis.thesis_id, CloseReason.MANUAL, cooldown_hours=0)
        if state is CLOSED:
            assert_unchanged(theses, thesis, close, "create a new thesis")
        else:
            with clock_set_to(NOON):
                closed = close()
            assert closed.state is CLOSED
            assert (closed.exit_price, closed.realized_pnl, closed.realized_pnl_pct) == (None, None, None)


# entry price, realized profit, quantity: percent
PERCENTAGES: list[tuple[str, str | None, str | None, str | None]] = [
    ("100", "20", None, "20.0000"),
    ("100", "2000", "100", "20.0000"),
    ("100", "-50", "2.5", "-20.0000"),
    ("100", "0", None, "0.0000"),
    ("100", None, "7", None),
    ("3", "1", None, "33.3333"),
    ("3", "2", None, "66.6667"),
    ("80000", "0.04", None, "0.0000"),  # 0.00005: half-way, to the even digit
    ("80000", "0.12", None, "0.0002"),  # 0.00015
    ("80000", "-0.12", None, "-0.0002"),
    ("100", "9999.99", None, "9999.9900"),
    ("100", "10000", None, None),
    ("100", "-15000", None, None),
    ("20000", "1999999.98", None, "9999.9999"),
    ("20000", "1999999.99", None, None),  # 9999.99995
    ("66666.6667", "6666666.67", None, None),  # 9999.999999...
    ("0.0001", "999999999999.99", None, None),
]


def test_the_profit_in_percent_is_of_what_the_position_cost(theses: ThesisStateRepository) -> None:
    for number, (price, profit, quantity, percent) in enumerate(PERCENTAGES):
        thesis = theses.create(a_thesis(instrument_id=f"S{number}"))
        theses.enter_position(thesis.thesis_id, Decimal(price), STOP)
        with localcontext(prec=4, rounding=ROUND_DOWN):  # what the caller computes with does not matter
            closed = theses.close(
                thesis.thesis_id,
                CloseReason.MANUAL,
                realized_pnl=None if profit is None else Decimal(profit),
                quantity=None if quantity is None else Decimal(quantity),
            )
        assert closed.state is CLOSED
        assert closed.realized_pnl_pct == (None if percent is None else Decimal(percent)), (price, profit, quantity)


def test_without_an_entry_price_the_percentage_is_unknown(store: Store) -> None:
    theses = store[ThesisStateRepository]
    watching, entered_elsewhere = stored(theses), stored(theses, instrument_id="AMD")
    write(store, entered_elsewhere.thesis_id, state="ENTERED")

    for thesis in (watching, entered_elsewhere):
        closed = theses.close(thesis.thesis_id, CloseReason.MANUAL, realized_pnl=Decimal(5))
        assert (closed.realized_pnl, closed.realized_pnl_pct) == (Decimal(5), None)


def test_closing_refuses_what_makes_no_sense_and_then_changes_nothing(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ENTERED)
    refused: list[dict[str, Any]] = [
        {"reason": "BORED"},
        {"reason": None},
        {"exit_price": Decimal("1.00001")},
        {"realized_pnl": Decimal("0.001")},
        {"realized_pnl": 1.5},
        {"cycle_id": "no UUID"},
        {"quantity": Decimal(0)},
        {"quantity": Decimal(-1)},
        {"quantity": Decimal("NaN")},
        {"quantity": 1.5},
        {"cooldown_hours": -0.1},
        {"cooldown_hours": float("nan")},
        {"cooldown_hours": Decimal("Infinity")},
        {"cooldown_hours": 9_000},
    ]
    for told in refused:
        arguments: dict[str, Any] = {"reason": CloseReason.MANUAL, **told}
        with pytest.raises(InvalidDataError):
            theses.close(thesis.thesis_id, **arguments)
        assert theses.find_by_id(thesis.thesis_id) == thesis
    for price in (Decimal(0), Decimal(-1)):
        assert_unchanged(theses, thesis, partial(theses.close, thesis.thesis_id, CloseReason.MANUAL, price))


def test_the_caller_s_transaction_takes_everything_back(theses: ThesisStateRepository) -> None:
    thesis = stored(theses)

    def enter_and_fail() -> None:
        with theses.database.transaction():
            theses.enter_position(thesis.thesis_id, ENTRY, STOP)
            theses.close(thesis.thesis_id, CloseReason.STOP_HIT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        enter_and_fail()
    assert theses.find_all() == [thesis]
    assert theses.history.count() == 0


# Several workers


def test_of_two_workers_that_enter_one_thesis_one_wins(postgresql_store: Store) -> None:
    theses = postgresql_store[ThesisStateRepository]
    thesis = stored(theses)

    outcomes = at_once(
        *(lambda price=price: theses.enter_position(thesis.thesis_id, price, STOP) for price in (ENTRY, TARGET))
    )

    [entered] = [outcome for outcome in outcomes if isinstance(outcome, Thesis)]
    [refusal] = [outcome for outcome in outcomes if isinstance(outcome, RepositoryError)]
    assert isinstance(refusal, ConstraintViolationError)
    assert "it is ENTERED; this needs one that is WATCHING" in refusal.message
    assert theses.find_by_id(thesis.thesis_id) == entered
    [entry] = theses.get_history(thesis.thesis_id)
    assert entry.price_at_transition == entered.entry_price


def test_of_workers_that_close_one_thesis_one_wins(postgresql_store: Store) -> None:
    theses = postgresql_store[ThesisStateRepository]
    thesis = stored(theses, ENTERED)

    outcomes = at_once(
        *(
            lambda reason=reason: theses.close(thesis.thesis_id, reason, realized_pnl=Decimal(1))
            for reason in CloseReason
        )
    )

    [closed] = [outcome for outcome in outcomes if isinstance(outcome, Thesis)]
    assert all(isinstance(outcome, ConstraintViolationError) for outcome in outcomes if outcome is not closed)
    assert theses.find_by_id(thesis.thesis_id) == closed
    assert [entry.trigger_reason for entry in theses.get_history(thesis.thesis_id)[1:]] == [closed.close_reason]


def test_the_history_tells_the_state_that_was_left_when_it_was_left(postgresql_store: Store) -> None:
    theses = postgresql_store[ThesisStateRepository]
    thesis = stored(theses, MANAGING)

    exiting = overtaken(
        postgresql_store,
        lambda: theses.transition_state(thesis.thesis_id, EXITING),
        by=lambda: (
            theses.transition_state(thesis.thesis_id, ADDING),
            theses.update_conviction(thesis.thesis_id, Decimal("0.9")),
        ),
    )

    assert exiting.state is EXITING
    *_, last = theses.get_history(thesis.thesis_id)
    assert (last.from_state, last.to_state, last.conviction_at_transition) == (ADDING, EXITING, Decimal("0.900"))
