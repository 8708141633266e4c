"""Storing theses: what a new one is, what is kept, what other programs may have written."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.thesis import CloseReason, Thesis, ThesisRow, ThesisState, ThesisStateRepository
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    new_id,
)
from tests.thesis.samples import ENTRY, LIVE, NOON, PAPER, STOP, a_thesis, hours, stored, write

PLANNED: dict[str, Any] = {
    "conviction": Decimal("0.750"),
    "current_stop": Decimal("0.0000"),
    "current_target": Decimal("99999999.9999"),
    "entry_thesis": "Ökonomie der 100% Auslastung",
    "invalidation_conditions": "",
    "notes": {"score": 0, "risks": {"rate": None}, "tags": []},
}


@pytest.fixture
def theses(store: Store) -> ThesisStateRepository:
    return store[ThesisStateRepository]


def test_a_thesis_is_stored_as_it_was_given(theses: ThesisStateRepository) -> None:
    given = a_thesis(environment=LIVE, **PLANNED)

    assert theses.create(given) == given
    assert theses.find_by_id(given.thesis_id) == given
    assert theses.find_by_id_or_raise(str(given.thesis_id)) == given


def test_a_new_thesis_is_watching_and_has_no_history(theses: ThesisStateRepository) -> None:
    with clock_set_to(NOON):
        thesis = theses.create(Thesis(instrument_id=" brk.b ", environment=PAPER))

    assert (thesis.instrument_id, thesis.state, thesis.notes) == ("BRK.B", ThesisState.WATCHING, {})
    assert (thesis.add_count, thesis.max_position_reached) == (0, False)
    assert thesis.created_at == thesis.last_updated == NOON
    assert theses.get_history(thesis.thesis_id) == []


def test_an_id_is_stored_once(theses: ThesisStateRepository) -> None:
    thesis = stored(theses)
    with pytest.raises(DuplicateKeyError):
        theses.create(a_thesis(thesis_id=thesis.thesis_id))


HISTORIES: dict[str, Any] = {
    "state": ThesisState.ENTERED,
    "entry_price": ENTRY,
    "entry_date": NOON,
    "add_count": 1,
    "max_position_reached": True,
    "peak_unrealized_pnl": Decimal(0),
    "close_reason": CloseReason.MANUAL,
    "exit_price": ENTRY,
    "realized_pnl": Decimal(0),
    "realized_pnl_pct": Decimal(0),
    "closed_at": NOON,
    "cooldown_until": NOON,
}


def test_a_new_thesis_that_claims_a_history_is_refused(theses: ThesisStateRepository) -> None:
    for column, value in HISTORIES.items():
        thesis = a_thesis(**{column: value})
        attempts: list[Callable[[], object]] = [
            partial(theses.create, thesis),
            partial(theses.create_many, [a_thesis(), thesis]),
            partial(theses.upsert, thesis),
            partial(theses.upsert_many, [a_thesis(), thesis]),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidDataError, match=f"thesis_state.{column}: a new record has") as caught:
                attempt()
            assert caught.value.columns == (column,)
    assert theses.count() == 0


def test_a_conviction_outside_its_range_is_a_violation(theses: ThesisStateRepository) -> None:
    for conviction in (Decimal("-0.001"), Decimal("1.001")):
        with pytest.raises(ConstraintViolationError):
            theses.create(a_thesis(conviction=conviction))


UNSTORABLE: list[dict[str, Any]] = [
    {"instrument_id": "  "},
    {"conviction": Decimal("0.1234")},
    {"current_stop": Decimal("1.00001")},
    {"current_target": Decimal(10**8)},
    {"notes": {"when": NOON}},
    {"notes": ["a list"]},
    {"max_position_reached": 0},
]


def test_what_the_columns_can_not_hold_is_refused(theses: ThesisStateRepository) -> None:
    for values in UNSTORABLE:
        with pytest.raises(InvalidDataError):
            theses.create(a_thesis(**values))


def test_storing_again_rewrites_the_plan_of_a_thesis_that_is_watched(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, conviction=Decimal("0.5"), notes={"old": 1})
    with clock_set_to(hours(1)):
        rewritten = theses.upsert(thesis.replace(created_at=hours(1), **PLANNED))

    assert rewritten == thesis.replace(last_updated=hours(1), **PLANNED)


def test_storing_again_changes_nothing_of_a_thesis_that_went_on(theses: ThesisStateRepository) -> None:
    went_on = [stored(theses, state) for state in ThesisState if state is not ThesisState.WATCHING]
    for thesis in went_on:
        again = a_thesis(thesis_id=thesis.thesis_id, current_stop=Decimal(1))
        attempts: list[Callable[[], object]] = [
            partial(theses.upsert, again),
            partial(theses.upsert_many, [a_thesis(), again]),
        ]
        for attempt in attempts:
            with pytest.raises(ConstraintViolationError, match="only while it is WATCHING"):
                attempt()
    assert theses.find_all(order_by="thesis_id") == went_on


def test_the_texts_and_notes_can_be_changed_at_any_time(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ThesisState.CLOSED, notes={"old": 1})
    with clock_set_to(hours(1)):
        changed = theses.update(thesis.thesis_id, {"entry_thesis": "Better", "notes": {"new": 2}})

    assert changed == thesis.replace(entry_thesis="Better", notes={"new": 2}, last_updated=hours(1))
    assert theses.update(thesis.thesis_id, {}) == changed


def test_the_course_of_a_thesis_can_not_be_changed_behind_the_back_of_its_history(
    theses: ThesisStateRepository,
) -> None:
    thesis = stored(theses)
    for column in ("state", "entry_price", "realized_pnl", "cooldown_until", "current_stop"):
        with pytest.raises(InvalidDataError, match="can't be changed"):
            theses.update(thesis.thesis_id, {column: None})  # type: ignore[misc]  # what the type forbids
    assert theses.find_all() == [thesis]


@pytest.mark.parametrize("thesis_id", [new_id(), "no UUID"], ids=["unknown", "no UUID"])
def test_a_thesis_that_does_not_exist_is_not_found(theses: ThesisStateRepository, thesis_id: UUID | str) -> None:
    stored(theses)
    assert theses.find_by_id(thesis_id) is None
    assert theses.delete(thesis_id) is False
    assert theses.get_history(thesis_id) == []
    attempts: list[Callable[[], object]] = [
        lambda: theses.find_by_id_or_raise(thesis_id),
        lambda: theses.update(thesis_id, {"entry_thesis": "x"}),
        lambda: theses.transition_state(thesis_id, ThesisState.ADDING),
        lambda: theses.enter_position(thesis_id, ENTRY, STOP),
        lambda: theses.close(thesis_id, CloseReason.MANUAL),
        lambda: theses.update_conviction(thesis_id, Decimal(1)),
        lambda: theses.update_levels(thesis_id, stop_loss=STOP),
        lambda: theses.update_levels(thesis_id),
        lambda: theses.increment_add_count(thesis_id),
        lambda: theses.mark_max_position_reached(thesis_id),
        lambda: theses.update_peak_pnl(thesis_id, Decimal(1)),
        lambda: theses.update_close_reason(thesis_id, CloseReason.MANUAL),
        lambda: theses.add_notes(thesis_id, "key", 1),
        lambda: theses.get_context(thesis_id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            attempt()


def test_a_thesis_of_another_environment_is_not_changed(paper_store: Store) -> None:
    theses = paper_store[ThesisStateRepository]
    with pytest.raises(EnvironmentMismatchError):
        theses.create(a_thesis(environment=LIVE))
    thesis = a_thesis(environment=LIVE)
    ThesisRow.insert(
        thesis_id=thesis.thesis_id, instrument_id="NVDA", state="WATCHING", environment=LIVE, notes={}
    ).execute(paper_store.database)
    found = theses.find_by_id_or_raise(thesis.thesis_id)

    attempts: list[Callable[[], object]] = [
        lambda: theses.enter_position(thesis.thesis_id, ENTRY, STOP),
        lambda: theses.close(thesis.thesis_id, CloseReason.MANUAL),
        lambda: theses.transition_state(thesis.thesis_id, ThesisState.ADDING),
        lambda: theses.update_conviction(thesis.thesis_id, Decimal(1)),
        lambda: theses.update_levels(thesis.thesis_id, stop_loss=STOP),
        lambda: theses.add_notes(thesis.thesis_id, "key", 1),
    ]
    for attempt in attempts:
        with pytest.raises(EnvironmentMismatchError):
            attempt()
    assert theses.delete(thesis.thesis_id) is False
    assert theses.find_by_id(thesis.thesis_id) == found


def test_deleting_a_thesis_deletes_its_history(theses: ThesisStateRepository) -> None:
    deleted, other = stored(theses, ThesisState.CLOSED), stored(theses, ThesisState.ENTERED)

    assert theses.delete(deleted.thesis_id) is True
    assert theses.delete(deleted.thesis_id) is False
    assert theses.get_history(deleted.thesis_id) == []
    assert [entry.thesis_id for entry in theses.history.find_all()] == [other.thesis_id]


NO_OBJECTS = [None, "", "  \n", "not JSON", '{"cut', "[1]", '"text"', "7", "null", '{"a": NaN}', "[" * 100_000]


def test_notes_that_are_no_json_object_read_as_none(store: Store) -> None:
    theses = store[ThesisStateRepository]
    thesis = stored(theses, notes={"old": 1})
    for text in NO_OBJECTS:
        write(store, thesis.thesis_id, notes=text)

        assert theses.find_by_id_or_raise(thesis.thesis_id).notes == {}
        assert ThesisRow.select().execute(store.database)[0].notes == {}


def test_only_the_number_1_means_that_the_largest_position_is_reached(store: Store) -> None:
    theses = store[ThesisStateRepository]
    thesis = stored(theses)
    for number, is_reached in {0: False, 1: True, 2: False, -1: False}.items():
        write(store, thesis.thesis_id, max_position_reached=number)

        assert theses.find_by_id_or_raise(thesis.thesis_id).max_position_reached is is_reached


def test_a_close_reason_that_another_program_invented_reads_as_text(store: Store) -> None:
    theses = store[ThesisStateRepository]
    thesis = stored(theses, ThesisState.CLOSED)
    write(store, thesis.thesis_id, close_reason="MARGIN_CALL")

    assert theses.find_by_id_or_raise(thesis.thesis_id).close_reason == "MARGIN_CALL"
