"""Many rows at once: through a temporary table and one statement, or when they are few, through some statements.

    records -> batches of columns -> encoded columns -> temporary table -> INSERT ... SELECT ... ON CONFLICT

In the temporary table the rows wait until all are read and checked: they get there by COPY on PostgreSQL, by
executemany on SQLite. Of the rows with the same key the last one is taken from it, in the order of the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from typing import Any, Final, TypeVar

import peewee
from peewee import SQL, fn

from cream_store.bulk.given import Batch, Given, Reader, Rounded
from cream_store.bulk.written import Written
from cream_store.database import repeated, with_transaction
from cream_store.fields import SerialField
from cream_store.fields.column import ByKind
from cream_store.records import Record
from cream_store.row import StoredColumn, key_of, table_of
from cream_store.statement import Param, Statement
from cream_store.table_access.inserting import Inserting, chunks
from cream_store.url import Kind

R = TypeVar("R", bound=Record)

FEW: Final[dict[Kind, int]] = {"postgresql": 50, "sqlite": 100}
"""So many rows at most go in statements of their own.

Measured with candles, the temporary table is the quicker way from 35 rows on PostgreSQL 18, from 80 on SQLite: it costs
3 ms and 0.4 ms, and saves 0.08 and 0.005 ms for each row. It is left for a few more because it also leaves dead rows in
PostgreSQL's catalogue.
"""

_STATISTICS_FROM: Final = 500_000
"""After so many new rows at once, PostgreSQL is told to look at them.

