"""Records that come from the database are made in another way than by their class; nobody may notice."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from cream_store import Database
from tests.core.notes import Note, Notes


@pytest.fixture
def stored(notebook: Database) -> Note:
    notes = Notes(notebook)
    found = notes.find_by_id(notes.create(Note(text="remember", number=7)).id)
    assert found is not None
    return found


def test_a_stored_record_equals_a_new_one(stored: Note) -> None:
    new = Note(id=stored.id, text="remember", number=7)

    assert type(stored) is Note
    assert stored == new
    assert hash(stored) == hash(new)
    assert repr(stored) == repr(new)


def test_a_stored_record_is_as_frozen_as_a_new_one(stored: Note) -> None:
    with pytest.raises(FrozenInstanceError):
        stored.text = "forget"  # type: ignore[misc]  # what the test is about
    with pytest.raises((AttributeError, TypeError)):
        stored.colour = "red"  # type: ignore[attr-defined]  # what the test is about


def test_a_stored_record_can_be_copied_changed_and_pickled(stored: Note) -> None:
    assert copy.deepcopy(stored) == stored
    assert pickle.loads(pickle.dumps(stored)) == stored
    assert stored.replace(text="forget") == Note(id=stored.id, text="forget", number=7)
