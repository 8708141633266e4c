"""Every table of our plugins comes back as an Arrow table with the values of its records."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from cream_plugins.external import EconomicCalendarEvent, EconomicCalendarRepository
from cream_plugins.thesis import Thesis, ThesisRow, ThesisStateRepository
from cream_store import JSONField, Record, Repository, SecretField, Store, load_plugins
from cream_store.row import columns_of, table_of
from cream_store.testing import Samples


def test_each_table_has_the_values_of_its_records(store: Store) -> None:
    samples = Samples(store)
    of_plugins = [repository for plugin in load_plugins() for repository in plugin.repositories]
    for repository in of_plugins:
        if issubclass(repository, Repository):
            found = store[repository]
            assert_same_values(found, samples.create(found.record))


def assert_same_values(repository: Repository[Any, Any, Any], stored: Record) -> None:
    columns = {name: one for name, one in columns_of(repository.row).items() if not isinstance(one, SecretField)}
    key = next(name for name, column in columns.items() if column.primary_key)
    rows = {row[key]: row for row in repository.find_arrow().to_pylist()}
    row = rows[_plain(getattr(stored, key))]
    assert row.keys() == columns.keys()
    for name, column in columns.items():
        if isinstance(column, JSONField):
            assert row[name] is None or isinstance(json.loads(row[name]), column.of)
        else:
            assert row[name] == _plain(getattr(stored, name)), f"{table_of(repository.row)}.{name}"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def test_the_columns_of_other_programs_are_read_as_records_have_them(store: Store) -> None:
    """A flag in a column of whole numbers, a day in a column of text."""
    Samples(store).create(Thesis)
    ThesisRow.update(max_position_reached=True).execute(store.database)
    flags = store[ThesisStateRepository].find_arrow(columns=["max_position_reached"])
    assert flags.to_pydict() == {"max_position_reached": [True]}

    event = Samples(store).create(EconomicCalendarEvent)
    days = store[EconomicCalendarRepository].find_arrow(columns=["release_date"])
    assert days.to_pydict() == {"release_date": [event.release_date]}
