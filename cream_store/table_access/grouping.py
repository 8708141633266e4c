"""Figures over records, and the first records of each group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import peewee
from peewee import fn

from cream_store.aggregates import ExactSum, Extreme
from cream_store.conditions import bound_conditions, condition_nodes
from cream_store.environment import Environment
from cream_store.fields import Column, ForeignKey
from cream_store.queries import QueryBuilder
from cream_store.records import Record
from cream_store.row import StoredColumn, key_of
from cream_store.skip_scan import first_of_each
from cream_store.statement import Param
from cream_store.table_access.reading import Reading

R = TypeVar("R", bound=Record)


class Grouping(Reading[R]):
    """What records come to, all together or group by group."""

    def _aggregate(
        self,
        name: str,
        builder: QueryBuilder,
        select: Sequence[Any],
        *,
        group_by: Sequence[Any] = (),
        given: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Rows of what is grouped by and what is selected, over the records that meet the conditions, decoded.

        `name` tells the repository's aggregates apart; `given` are the values of the selection's own parameters.
        """
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return []

        def build() -> peewee.Node:
            ordinals = [peewee.SQL(str(position + 1)) for position in range(len(group_by))]
            return (
                self.row.select(*group_by, *select).where(*condition_nodes(self._column, builder)).group_by(*ordinals)
            )

        statement = self._statement(("aggregate", name, bound.shape), build)
        kind = self.database.kind
        decoders = [
            node.decoder(kind) if isinstance(node, Column | ForeignKey | ExactSum | Extreme) else None
            for node in (*group_by, *select)
        ]
        return [
            tuple(value if decode is None else decode(value) for decode, value in zip(decoders, row, strict=True))
            for row in statement.fetch_all(self.database, {**bound.values, **(given or {})})
        ]

    def _count_by(
        self, column: str, environment: Environment | str | None = None, within: QueryBuilder | None = None
    ) -> dict[Any, int]:
        """How many records have each value of an enum column, perhaps only within a query; 0 where none has."""
        field = self._column(column)
        builder = self._within(environment, within)
        counts = self._aggregate(f"count by {column}", builder, [fn.COUNT(peewee.SQL("*"))], group_by=[field])
        found = {value: int(count) for value, count in counts}
        members: Iterable[Any] = field.value_type  # type: ignore[assignment]  # an enum class iterates over its members
        return {member: found.get(member, 0) for member in members}

    def _distinct(self, column: str, builder: QueryBuilder) -> list[Any]:
        """The column's different values in the records that meet the conditions, ascending."""
        rows = self._aggregate(f"distinct {column}", builder, [], group_by=[self._column(column)])
        return sorted(value for (value,) in rows)

    def _latest_of_each(self, by: Sequence[str], builder: QueryBuilder) -> list[R]:
        """Of the records that meet the conditions, the first of each group in the query's order. One statement.

        `by` names the columns that make a group. The result is in ascending order of these.
        """
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return []
        order = self._total_order(builder.order or self.default_order)

        def build() -> peewee.Node:
            ranked = self._ranked(by, order, builder, self._columns.values())
            columns = [getattr(ranked.c, column.column_name) for column in self._columns.values()]
            return (
                peewee.Select([ranked], columns)
                .where(ranked.c.place == 1)
                .order_by(*(getattr(ranked.c, self._column(name).column_name) for name in by))
            )

        return self._fetch(self._statement(("latest", tuple(by), order, bound.shape), build), bound.values)

    def _among_latest_of_each(self, by: str, latest: QueryBuilder, builder: QueryBuilder) -> list[R]:
        """Those that meet a query among the records that `_latest_of_each([by], latest)` gives. One statement.

        The result has the query's order and at most its limit. `by` is never NULL, and an index begins with it: each of
        its values costs a look-up, however many records have it.
        """
        both = QueryBuilder((*latest.conditions, *builder.conditions))
        bound = bound_conditions(self._column, both)
        if bound is None:
            return []
        if builder.row_limit is not None:
            bound.values["limit"] = builder.row_limit
        count = len(latest.conditions)
        latest_order = self._total_order(latest.order or self.default_order)
        order = self._total_order(builder.order or self.default_order)

        def build() -> peewee.Node:
            conditions = condition_nodes(self._column, both)
            first = first_of_each(self._column(by), conditions[:count], self._order_nodes(latest_order))
            select = self.row.select(*self._columns.values()).where(key_of(self.row).in_(first), *conditions[count:])
            select = select.order_by(*self._order_nodes(order))
            return select if builder.row_limit is None else select.limit(Param("limit"))

        key = ("among latest", by, latest_order, order, builder.row_limit is None, count, bound.shape)
        return self._fetch(self._statement(key, build), bound.values)

    def _ranked(
        self, by: Sequence[str], order: tuple[str, ...], builder: QueryBuilder, columns: Iterable[StoredColumn]
    ) -> Any:
        """A subquery of the records that meet the conditions, with their `place` in their group, from 1."""
        groups = [self._column(name) for name in by]
        place = fn.ROW_NUMBER().over(partition_by=groups, order_by=self._order_nodes(order)).alias("place")
        return self.row.select(*columns, place).where(*condition_nodes(self._column, builder)).alias("ranked")