It would by itself within a minute. Until then it guesses that a condition leaves few rows, and may sort millions of
them. The look takes about a second; what the rows themselves take, about half a minute.
"""

_ORDINAL: Final = ByKind("ctid", "rowid")
"""Numbers the rows of the temporary table in the order in which they came."""
_LARGEST_ROWID: Final = (1 << 63) - 1


def create(table: Inserting[R], given: Given[R]) -> list[R]:
    """Stores new records, all or none, and returns them as stored, in the same order."""
    database, reader = table.database, Reader(table)
    records = list(reader.records(given))
    batches = list(reader.encoded(records))
    key = key_of(table.row)
    numbered = {getattr(record, key.record_name) is None for record in records} if _is_serial(key) else {False}

    def store() -> list[R]:
        if database.kind == "postgresql" and len(records) > FEW[database.kind] and len(numbered) == 1:
            with _Waiting(table) as waiting:
                waiting.add_all(batches)
                stored = table._decode(waiting.move_all(numbered=True in numbered))
            return table._in_order_of(records, stored, True in numbered)
        return _create_few(table, records, [row for batch in batches for row in zip(*batch.columns(), strict=True)])

    return with_transaction(store, database) if records else []


def upsert(table: Inserting[R], given: Given[R]) -> Written:
    """Upserts all records or none; of several with the same key, the last wins."""
    database, reader = table.database, Reader(table, table.stamped_on_upsert)
    batches = reader.batches(given)
    head = list(islice(batches, 2))
    if not head:
        return Written(0)
    if len(head) == 1 and head[0].count <= FEW[database.kind]:
        return with_transaction(lambda: _upsert_few(table, head[0]), database)
    unread: list[Iterable[Batch]] = [chain(head, batches)]

    def store() -> Written:
        with _Waiting(table) as waiting:
            waiting.add_all(unread.pop() if unread else reader.batches(given))
            written = waiting.merge()
        if written.inserted >= _STATISTICS_FROM and database.kind == "postgresql":
            # Skipped, with a warning of the server's, where somebody else is at it or the role may not.
            database.change(f'ANALYZE (SKIP_LOCKED) "{table_of(table.row)}"')
        return written

    # What an iterator gave is gone. A deadlock is no reason to read it again: that happens in `merge`.
    can_be_read_again = not isinstance(given.records if isinstance(given, Rounded) else given, Iterator)
    return with_transaction(store, database, retries=5 if can_be_read_again else 0)


# A few rows


def _create_few(table: Inserting[R], records: Sequence[R], rows: Sequence[tuple[Any, ...]]) -> list[R]:
    stored: list[R] = []
    for numbered, some in _statements_of(table, rows):
        statement = _insertion(table, len(some), numbered, over_stored=False, returning=tuple(table._columns.values()))
        made = table._fetch(statement, _values(table, some, numbered))
        stored += table._in_order_of(records[len(stored) : len(stored) + len(some)], made, numbered)
    return stored


def _upsert_few(table: Inserting[R], batch: Batch) -> Written:
    database, columns = table.database, batch.columns()
    names = list(table._columns)
    keys = list(zip(*(columns[names.index(key.record_name)] for key in table._conflict_columns()), strict=True))
    # NULL meets no stored row, nor another NULL.
    latest = {(key, i if None in key else 0): i for i, key in enumerate(keys)}
    # In the order of the keys, so that two writers of the same rows queue instead of locking each other out.
    places = sorted(latest.values(), key=lambda i: [(value is not None, value) for value in keys[i]])
    rows = list(zip(*columns, strict=True))
    rows = [rows[i] for i in places]
    new_rows = _NewRows(table, has_numbers=any(not numbered for numbered, _ in _statements_of(table, rows)))
    written = inserted = 0
    for numbered, some in _statements_of(table, rows):
        values = _values(table, some, numbered)
        if database.kind == "postgresql":
            statement = _insertion(table, len(some), numbered, over_stored=True, returning=(_IS_NEW,))
            are_new = statement.fetch_all(database, values)
            written, inserted = written + len(are_new), inserted + sum(is_new for (is_new,) in are_new)
        else:
            written += _insertion(table, len(some), numbered, over_stored=True).change(database, values)
    if written < len(rows):
        table._refuse_overwrite()
    if database.kind == "sqlite":
        inserted = new_rows.count()
    return Written(batch.count, inserted, written - inserted)


def _statements_of(
    table: Inserting[R], rows: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[bool, list[tuple[Any, ...]]]]:
    """The rows in groups that one statement each can insert, and whether the database numbers them."""
    key = key_of(table.row)
    place = list(table._columns.values()).index(key)
    for numbered, alike in groupby(rows, lambda row: _is_serial(key) and row[place] is None):
        for some in chunks(alike):
            yield numbered, some


def _insertion(
    table: Inserting[R], count: int, numbered: bool, *, over_stored: bool, returning: tuple[Any, ...] = ()
) -> Statement:
    columns = _columns(table, numbered)

    def build() -> peewee.Node:
        width = len(columns)
        rows = [
            {column: Param(row * width + place) for place, column in enumerate(columns.values())}
            for row in range(count)
        ]
        insert = table.row.insert_many(rows)
        if over_stored:
            insert = table._over_stored(insert, columns)
        return insert.returning(*returning)  # said even of nothing: Peewee adds the key if it has no word

    return table._statement(("insert encoded", count, numbered, over_stored, bool(returning)), build)


def _values(table: Inserting[R], rows: Iterable[tuple[Any, ...]], numbered: bool) -> list[Any]:
    values = [value for row in rows for value in row]
    if numbered:
        width, place = len(table._columns), list(table._columns.values()).index(key_of(table.row))
        del values[place::width]
    return values


# Many rows


class _Waiting:
    """The temporary table of one call, in the call's transaction."""

    def __init__(self, table: Inserting[Any]) -> None:
        self._table, self._database = table, table.database
        # An iterator may itself write many rows of the table, in a transaction within this one.
        self._name = f"bulk_{self._database.transaction_depth()}_{table_of(table.row)}"
        self._source = peewee.Table(self._name)
        self._given = 0

    def __enter__(self) -> _Waiting:
        columns = ", ".join(f'"{column.column_name}"' for column in self._table._columns.values())
        if self._database.kind == "postgresql":
            # With the columns' types, but neither their NOT NULL nor anything else. One table serves all calls of a
            # transaction, because the lock on a dropped one is held until the transaction ends.
            self._database.change(
                f'CREATE TEMPORARY TABLE IF NOT EXISTS "{self._name}" ON COMMIT DROP'
                f' AS SELECT {columns} FROM "{table_of(self._table.row)}" WITH NO DATA'
            )
            self._feeding = f'COPY "{self._name}" FROM STDIN'
        else:
            self._database.change(f'CREATE TEMPORARY TABLE "{self._name}" ({columns})')
            places = ", ".join("?" * len(self._table._columns))
            self._feeding = f'INSERT INTO "{self._name}" VALUES ({places})'
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:  # else the transaction, or the savepoint, takes it away
            is_postgresql = self._database.kind == "postgresql"
            self._database.change(f'{"TRUNCATE" if is_postgresql else "DROP TABLE"} "{self._name}"')

    def add_all(self, batches: Iterable[Batch]) -> None:
        """Takes in rows. While the next ones are read, nothing is under way on the connection."""
        for batch in batches:
            if self._database.kind == "postgresql":
                self._database.feed(self._feeding, batch.copy_data())
            else:
                self._database.feed(self._feeding, zip(*batch.columns(), strict=True))
            self._given += batch.count

    def move_all(self, *, numbered: bool) -> list[tuple[Any, ...]]:
        """Inserts all rows in their order, and returns them as stored."""

        def build() -> Any:
            columns = _columns(self._table, numbered)
            rows = self._select(columns).order_by(_ORDINAL)
            insert = self._table.row.insert_from(rows, list(columns.values()))
            return insert.returning(*self._table._columns.values())

        statement = self._table._statement(("move all", self._name, numbered), build)
        return statement.fetch_all(self._database, ())

    def merge(self) -> Written:
        """Inserts the last row of each key, over the stored one if there is one."""
        # The rows are here already: after a deadlock only this has to be done again.
        retries = 5 if self._database.transaction_depth() == 1 and self._database.kind == "postgresql" else 0
        return repeated(self._merge, self._database, retries=retries)

    def _merge(self) -> Written:
        key = key_of(self._table.row)
        total, with_number = self._given, 0
        if _is_serial(key):
            counts = f'SELECT count("{key.column_name}") FROM "{self._name}"'
            with_number = self._database.fetch_all(counts)[0][0]
        new_rows = _NewRows(self._table, has_numbers=with_number > 0)
        written = inserted = 0
        kinds = [numbered for numbered, count in ((True, total - with_number), (False, with_number)) if count]
        for numbered in kinds if _is_serial(key) else [False]:
            statement = self._merging(numbered, only_some=len(kinds) > 1 and _is_serial(key))
            if self._database.kind == "postgresql":
                some_written, some_inserted = statement.fetch_all(self._database, ())[0]
                written, inserted = written + some_written, inserted + some_inserted
            else:
                written += statement.change(self._database, ())
        if written < self._given and written < self._count_keys():
            self._table._refuse_overwrite()
        if self._database.kind == "sqlite":
            inserted = new_rows.count()
        return Written(self._given, inserted, written - inserted)

    def _merging(self, numbered: bool, *, only_some: bool) -> Statement:
        kind = self._database.kind

        def build() -> Any:
            columns = _columns(self._table, numbered)
            rows, groups = self._select(columns), self._groups(kind)
            if kind == "postgresql":
                rows = rows.distinct(*groups).order_by(*groups, _ORDINAL.desc())
            else:
                last = peewee.Select([self._source], [fn.MAX(_ORDINAL)]).group_by(*groups)
                rows = rows.where(_ORDINAL.in_(last)).order_by(*groups)
            if only_some:
                rows = rows.where(getattr(self._source.c, key_of(self._table.row).column_name).is_null(numbered))
            insert = self._table.row.insert_from(rows, list(columns.values()))
            insert = self._table._over_stored(insert, columns)
            if kind == "sqlite":
                return insert.returning()
            counts = SQL(") SELECT count(*), count(*) FILTER (WHERE is_new) FROM merged")
            return peewee.NodeList((SQL("WITH merged AS ("), insert.returning(_IS_NEW.alias("is_new")), counts))

        return self._table._statement(("merge", kind, self._name, numbered, only_some), build)

    def _select(self, columns: dict[str, StoredColumn]) -> Any:
        return peewee.Select([self._source], [getattr(self._source.c, one.column_name) for one in columns.values()])

    def _keys(self, kind: Kind) -> list[Any]:
        """The key's columns, in an order that the statements for a few rows have as well."""
        keys = []
        for column in self._table._conflict_columns():
            node = getattr(self._source.c, column.column_name)
            is_text = kind == "postgresql" and column.as_column().field_type == "TEXT"
            keys.append(node.cast("text").collate('"C"') if is_text else node)
        return keys

    def _groups(self, kind: Kind) -> list[Any]:
        """What rows of the same key have in common: nothing where a column is NULL, which meets no other NULL."""
        keys = self._keys(kind)
        nullable = [key for key, column in zip(keys, self._table._conflict_columns(), strict=True) if _may_miss(column)]
        return [*keys, *(peewee.Case(None, [(key.is_null(), _ORDINAL)]) for key in nullable)]

    def _count_keys(self) -> int:
        kind = self._database.kind

        def build() -> peewee.Node:
            keys = peewee.Select([self._source], [SQL("1")]).group_by(*self._groups(kind)).alias("keys")
            return peewee.Select([keys], [fn.COUNT(SQL("*"))])

        statement = self._table._statement(("count keys", kind, self._name), build)
        count: int = statement.fetch_all(self._database, ())[0][0]
        return count


