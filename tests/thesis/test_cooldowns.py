"""Cooldowns: after a trade, its instrument is not entered again for a while."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.thesis import (
    DEFAULT_COOLDOWN_HOURS,
    CloseReason,
    CooldownStatus,
    SymbolOnCooldown,
    Thesis,
    ThesisState,
    ThesisStateRepository,
)
from cream_store import ConstraintViolationError, Environment, InvalidDataError, Store, clock_set_to
from tests.races import overtaken
from tests.thesis.samples import ENTRY, LIVE, NOON, PAPER, STOP, a_thesis, hours, stored, write

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def theses(store: Store) -> ThesisStateRepository:
    return store[ThesisStateRepository]


def traded(theses: ThesisStateRepository, closed: float, cooldown_hours: float | Decimal = 4, **values: Any) -> Thesis:
    """A thesis whose position was closed so many hours after noon."""
    thesis = theses.create(a_thesis(**values))
    with clock_set_to(hours(closed)):
        theses.enter_position(thesis.thesis_id, ENTRY, STOP)
        return theses.close(thesis.thesis_id, CloseReason.STOP_HIT, cooldown_hours=cooldown_hours)


def both_open(theses: ThesisStateRepository, *closed: tuple[float, float]) -> list[Thesis]:
    """Theses on one instrument that were open together, each closed so many hours after noon with a cooldown."""
    entered = [stored(theses, ThesisState.ENTERED) for _ in closed]
    result = []
    for thesis, (hour, cooldown_hours) in zip(entered, closed, strict=True):
        with clock_set_to(hours(hour)):
            result.append(theses.close(thesis.thesis_id, CloseReason.STOP_HIT, cooldown_hours=cooldown_hours))
    return result


def test_a_trade_starts_a_cooldown_of_four_hours(theses: ThesisStateRepository) -> None:
    assert DEFAULT_COOLDOWN_HOURS == 4
    closed = both_open(theses, (1, 4))[0]
    assert closed.cooldown_until == hours(5)
    with clock_set_to(hours(2)):
        again = theses.close(stored(theses, ThesisState.ENTERED, instrument_id="AMD").thesis_id, CloseReason.MANUAL)
    assert again.cooldown_until == hours(6)


def test_during_a_cooldown_its_instrument_is_not_entered(theses: ThesisStateRepository) -> None:
    both_open(theses, (0, 4))
    thesis = stored(theses)
    for moment in (NOON, hours(4) - MICROSECOND):
        with (
            clock_set_to(moment),
            pytest.raises(ConstraintViolationError, match="NVDA is on cooldown until 2026-03-02 16"),
        ):
            theses.enter_position(thesis.thesis_id, ENTRY, STOP)
        assert theses.find_by_id(thesis.thesis_id) == thesis
        assert theses.get_history(thesis.thesis_id) == []

    with clock_set_to(hours(4)):
        assert theses.enter_position(thesis.thesis_id, ENTRY, STOP).state is ThesisState.ENTERED


def test_a_cooldown_is_about_one_instrument_and_one_environment(theses: ThesisStateRepository) -> None:
    both_open(theses, (0, 4))
    with clock_set_to(hours(1)):
        for values in ({"instrument_id": "AMD"}, {"environment": LIVE}):
            thesis = stored(theses, **values)
            assert theses.enter_position(thesis.thesis_id, ENTRY, STOP).state is ThesisState.ENTERED
        assert theses.is_on_cooldown(" nvda ", "PAPER").on_cooldown
        assert theses.is_on_cooldown("AMD", PAPER) == theses.is_on_cooldown("NVDA", LIVE)
        assert theses.is_on_cooldown("AMD", PAPER) == CooldownStatus(on_cooldown=False)


def test_of_several_cooldowns_the_one_that_ends_last_counts(theses: ThesisStateRepository) -> None:
    _, longest, _ = both_open(theses, (0, 4), (1, 8), (2, 0))
    thesis = stored(theses)
    with clock_set_to(hours(8.5)):
        assert theses.is_on_cooldown("NVDA", PAPER).cooldown_until == longest.cooldown_until == hours(9)
        assert [one.cooldown_until for one in theses.find_symbols_on_cooldown(PAPER)] == [hours(9)]
        with pytest.raises(ConstraintViolationError, match=str(longest.thesis_id)):
            theses.enter_position(thesis.thesis_id, ENTRY, STOP)


def test_a_cooldown_counts_whatever_other_programs_made_of_its_thesis(store: Store) -> None:
    theses = store[ThesisStateRepository]
    [reopened] = both_open(theses, (0, 4))
    write(store, reopened.thesis_id, state="WATCHING", closed_at=None)
    thesis = stored(theses)
    with clock_set_to(hours(1)):
        assert theses.is_on_cooldown("NVDA", PAPER) == CooldownStatus(
            on_cooldown=True, cooldown_until=hours(4), close_reason=CloseReason.STOP_HIT, hours_since_close=None
        )
        assert [one.closed_at for one in theses.find_symbols_on_cooldown(PAPER)] == [None]
        for thesis_id in (thesis.thesis_id, reopened.thesis_id):
            with pytest.raises(ConstraintViolationError, match="on cooldown"):
                theses.enter_position(thesis_id, ENTRY, STOP)


def test_the_end_of_a_cooldown_is_the_same_for_everybody(theses: ThesisStateRepository) -> None:
    both_open(theses, (0, 4))
    thesis = stored(theses)
    with clock_set_to(hours(4) - MICROSECOND):
        assert theses.is_on_cooldown("NVDA", PAPER).on_cooldown is True
        assert len(theses.find_symbols_on_cooldown(PAPER)) == 1
    with clock_set_to(hours(4)):
        assert theses.is_on_cooldown("NVDA", PAPER).on_cooldown is False
        assert theses.find_symbols_on_cooldown(PAPER) == []
        theses.enter_position(thesis.thesis_id, ENTRY, STOP)


def test_the_last_cooldown_is_told_even_when_it_is_over(theses: ThesisStateRepository) -> None:
    both_open(theses, (0, 4))
    for hour, since_close in ((1, "1.0"), (4.04, "4.0"), (5.25, "5.2"), (5.75, "5.8")):
        with clock_set_to(hours(hour)):
            status = theses.is_on_cooldown("NVDA", PAPER)
        assert (status.on_cooldown, status.cooldown_until) == (hour < 4, hours(4))
        assert (status.close_reason, status.hours_since_close) == (CloseReason.STOP_HIT, Decimal(since_close))


def test_closing_a_thesis_that_was_never_entered_starts_no_cooldown(theses: ThesisStateRepository) -> None:
    closed = theses.close(stored(theses).thesis_id, CloseReason.INVALIDATED)

    assert closed.cooldown_until is None
    assert theses.is_on_cooldown("NVDA", PAPER) == CooldownStatus(on_cooldown=False)
    assert theses.enter_position(stored(theses).thesis_id, ENTRY, STOP).state is ThesisState.ENTERED


def test_a_cooldown_may_be_of_any_length_even_none(theses: ThesisStateRepository) -> None:
    cases: list[tuple[float | Decimal, float]] = [(0, 0), (0.5, 0.5), (Decimal("1.25"), 1.25), (8784, 8784)]
    for number, (given, length) in enumerate(cases):
        thesis = stored(theses, ThesisState.ENTERED, instrument_id=f"S{number}")
        with clock_set_to(NOON):
            closed = theses.close(thesis.thesis_id, CloseReason.MANUAL, cooldown_hours=given)
            assert closed.cooldown_until == hours(length)
            assert theses.is_on_cooldown(f"S{number}", PAPER).on_cooldown is (length > 0)


def test_each_instrument_on_cooldown_is_listed_once_the_last_closed_first(theses: ThesisStateRepository) -> None:
    both_open(theses, (0, 4), (1, 1))
    amd = traded(theses, 2, instrument_id="AMD")
    tied = [traded(theses, 1, instrument_id=symbol) for symbol in ("B", "A")]
    traded(theses, 1, 0.5, instrument_id="OVER")
    traded(theses, 1, environment=LIVE)
    with clock_set_to(hours(3)):
        listed = theses.find_symbols_on_cooldown(PAPER)

    assert listed[0] == SymbolOnCooldown(
        instrument_id="AMD", cooldown_until=hours(6), close_reason=CloseReason.STOP_HIT, closed_at=amd.closed_at
    )
    assert [one.instrument_id for one in listed] == ["AMD", tied[1].instrument_id, tied[0].instrument_id, "NVDA"]
    assert listed[-1].cooldown_until == hours(4)


def test_a_cooldown_is_asked_of_one_environment(store: Store, paper_store: Store) -> None:
    on_both = store[ThesisStateRepository]
    with pytest.raises(InvalidDataError):
        on_both.is_on_cooldown("NVDA")
    with pytest.raises(InvalidDataError):
        on_both.find_symbols_on_cooldown()
    on_paper = paper_store[ThesisStateRepository]
    both_open(on_paper, (0, 4))
    with clock_set_to(hours(1)):
        assert on_paper.is_on_cooldown("NVDA").on_cooldown
        assert len(on_paper.find_symbols_on_cooldown()) == 1
        assert on_paper.find_symbols_on_cooldown(Environment.LIVE) == []


def test_no_position_slips_in_while_another_one_is_closed(postgresql_store: Store) -> None:
    theses = postgresql_store[ThesisStateRepository]
    held, waiting = stored(theses, ThesisState.ENTERED), stored(theses)

    with pytest.raises(ConstraintViolationError, match="on cooldown"):
        overtaken(
            postgresql_store,
            lambda: theses.enter_position(waiting.thesis_id, ENTRY, STOP),
            by=lambda: theses.close(held.thesis_id, CloseReason.STOP_HIT),
        )

    assert theses.find_by_id(waiting.thesis_id) == waiting
