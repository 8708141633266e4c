"""Reading a table's rows: capped, from any position at the same cost, with secrets left in the database."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import peewee
from peewee import SQL, fn

from cream_store.backend import Database
from cream_store.conditions import bound_conditions, condition_nodes
from cream_store.environment import Environment
from cream_store.errors import InvalidDataError
from cream_store.queries import QueryBuilder, decode_cursor, encode_cursor, query
from cream_store.row import StoredColumn
from cream_store.statement import Param, Statement
from cream_store.studio.catalogue import Table, is_secret
from cream_store.studio.selection import Selection
from cream_store.studio.values import MASK, parse

SECONDS: Final = 5.0
"""What a page's statements may take."""
MOST_COUNTED: Final = 100_000
"""Rows that are counted at most when somebody asks how many there are."""
MOST_EXPORTED: Final = 100_000
"""Rows of a CSV file at most."""
_EXPORT_CHUNK: Final = 1_000

Values = dict[str, Any]
"""A row's values by column. A secret is the mask; what can't be read as its column's type, a `Malformed`."""


class Malformed:
    """A stored value that is none of its column's: another program wrote it. Shows as it is stored."""

    def __init__(self, stored: object) -> None:
        self._stored = stored

    def __str__(self) -> str:
        return str(self._stored)


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a selection, and how to go on."""

    rows: list[Values]
    next: str | None
    """The cursor for `after`, if rows follow."""
    previous: str | None
    """The cursor for `before`, if rows precede."""
    found_in: tuple[str, ...] = ()
    """The indexed columns that are what was searched; when there are none, texts that contain it were looked for."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows there are, or more than `rows`."""

    rows: int
    is_more: bool = False

    def __str__(self) -> str:
        return f"{'more than ' if self.is_more else ''}{self.rows:,}"


