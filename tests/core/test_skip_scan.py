"""The different values of a column."""

from __future__ import annotations

import pytest

from cream_store import Database, Statement
from cream_store.skip_scan import distinct_values
from tests.core.notes import Note, NoteRow, Notes


@pytest.mark.parametrize("numbers", [[], [5], [3, 1, 3, 2, 1, -7]])
def test_each_value_comes_once_and_a_null_at_the_end(notebook: Database, numbers: list[int]) -> None:
    Notes(notebook).create_many(Note(number=number) for number in numbers)
    values = distinct_values(NoteRow.number)
    rows = Statement(lambda: values.select_from(values.c.value)).fetch_all(notebook, {})
    assert [value for (value,) in rows] == [*sorted(set(numbers)), None]
