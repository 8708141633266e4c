"""Deleting records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TypeVar

import peewee

from cream_store.conditions import bound_conditions, condition_nodes
from cream_store.database import transactional
from cream_store.errors import InvalidDataError
from cream_store.queries import MAX_LIMIT, QueryBuilder, checked_limit
from cream_store.records import Record
from cream_store.row import key_of, table_of
from cream_store.statement import Param
from cream_store.table_access.grouping import Grouping

R = TypeVar("R", bound=Record)


class Deleting(Grouping[R]):
    """How records go."""

    def _delete(self, builder: QueryBuilder) -> int:
        builder = self._own(builder)
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return 0
        statement = self._statement(
            ("delete", bound.shape),
            lambda: self.row.delete().where(*condition_nodes(self._column, builder)),
            by_key=self._is_by_key(builder),
        )
        return statement.change(self.database, bound.values)

    def _delete_returning(self, builder: QueryBuilder) -> list[R]:
        """Deletes all records that meet the conditions, in one statement, and returns them as they were."""
        builder = self._own(builder)
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return []
        statement = self._statement(
            ("delete returning", bound.shape),
            lambda: self.row.delete().where(*condition_nodes(self._column, builder)).returning(*self._columns.values()),
        )
        return self._fetch(statement, bound.values)

    def _delete_older_than(self, column: str, cutoff: date | datetime | None, builder: QueryBuilder) -> int:
        """Deletes, in batches, the records that meet the conditions and whose `column` lies before the cutoff.

        A `date` means its first moment in UTC. Raises InvalidDataError for no cutoff: that would mean every record.
        """
        if cutoff is None:
            raise InvalidDataError(f"{table_of(self.row)}: deleting old rows needs a cutoff", table=table_of(self.row))
        return self._delete_in_batches(builder.below(column, cutoff))

    def _delete_in_batches(self, builder: QueryBuilder, batch_size: int = MAX_LIMIT) -> int:
        """Deletes the records that meet the conditions and returns how many they were.

        Outside a transaction, each batch of at most `batch_size` is one of its own: no lock is held for long, and what
        an interrupted deletion did is not done again.
        """
        checked_limit(batch_size, "batch_size")
        total = 0
        # Until nothing is left, not until a batch is short: it is short too when somebody else deleted some of it.
        while deleted := self._delete_batch(builder, batch_size):
            total += deleted
        return total

    @transactional
    def _delete_batch(self, builder: QueryBuilder, batch_size: int) -> int:
        builder = self._own(builder)
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return 0
        key = key_of(self.row)

        def build() -> peewee.Node:
            batch = self.row.select(key).where(*condition_nodes(self._column, builder)).limit(Param("batch_size"))
            # The conditions again: a row that was changed while the deletion waited for it may not meet them any more.
            return self.row.delete().where(key.in_(batch), *condition_nodes(self._column, builder))

        statement = self._statement(("delete batch", bound.shape), build)
        return statement.change(self.database, {**bound.values, "batch_size": batch_size})

    def _delete_beyond_latest(self, by: Sequence[str], keep: int, builder: QueryBuilder) -> int:
        """Deletes, of the records that meet the conditions, all but the first `keep` of each group. One statement.

        `by` names the columns that make a group; what comes first is the query's order. Raises InvalidDataError unless
        at least one is kept.
        """
        checked_limit(keep, "the number of records to keep")
        builder = self._own(builder)
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return 0
        order = self._total_order(builder.order or self.default_order)

        def build() -> peewee.Node:
            key = key_of(self.row)
            ranked = self._ranked(by, order, builder, [key])
            beyond = peewee.Select([ranked], [getattr(ranked.c, key.column_name)])
            return self.row.delete().where(key.in_(beyond.where(ranked.c.place > Param("keep"))))

        statement = self._statement(("delete beyond latest", tuple(by), order, bound.shape), build)
        return statement.change(self.database, {**bound.values, "keep": keep})
