"""What the studio knows of each table: its columns, what it refers to, what refers to it, what finds its rows fast."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import peewee

from cream_store.errors import InvalidDataError
from cream_store.fields import (
    Column,
    EnumField,
    EnvironmentField,
    ForeignKey,
    JSONField,
    SecretField,
    SerialField,
    TextField,
    UUIDv7Field,
)
from cream_store.plugins import Plugin
from cream_store.repository import Repository
from cream_store.row import Row, StoredColumn, columns_of, table_of
from cream_store.unique_keys import unique_keys

AnyRepository = Repository[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key, seen from the table that it points to."""

    table: Table
    column: str
    key: str
    """The name of the column that it points to."""


@dataclass(slots=True)
class Table:
    """A table of a loaded plugin."""

    row: type[Row]
    plugin: str
    repository: type[AnyRepository] | None
    """What changes its rows; None for a table whose plugin offers no way in, or none that is like the others."""
    referrers: list[Reference] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = table_of(self.row)
        self.columns = columns_of(self.row)
        self.keys = self._keys()
        self.default_sort = self._default_sort()
        self.environment = next(
            (name for name, column in self.columns.items() if isinstance(own(column), EnvironmentField)), None
        )

    name: str = field(init=False)
    columns: dict[str, StoredColumn] = field(init=False)
    keys: tuple[str, ...] = field(init=False)
    """The columns of the primary key; none in a table without one, or with one that must not show in an address."""
    default_sort: str | None = field(init=False)
    """The column that lists are sorted by at first, with a minus for descending; always one that costs little."""
    environment: str | None = field(init=False)
    """The column that tells which environment a row belongs to."""

    def column(self, name: str) -> StoredColumn:
        """The column that may be shown under that name. Raises InvalidDataError for an unknown or secret one."""
        column = self.columns.get(name)
        if column is None:
            raise InvalidDataError(f"{self.name} has no column {name!r}", table=self.name)
        if is_secret(column):
            raise InvalidDataError(f"{self.name}.{name} is secret: it can't be filtered, sorted or searched by")
        return column

    @property
    def sortable(self) -> tuple[str, ...]:
        """The columns that rows can be sorted by."""
        return tuple(name for name, column in self.columns.items() if not is_secret(column) and not holds_json(column))

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns in which text can be looked for."""
        return tuple(name for name, column in self.columns.items() if isinstance(own(column), TextField | EnumField))

    @property
    def indexed(self) -> tuple[str, ...]:
        """The columns in which the database finds a value without reading the table."""
        leading = {columns[0] for columns in unique_keys(self.name).values() if columns} | {
            _column_name(index._expressions[0])
            for index in self._meta.indexes
            if index._expressions and index._where is None
        }
        return tuple(
            name
            for name, column in self.columns.items()
            if column.column_name in leading and not is_secret(column) and not holds_json(column)
        )

    @property
    def changeable(self) -> frozenset[str]:
        """The columns that the repository lets be changed by key."""
        if self.repository is None or not _takes_key(self.repository.update):
            return frozenset()
        return frozenset(
            name
            for name in self.repository.changeable_columns() & self.columns.keys()
            if can_be_typed(self.columns[name])
        )

    @property
    def _meta(self) -> Any:
        return self.row._meta

    def _keys(self) -> tuple[str, ...]:
        keys = self._meta.get_primary_keys() if self._meta.primary_key else ()
        return () if any(map(is_secret, keys)) else tuple(key.record_name for key in keys)

    def _default_sort(self) -> str | None:
        wanted = self.repository.default_order[:1] if self.repository else ()
        for name in wanted:
            if name.lstrip("-") in self.indexed:
                return name
        if not self.keys:
            return None
        # Keys that grow with time list the newest row first.
        grows = isinstance(self.columns[self.keys[0]], UUIDv7Field | SerialField)
        return f"-{self.keys[0]}" if grows else self.keys[0]


def own(column: StoredColumn) -> Column:
    """The column, or the one at the end of the foreign keys that it refers along: what its values are like."""
    while isinstance(column, ForeignKey):
        column = column.rel_field
    return column


def is_secret(column: StoredColumn) -> bool:
    """Whether the column's values must not show."""
    return isinstance(own(column), SecretField)


def holds_json(column: StoredColumn) -> bool:
    """Whether the column's values are documents."""
    return isinstance(own(column), JSONField)


def can_be_typed(column: StoredColumn) -> bool:
    """Whether a value can be made of text: no secret, and no document that its column turns into something else."""
    return not is_secret(column) and (not holds_json(column) or column.value_type in (dict, list))


def catalogue(plugins: Iterable[Plugin]) -> dict[str, Table]:
    """The tables of plugins by name, in the plugins' order, each with what refers to it."""
    tables: dict[type[peewee.Model], Table] = {}
    for plugin in plugins:
        repositories = {
            access.row: access for access in reversed(plugin.repositories) if issubclass(access, Repository)
        }
        for row in plugin.rows:
            tables[row] = Table(row, plugin.name, repositories.get(row))
    for table in tables.values():
        for name, column in table.columns.items():
            if isinstance(column, ForeignKey) and column.rel_model in tables:
                tables[column.rel_model].referrers.append(Reference(table, name, column.rel_field.record_name))
    return {table.name: table for table in tables.values()}


def by_plugin(tables: Mapping[str, Table]) -> dict[str, list[Table]]:
    """The tables of each plugin."""
    grouped: dict[str, list[Table]] = {}
    for table in tables.values():
        grouped.setdefault(table.plugin, []).append(table)
    return grouped


def _column_name(expression: Any) -> str | None:
    return getattr(expression, "column_name", None)


def _takes_key(update: Any) -> bool:
    """Whether a repository's `update` is told the row by its key; some are told a user or an environment instead."""
    return list(inspect.signature(update).parameters)[1:3] == ["id", "changes"]
