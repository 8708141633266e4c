"""Repositories: typed access to one table.

A repository names its row and record and adds the methods of its domain:

    class OrdersRepository(Repository[Order, OrderFilters, OrderChanges]):
        row = OrderRow
        default_order = ("-created_at",)

        def find_by_decision(self, decision_id: UUID) -> list[Order]:
            return self.find(query().equals("decision_id", decision_id))

Every statement is compiled once per shape (which conditions, which columns) and kind of database.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin, is_typeddict
from uuid import UUID

import peewee
from peewee import fn

from cream_store.aggregates import ExactSum
from cream_store.backend import Database
from cream_store.clock import utc_now
from cream_store.database import get_db, transactional
from cream_store.decoder import RowDecoder, compile_decoder
from cream_store.environment import Environment
from cream_store.errors import (
    ConfigurationError,
    ConstraintViolationError,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
)
from cream_store.fields import Column, ForeignKey, SerialField, UUIDField
from cream_store.queries import (
    MAX_LIMIT,
    Condition,
    KeysetPage,
    Page,
    QueryBuilder,
    checked_limit,
    condition_node,
    decode_cursor,
    encode_cursor,
    like_pattern,
    query,
)
from cream_store.records import Record
from cream_store.row import Row, StoredColumn, columns_of, key_of, table_of
from cream_store.statement import Param, Statement, params
from cream_store.states import StateMachine
from cream_store.url import Kind

Key = UUID | str | int
Filters = Mapping[str, Any]
"""Filters of a repository that declares none of its own: any column, equal to a value or one of a list."""
Changes = Mapping[str, Any]
"""Changes of a repository that declares none of its own: any column but the key, creation time and environment."""

R = TypeVar("R", bound=Record)
F = TypeVar("F", bound=Mapping[str, object])
C = TypeVar("C", bound=Mapping[str, object])
S = TypeVar("S", bound=StrEnum)

FilterRule = Callable[[QueryBuilder, Any], QueryBuilder]


def since(column: str) -> FilterRule:
    """A filter for moments from the given one on."""
    return lambda builder, value: builder.at_least(column, value)


def until(column: str) -> FilterRule:
    """A filter for moments up to the given one; a `date` includes its whole day."""
    return lambda builder, value: builder.at_most(column, value)


class Repository(Generic[R, F, C]):
    """Typed access to one table: records in, records out.

    `R` is the record, `F` the filters that `find_many` and its relatives take, `C` the changes that `update` takes;
    the latter two are TypedDicts whose keys are the names that are accepted.

    Every method raises a RepositoryError when the database does, InvalidDataError for a value that can't be stored.
    """

    row: ClassVar[type[Row]]
    default_order: ClassVar[tuple[str, ...]] = ()
    """The order of lists, as `QueryBuilder.order_by` takes it; the primary key decides ties."""
    default_limit: ClassVar[int] = 20
    """Rows of a page when the caller does not say."""
    filter_rules: ClassVar[Mapping[str, FilterRule]] = {}
    """Filters that are more than "this column equals": `{"from_date": since("created_at")}`."""
    conflict_target: ClassVar[tuple[str, ...]] = ()
    """The columns that make an upsert meet a stored row; the primary key unless said otherwise."""
    kept_on_conflict: ClassVar[tuple[str, ...]] = ("id", "created_at")
    """Columns that an upsert leaves as they are stored."""

    record: type[R]
    _columns: ClassVar[dict[str, StoredColumn]]
    _changeable: ClassVar[frozenset[str]]
    _filterable: ClassVar[frozenset[str]]
    _statements: ClassVar[dict[Any, Statement]]
    _decoders: ClassVar[dict[Kind, RowDecoder[Any]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "row" not in cls.__dict__:
            return  # a base for other repositories
        record, filters, changes = _type_arguments(cls)
        cls.record = record
        cls._columns = columns_of(cls.row)
        cls._statements, cls._decoders = {}, {}
        fixed = {key_of(cls.row).record_name, "created_at", "environment"}
        cls._changeable = _keys(changes, default=cls._columns.keys() - fixed)
        cls._filterable = _keys(filters, default=cls._columns.keys())

    def __init__(self, database: Database | None = None) -> None:
        """Works on the given database, or on the current environment's (`get_db()`) at each call."""
        self._database = database

    @property
    def database(self) -> Database:
        """The database that the next call uses."""
        return self._database if self._database is not None else get_db()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database!r})" if self._database else f"{type(self).__name__}()"

    # Create

    def create(self, record: R) -> R:
        """Stores a new record and returns it as stored. Raises DuplicateKeyError when its key is taken."""
        self._guard(record)
        return self._insert([record])[0]

    @transactional
    def create_many(self, records: Iterable[R]) -> list[R]:
        """Stores new records, all or none, and returns them as stored, in the same order."""
        stored: list[R] = []
        for chunk in _chunks(self._guarded(records)):
            stored += self._insert(chunk)
        return stored

    def upsert(self, record: R) -> R:
        """Stores a record, over the one with the same key if there is one. Returns it as stored."""
        self._guard(record)
        return self._insert([record], over_stored=True)[0]

    @transactional
    def upsert_many(self, records: Iterable[R]) -> int:
        """Upserts all records or none; of several with the same key, the last wins. Returns how many were given."""
        given = 0
        latest: dict[tuple[Any, ...], R] = {}
        for record in self._guarded(records):
            given += 1
            key = tuple(column.db_value(getattr(record, column.record_name)) for column in self._conflict_columns())
            latest[key if None not in key else (*key, given)] = record  # NULL meets no stored row
        # In the order of the keys, so that two writers of the same rows queue instead of locking each other out.
        for chunk in _chunks(latest[key] for key in sorted(latest, key=repr)):
            self._insert(chunk, over_stored=True)
        return given

    # Read

    def find_by_id(self, id: Key) -> R | None:
        """The record with that key, or None."""
        key = key_of(self.row)
        statement = self._statement(
            "by id", lambda: self.row.select(*self._columns.values()).where(key == Param("id", key))
        )
        return self._fetch_one(id, statement)

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
        descending = [name.startswith("-") for name in order]
        columns = [self._column(name.lstrip("-")) for name in order]
        if len(set(descending)) > 1 or any(column.null for column in columns):
            raise InvalidDataError("keyset pages need an order in one direction over columns that are never NULL")
        position = decode_cursor(after, order) if after is not None else None
        data = self._decode(self._select(builder, position=position))
        if len(data) < limit:
            return KeysetPage(data, None)
        last = [column.encode(getattr(data[-1], name.lstrip("-"))) for name, column in zip(order, columns, strict=True)]
        return KeysetPage(data, encode_cursor(order, last))

    def first(self, filters: F | None = None, *, order_by: str | Sequence[str] | None = None) -> R | None:
        """The first record that matches all filters, or None."""
        return self._first(self._ordered(self._filtered(filters), order_by))

    def exists(self, filters: F | None = None) -> bool:
        """Whether any record matches all filters."""
        return self.first(filters) is not None

    def count(self, filters: F | None = None) -> int:
        """How many records match all filters."""
        return self.count_of(self._filtered(filters))

    def find(self, builder: QueryBuilder) -> list[R]:
        """The records that a query built with `query()` gives."""
        return self._decode(self._select(builder))

    def count_of(self, builder: QueryBuilder) -> int:
        """How many records meet a query's conditions."""
        values = self._condition_values(builder)
        if values is None:
            return 0
        statement = self._statement(
            ("count", _shape(builder)),
            lambda: self.row.select(fn.COUNT(peewee.SQL("*"))).where(*self._condition_nodes(builder)),
        )
        count: int = statement.fetch_all(self.database, values)[0][0]
        return count

    # Change

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

    # For the methods of plugins

    def environment_of(self, environment: Environment | str | None) -> Environment | None:
        """The environment that a read is limited to: the given one, else the database's own; on TEST, all (None)."""
        if environment is not None:
            try:
                return Environment.parse(environment)
            except ConfigurationError as error:
                raise InvalidDataError(str(error), columns=("environment",)) from None
        own = self.database.environment
        return None if own is Environment.TEST else own

    def one_environment_of(self, environment: Environment | str | None) -> Environment:
        """The one environment that a call is about: the given one, else the database's own.

        Raises InvalidDataError on a TEST database, which has rows of both, when none is given.
        """
        one = self.environment_of(environment)
        if one is None:
            raise InvalidDataError("a TEST database holds rows of PAPER and LIVE: say which", columns=("environment",))
        return one

    def _first(self, builder: QueryBuilder) -> R | None:
        found = self.find(builder.limit(1))
        return found[0] if found else None

    def _update_one(self, id: Key, changes: Mapping[str, Any], only_if: QueryBuilder | None = None) -> R | None:
        """Changes the record with that key, if it meets the condition too; None when there is no such record."""
        builder = self._by_key(id)
        if only_if is not None:
            builder = QueryBuilder((*builder.conditions, *only_if.conditions))
        if not changes:
            return self._first(builder)
        updated = self._update_where(builder, changes)
        return updated[0] if updated else None

    def _update_where(self, builder: QueryBuilder, changes: Mapping[str, Any]) -> list[R]:
        """Changes all records that meet the conditions, in one statement, and returns them. Moves `updated_at`."""
        values = self._condition_values(builder)
        if values is None:
            return []
        if "updated_at" in self._columns:
            changes = {"updated_at": utc_now(), **changes}
        names = tuple(changes)

        def build() -> peewee.Node:
            return (
                self.row.update(params([(name, self._column(name)) for name in names]))
                .where(*self._condition_nodes(builder))
                .returning(*self._columns.values())
            )

        statement = self._statement(("update", names, _shape(builder)), build)
        return self._fetch(statement, {**changes, **values})

    def _upsert_changes(self, record: R, changes: Mapping[str, Any]) -> R:
        """Stores a new record with changes, or writes the changes alone over the stored one with the same key.

        One statement. Moves `updated_at`, if there is anything to change.
        """
        self._guard(record)
        moved = ("updated_at",) if changes and "updated_at" in self._columns else ()
        return self._insert([record.replace(**changes)], over_stored=True, only=(*changes, *moved))[0]

    def _delete(self, builder: QueryBuilder) -> int:
        values = self._condition_values(builder)
        if values is None:
            return 0
        statement = self._statement(
            ("delete", _shape(builder)), lambda: self.row.delete().where(*self._condition_nodes(builder))
        )
        return statement.change(self.database, values)

    def _delete_older_than(self, column: str, cutoff: date | datetime | None, builder: QueryBuilder) -> int:
        """Deletes, in batches, the records that meet the conditions and whose `column` lies before the cutoff.

        A `date` means its first moment in UTC. Raises InvalidDataError for no cutoff: that would mean every record.
        """
        if cutoff is None:
            raise InvalidDataError(f"{table_of(self.row)}: deleting old rows needs a cutoff", table=table_of(self.row))
        return self._delete_in_batches(builder.below(column, cutoff))

    def _delete_in_batches(self, builder: QueryBuilder) -> int:
        """Deletes the records that meet the conditions and returns how many they were.

        Outside a transaction, each batch of at most 10,000 is one of its own: no lock is held for long, and what an
        interrupted deletion did is not done again.
        """
        total = 0
        # Until nothing is left, not until a batch is short: it is short too when somebody else deleted some of it.
        while deleted := self._delete_batch(builder):
            total += deleted
        return total

    @transactional
    def _delete_batch(self, builder: QueryBuilder) -> int:
        values = self._condition_values(builder)
        if values is None:
            return 0
        key = key_of(self.row)

        def build() -> peewee.Node:
            batch = self.row.select(key).where(*self._condition_nodes(builder)).limit(MAX_LIMIT)
            # The conditions again: a row that was changed while the deletion waited for it may not meet them any more.
            return self.row.delete().where(key.in_(batch), *self._condition_nodes(builder))

        return self._statement(("delete batch", _shape(builder)), build).change(self.database, values)

    def _move(
        self,
        id: Key,
        machine: StateMachine[S],
        to: S,
        changes: Mapping[str, Any] | None = None,
        *,
        in_any_case: Mapping[str, Any] | None = None,
    ) -> R:
        """Brings the record into a state, with other changes, in one UPDATE that holds only from allowed states.

        A record that is in the state already stays as it is, but for the changes `in_any_case`. Raises NotFoundError,
        ConstraintViolationError.
        """
        others = in_any_case or {}
        can_move = query().one_of(machine.column, machine.before(to))
        moved = self._update_one(id, {machine.column: to, **others, **(changes or {})}, can_move)
        # Asked second: somebody else may have brought it there just now.
        moved = moved or self._update_one(id, others, query().equals(machine.column, to))
        if moved is not None:
            return moved
        current = self.find_by_id_or_raise(id)
        state = getattr(current, machine.column)
        table = table_of(self.row)
        raise ConstraintViolationError(
            f"{table} {id}: {machine.column} {state} can't become {to}; {machine.describe(state)}",
            table=table,
            columns=(self._column(machine.column).column_name,),
        )

    def _aggregate(
        self, name: str, builder: QueryBuilder, select: Sequence[Any], *, group_by: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of what is grouped by and what is selected, over the records that meet the conditions, decoded.

        `name` tells the repository's aggregates apart.
        """
        values = self._condition_values(builder)
        if values is None:
            return []

        def build() -> peewee.Node:
            ordinals = [peewee.SQL(str(position + 1)) for position in range(len(group_by))]
            return self.row.select(*group_by, *select).where(*self._condition_nodes(builder)).group_by(*ordinals)

        statement = self._statement(("aggregate", name, _shape(builder)), build)
        kind = self.database.kind
        decoders = [
            node.decoder(kind) if isinstance(node, Column | ForeignKey | ExactSum) else None
            for node in (*group_by, *select)
        ]
        return [
            tuple(value if decode is None else decode(value) for decode, value in zip(decoders, row, strict=True))
            for row in statement.fetch_all(self.database, values)
        ]

    def _count_by(self, column: str, environment: Environment | str | None = None) -> dict[Any, int]:
        """How many records have each value of an enum column; 0 where none has."""
        field = self._column(column)
        builder = query().equals("environment", self.environment_of(environment))
        counts = self._aggregate(f"count by {column}", builder, [fn.COUNT(peewee.SQL("*"))], group_by=[field])
        found = {value: int(count) for value, count in counts}
        members: Iterable[Any] = field.value_type  # type: ignore[assignment]  # an enum class iterates over its members
        return {member: found.get(member, 0) for member in members}

    def _search(
        self, text: str, columns: Sequence[str], limit: int, environment: Environment | str | None = None
    ) -> list[R]:
        """The records with the text in one of the columns; none for blank text."""
        if not text.strip():
            return []
        builder = query().contains(text.strip(), *columns).order_by(*self.default_order).limit(limit)
        return self.find(builder.equals("environment", self.environment_of(environment)))

    def _fetch(self, statement: Statement, values: Mapping[str, Any]) -> list[R]:
        """Executes a statement whose rows are whole rows of the table."""
        return self._decode(statement.fetch_all(self.database, values))

    def _fetch_one(self, id: Key, statement: Statement, values: Mapping[str, Any] | None = None) -> R | None:
        """Executes a statement over the row whose key is the parameter `id`; None when it gives no row."""
        if isinstance(id, str) and not _can_exist(key_of(self.row), id):
            return None
        found = self._fetch(statement, {**(values or {}), "id": id})
        return found[0] if found else None

    def _raise_not_found(self, id: object) -> Any:
        table = table_of(self.row)
        raise NotFoundError(f"{table}: no row with {key_of(self.row).column_name} {id}", table=table)

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

    def _condition_nodes(self, builder: QueryBuilder) -> list[Any]:
        """The conditions' SQL, for `where(*...)`. Values come from `_condition_values`."""
        nodes: list[Any] = []
        for i, condition in enumerate(builder.conditions):
            columns = [self._column(name) for name in condition.column.split()]
            alternatives: list[Any] = [
                condition_node(column, condition.operator, _placeholders(i, condition, column)) for column in columns
            ]
            nodes.append(functools.reduce(operator.or_, alternatives))
        return nodes or [True]

    def _condition_values(self, builder: QueryBuilder) -> dict[str, Any] | None:
        """The values of the conditions' parameters; None when no row can meet them."""
        values: dict[str, Any] = {}
        for i, (name, comparison, value) in enumerate(builder.conditions):
            if comparison == "contains":
                values[f"where{i}"] = like_pattern(value)
            elif comparison in ("in", "not in"):
                if not value and comparison == "in":
                    return None
                for j in range(_padded(len(value))):
                    values[f"where{i}_{j}"] = value[min(j, len(value) - 1)]
            elif comparison == "=" and isinstance(value, str) and not _can_exist(self._column(name), value):
                return None
            else:
                values[f"where{i}"] = value
        return values

    # The rest is how it is done

    def _by_key(self, id: Key) -> QueryBuilder:
        return QueryBuilder((Condition(key_of(self.row).record_name, "=", id),))

    def _column(self, name: str) -> StoredColumn:
        column = self._columns.get(name)
        if column is None:
            raise InvalidDataError(f"{table_of(self.row)} has no column {name!r}; it has: {', '.join(self._columns)}")
        return column

    def _statement(self, key: object, build: Callable[[], Any]) -> Statement:
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = Statement(build)
        return statement

    def _select(
        self, builder: QueryBuilder, *, with_total: bool = False, position: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        values = self._condition_values(builder)
        if values is None:
            return []
        if builder.row_limit is not None:
            values["limit"] = builder.row_limit
        if builder.row_offset is not None:
            values["offset"] = builder.row_offset
        order = self._total_order(builder.order or self.default_order)
        if position is not None:
            values |= {f"after{i}": value for i, value in enumerate(position)}

        def build() -> peewee.Node:
            conditions = self._condition_nodes(builder)
            total = self.row.select(fn.COUNT(peewee.SQL("*"))).where(*conditions)
            select = self.row.select(*([total] if with_total else []), *self._columns.values()).where(*conditions)
            if position is not None:
                select = select.where(self._beyond(order))
            columns = [(self._column(name.lstrip("-")), name.startswith("-")) for name in order]
            select = select.order_by(*(_directed(column, descending) for column, descending in columns))
            if builder.row_limit is not None:
                select = select.limit(Param("limit"))
            return select if builder.row_offset is None else select.offset(Param("offset"))

        shape = (_shape(builder), order, builder.row_limit is None, builder.row_offset is None)
        statement = self._statement(("select", with_total, position is None, shape), build)
        return statement.fetch_all(self.database, values)

    def _beyond(self, order: Sequence[str]) -> peewee.Node:
        """That a row lies after the position, in the order's direction."""
        columns = [self._column(name.lstrip("-")) for name in order]
        position = peewee.Tuple(*(Param(f"after{i}") for i in range(len(columns))))  # encoded in the cursor already
        comparison = peewee.OP.LT if order[0].startswith("-") else peewee.OP.GT
        return peewee.Expression(peewee.Tuple(*columns), comparison, position)

    def _total_order(self, order: tuple[str, ...]) -> tuple[str, ...]:
        key = key_of(self.row).record_name
        if any(name.lstrip("-") == key for name in order):
            return order
        return (*order, f"-{key}" if order and order[-1].startswith("-") else key)

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
                    f"{table}.{name} can't be changed; can: {', '.join(sorted(self._changeable))}", table=table
                )
        return changes

    def _guarded(self, records: Iterable[R]) -> Iterator[R]:
        for record in records:
            self._guard(record)
            yield record

    def _guard(self, record: R) -> None:
        """Refuses what is no record of this repository, or one of another environment."""
        if not isinstance(record, self.record):
            raise InvalidDataError(f"needs a {self.record.__name__}, got {type(record).__name__}")
        environment = getattr(record, "environment", None)
        if environment is not None:
            self._guard_environment(environment)

    def _guard_environment(self, environment: Environment) -> None:
        """Refuses to write rows of another environment than the database's."""
        own = self.database.environment
        if environment != own and own is not Environment.TEST:
            raise EnvironmentMismatchError(
                f"{table_of(self.row)}: a row of environment {environment} can't be written to the {own} database",
                table=table_of(self.row),
                columns=("environment",),
            )

    def _insert(
        self, records: Sequence[R], *, over_stored: bool = False, only: tuple[str, ...] | None = None
    ) -> list[R]:
        """Inserts records with one statement and returns them as stored, in the same order.

        With `over_stored`, over stored ones with the same key: all columns but the kept ones, or `only` these.
        """
        key = key_of(self.row)
        numbered = isinstance(key, SerialField) and all(getattr(r, key.record_name) is None for r in records)
        columns = [(name, column) for name, column in self._columns.items() if not (numbered and column is key)]

        def build() -> peewee.Node:
            rows = [{column: Param(f"{name} {i}", column) for name, column in columns} for i in range(len(records))]
            insert = self.row.insert_many(rows)
            if over_stored:
                target = self._conflict_columns()
                kept = {*target, *(column for name, column in columns if name in self.kept_on_conflict)}
                written = [column for name, column in columns if (column not in kept if only is None else name in only)]
                # Without a column to write, the statement would not return the stored row.
                insert = insert.on_conflict(conflict_target=target, preserve=written or target)
            return insert.returning(*self._columns.values())

        statement = self._statement(("insert", len(records), numbered, over_stored, only), build)
        values = {f"{name} {i}": getattr(r, name) for i, r in enumerate(records) for name, _ in columns}
        return self._in_order_of(records, self._fetch(statement, values), numbered)

    def _in_order_of(self, records: Sequence[R], stored: list[R], numbered: bool) -> list[R]:
        """The stored records in the order of the given ones: a RETURNING clause promises none."""
        if len(stored) < 2:
            return stored
        name = key_of(self.row).record_name
        if numbered:
            return sorted(stored, key=lambda record: getattr(record, name))
        by_key = {getattr(record, name): record for record in stored}
        return [by_key[getattr(record, name)] for record in records if getattr(record, name) in by_key]

    def _conflict_columns(self) -> tuple[StoredColumn, ...]:
        return tuple(self._column(name) for name in self.conflict_target) or (key_of(self.row),)

    def _decode(self, rows: Iterable[Sequence[Any]]) -> list[R]:
        kind = self.database.kind
        decode = self._decoders.get(kind)
        if decode is None:
            decode = self._decoders[kind] = compile_decoder(self.record, self._columns, kind)
        return [decode(row) for row in rows]


def _shape(builder: QueryBuilder) -> tuple[object, ...]:
    """What of a query decides its SQL: everything but the values."""
    return tuple(
        (name, comparison, _padded(len(value)) if comparison in ("in", "not in") else None)
        for name, comparison, value in builder.conditions
    )


def _padded(count: int) -> int:
    """The placeholders of a list of values: a power of two, so that lists of all lengths share a few statements."""
    return 1 << (count - 1).bit_length() if count else 0


def _placeholders(i: int, condition: Condition, column: StoredColumn) -> list[Param]:
    if condition.operator in ("in", "not in"):
        return [Param(f"where{i}_{j}", column) for j in range(_padded(len(condition.value)))]
    return [Param(f"where{i}", None if condition.operator == "contains" else column)]


def _can_exist(column: StoredColumn, value: str) -> bool:
    """Text that is no UUID names no row, which is an answer and not an error."""
    own = column.rel_field if isinstance(column, peewee.ForeignKeyField) else column
    if not isinstance(own, UUIDField):
        return True
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def _directed(column: StoredColumn, descending: bool) -> peewee.Node:
    """NULL comes last in descending order, on both databases."""
    if not descending:
        return column.asc()
    return column.desc(nulls="LAST") if column.null else column.desc()


_CHUNK_SIZES = (100, 10, 1)


def _chunks(records: Iterable[R]) -> Iterator[list[R]]:
    """Records in groups of few different sizes, so that few statements serve any number."""
    records = iter(records)
    while group := list(islice(records, _CHUNK_SIZES[0])):
        for size in _CHUNK_SIZES:
            while len(group) >= size:
                yield group[:size]
                group = group[size:]


def _type_arguments(repository: type) -> tuple[Any, ...]:
    """The record, filters and changes of a repository class, as far as class statements name them.

    `Repository[Order, OrderFilters, OrderChanges]` names all; a base in between may leave some to its own subclasses.
    """
    for base in getattr(repository, "__orig_bases__", ()):
        origin = get_origin(base)
        if origin is Repository:
            return get_args(base)
        if isinstance(origin, type) and issubclass(origin, Repository):
            parameters = dict(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=True))
            return tuple(parameters.get(argument, argument) for argument in _type_arguments(origin))
    raise TypeError(f"{repository.__name__} needs type arguments: Repository[Record, Filters, Changes]")


def _keys(declared: Any, default: Iterable[str]) -> frozenset[str]:
    return frozenset(declared.__annotations__ if is_typeddict(declared) else default)
