"""Query results as Arrow tables and record batches: exact, and without a Python object for each value.

On PostgreSQL the rows come as CSV by COPY, which pyarrow parses at a fraction of what fetching rows costs; on SQLite
they come from the cursor. Both give the same types and values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from cream_store.arrow.columns import ArrowColumn
from cream_store.arrow.copy_out import CopyOut
from cream_store.arrow.fetch_out import FetchOut
from cream_store.arrow.types import pa
from cream_store.backend import Database
from cream_store.errors import InvalidDataError

_CSV_COLUMN: Final = re.compile(r"CSV column #(\d+)")

Query = tuple[str, Sequence[Any]]
"""The SQL of a SELECT and its parameters."""


@contextmanager
def record_batches(
    database: Database, query: Query | None, columns: Sequence[ArrowColumn]
) -> Iterator[pa.RecordBatchReader]:
    """A reader of the result of a query for these columns, which arrives while it is read; None is an empty result.

    Leaving the block before the end cancels the query. Raises RepositoryError, perhaps after some batches.
    """
    schema = pa.schema([(column.name, column.type) for column in columns])
    if query is None:
        yield pa.RecordBatchReader.from_batches(schema, [])
        return
    source: CopyOut | FetchOut
    if database.kind == "postgresql":
        source = CopyOut(database, *query)
        arrays = _parsed(source, columns)
    else:
        source = FetchOut(database, *query)
        arrays = _converted(source, columns)
    try:
        batches = (pa.RecordBatch.from_arrays(part, schema=schema) for part in arrays)
        yield pa.RecordBatchReader.from_batches(schema, batches)
    finally:
        source.close()


def _converted(source: FetchOut, columns: Sequence[ArrowColumn]) -> Iterator[list[pa.Array]]:
    for part in source:
        yield [column.from_values(values) for column, values in zip(columns, part, strict=True)]


def _parsed(source: CopyOut, columns: Sequence[ArrowColumn]) -> Iterator[list[pa.Array]]:
    import pyarrow.csv as csv

    names = [column.name for column in columns]
    parsing = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)  # a lone NULL is an empty line
    conversion = csv.ConvertOptions(
        column_types={column.name: column.csv_type for column in columns},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,  # that is empty text
        true_values=["t"],
        false_values=["f"],
    )
    for block in source:
        # A block is read as one, so that no row, however long, lies on a boundary.
        reading = csv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=False)
        try:
            parsed = csv.read_csv(pa.py_buffer(block), reading, parsing, conversion)
        except pa.ArrowInvalid as error:
            raise _unreadable(columns, error) from error
        yield [column.from_csv(parsed.column(i).chunk(0)) for i, column in enumerate(columns)]


def _unreadable(columns: Sequence[ArrowColumn], error: Exception) -> InvalidDataError:
    match = _CSV_COLUMN.search(str(error))
    if match is None:
        return InvalidDataError("the result can't be read as a table")
    return columns[int(match[1])].unreadable()
