"""What the server does for a statement: which tables it goes through, by which index, and how many rows it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg2.extensions

from cream_store.backend import Connection
from cream_store.cursors import Cursor
from cream_store.environment import DatabaseLocation, Environment
from cream_store.postgresql import PostgresqlDatabase

T = TypeVar("T")

LARGE: Final = 1_000
"""Rows from which on going through them is worth an index."""


@dataclass(frozen=True, slots=True)
class TableScan:
    """How one step of a plan goes through one table."""

    table: str
    node: str  # PostgreSQL's name of the step
    index: str | None
    rows: int  # that it looked at, whether they met the conditions or not
    is_counted: bool  # whether the rows only go into a figure: a count, a sum, a page's total

    def is_whole(self, rows_by_table: Mapping[str, int]) -> bool:
        """Whether this goes through a large table: without an index, or with one that leaves more than half of it.

        What ends with the first rows that it meets does not.
        """
        return self.rows >= LARGE and (self.node == "Seq Scan" or self.rows > rows_by_table[self.table] / 2)


class RecordingDatabase(PostgresqlDatabase):
    """A database that remembers the statements it was asked to execute."""

    def __init__(self, environment: Environment, location: DatabaseLocation) -> None:
        super().__init__(environment, location)
        self.statements: list[tuple[str, Sequence[Any] | None]] = []

    def _connect_driver(self) -> Connection:
        connection = super()._connect_driver()
        statements = self.statements

        class Cursor(psycopg2.extensions.cursor):
            def copy_expert(self, sql: Any, *arguments: Any) -> None:
                query = sql.decode().removeprefix("COPY (").rpartition(") TO STDOUT")[0]
                statements.append((query, None))  # with its values in it
                super().copy_expert(sql, *arguments)

        connection.cursor_factory = Cursor
        return connection

    def run(
        self, sql: str, parameters: Sequence[Any] | None, read: Callable[[Cursor], T], *, by_key: bool = False
    ) -> T:
        self.statements.append((sql, parameters))
        return super().run(sql, parameters, read, by_key=by_key)


def table_scans(database: PostgresqlDatabase, sql: str, parameters: Sequence[Any] | None) -> list[TableScan]:
    """Executes a statement and returns how it went through tables."""
    rows = database.fetch_all(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", parameters)
    return list(_scans(rows[0][0][0]["Plan"]))


def _scans(plan: Mapping[str, Any], is_counted: bool = False) -> Iterator[TableScan]:
    is_counted = is_counted or plan["Node Type"] == "Aggregate"
    if "Relation Name" in plan:
        seen = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        rows = sum(plan.get(name, 0) for name in seen) * plan["Actual Loops"]
        index = plan.get("Index Name") or ", ".join(_bitmap_indexes(plan)) or None
        yield TableScan(plan["Relation Name"], plan["Node Type"], index, round(rows), is_counted)
    for child in plan.get("Plans", ()):
        yield from _scans(child, is_counted)


def _bitmap_indexes(plan: Mapping[str, Any]) -> Iterator[str]:
    for child in plan.get("Plans", ()):
        if child["Node Type"] == "Bitmap Index Scan":
            yield child["Index Name"]
        yield from _bitmap_indexes(child)
