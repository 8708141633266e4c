"""Reading records: by key, and by query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import peewee
from peewee import fn

from cream_store.conditions import bound_conditions, condition_nodes
from cream_store.environment import Environment
from cream_store.errors import InvalidDataError
from cream_store.fields import SecretField
from cream_store.queries import QueryBuilder
from cream_store.records import Record
from cream_store.row import StoredColumn, key_of
from cream_store.statement import Param, Statement
from cream_store.table_access.table import Key, Table

R = TypeVar("R", bound=Record)


class Reading(Table[R]):
    """How records are found, in which order."""

    default_order: ClassVar[tuple[str, ...]] = ()
    """The order of lists, as `QueryBuilder.order_by` takes it; the primary key decides ties."""

    def find(self, builder: QueryBuilder) -> list[R]:
        """The records that a query built with `query()` gives."""
        return self._decode(self._select(builder))

    def iterate(self, builder: QueryBuilder, chunk: int = 1_000) -> Iterator[R]:
        """Every record that a query gives, read `chunk` at a time: any number of them costs the memory of one chunk.

        In the query's order, or else in that of the primary key. All columns of the order run in one direction and are
        never NULL; each chunk sorts what remains unless an index has the order. Outside a transaction, what is written
        meanwhile may or may not be seen.
        """
        order = self._total_order(builder.order)
        columns = self._keyset_columns(order)
        builder, position = builder.order_by(*order).limit(chunk), None
        while True:
            records = self._decode(self._select(builder, position=position))
            yield from records
            if len(records) < chunk:
                return
            position = [getattr(records[-1], name) for name in columns]

    def count_of(self, builder: QueryBuilder) -> int:
        """How many records meet a query's conditions."""
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return 0
        statement = self._statement(
            ("count", bound.shape),
            lambda: self.row.select(fn.COUNT(peewee.SQL("*"))).where(*condition_nodes(self._column, builder)),
        )
        count: int = statement.fetch_all(self.database, bound.values)[0][0]
        return count

    def _find_by_key(self, id: Key) -> R | None:
        key = key_of(self.row)
        statement = self._statement(
            "by id", lambda: self.row.select(*self._columns.values()).where(key == Param("id", key)), by_key=True
        )
        return self._fetch_one(id, statement)

    def _is_any(self, builder: QueryBuilder) -> bool:
        """Whether any record meets a query's conditions. Asks for no order, which could mean to sort them all."""
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return False
        statement = self._statement(
            ("any", bound.shape),
            lambda: self.row.select(peewee.SQL("1")).where(*condition_nodes(self._column, builder)).limit(1),
        )
        return bool(statement.fetch_all(self.database, bound.values))

    def _first(self, builder: QueryBuilder) -> R | None:
        found = self.find(builder.limit(1))
        return found[0] if found else None

    def _search(
        self,
        text: str,
        columns: Sequence[str],
        limit: int,
        environment: Environment | str | None = None,
        within: QueryBuilder | None = None,
    ) -> list[R]:
        """The records with the text in one of the columns, perhaps only within a query; none for blank text."""
        if not text.strip():
            return []
        builder = self._within(environment, within).contains(text.strip(), *columns)
        return self.find(builder.order_by(*self.default_order).limit(limit))

    def _select(
        self, builder: QueryBuilder, *, with_total: bool = False, position: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        selection = self._selection(builder, with_total=with_total, position=position)
        if selection is None:
            return []
        statement, values = selection
        return statement.fetch_all(self.database, values)

    def _selection(
        self,
        builder: QueryBuilder,
        *,
        with_total: bool = False,
        position: Sequence[Any] | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> tuple[Statement, dict[Any, Any]] | None:
        """What gives the rows of a query, all columns or the named ones; None when no row can meet its conditions."""
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return None
        values = bound.values
        if builder.row_limit is not None:
            values["limit"] = builder.row_limit
        if builder.row_offset is not None:
            values["offset"] = builder.row_offset
        order = self._total_order(builder.order or self.default_order)
        if position is not None:
            values |= {f"after{i}": value for i, value in enumerate(position)}

        def build() -> peewee.Node:
            conditions = condition_nodes(self._column, builder)
            total = self.row.select(fn.COUNT(peewee.SQL("*"))).where(*conditions)
            selected = [self._column(name) for name in columns or self._columns]
            select = self.row.select(*([total] if with_total else []), *selected).where(*conditions)
            if position is not None:
                select = select.where(self._beyond(order))
            select = select.order_by(*self._order_nodes(order))
            if builder.row_limit is not None:
                select = select.limit(Param("limit"))
            return select if builder.row_offset is None else select.offset(Param("offset"))

        limits = (builder.row_limit is None, builder.row_offset is None)
        key = ("select", with_total, position is None, order, limits, columns, bound.shape)
        return self._statement(key, build), values

    def _total_order(self, order: tuple[str, ...]) -> tuple[str, ...]:
        key = self._key_name
        if any(name.lstrip("-") == key for name in order):
            return order
        return (*order, f"-{key}" if order and order[-1].startswith("-") else key)

    def _order_nodes(self, order: Sequence[str]) -> list[peewee.Node]:
        return [_directed(self._column(name.lstrip("-")), name.startswith("-")) for name in order]

    def _keyset_columns(self, order: Sequence[str]) -> dict[str, StoredColumn]:
        """The order's columns by name. Raises InvalidDataError unless they can tell a position."""
        columns = {name.lstrip("-"): self._column(name.lstrip("-")) for name in order}
        if len({name.startswith("-") for name in order}) > 1 or any(map(_is_no_position, columns.values())):
            raise InvalidDataError(
                "a position needs an order in one direction over columns that are never NULL and not secret"
            )
        return columns

    def _beyond(self, order: Sequence[str]) -> peewee.Node:
        """That a row lies after the position, in the order's direction."""
        columns = [self._column(name.lstrip("-")) for name in order]
        position = [column.sort_key(Param(f"after{i}", column.compared)) for i, column in enumerate(columns)]
        comparison = peewee.OP.LT if order[0].startswith("-") else peewee.OP.GT
        own = [column.sort_key(column) for column in columns]
        return peewee.Expression(peewee.Tuple(*own), comparison, peewee.Tuple(*position))


def _is_no_position(column: StoredColumn) -> bool:
    return column.null or isinstance(column, SecretField)


def _directed(column: StoredColumn, descending: bool) -> peewee.Node:
    """NULL comes last in descending order, on both databases."""
    sorted_by = column.sort_key(column)
    if not descending:
        return sorted_by.asc()
    return sorted_by.desc(nulls="LAST") if column.null else sorted_by.desc()
