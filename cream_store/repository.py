"""Repositories: typed access to one table.

A repository names its row and record and adds the methods of its domain:

    class OrdersRepository(Repository[Order, OrderFilters, OrderChanges]):
        row = OrderRow
        default_order = ("-created_at",)

        def find_by_decision(self, decision_id: UUID) -> list[Order]:
            return self.find(query().equals("decision_id", decision_id))

For these methods `TableAccess` has the tools: conditional updates, state changes, aggregates, searches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, is_typeddict

from cream_store.bulk import Given, Written
from cream_store.bulk import merging as bulk
from cream_store.bulk.given import Reader
from cream_store.errors import InvalidDataError
from cream_store.queries import (
    KeysetPage,
    Page,
    QueryBuilder,
    checked_limit,
    decode_cursor,
    encode_cursor,
    query,
)
from cream_store.records import Record
from cream_store.row import key_of, table_of
from cream_store.table_access import Key, TableAccess, type_arguments

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Changes", "FilterRule", "Filters", "Key", "Repository", "since", "until"]

Filters = Mapping[str, Any]
"""Filters of a repository that declares none of its own: any column, equal to a value or one of a list."""
Changes = Mapping[str, Any]
"""Changes of a repository that declares none of its own: any column but the key, creation time and environment."""

R = TypeVar("R", bound=Record)
F = TypeVar("F", bound=Mapping[str, object])
C = TypeVar("C", bound=Mapping[str, object])

FilterRule = Callable[[QueryBuilder, Any], QueryBuilder]


def since(column: str) -> FilterRule:
    """A filter for moments from the given one on."""
    return lambda builder, value: builder.at_least(column, value)


def until(column: str) -> FilterRule:
    """A filter for moments up to the given one; a `date` includes its whole day."""
    return lambda builder, value: builder.at_most(column, value)


class Repository(TableAccess[R], Generic[R, F, C]):
    """Typed access to one table: records in, records out.

    `R` is the record, `F` the filters that `find_many` and its relatives take, `C` the changes that `update` takes;
    the latter two are TypedDicts whose keys are the names that are accepted.

    Every method raises a RepositoryError when the database does, InvalidDataError for a value that can't be stored.
    """

    default_limit: ClassVar[int] = 20
    """Rows of a page when the caller does not say."""
    filter_rules: ClassVar[Mapping[str, FilterRule]] = {}
    """Filters that are more than "this column equals": `{"from_date": since("created_at")}`."""

    _changeable: ClassVar[frozenset[str]]
    _filterable: ClassVar[frozenset[str]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "row" in cls.__dict__:
            _, filters, changes = type_arguments(cls, Repository)
            fixed = {key_of(cls.row).record_name, "created_at", "environment"}
            cls._changeable = _keys(changes, default=cls._columns.keys() - fixed)
            cls._filterable = _keys(filters, default=cls._columns.keys() | cls.filter_rules.keys())

    @classmethod
    def changeable_columns(cls) -> frozenset[str]:
        """The names of what `update` can change."""
        return cls._changeable

    def create(self, record: R) -> R:
        """Stores a new record and returns it as stored. Raises DuplicateKeyError when its key is taken."""
        self._guard(record)
        return self._insert([record])[0]

    def create_many(self, records: Given[R]) -> list[R]:
        """Stores new records, all or none, and returns them as stored, in the same order.

        Takes what `upsert_many` takes.
        """
        return bulk.create(self, records)

    def upsert(self, record: R) -> R:
        """Stores a record, over the one with the same key if there is one. Returns it as stored."""
        self._guard(record)
        return self._insert([self._stamped(record)], over_stored=True)[0]

    def upsert_many(self, records: Given[R]) -> Written:
        """Upserts all records or none; of several with the same key, the last wins. Returns how many were given.

        Takes records, dicts with the record's fields, or a table of Arrow, pandas or polars with a column for each
        field (extra `arrow`); what has a default may be left out. Any number of records that an iterator gives costs
        the memory of some thousand. Raises InvalidDataError, with the position of the record counted from 1, for what
        can't be stored exactly: see `rounded`.
        """
        return bulk.upsert(self, records)

    def _records(self, given: Given[R]) -> Iterator[R]:
        """What is given for a bulk write as records, each of them checked, for rules that have to see them."""
        return Reader(self).records(given)

    def find_by_id(self, id: Key) -> R | None:
        """The record with that key, or None."""
        return self._find_by_key(id)

    def find_by_id_or_raise(self, id: Key) -> R:
        """The record with that key. Raises NotFoundError."""
        return self.find_by_id(id) or self._raise_not_found(id)

    def find_many(
        self,
        filters: F | None = None,
        *,
        limit: int | None = None,
        offset: int | None = None,
        page: int | None = None,
        page_size: int | None = None,
        order_by: str | Sequence[str] | None = None,
    ) -> Page[R]:
        """One page of the records that match all filters, with the total, from one state of the table.

        Say `limit` and `offset`, or `page` (from 1) and `page_size`. Without an `environment` filter only the
        database's own environment is searched. Raises InvalidDataError for an unknown filter or bad paging values.
        """
        limit, offset = self._paging(limit, offset, page, page_size)
        builder = self._ordered(self._filtered(filters), order_by).limit(limit).offset(offset)
        while True:
            rows = self._select(builder, with_total=True)
            if rows or offset == 0:
                return Page(self._decode(row[1:] for row in rows), rows[0][0] if rows else 0, limit, offset)
            total = self.count_of(builder)
            if total <= offset:  # else rows were added between the two statements
                return Page([], total, limit, offset)

    def find_all(
        self, filters: F | None = None, *, limit: int | None = None, order_by: str | Sequence[str] | None = None
    ) -> list[R]:
        """The records that match all filters: every one, unless there is a limit."""
        return self.find(self._ordered(self._filtered(filters), order_by).limit(limit))

    def find_arrow(
        self,
        filters: F | None = None,
        *,
        limit: int | None = None,
        order_by: str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> pa.Table:
        """The rows that match all filters as an Arrow table: every one, unless there is a limit, which may be any.

        All columns but secrets, or those named. Numbers with decimals are decimals, or with `floats` 64-bit floats.
        Needs the extra `arrow`: `pip install cream-store[arrow]`.
        """
        builder = self._ordered(self._filtered(filters), order_by)
        return self._arrow(builder, limit=limit, columns=columns, floats=floats)

    def iterate_arrow(
        self,
        filters: F | None = None,
        *,
        limit: int | None = None,
        order_by: str | Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """What `find_arrow` gives, for results larger than memory: `with ....iterate_arrow() as reader: ...`.

        The reader gives record batches while they arrive, all from one state of the table. Leaving the block before
        the end cancels the query. Inside a transaction no other statement can be executed meanwhile.
        """
        builder = self._ordered(self._filtered(filters), order_by)
        return self._iterate_arrow(builder, limit=limit, columns=columns, floats=floats)

    def find_keyset(
        self,
        filters: F | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
        order_by: str | Sequence[str] | None = None,
    ) -> KeysetPage[R]:
        """The next records after a cursor, which the page before gave. Any page costs what the first costs.

        All columns of the order run in one direction and are never NULL.
        """
        limit = checked_limit(self.default_limit if limit is None else limit)
        builder = self._ordered(self._filtered(filters), order_by).limit(limit)
        order = self._total_order(builder.order)
        columns = self._keyset_columns(order)
        types = [column.value_type for column in columns.values()]
        position = decode_cursor(after, order, types) if after is not None else None
        data = self._decode(self._select(builder, position=position))
        if len(data) < limit:
            return KeysetPage(data, None)
        last = [column.encode(getattr(data[-1], name)) for name, column in columns.items()]
        return KeysetPage(data, encode_cursor(order, last))

    def first(self, filters: F | None = None, *, order_by: str | Sequence[str] | None = None) -> R | None:
        """The first record that matches all filters, or None."""
        return self._first(self._ordered(self._filtered(filters), order_by))

    def exists(self, filters: F | None = None) -> bool:
        """Whether any record matches all filters."""
        return self._is_any(self._filtered(filters))

    def count(self, filters: F | None = None) -> int:
        """How many records match all filters."""
        return self.count_of(self._filtered(filters))

    def update(self, id: Key, changes: C) -> R:
        """Writes the given columns and returns the record as it is then. Nothing given: nothing changes.

        Raises NotFoundError; InvalidDataError for a column that can't be changed.
        """
        return self._update_one(id, self._checked_changes(changes)) or self._raise_not_found(id)

    def delete(self, id: Key) -> bool:
        """Deletes the record with that key; False when there is none."""
        return self._delete(self._by_key(id)) > 0

    def delete_many(self, filters: F) -> int:
        """Deletes the records that match all filters, at least one filter, and returns how many they were."""
        if not any(value is not None for value in filters.values()):
            raise InvalidDataError("delete_many needs at least one filter", table=table_of(self.row))
        return self._delete(self._filtered(filters))

    def _filtered(self, filters: Mapping[str, Any] | None) -> QueryBuilder:
        """The conditions that filters mean, limited to the database's environment unless they name one."""
        filters = filters or {}
        builder = query()
        if "environment" in self._columns:
            builder = builder.equals("environment", self.environment_of(filters.get("environment")))
        for name, value in filters.items():
            if name not in self._filterable:
                raise InvalidDataError(f"unknown filter {name!r}; known: {', '.join(sorted(self._filterable))}")
            if name == "environment":
                continue
            if rule := self.filter_rules.get(name):
                builder = builder if value is None else rule(builder, value)
            elif isinstance(value, list | tuple | set | frozenset):
                builder = builder.one_of(name, value)
            else:
                builder = builder.equals(name, value)
        return builder

    def _ordered(self, builder: QueryBuilder, order_by: str | Sequence[str] | None) -> QueryBuilder:
        if order_by is None:
            return builder.order_by(*self.default_order)
        order = (order_by,) if isinstance(order_by, str) else tuple(order_by)
        for name in order:
            self._column(name.lstrip("-"))
        return builder.order_by(*order)

    def _paging(
        self, limit: int | None, offset: int | None, page: int | None, page_size: int | None
    ) -> tuple[int, int]:
        if page is None and page_size is None:
            return self.default_limit if limit is None else limit, 0 if offset is None else offset
        if limit is not None or offset is not None:
            raise InvalidDataError("say limit and offset, or page and page_size, not both")
        size = checked_limit(self.default_limit if page_size is None else page_size, "page_size")
        number = 1 if page is None else page
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise InvalidDataError(f"page is a whole number from 1, got {page!r}")
        return size, (number - 1) * size

    def _checked_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in changes:
            if name not in self._changeable:
                table = table_of(self.row)
                raise InvalidDataError(
                    f"{table}.{name} can't be changed; can: {', '.join(sorted(self._changeable))}",
                    table=table,
                    columns=(name,),
                )
        return changes


def _keys(declared: Any, default: Iterable[str]) -> frozenset[str]:
    return frozenset(declared.__annotations__ if is_typeddict(declared) else default)
