"""No drift: what a repository returns has the fields that its table has columns."""

from __future__ import annotations

import dataclasses
import functools
import operator
import types
from decimal import Decimal
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from cream_store import (
    ChoiceField,
    IntegerField,
    JSONField,
    NumericField,
    Record,
    Repository,
    Row,
    TableAccess,
    TextField,
    field,
    load_plugins,
    record,
)
from cream_store.fields import SerialField
from cream_store.plugins import discover
from cream_store.row import StoredColumn, columns_of
from cream_store.table_access import type_arguments

AnyRepository = type[Repository[Any, Any, Any]]

TABLES = [repository for plugin in load_plugins(discover()) for repository in plugin.repositories]
REPOSITORIES = [repository for repository in TABLES if issubclass(repository, Repository)]


def columns_described(row: type[Row]) -> list[tuple[str, object]]:
    """Name and Python type of each column, in order."""
    return [(name, _type_of(column)) for name, column in columns_of(row).items()]


def fields_described(record_type: type[Record], row: type[Row]) -> list[tuple[str, object]]:
    """Name and Python type of each field, in order."""
    hints, columns = get_type_hints(record_type), columns_of(row)
    names = [stored.name for stored in dataclasses.fields(record_type)]  # type: ignore[arg-type]  # records are dataclasses
    return [(name, _comparable(hints[name], columns.get(name))) for name in names]


def _type_of(column: StoredColumn) -> object:
    value_type: Any = column.value_type
    may_be_missing = isinstance(column, SerialField) or (column.null and getattr(column, "null_as", None) is None)
    return value_type | None if may_be_missing else value_type


def _comparable(hint: Any, column: StoredColumn | None) -> object:
    """The hint, less what a column doesn't know: what its JSON holds, and the undeclared texts of other programs."""
    types_ = get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,)
    if isinstance(column, JSONField):
        types_ = tuple(get_origin(one) or one for one in types_)
    if isinstance(column, ChoiceField):
        types_ = tuple(one for one in types_ if one is not str)
    return functools.reduce(operator.or_, types_)


def declared_keys(repository: AnyRepository) -> tuple[set[str], set[str]]:
    """The names that a repository's filters and changes declare."""
    _, filters, changes = type_arguments(repository, Repository)
    return set(get_type_hints(filters)), set(get_type_hints(changes))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
class TestEveryTable:
    def test_its_record_has_its_tables_columns(self, table: type[TableAccess[Any]]) -> None:
        assert fields_described(table.record, table.row) == columns_described(table.row)

    def test_its_record_is_a_value(self, table: type[TableAccess[Any]]) -> None:
        parameters: Any = vars(table.record)["__dataclass_params__"]
        assert parameters.frozen
        assert parameters.eq
        assert "__slots__" in vars(table.record)


@pytest.mark.parametrize("repository", REPOSITORIES, ids=lambda repository: repository.__name__)
class TestEveryRepository:
    def test_its_filters_and_changes_are_columns_or_have_a_rule(self, repository: AnyRepository) -> None:
        columns = columns_of(repository.row).keys()
        filters, changes = declared_keys(repository)
        assert changes <= columns
        assert filters <= columns | repository.filter_rules.keys()
        assert repository.filter_rules.keys() <= filters


class SampleRow(Row):
    name = TextField()
    quantity = NumericField(14, 4, column_name="qty")
    note = TextField(null=True)
    count = IntegerField(null=True, null_as=0)
    tags = JSONField(list, null=True)

    class Meta:
        table_name = "samples"
        primary_key = False


@record
class Matching(Record):
    name: str
    quantity: Decimal
    note: str | None = None
    count: int = 0
    tags: list[str] = field(default_factory=list)


@record
class OtherName(Record):
    name: str
    qty: Decimal
    note: str | None = None
    count: int = 0
    tags: list[str] = field(default_factory=list)


@record
class OtherOrder(Record):
    quantity: Decimal
    name: str
    note: str | None = None
    count: int = 0
    tags: list[str] = field(default_factory=list)


@record
class NeverMissing(Record):
    name: str
    quantity: Decimal
    note: str = ""
    count: int = 0
    tags: list[str] = field(default_factory=list)


@record
class SometimesMissing(Record):
    name: str
    quantity: Decimal
    note: str | None = None
    count: int | None = None
    tags: list[str] = field(default_factory=list)


@record
class OtherType(Record):
    name: str
    quantity: float
    note: str | None = None
    count: int = 0
    tags: list[str] = field(default_factory=list)


@record
class OtherDocument(Record):
    name: str
    quantity: Decimal
    note: str | None = None
    count: int = 0
    tags: dict[str, str] = field(default_factory=dict)


@record
class Incomplete(Record):
    name: str
    quantity: Decimal
    note: str | None = None
    count: int = 0


class TestTheComparison:
    """A comparison that finds everything alike protects nothing."""

    def test_there_is_something_to_compare(self) -> None:
        assert REPOSITORIES

    def test_it_accepts_a_match(self) -> None:
        assert fields_described(Matching, SampleRow) == columns_described(SampleRow)

    @pytest.mark.parametrize(
        "drifted",
        [OtherName, OtherOrder, NeverMissing, SometimesMissing, OtherType, OtherDocument, Incomplete],
    )
    def test_it_finds_a_difference(self, drifted: type[Record]) -> None:
        assert fields_described(drifted, SampleRow) != columns_described(SampleRow)
