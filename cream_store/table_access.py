"""Access to one table: the statements that repositories are made of.

Plugins use it through `Repository`. Every statement is compiled once per shape (which conditions, which columns) and
kind of database.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin
from uuid import UUID

import peewee
from peewee import EXCLUDED, fn

from cream_store.aggregates import ExactSum, Extreme
from cream_store.backend import Database
from cream_store.clock import utc_now
from cream_store.conditions import can_exist, condition_nodes, condition_values, shape
from cream_store.database import get_db, transactional
from cream_store.decoder import RowDecoder, compile_decoder
from cream_store.environment import Environment
from cream_store.errors import (
    ConfigurationError,
    ConstraintViolationError,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    RepositoryError,
)
from cream_store.fields import Column, ForeignKey, SecretField, SerialField
from cream_store.queries import MAX_LIMIT, Condition, QueryBuilder, checked_limit, query
from cream_store.records import Record
from cream_store.row import Row, StoredColumn, columns_of, key_of, table_of
from cream_store.statement import Param, Statement, Values, for_update, params
from cream_store.states import StateMachine
from cream_store.url import Kind

Key = UUID | str | int

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=StrEnum)


class TableAccess(Generic[R]):
    """The statements over one table, whose rows are records of type `R`."""

    row: ClassVar[type[Row]]
    default_order: ClassVar[tuple[str, ...]] = ()
    """The order of lists, as `QueryBuilder.order_by` takes it; the primary key decides ties."""
    conflict_target: ClassVar[tuple[str, ...]] = ()
    """The columns that make an upsert meet a stored row; the primary key unless said otherwise."""
    kept_on_conflict: ClassVar[tuple[str, ...]] = ("id", "created_at")
    """Columns that an upsert leaves as they are stored."""
    filled_on_conflict: ClassVar[tuple[str, ...]] = ()
    """Columns that an upsert leaves as they are stored when the record has no value for them."""
    stamped_on_upsert: ClassVar[tuple[str, ...]] = ()
    """Columns that an upsert sets to the current time, whatever the record says."""
    overwrite_error: ClassVar[type[RepositoryError]] = ConstraintViolationError
    overwrite_refusal: ClassVar[str] = "a stored row with the same key belongs to another environment"
    """What an upsert raises, and says, when `_may_overwrite` forbids it."""

    moved_on_update: ClassVar[str] = "updated_at"
    """The column that every update sets to now, if the table has it."""

    record: type[R]
    _columns: ClassVar[dict[str, StoredColumn]]
    _statements: ClassVar[dict[Any, Statement]]
    _decoders: ClassVar[dict[Kind, RowDecoder[Any]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "row" in cls.__dict__:  # else it is a base for other repositories
            (cls.record,) = type_arguments(cls, TableAccess)
            cls._columns = columns_of(cls.row)
            cls._statements, cls._decoders = {}, {}

    def __init__(self, database: Database | None = None) -> None:
        """Works on the given database, or on the current environment's (`get_db()`) at each call."""
        self._database = database

    @property
    def database(self) -> Database:
        """The database that the next call uses."""
        return self._database if self._database is not None else get_db()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._database!r})" if self._database else f"{type(self).__name__}()"

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

    def environment_of(self, environment: Environment | str | None) -> Environment | None:
        """The environment that a read is limited to: the given one, else the database's own; on TEST, all (None)."""
        if environment is not None:
            if not isinstance(environment, str):
                raise InvalidDataError(f"an environment is text, got {type(environment).__name__}")
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

    def find(self, builder: QueryBuilder) -> list[R]:
        """The records that a query built with `query()` gives."""
        return self._decode(self._select(builder))

    def iterate(self, builder: QueryBuilder, chunk: int = 1_000) -> Iterator[R]:
        """Every record that a query gives, read `chunk` at a time: any number of them costs the memory of one chunk.

        All columns of the order run in one direction and are never NULL. Outside a transaction, what is written
        meanwhile may or may not be seen.
        """
        order = self._total_order(builder.order or self.default_order)
        columns = self._keyset_columns(order)
        builder, position = builder.limit(chunk), None
        while True:
            records = self._decode(self._select(builder, position=position))
            yield from records
            if len(records) < chunk:
                return
            position = [getattr(records[-1], name) for name in columns]

    def count_of(self, builder: QueryBuilder) -> int:
        """How many records meet a query's conditions."""
        values = condition_values(self._column, builder)
        if values is None:
            return 0
        statement = self._statement(
            ("count", shape(builder)),
            lambda: self.row.select(fn.COUNT(peewee.SQL("*"))).where(*condition_nodes(self._column, builder)),
        )
        count: int = statement.fetch_all(self.database, values)[0][0]
        return count

    def _first(self, builder: QueryBuilder) -> R | None:
        found = self.find(builder.limit(1))
        return found[0] if found else None

    def _update_one(
        self,
        id: Key,
        changes: Mapping[str, Any],
        only_if: QueryBuilder | None = None,
        computed: Mapping[str, peewee.Node] | None = None,
    ) -> R | None:
        """Changes the record with that key, if it meets the condition too; None when there is no such record."""
        builder = self._by_key(id)
        if only_if is not None:
            builder = QueryBuilder((*builder.conditions, *only_if.conditions))
        if not changes and not computed:
            return self._first(builder)
        updated = self._update_where(builder, changes, computed)
        return updated[0] if updated else None

    def _update_where(
        self, builder: QueryBuilder, changes: Mapping[str, Any], computed: Mapping[str, peewee.Node] | None = None
    ) -> list[R]:
        """Changes all records that meet the conditions, in one statement, and returns them. Moves `moved_on_update`.

        A `computed` column gets what an SQL expression gives, in which `Param(name)` is another column's new value. The
        expression is a constant of its module: the statement is compiled once for it.
        """
        builder = self._own(builder)
        values = condition_values(self._column, builder)
        if values is None:
            return []
        if self.moved_on_update in self._columns:
            changes = {self.moved_on_update: utc_now(), **changes}
        names, expressions = tuple(changes), dict(computed or {})

        def build() -> peewee.Node:
            given = params([(name, self._column(name)) for name in names])
            return (
                self.row.update({**given, **{self._column(name): node for name, node in expressions.items()}})
                .where(*condition_nodes(self._column, builder))
                .returning(*self._columns.values())
            )

        identities = tuple((name, id(node)) for name, node in expressions.items()) if expressions else ()
        statement = self._statement(("update", names, identities, shape(builder)), build)
        return self._fetch(statement, {**changes, **values})

    def _upsert_changes(self, record: R, changes: Mapping[str, Any]) -> R:
        """Stores a new record with changes, or writes the changes alone over the stored one with the same key.

        One statement. Moves `moved_on_update`, if there is anything to change.
        """
        record = record.replace(**changes)
        self._guard(record)
        moved = (self.moved_on_update,) if changes and self.moved_on_update in self._columns else ()
        return self._insert([record], over_stored=True, only=(*changes, *moved))[0]

    def _delete(self, builder: QueryBuilder) -> int:
        builder = self._own(builder)
        values = condition_values(self._column, builder)
        if values is None:
            return 0
        statement = self._statement(
            ("delete", shape(builder)), lambda: self.row.delete().where(*condition_nodes(self._column, builder))
        )
        return statement.change(self.database, values)

    def _delete_returning(self, builder: QueryBuilder) -> list[R]:
        """Deletes all records that meet the conditions, in one statement, and returns them as they were."""
        builder = self._own(builder)
        values = condition_values(self._column, builder)
        if values is None:
            return []
        statement = self._statement(
            ("delete returning", shape(builder)),
            lambda: self.row.delete().where(*condition_nodes(self._column, builder)).returning(*self._columns.values()),
        )
        return self._fetch(statement, values)

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
        values = condition_values(self._column, builder)
        if values is None:
            return 0
        key = key_of(self.row)

        def build() -> peewee.Node:
            batch = self.row.select(key).where(*condition_nodes(self._column, builder)).limit(Param("batch_size"))
            # The conditions again: a row that was changed while the deletion waited for it may not meet them any more.
            return self.row.delete().where(key.in_(batch), *condition_nodes(self._column, builder))

        statement = self._statement(("delete batch", shape(builder)), build)
        return statement.change(self.database, {**values, "batch_size": batch_size})

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
        EnvironmentMismatchError, ConstraintViolationError.
        """
        others = in_any_case or {}
        moved = self._update_one(id, {machine.column: to, **others, **(changes or {})}, machine.entry(to))
        # Asked second: somebody else may have brought it there just now.
        moved = moved or self._update_one(id, others, query().equals(machine.column, to))
        if moved is not None:
            return moved
        current = self.find_by_id_or_raise(id)
        if "environment" in self._columns:
            self._guard_environment(current.environment)  # type: ignore[attr-defined]  # the record has what the row has
        state = getattr(current, machine.column)
        table = table_of(self.row)
        raise ConstraintViolationError(
            f"{table} {id}: {machine.column} {state} can't become {to}; {machine.describe(state)}",
            table=table,
            columns=(self._column(machine.column).column_name,),
        )

    def _hold(self, id: Key) -> R:
        """The record with that key, which nobody else changes until the transaction ends.

        For what a single statement can't do. Raises NotFoundError, EnvironmentMismatchError.
        """
        key = key_of(self.row)
        statement = self._statement(
            "hold", lambda: for_update(self.row.select(*self._columns.values()).where(key == Param("id", key)))
        )
        held: R = self._fetch_one(id, statement) or self._raise_not_found(id)
        if "environment" in self._columns:
            self._guard_environment(held.environment)  # type: ignore[attr-defined]  # the record has what the row has
        return held

    def _aggregate(
        self, name: str, builder: QueryBuilder, select: Sequence[Any], *, group_by: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of what is grouped by and what is selected, over the records that meet the conditions, decoded.

        `name` tells the repository's aggregates apart.
        """
        values = condition_values(self._column, builder)
        if values is None:
            return []

        def build() -> peewee.Node:
            ordinals = [peewee.SQL(str(position + 1)) for position in range(len(group_by))]
            return (
                self.row.select(*group_by, *select).where(*condition_nodes(self._column, builder)).group_by(*ordinals)
            )

        statement = self._statement(("aggregate", name, shape(builder)), build)
        kind = self.database.kind
        decoders = [
            node.decoder(kind) if isinstance(node, Column | ForeignKey | ExactSum | Extreme) else None
            for node in (*group_by, *select)
        ]
        return [
            tuple(value if decode is None else decode(value) for decode, value in zip(decoders, row, strict=True))
            for row in statement.fetch_all(self.database, values)
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
        values = condition_values(self._column, builder)
        if values is None:
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

        return self._fetch(self._statement(("latest", tuple(by), order, shape(builder)), build), values)

    def _delete_beyond_latest(self, by: Sequence[str], keep: int, builder: QueryBuilder) -> int:
        """Deletes, of the records that meet the conditions, all but the first `keep` of each group. One statement.

        `by` names the columns that make a group; what comes first is the query's order. Raises InvalidDataError unless
        at least one is kept.
        """
        checked_limit(keep, "the number of records to keep")
        builder = self._own(builder)
        values = condition_values(self._column, builder)
        if values is None:
            return 0
        order = self._total_order(builder.order or self.default_order)

        def build() -> peewee.Node:
            key = key_of(self.row)
            ranked = self._ranked(by, order, builder, [key])
            beyond = peewee.Select([ranked], [getattr(ranked.c, key.column_name)])
            return self.row.delete().where(key.in_(beyond.where(ranked.c.place > Param("keep"))))

        statement = self._statement(("delete beyond latest", tuple(by), order, shape(builder)), build)
        return statement.change(self.database, {**values, "keep": keep})

    def _ranked(
        self, by: Sequence[str], order: tuple[str, ...], builder: QueryBuilder, columns: Iterable[StoredColumn]
    ) -> Any:
        """A subquery of the records that meet the conditions, with their `place` in their group, from 1."""
        groups = [self._column(name) for name in by]
        place = fn.ROW_NUMBER().over(partition_by=groups, order_by=self._order_nodes(order)).alias("place")
        return self.row.select(*columns, place).where(*condition_nodes(self._column, builder)).alias("ranked")

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

    def _within(self, environment: Environment | str | None, within: QueryBuilder | None) -> QueryBuilder:
        builder = within or query()
        if "environment" not in self._columns:
            return builder
        return builder.equals("environment", self.environment_of(environment))

    def _fetch(self, statement: Statement, values: Values) -> list[R]:
        """Executes a statement whose rows are whole rows of the table."""
        return self._decode(statement.fetch_all(self.database, values))

    def _fetch_one(self, id: Key, statement: Statement, values: Mapping[str, Any] | None = None) -> R | None:
        """Executes a statement over the row whose key is the parameter `id`; None when it gives no row."""
        if isinstance(id, str) and not can_exist(key_of(self.row), id):
            return None
        found = self._fetch(statement, {**(values or {}), "id": id})
        return found[0] if found else None

    def _raise_not_found(self, id: object) -> Any:
        table = table_of(self.row)
        raise NotFoundError(f"{table}: no row with {key_of(self.row).column_name} {id}", table=table)

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
        values = condition_values(self._column, builder)
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
            conditions = condition_nodes(self._column, builder)
            total = self.row.select(fn.COUNT(peewee.SQL("*"))).where(*conditions)
            select = self.row.select(*([total] if with_total else []), *self._columns.values()).where(*conditions)
            if position is not None:
                select = select.where(self._beyond(order))
            select = select.order_by(*self._order_nodes(order))
            if builder.row_limit is not None:
                select = select.limit(Param("limit"))
            return select if builder.row_offset is None else select.offset(Param("offset"))

        limits = (builder.row_limit is None, builder.row_offset is None)
        statement = self._statement(("select", with_total, position is None, order, limits, shape(builder)), build)
        return statement.fetch_all(self.database, values)

    def _keyset_columns(self, order: Sequence[str]) -> dict[str, StoredColumn]:
        """The order's columns by name. Raises InvalidDataError unless they can tell a position."""
        columns = {name.lstrip("-"): self._column(name.lstrip("-")) for name in order}
        if len({name.startswith("-") for name in order}) > 1 or any(map(_is_no_position, columns.values())):
            raise InvalidDataError(
                "a position needs an order in one direction over columns that are never NULL and not secret"
            )
        return columns

    def _order_nodes(self, order: Sequence[str]) -> list[peewee.Node]:
        return [_directed(self._column(name.lstrip("-")), name.startswith("-")) for name in order]

    def _beyond(self, order: Sequence[str]) -> peewee.Node:
        """That a row lies after the position, in the order's direction."""
        columns = [self._column(name.lstrip("-")) for name in order]
        position = [column.sort_key(Param(f"after{i}", column.compared)) for i, column in enumerate(columns)]
        comparison = peewee.OP.LT if order[0].startswith("-") else peewee.OP.GT
        own = [column.sort_key(column) for column in columns]
        return peewee.Expression(peewee.Tuple(*own), comparison, peewee.Tuple(*position))

    def _total_order(self, order: tuple[str, ...]) -> tuple[str, ...]:
        key = key_of(self.row).record_name
        if any(name.lstrip("-") == key for name in order):
            return order
        return (*order, f"-{key}" if order and order[-1].startswith("-") else key)

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

    def _own(self, builder: QueryBuilder) -> QueryBuilder:
        """The query, limited to rows that the database's environment may write."""
        own = self.database.environment
        if own is Environment.TEST or "environment" not in self._columns:
            return builder
        return builder.equals("environment", own)

    def _insert(
        self, records: Sequence[R], *, over_stored: bool = False, only: tuple[str, ...] | None = None
    ) -> list[R]:
        """Inserts records and returns them as stored, in the same order: one statement, unless only some are numbered.

        With `over_stored`, over stored ones with the same key: all columns but the kept ones, or `only` these. Raises
        ConstraintViolationError when such a stored row may not be overwritten.
        """
        key = key_of(self.row)
        numbers = {getattr(record, key.record_name) is None for record in records} if _is_serial(key) else {False}
        if len(numbers) > 1:
            return [self._insert([record], over_stored=over_stored, only=only)[0] for record in records]
        numbered = numbers == {True}
        columns = {name: column for name, column in self._columns.items() if not (numbered and column is key)}

        def build() -> peewee.Node:
            position = itertools.count()
            rows = [{column: Param(next(position), column) for column in columns.values()} for _ in records]
            insert = self.row.insert_many(rows)
            if over_stored:
                target = self._conflict_columns()
                kept = {*target, *(column for name, column in columns.items() if name in self.kept_on_conflict)}
                written = [
                    column for name, column in columns.items() if (column not in kept if only is None else name in only)
                ]
                filled = [column for column in written if column.record_name in self.filled_on_conflict]
                insert = insert.on_conflict(
                    conflict_target=target,
                    # Without a column to write, the statement would not return the stored row.
                    preserve=[column for column in written if column.record_name not in self.filled_on_conflict]
                    or target,
                    update={column: fn.COALESCE(getattr(EXCLUDED, column.column_name), column) for column in filled},
                    where=self._may_overwrite(),
                )
            return insert.returning(*self._columns.values())

        statement = self._statement(("insert", len(records), numbered, over_stored, only), build)
        values = [getattr(record, name) for record in records for name in columns]
        stored = self._fetch(statement, values)
        if len(stored) < len(records):
            table = table_of(self.row)
            raise self.overwrite_error(f"{table}: {self.overwrite_refusal}", table=table)
        return self._in_order_of(records, stored, numbered)

    def _may_overwrite(self) -> Any:
        """The condition on a stored row's columns and the new one's, `EXCLUDED`, for an upsert; None for always."""
        environment = self._columns.get("environment")
        return None if environment is None else environment == EXCLUDED.environment

    def _stamped(self, record: R) -> R:
        """The record as an upsert stores it now."""
        stamps = self.stamped_on_upsert
        return record.replace(**dict.fromkeys(stamps, utc_now())) if stamps else record

    def _in_order_of(self, records: Sequence[R], stored: list[R], numbered: bool) -> list[R]:
        """The stored records in the order of the given ones: a RETURNING clause promises none."""
        if len(stored) < 2:
            return stored
        name = key_of(self.row).record_name
        if numbered:
            return sorted(stored, key=lambda record: getattr(record, name))
        encode = key_of(self.row).encode  # a key may be given in another spelling: text for a UUID, a symbol
        by_key = {encode(getattr(record, name)): record for record in stored}
        given = [encode(getattr(record, name)) for record in records]
        if not by_key.keys() >= set(given):
            return stored  # upserted by another key: whoever stores many such rows does not ask for their order
        return [by_key[key] for key in given]

    def _conflict_columns(self) -> tuple[StoredColumn, ...]:
        return tuple(self._column(name) for name in self.conflict_target) or (key_of(self.row),)

    def _decode(self, rows: Iterable[Sequence[Any]]) -> list[R]:
        kind = self.database.kind
        decode = self._decoders.get(kind)
        if decode is None:
            decode = self._decoders[kind] = compile_decoder(self.record, self._columns, kind)
        return [decode(row) for row in rows]


def type_arguments(cls: type, generic: type) -> tuple[Any, ...]:
    """What a class gives as the type arguments of a generic base: `Repository[Order, OrderFilters, OrderChanges]`.

    A base in between may fix some of them and leave others to its own subclasses.
    """
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if origin is generic:
            return get_args(base)
        if isinstance(origin, type) and issubclass(origin, generic):
            given = dict(zip(getattr(origin, "__parameters__", ()), get_args(base), strict=True))
            return tuple(given.get(argument, argument) for argument in type_arguments(origin, generic))
    raise TypeError(f"{cls.__name__} needs the type arguments of {generic.__name__}")


def chunks(records: Iterable[R]) -> Iterator[list[R]]:
    """Records in groups of few different sizes, so that few statements serve any number."""
    records = iter(records)
    while group := list(itertools.islice(records, _CHUNK_SIZES[0])):
        for size in _CHUNK_SIZES:
            while len(group) >= size:
                yield group[:size]
                group = group[size:]


_CHUNK_SIZES = (100, 10, 1)


def _is_no_position(column: StoredColumn) -> bool:
    return column.null or isinstance(column, SecretField)


def _is_serial(key: StoredColumn) -> bool:
    return isinstance(key, SerialField)


def _directed(column: StoredColumn, descending: bool) -> peewee.Node:
    """NULL comes last in descending order, on both databases."""
    sorted_by = column.sort_key(column)
    if not descending:
        return sorted_by.asc()
    return sorted_by.desc(nulls="LAST") if column.null else sorted_by.desc()
