"""Details of a thesis: conviction, levels, size, peak, close reason, notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.thesis import (
    OPEN_STATES,
    POSITION_STATES,
    CloseReason,
    Thesis,
    ThesisState,
    ThesisStateRepository,
)
from cream_store import ConstraintViolationError, InvalidDataError, Store, clock_set_to
from tests.races import at_once, overtaken
from tests.thesis.samples import STOP, TARGET, hours, stored, write


@pytest.fixture
def theses(store: Store) -> ThesisStateRepository:
    return store[ThesisStateRepository]


def assert_needs(
    theses: ThesisStateRepository, states: Iterable[ThesisState], change: Callable[[Thesis], Thesis]
) -> None:
    """A change is made in some states, and refused in the others."""
    allowed = set(states)
    for state in ThesisState:
        thesis = stored(theses, state)
        if state in allowed:
            assert change(thesis).thesis_id == thesis.thesis_id
        else:
            with pytest.raises(ConstraintViolationError, match=f"it is {state}"):
                change(thesis)
            assert theses.find_by_id(thesis.thesis_id) == thesis


def test_a_conviction_is_0_to_1(theses: ThesisStateRepository) -> None:
    thesis = stored(theses)
    for conviction in (Decimal(0), Decimal(1), Decimal("0.125")):
        with clock_set_to(hours(1)):
            changed = theses.update_conviction(thesis.thesis_id, conviction)
        assert changed == thesis.replace(conviction=conviction, last_updated=hours(1))
    refused: list[Any] = [Decimal("-0.001"), Decimal("1.001"), Decimal("0.1234"), Decimal("NaN"), 0.5, None]
    for conviction in refused:
        with pytest.raises(InvalidDataError):
            theses.update_conviction(thesis.thesis_id, conviction)
    assert theses.find_by_id_or_raise(thesis.thesis_id).conviction == Decimal("0.125")
    assert_needs(theses, ThesisState, lambda one: theses.update_conviction(one.thesis_id, Decimal(1)))


def test_levels_are_written_kept_or_removed(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, current_stop=STOP, current_target=TARGET)
    with clock_set_to(hours(1)):
        moved = theses.update_levels(thesis.thesis_id, stop_loss=Decimal(97))
        assert moved == thesis.replace(current_stop=Decimal(97), last_updated=hours(1))
        assert theses.update_levels(thesis.thesis_id, target=None) == moved.replace(current_target=None)
        bare = theses.update_levels(thesis.thesis_id, stop_loss=None, target=Decimal(0))
        assert bare == moved.replace(current_stop=None, current_target=Decimal(0))
    with clock_set_to(hours(2)):
        assert theses.update_levels(thesis.thesis_id) == bare
    with pytest.raises(InvalidDataError):
        theses.update_levels(thesis.thesis_id, stop_loss=Decimal("1.00001"))


def test_levels_of_a_closed_thesis_stay(theses: ThesisStateRepository) -> None:
    assert_needs(theses, OPEN_STATES, lambda thesis: theses.update_levels(thesis.thesis_id, stop_loss=STOP))


def test_additions_are_counted(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ThesisState.ADDING)
    theses.increment_add_count(thesis.thesis_id)
    with clock_set_to(hours(1)):
        counted = theses.increment_add_count(thesis.thesis_id)

    assert counted == thesis.replace(add_count=2, last_updated=hours(1))
    assert_needs(theses, POSITION_STATES, lambda one: theses.increment_add_count(one.thesis_id))


def test_no_addition_is_lost(postgresql_store: Store) -> None:
    theses = postgresql_store[ThesisStateRepository]
    thesis = stored(theses, ThesisState.MANAGING)

    at_once(*[partial(theses.increment_add_count, thesis.thesis_id)] * 5)

    assert theses.find_by_id_or_raise(thesis.thesis_id).add_count == 5


def test_the_largest_position_is_marked(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ThesisState.ADDING)
    with clock_set_to(hours(1)):
        marked = theses.mark_max_position_reached(thesis.thesis_id)

    assert marked == thesis.replace(max_position_reached=True, last_updated=hours(1))
    assert theses.find_by_id(thesis.thesis_id) == marked
    assert_needs(theses, POSITION_STATES, lambda one: theses.mark_max_position_reached(one.thesis_id))


def test_the_peak_only_rises(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ThesisState.MANAGING)
    course = [("-5", "-5"), ("-7.5", "-5"), ("0", "0"), ("9.99", "9.99"), ("10", "10"), ("9", "10"), ("10", "10")]
    for profit, peak in course:
        changed = theses.update_peak_pnl(thesis.thesis_id, Decimal(profit))
        assert changed.peak_unrealized_pnl == Decimal(peak)
    assert theses.find_by_id_or_raise(thesis.thesis_id).peak_unrealized_pnl == Decimal(10)
    refused: list[Any] = [None, 1.5, Decimal("0.001"), Decimal(10**12)]
    for profit in refused:
        with pytest.raises(InvalidDataError):
            theses.update_peak_pnl(thesis.thesis_id, profit)
    assert_needs(theses, POSITION_STATES, lambda one: theses.update_peak_pnl(one.thesis_id, Decimal(1)))


def test_the_highest_of_several_peaks_is_kept(postgresql_store: Store) -> None:
    theses = postgresql_store[ThesisStateRepository]
    thesis = stored(theses, ThesisState.MANAGING)

    peak = overtaken(
        postgresql_store,
        lambda: theses.update_peak_pnl(thesis.thesis_id, Decimal(7)),
        by=lambda: theses.update_peak_pnl(thesis.thesis_id, Decimal(12)),
    )

    assert peak.peak_unrealized_pnl == Decimal(12)


def test_the_close_reason_of_a_closed_thesis_can_be_corrected(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ThesisState.CLOSED)
    with clock_set_to(hours(1)):
        corrected = theses.update_close_reason(thesis.thesis_id, "TIME_DECAY")

    assert corrected == thesis.replace(close_reason=CloseReason.TIME_DECAY, last_updated=hours(1))
    refused: list[Any] = ["BORED", "", None]
    for reason in refused:
        with pytest.raises(InvalidDataError):
            theses.update_close_reason(thesis.thesis_id, reason)
    assert_needs(
        theses, [ThesisState.CLOSED], lambda one: theses.update_close_reason(one.thesis_id, CloseReason.MANUAL)
    )


# Notes

KEYS = [
    "review",
    "a.b",
    "a b",
    'a "quoted" one',
    "back\\slash",
    "",
    "$",
    "$.x",
    "[0]",
    "Übung 😀",
    "it's",
    "new\nline",
    "%s",
]
VALUES: list[Any] = [
    0,
    "",
    None,
    False,
    [],
    {},
    {"deep": {"null": None}},
    [None, [1, {"x": None}]],
    "100%",
    10**30,
    0.1,
]


def test_a_note_replaces_its_own_key_and_no_other(theses: ThesisStateRepository) -> None:
    thesis = stored(theses)
    expected: dict[str, Any] = {}
    for key in KEYS:
        for value in VALUES:
            expected[key] = value
            assert theses.add_notes(thesis.thesis_id, key, value).notes == expected
    assert theses.find_by_id_or_raise(thesis.thesis_id).notes == expected


def test_a_note_is_an_update(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ThesisState.CLOSED, notes={"old": 1})
    with clock_set_to(hours(1)):
        noted = theses.add_notes(thesis.thesis_id, "lesson", "patience")

    assert noted == thesis.replace(notes={"old": 1, "lesson": "patience"}, last_updated=hours(1))
    refused: list[Any] = [{1, 2}, float("nan"), b"bytes", "\x00"]
    for value in refused:
        with pytest.raises(InvalidDataError):
            theses.add_notes(thesis.thesis_id, "lesson", value)
    assert theses.find_all() == [noted]


def test_what_other_programs_noted_stays_as_they_wrote_it(store: Store) -> None:
    theses = store[ThesisStateRepository]
    thesis = stored(theses)
    write(store, thesis.thesis_id, notes=' {"price": 187.250000000000000001, "own" : "x"}\n')
    theses.add_notes(thesis.thesis_id, "own", "y")

    [(text,)] = store.database.fetch_all("SELECT notes FROM thesis_state")
    assert "187.250000000000000001" in text
    assert theses.find_by_id_or_raise(thesis.thesis_id).notes["own"] == "y"


def test_what_is_no_json_object_gives_way_to_the_first_note(store: Store) -> None:
    theses = store[ThesisStateRepository]
    thesis = stored(theses)
    for text in (None, "", " ", "not JSON", '{"cut', "{'a': 1}", "[1]", "7", "{}"):
        write(store, thesis.thesis_id, notes=text)
        assert theses.add_notes(thesis.thesis_id, "first", 1).notes == {"first": 1}


@pytest.mark.parametrize("stored_text", ["{}", "not JSON"])
def test_notes_that_are_made_at_once_are_all_kept(postgresql_store: Store, stored_text: str) -> None:
    theses = postgresql_store[ThesisStateRepository]
    thesis = stored(theses)
    write(postgresql_store, thesis.thesis_id, notes=stored_text)

    at_once(*(partial(theses.add_notes, thesis.thesis_id, f"worker {number}", number) for number in range(5)))

    assert theses.find_by_id_or_raise(thesis.thesis_id).notes == {f"worker {number}": number for number in range(5)}
