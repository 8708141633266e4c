"""From a query's conditions to SQL, and to the values of its parameters."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import peewee
from peewee import SQL

from cream_store.fields import EnumField, EnvironmentField, ForeignKey, UUIDField, checked_text, is_sqlite
from cream_store.queries import Condition, QueryBuilder
from cream_store.row import StoredColumn
from cream_store.statement import Param

ColumnOf = Callable[[str], StoredColumn]
_LISTS = ("in", "not in", "has")


class BoundConditions(NamedTuple):
    """A query's conditions, taken apart."""

    shape: tuple[object, ...]
    """What decides their SQL: everything but the values."""
    values: dict[Any, Any]
    """The values of the parameters: by the condition's place, those of a list by that and their own place in it."""


def condition_nodes(column_of: ColumnOf, builder: QueryBuilder) -> list[Any]:
    """The conditions' SQL, for `where(*...)`."""
    nodes: list[Any] = []
    for i, condition in enumerate(builder.conditions):
        columns = [column_of(name) for name in condition.column.split()]
        alternatives = [_node(column, condition, _placeholders(i, condition, column)) for column in columns]
        nodes.append(functools.reduce(operator.or_, alternatives))
    return nodes or [True]


def bound_conditions(column_of: ColumnOf, builder: QueryBuilder) -> BoundConditions | None:
    """The conditions' shape and values; None when no row can meet them."""
    shape: list[object] = []
    values: dict[Any, Any] = {}
    for i, (name, comparison, value) in enumerate(builder.conditions):
        shape += name, comparison
        if comparison == "=":
            if isinstance(value, str) and not can_exist(column_of(name), value):
                return None
            values[i] = value
        elif comparison in _LISTS:
            elements = _elements(column_of(name), comparison, value)
            if not elements and comparison != "not in":
                return None
            count = _padded(len(value))
            shape.append(count)
            for j, element in enumerate(elements):
                values[i, j] = json.dumps(element) if comparison == "has" else element
            for j in range(len(elements), count):
                values[i, j] = values[i, j - 1]
        elif comparison == "contains":
            values[i] = _like_pattern(checked_text(column_of(name.split()[0]), value))
        else:
            values[i] = value
    return BoundConditions(tuple(shape), values)


def _elements(column: StoredColumn, comparison: str, elements: Sequence[Any]) -> Sequence[Any]:
    """The elements of a list that a row can match."""
    if comparison != "in" or not _holds_uuids(column):
        return elements
    return [element for element in elements if not isinstance(element, str) or can_exist(column, element)]


def can_exist(column: StoredColumn, value: str) -> bool:
    """Text that is no UUID names no row, which is an answer and not an error."""
    if not _holds_uuids(column):
        return True
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def _holds_uuids(column: StoredColumn) -> bool:
    return isinstance(column.rel_field if isinstance(column, ForeignKey) else column, UUIDField)


def _padded(count: int) -> int:
    """The placeholders of a list of values: a power of two, so that lists of all lengths share a few statements."""
    return 1 << (count - 1).bit_length() if count else 0


def _placeholders(i: int, condition: Condition, column: StoredColumn) -> list[Param]:
    if condition.operator == "has":
        return [Param((i, j)) for j in range(_padded(len(condition.value)))]
    if condition.operator in _LISTS:
        return [Param((i, j), column.compared) for j in range(_padded(len(condition.value)))]
    return [Param(i, None if condition.operator == "contains" else column.compared)]


def _node(column: StoredColumn, condition: Condition, parameters: Sequence[Param]) -> Any:
    match condition.operator:
        case "=" if isinstance(column, EnvironmentField):
            return _Likely(column == parameters[0])
        case "=":
            return column == parameters[0]
        case "!=":
            return column != parameters[0]
        case "<":
            return column < parameters[0]
        case "<=":
            return column <= parameters[0]
        case ">":
            return column > parameters[0]
        case ">=":
            return column >= parameters[0]
        case "in":
            return column.in_(list(parameters))
        case "not in":
            return column.not_in(list(parameters))
        case "null":
            return column.is_null()
        case "not null":
            return column.is_null(False)
        case "null or >":
            return column.is_null() | (column > parameters[0])
        case "has":
            return functools.reduce(operator.or_, [_HasElement(column, parameter) for parameter in parameters])
        case "contains":
            # LIKE has no meaning for PostgreSQL's enum types.
            text = column.cast("TEXT") if isinstance(column, EnumField) else column
            pattern = peewee.NodeList((parameters[0], SQL("ESCAPE '\\'")))
            return peewee.Expression(text, peewee.OP.ILIKE, pattern)


class _Likely(peewee.ColumnBase):
    """A condition that most rows meet.

    SQLite takes every equality for a selective one: it would read and sort a whole environment for its newest rows.
    PostgreSQL knows from its statistics.
    """

    def __init__(self, condition: peewee.Node) -> None:
        self._condition = condition

    def __sql__(self, context: Any) -> Any:
        if is_sqlite(context):
            return context.literal("likely(").sql(self._condition).literal(")")
        return context.sql(self._condition)


class _HasElement(peewee.ColumnBase):
    """That a JSON array has an element, which is given as JSON: by containment, or on SQLite by `json_each`."""

    def __init__(self, column: StoredColumn, element: Param) -> None:
        self._column = column
        self._element = element

    def __sql__(self, context: Any) -> Any:
        if is_sqlite(context):
            context.literal("EXISTS (SELECT 1 FROM json_each(").sql(self._column)
            return context.literal(") WHERE value = json_extract(").sql(self._element).literal(", '$'))")
        return context.literal("(").sql(self._column).literal(" @> ").sql(self._element).literal("::jsonb)")


def _like_pattern(text: str) -> str:
    """A LIKE pattern that finds the text anywhere, with wildcards taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
