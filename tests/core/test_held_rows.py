"""Held rows: what one transaction reads in order to write, nobody else changes meanwhile."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import pytest

from cream_plugins.core_trading import Cycle, CycleRow
from cream_store import (
    Changes,
    Database,
    Environment,
    EnvironmentMismatchError,
    Filters,
    NotFoundError,
    Repository,
    Statement,
    Store,
    new_id,
    transactional,
)
from cream_store.statement import for_update
from tests.core.notes import Note, NoteRow
from tests.races import at_once


class Counters(Repository[Note, Filters, Changes]):
    """Notes whose number is counted up by reading and writing it."""

    row = NoteRow

    @transactional
    def count_up(self, id: UUID | str) -> Note:
        return self.update(id, {"number": self._hold(id).number + 1})


class HeldCycles(Repository[Cycle, Filters, Changes]):
    """Cycles, which have an environment."""

    row = CycleRow

    @transactional
    def hold(self, id: UUID) -> Cycle:
        return self._hold(id)


class Queue(Repository[Note, Filters, Changes]):
    """Notes that several workers take, each another one."""

    row = NoteRow

    def take(self) -> Note | None:
        """The next note that nobody has taken. Ours until the transaction ends."""
        taken = self._fetch(_NEXT, {})
        return taken[0] if taken else None


_NEXT: Final = Statement(
    lambda: for_update(NoteRow.select().order_by(NoteRow.number, NoteRow.id).limit(1), skip_locked=True)
)


def test_writers_that_read_first_wait_for_each_other(notebook: Database) -> None:
    counters = Counters(notebook)
    counter = counters.create(Note(number=0))

    at_once(*[lambda: counters.count_up(counter.id)] * 8)

    assert counters.find_by_id_or_raise(counter.id).number == 8


def test_other_rows_are_not_held(postgresql_notebook: Database) -> None:
    counters = Counters(postgresql_notebook)
    held, other = counters.create(Note()), counters.create(Note())
    with postgresql_notebook.transaction():
        counters.count_up(held.id)
        [counted] = at_once(lambda: counters.count_up(other.id))

    assert counted == other.replace(number=1)


def test_what_others_hold_is_left_out(postgresql_notebook: Database) -> None:
    queue = Queue(postgresql_notebook)
    first, second = queue.create(Note(number=1)), queue.create(Note(number=2))
    with postgresql_notebook.transaction():
        assert queue.take() == first
        assert at_once(queue.take) == [second]  # without waiting for the first
    assert queue.take() == first


def test_what_is_free_is_taken_on_any_database(notebook: Database) -> None:
    queue = Queue(notebook)
    assert queue.take() is None
    note = queue.create(Note())
    with notebook.transaction():
        assert queue.take() == note


@pytest.mark.parametrize("id", [new_id(), "no UUID"])
def test_a_row_that_does_not_exist_can_not_be_held(notebook: Database, id: UUID | str) -> None:
    with pytest.raises(NotFoundError):
        Counters(notebook).count_up(id)


def test_a_row_of_another_environment_is_not_held(paper_store: Store) -> None:
    cycle = Cycle(environment=Environment.LIVE)
    CycleRow.insert(id=cycle.id, environment="LIVE", status="running", started_at=cycle.started_at).execute(
        paper_store.database
    )
    with pytest.raises(EnvironmentMismatchError):
        HeldCycles(paper_store.database).hold(cycle.id)
