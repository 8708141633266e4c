"""Valid records of any plugin, so that a test says only what it is about:

    samples = Samples(store)
    decision = samples.create(Decision, symbol="AAPL")

The decision's cycle is stored, too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, TypeVar

from cream_store.environment import Environment
from cream_store.errors import InvalidDataError, PluginError
from cream_store.fields import EnvironmentField, ForeignKey
from cream_store.records import Record
from cream_store.repository import Repository
from cream_store.row import Row, StoredColumn, columns_of
from cream_store.store import Store
from cream_store.table_access import TableAccess

R = TypeVar("R", bound=Record)

AnyRepository = type[TableAccess[Any]]


class Samples:
    """Makes records for a store's tables. What a test does not say gets a value that the table accepts.

    Texts, symbols, days and times differ from record to record, so that no two meet in a unique key; numbers are 1,
    enums have their first value, documents are empty; see `Column.sample`. What a record has a default for keeps it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._numbers = itertools.count(1)

    def build(self, record: type[R], **values: Any) -> R:
        """A valid record that is not stored yet. What it must refer to is stored, unless `values` names it.

        Raises PluginError when no loaded plugin has the record, InvalidDataError for a value that it has no field for.
        """
        columns = columns_of(self._repository_of(record).row)
        if unknown := values.keys() - columns.keys():
            raise InvalidDataError(f"{record.__name__} has no field {', '.join(sorted(unknown))}")
        required = {name for name in columns if name not in values and _is_required(record, name)}
        return record(**{name: self._value_for(columns[name]) for name in required}, **values)

    def create(self, record: type[R], **values: Any) -> R:
        """A record as `build` makes it, stored."""
        repository: Any = self.store[self._repository_of(record)]
        sample = self.build(record, **values)
        is_general = isinstance(repository, Repository)
        stored: R = repository.create(sample) if is_general else repository._insert([sample])[0]
        return stored

    def _repository_of(self, record: type[Record]) -> AnyRepository:
        return self._repository(lambda repository: repository.record is record, record.__name__)

    def _repository(self, is_wanted: Callable[[AnyRepository], bool], name: str) -> AnyRepository:
        for plugin in self.store.plugins:
            for repository in plugin.repositories:
                if is_wanted(repository):
                    return repository
        loaded = ", ".join(plugin.name for plugin in self.store.plugins) or "none"
        raise PluginError(f"{name} belongs to no loaded plugin; loaded: {loaded}")

    def _value_for(self, column: StoredColumn) -> object:
        if isinstance(column, ForeignKey):
            parent: type[Row] = column.rel_model
            repository = self._repository(lambda one: one.row is parent, parent.__name__)
            return getattr(self.create(repository.record), column.rel_field.name)
        if isinstance(column, EnvironmentField):
            own = self.store.environment
            return Environment.PAPER if own is Environment.TEST else own
        return column.sample(next(self._numbers))


def _is_required(record: type[Record], name: str) -> bool:
    fields: Any = record
    field = fields.__dataclass_fields__[name]
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
