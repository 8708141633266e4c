"""Reading columns instead of records: Arrow tables, and streams of record batches.

pyarrow, which the extra `arrow` brings, is imported by the first call.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from cream_store.errors import InvalidDataError
from cream_store.fields import SecretField
from cream_store.queries import QueryBuilder
from cream_store.records import Record
from cream_store.row import table_of
from cream_store.table_access.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R", bound=Record)


class Columnar(Reading[R]):
    """How the result of a query becomes an Arrow table."""

    def _arrow(
        self,
        builder: QueryBuilder,
        *,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> pa.Table:
        """What `find` gives, as a table of the named columns: of all but secrets, unless some are named.

        Any number of rows, unless there is a limit, which may be any. The numbers with decimals are decimals, or with
        `floats` 64-bit floats. Raises InvalidDataError for an unknown column or a secret.
        """
        with self._iterate_arrow(builder, limit=limit, columns=columns, floats=floats) as reader:
            return reader.read_all()

    def _iterate_arrow(
        self,
        builder: QueryBuilder,
        *,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """The same as a reader of record batches, for `with`, which takes the memory of some batches only.

        All rows come from one state of the table. Inside a transaction no other statement can be executed until the
        reader is at its end or the block is left.
        """
        from cream_store.arrow.columns import ArrowColumn
        from cream_store.arrow.reading import record_batches

        names = self._arrow_names(columns)
        arrow_columns = [ArrowColumn(name, self._column(name), floats=floats) for name in names]
        database, query = self.database, None
        if selection := self._selection(builder._replace(row_limit=_checked_rows(limit, builder)), columns=names):
            statement, values = selection
            query = statement.bound(database, values)
        return record_batches(database, query, arrow_columns)

    def _arrow_names(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        if columns is None:
            return tuple(name for name, column in self._columns.items() if not isinstance(column, SecretField))
        names = (columns,) if isinstance(columns, str) else tuple(columns)
        if not names or len(set(names)) < len(names):
            table = table_of(self.row)
            raise InvalidDataError(f"{table}: name at least one column, and each once; got {names}", table=table)
        return names


def _checked_rows(limit: int | None, builder: QueryBuilder) -> int | None:
    """The limit, which is not that of a page: a whole number from 1."""
    if limit is None:
        return builder.row_limit
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit < 2**63:
        raise InvalidDataError(f"limit is a whole number from 1, got {limit!r}")
    return limit