@dataclass(frozen=True, slots=True)
class _Condition:
    """SQL for `where`, and the values of its parameters."""

    nodes: tuple[Any, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A part of a list: rows that have a value in the column it is sorted by, or those that have none."""

    order: tuple[str, ...]
    nodes: tuple[Any, ...] = ()

    @property
    def reversed(self) -> _Segment:
        return _Segment(tuple(_reversed(name) for name in self.order), self.nodes)


class Reader:
    """Reads one table. Use it inside `database.read_only(SECONDS)`, or let `export` do that."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        kind = database.kind
        self._decoders = {name: column.decoder(kind) for name, column in table.columns.items()}

    def page(self, selection: Selection) -> Rows:
        """One page of a selection. Raises InvalidDataError for a cursor of another list."""
        found_in, condition = self._condition(selection)
        if condition is None:
            return Rows([], None, None, found_in)
        return self._page(selection, condition, found_in)

    def find(self, key: Sequence[str]) -> Values | None:
        """The row whose key has these texts, or None."""
        builder = self._own()
        if not self._table.keys or len(key) != len(self._table.keys):
            return None
        try:
            for name, text in zip(self._table.keys, key, strict=True):
                builder = builder.equals(name, parse(self._table.column(name), text))
            condition = self._of_builder(builder)
        except InvalidDataError:  # a text that can't be the key of any row
            return None
        rows = self._rows(condition, self._order_nodes(self._table.keys), 1) if condition else []
        return rows[0] if rows else None

    def count(self, selection: Selection, most: int = MOST_COUNTED) -> Count:
        """How many rows a selection has: exactly, up to `most`."""
        _, condition = self._condition(selection)
        if condition is None:
            return Count(0)
        some = self._table.row.select(SQL("1")).where(*condition.nodes).limit(most + 1)
        rows: int = self._fetch(peewee.Select([some], [fn.COUNT(SQL("*"))]), condition.values)[0][0]
        return Count(min(rows, most), rows > most)

    def export(self, selection: Selection, most: int = MOST_EXPORTED) -> Iterator[Values]:
        """The rows of a selection from its beginning, `most` at most, a chunk in a transaction of its own."""
        left, chunk = most, selection.but(size=_EXPORT_CHUNK)
        while left:
            with self._database.read_only(SECONDS):
                page = self.page(chunk)
            yield from page.rows[:left]
            left -= len(page.rows[:left])
            if page.next is None:
                return
            chunk = chunk.but(after=page.next)

    # Which rows

    def _condition(self, selection: Selection) -> tuple[tuple[str, ...], _Condition | None]:
        """The condition that a selection means, None when no row can meet it, and where its search found something."""
        builder = self._own()
        for one in selection.filters:
            builder = one.narrow(self._table, builder)
        if not selection.search:
            return (), self._of_builder(builder)
        if not selection.inside:
            exact = self._exact_matches(builder, selection.search)
            if exact and (condition := self._of_builder(builder)):
                either = functools.reduce(operator.or_, [self._equals(name) for name in exact])
                values = {_parameter(name): value for name, value in exact.items()}
                return tuple(exact), _Condition((*condition.nodes, either), {**condition.values, **values})
        if not self._table.texts:
            return (), None
        return (), self._of_builder(builder.contains(selection.search, *self._table.texts))

    def _exact_matches(self, builder: QueryBuilder, text: str) -> dict[str, Any]:
        """The indexed columns that hold exactly that text in some row. Each is one look-up, however large the table."""
        found: dict[str, Any] = {}
        condition = self._of_builder(builder)
        if condition is None:
            return found
        for name in self._table.indexed:
            column = self._table.columns[name]
            if column.value_type in (bool, datetime):  # nobody means all rows that are true, or one microsecond
                continue
            try:
                value = parse(column, text)
                column.encode(value)
            except InvalidDataError:
                continue
            some = self._table.row.select(SQL("1")).where(self._equals(name), *condition.nodes).limit(1)
            if self._fetch(some, {**condition.values, _parameter(name): value}):
                found[name] = value
        return found

    def _equals(self, name: str) -> Any:
        column = self._table.columns[name]
        return column == Param(_parameter(name), column.compared)

    def _own(self) -> QueryBuilder:
        """The rows of the database's environment: a database may hold another's, too."""
        environment = self._database.environment
        if self._table.environment is None or environment is Environment.TEST:
            return query()
        return query().equals(self._table.environment, environment)

    def _of_builder(self, builder: QueryBuilder) -> _Condition | None:
        bound = bound_conditions(self._table.column, builder)
        return None if bound is None else _Condition(tuple(condition_nodes(self._table.column, builder)), bound.values)

    # In which order, and from where on

    def _segments(self, sort: str | None) -> list[_Segment]:
        """The parts of a sorted list, in order. NULL comes last in both directions, and the key decides ties."""
        keys = self._table.keys
        name = sort or self._table.default_sort
        if name is None:
            return [_Segment(())]
        descending, column = name.startswith("-"), name.lstrip("-")
        ties = tuple(f"-{key}" if descending else key for key in keys if key != column)
        if not self._table.columns[column].null:
            return [_Segment((name, *ties))]
        is_null = self._table.columns[column].is_null
        return [_Segment((name, *ties), (is_null(False),)), _Segment(ties, (is_null(),))]

    def _page(self, selection: Selection, condition: _Condition, found_in: tuple[str, ...]) -> Rows:
        segments = self._segments(selection.sort)
        backwards = selection.before is not None
        if backwards:
            segments = [segment.reversed for segment in reversed(segments)]
        cursor = selection.before or selection.after
        first, position = self._position(cursor, segments) if cursor else (0, None)
        found: list[tuple[Values, _Segment]] = []
        wanted = selection.size + 1  # one more tells whether there is a next page
        for segment in segments[first:]:
            if len(found) < wanted:
                rows = self._segment(segment, condition, position, wanted - len(found))
                found += [(row, segment) for row in rows]
            position = None
        has_more, found = len(found) == wanted, found[: selection.size]
        cursors = [self._cursor(*found[0]), self._cursor(*found[-1])] if found else [None, None]
        if backwards:
            found.reverse()
            cursors = [cursors[1] if has_more else None, cursors[0]]
        else:
            cursors = [cursors[0] if cursor else None, cursors[1] if has_more else None]
        return Rows([row for row, _ in found], next=cursors[1], previous=cursors[0], found_in=found_in)

    def _position(self, cursor: str, segments: Sequence[_Segment]) -> tuple[int, list[Any]]:
        """Which segment a cursor lies in, and its values there."""
        for place, segment in enumerate(segments):
            types = [self._table.column(name.lstrip("-")).value_type for name in segment.order]
            try:
                return place, decode_cursor(cursor, _cursor_order(segment), types)
            except InvalidDataError:
                continue
        raise InvalidDataError("this page belongs to another list, or to none; start from its first page")

    def _cursor(self, row: Values, segment: _Segment) -> str | None:
        """The row's position; None when it can't be told: in a table without a key, or on a malformed value."""
        names = [name.lstrip("-") for name in segment.order]
        if not self._table.keys or any(isinstance(row[name], Malformed) for name in names):
            return None
        return encode_cursor(_cursor_order(segment), [self._table.columns[name].encode(row[name]) for name in names])

    def _segment(
        self, segment: _Segment, condition: _Condition, position: list[Any] | None, limit: int
    ) -> list[Values]:
        nodes, values = (*condition.nodes, *segment.nodes), dict(condition.values)
        if position is not None:
            nodes = (*nodes, self._beyond(segment.order))
            values |= {f"after{i}": value for i, value in enumerate(position)}
        return self._rows(_Condition(nodes, values), self._order_nodes(segment.order), limit)

    def _beyond(self, order: Sequence[str]) -> peewee.Node:
        columns = [self._table.columns[name.lstrip("-")] for name in order]
        position = [column.sort_key(Param(f"after{i}", column.compared)) for i, column in enumerate(columns)]
        comparison = peewee.OP.LT if order[0].startswith("-") else peewee.OP.GT
        sorted_by = [column.sort_key(column) for column in columns]
        return peewee.Expression(peewee.Tuple(*sorted_by), comparison, peewee.Tuple(*position))

    def _order_nodes(self, order: Sequence[str]) -> list[Any]:
        nodes: list[Any] = []
        for name in order:
            column = self._table.columns[name.lstrip("-")]
            sorted_by = column.sort_key(column)
            nodes.append(sorted_by.desc() if name.startswith("-") else sorted_by.asc())
        return nodes

    # What of them

    def _rows(self, condition: _Condition, order: Sequence[Any], limit: int) -> list[Values]:
        columns = [_shown(column) for column in self._table.columns.values()]
        select = self._table.row.select(*columns).where(*condition.nodes).order_by(*order).limit(Param("limit"))
        return [self._decoded(row) for row in self._fetch(select, {**condition.values, "limit": limit})]

    def _fetch(self, select: peewee.Node, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return Statement(lambda: select).fetch_all(self._database, values)

    def _decoded(self, row: Sequence[Any]) -> Values:
        return {
            name: self._value(name, column, value)
            for (name, column), value in zip(self._table.columns.items(), row, strict=True)
        }

    def _value(self, name: str, column: StoredColumn, value: Any) -> Any:
        decode = self._decoders[name]
        if value is None or decode is None or is_secret(column):
            return value
        try:
            return decode(value)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return Malformed(value)


def _shown(column: StoredColumn) -> Any:
    """The column; of a secret one, no more than whether there is something."""
    if not is_secret(column):
        return column
    return peewee.Case(None, [(column.is_null(), None)], MASK)


def _parameter(column: str) -> str:
    """The name of the parameter that a searched value has in a column's comparison."""
    return f"searched {column}"


def _reversed(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _cursor_order(segment: _Segment) -> list[str]:
    """What tells a segment's cursors from another's, in either direction."""
    return [name.lstrip("-") for name in segment.order]