class _NewRows:
    """Counts the rows that a transaction inserts on SQLite, which does not tell them from those that it updates."""

    def __init__(self, table: Inserting[Any], *, has_numbers: bool) -> None:
        self._database, self._name = table.database, table_of(table.row)
        if self._database.kind != "sqlite":
            return
        last = self._database.fetch_all(f'SELECT max(rowid) FROM "{self._name}"')[0][0] or 0
        # A new row comes behind the last one, unless it has a number of its own.
        self._last = None if has_numbers or last == _LARGEST_ROWID else last
        self._before = self._count() if self._last is None else 0

    def count(self) -> int:
        return self._count() - self._before

    def _count(self) -> int:
        counting: str = f'SELECT count(*) FROM "{self._name}"'
        parameters: tuple[int, ...] = ()
        if self._last is not None:
            counting, parameters = f"{counting} WHERE rowid > ?", (self._last,)
        count: int = self._database.fetch_all(counting, parameters)[0][0]
        return count


_IS_NEW: Final = SQL("(xmax = 0)")
"""Whether PostgreSQL inserted the row that a statement returns: locking one that was there leaves a mark in it."""


def _columns(table: Inserting[R], numbered: bool) -> dict[str, StoredColumn]:
    """The columns that are written: all but the key, where the database numbers the rows."""
    key = key_of(table.row)
    return {name: column for name, column in table._columns.items() if not (numbered and column is key)}


def _is_serial(key: StoredColumn) -> bool:
    return isinstance(key, SerialField)


def _may_miss(column: StoredColumn) -> bool:
    return bool(column.null) or _is_serial(column)
