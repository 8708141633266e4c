"""Reading any number of records a part at a time."""

from __future__ import annotations

import pytest

from cream_store import Database, InvalidDataError, query
from tests.core.notes import Note, NoteRow, Notes


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7])
def test_every_record_comes_once_in_order(notebook: Database, count: int) -> None:
    notes = Notes(notebook)
    notes.create_many(Note(text=f"note {i}", number=-i) for i in range(count))

    found = list(notes.iterate(query().order_by("number"), chunk=3))

    assert [note.number for note in found] == [-i for i in reversed(range(count))]


@pytest.mark.parametrize("order", ["number", "-number"])
def test_ties_neither_repeat_nor_skip_a_record(notebook: Database, order: str) -> None:
    notes = Notes(notebook)
    stored = notes.create_many(Note(number=i // 5) for i in range(10))

    found = list(notes.iterate(query().order_by(order), chunk=2))

    assert found == (stored if order == "number" else stored[::-1])


def test_without_an_order_they_come_in_that_of_the_primary_key(notebook: Database) -> None:
    class NumberedDown(Notes):
        row = NoteRow
        default_order = ("-number", "text")  # which tells no position

    notes = NumberedDown(notebook)
    stored = notes.create_many(Note(number=i) for i in range(5))

    assert list(notes.iterate(query(), chunk=2)) == sorted(stored, key=lambda note: note.id)


def test_only_records_that_meet_the_conditions_come(notebook: Database) -> None:
    notes = Notes(notebook)
    notes.create_many(Note(number=i) for i in range(10))
    found = notes.iterate(query().above("number", 6).order_by("number"), chunk=2)
    assert [note.number for note in found] == [7, 8, 9]


def test_an_order_in_two_directions_tells_no_position(notebook: Database) -> None:
    with pytest.raises(InvalidDataError, match="one direction"):
        next(Notes(notebook).iterate(query().order_by("number", "-text")))
