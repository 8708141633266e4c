"""Storing records: new ones, and over stored ones with the same key."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NoReturn, TypeVar

import peewee
from peewee import EXCLUDED, SQL, fn

from cream_store.clock import utc_now
from cream_store.errors import ConstraintViolationError, InvalidDataError, RepositoryError
from cream_store.fields import SerialField
from cream_store.records import Record
from cream_store.row import StoredColumn, key_of, table_of
from cream_store.statement import Param
from cream_store.table_access.table import Table

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Inserting(Table[R]):
    """How records are stored."""

    conflict_target: ClassVar[tuple[str, ...]] = ()
    """The columns that make an upsert meet a stored row; the primary key unless said otherwise."""
    kept_on_conflict: ClassVar[tuple[str, ...]] = ("id", "created_at")
    """Columns that an upsert leaves as they are stored."""
    filled_on_conflict: ClassVar[tuple[str, ...]] = ()
    """Columns that an upsert leaves as they are stored when the record has no value for them."""
    stamped_on_upsert: ClassVar[tuple[str, ...]] = ()
    """Columns that an upsert sets to the current time, whatever the record says."""
    beginning: ClassVar[Mapping[str, Any]] = {}
    """What a new record has in the columns that tell what becomes of it: one that claims a history is refused."""
    history_told_by: ClassVar[str] = ""
    """The methods that write these columns, for the refusal."""
    overwrite_error: ClassVar[type[RepositoryError]] = ConstraintViolationError
    overwrite_refusal: ClassVar[str] = "a stored row with the same key belongs to another environment"
    """What an upsert raises, and says, when `_may_overwrite` forbids it."""

    def _guarded(self, records: Iterable[R]) -> Iterator[R]:
        for record in records:
            self._guard(record)
            yield record

    def _guard(self, record: R) -> None:
        """Refuses what is no record of this repository, one of another environment, or one with a history."""
        if not isinstance(record, self.record):
            raise InvalidDataError(f"needs a {self.record.__name__}, got {type(record).__name__}")
        environment = getattr(record, "environment", None)
        if environment is not None:
            self._guard_environment(environment)
        for name, value in self.beginning.items():
            if (told := getattr(record, name)) != value:
                self._column(name).refuse(
                    f"a new record has {value}, got {told}; what becomes of it is told by {self.history_told_by}"
                )

    def _insert(
        self,
        records: Sequence[R],
        *,
        over_stored: bool = False,
        only: tuple[str, ...] | None = None,
        computed: Mapping[str, peewee.Node] | None = None,
    ) -> list[R]:
        """Inserts records and returns them as stored, in the same order: one statement, unless only some are numbered.

        With `over_stored`, over stored ones with the same key: all columns but the kept ones, or `only` these and the
        `computed` ones (see `_upsert_changes`). Raises ConstraintViolationError when such a stored row may not be
        overwritten.
        """
        key = key_of(self.row)
        numbers = {getattr(record, self._key_name) is None for record in records} if _is_serial(key) else {False}
        if len(numbers) > 1:
            return [
                self._insert([record], over_stored=over_stored, only=only, computed=computed)[0] for record in records
            ]
        numbered = numbers == {True}
        stored = self._write(records, numbered=numbered, over_stored=over_stored, only=only, computed=computed)
        if len(stored) < len(records):
            self._refuse_overwrite()
        return self._in_order_of(records, stored, numbered)

    def _insert_if_absent(self, record: R) -> R | None:
        """Inserts a record unless a stored one has the same key, as `conflict_target` says: None then."""
        self._guard(record)
        key = key_of(self.row)
        numbered = _is_serial(key) and getattr(record, self._key_name) is None
        written = self._write([record], numbered=numbered, if_absent=True)
        return written[0] if written else None

    def _write(
        self,
        records: Sequence[R],
        *,
        numbered: bool = False,
        over_stored: bool = False,
        if_absent: bool = False,
        only: tuple[str, ...] | None = None,
        computed: Mapping[str, peewee.Node] | None = None,
    ) -> list[R]:
        """Inserts records with one statement, and returns those that it wrote, in any order.

        With `over_stored`, a record that `_may_overwrite` forbids to write over a stored one is left out; with
        `if_absent`, any whose key is stored.
        """
        key = key_of(self.row)
        columns = self._columns
        if numbered:
            columns = {name: column for name, column in columns.items() if column is not key}
        expressions = computed or {}

        def build() -> peewee.Node:
            position = itertools.count()
            rows = [{column: Param(next(position), column) for column in columns.values()} for _ in records]
            insert = self.row.insert_many(rows)
            if over_stored:
                insert = self._over_stored(insert, columns, only, expressions)
            if if_absent:
                target = self._conflict_columns()
                # DO NOTHING, which Peewee writes for every key of the table, not for this one alone.
                insert = insert.on_conflict(conflict_target=target, preserve=target, where=SQL("1 = 0"))
            return insert.returning(*self._columns.values())

        identities = tuple((name, id(node)) for name, node in expressions.items())
        how = ("insert", len(records), numbered, over_stored, if_absent, only, identities)
        statement = self._statement(how, build, by_key=len(records) == 1)
        return self._fetch(statement, [getattr(record, name) for record in records for name in columns])

    def _over_stored(
        self,
        insert: Any,
        columns: Mapping[str, StoredColumn],
        only: tuple[str, ...] | None = None,
        computed: Mapping[str, peewee.Node] | None = None,
    ) -> Any:
        """The INSERT, with what it does where a stored row has the same key."""
        target = self._conflict_columns()
        kept = {*target, *(column for name, column in columns.items() if name in self.kept_on_conflict)}
        written = [name for name, column in columns.items() if (column not in kept if only is None else name in only)]
        filled = {
            name: fn.COALESCE(getattr(EXCLUDED, columns[name].column_name), columns[name])
            for name in written
            if name in self.filled_on_conflict
        }
        expressions = {**filled, **(computed or {})}
        return insert.on_conflict(
            conflict_target=target,
            # Without a column to write, the statement would not return the stored row.
            preserve=[columns[name] for name in written if name not in expressions] or target,
            update={columns[name]: node for name, node in expressions.items()},
            where=self._may_overwrite(),
        )

    def _upsert_changes(
        self, record: R, changes: Mapping[str, Any], computed: Mapping[str, peewee.Node] | None = None
    ) -> R:
        """Stores a new record with changes, or writes the changes alone over the stored one with the same key.

        One statement. Moves `moved_on_update`, if there is anything to change. A `computed` column of a stored record
        gets what an SQL expression over the stored columns and the new record's, `EXCLUDED`, gives; the expression is a
        constant of its module.
        """
        record = record.replace(**changes)
        self._guard(record)
        moved = (self.moved_on_update,) if (changes or computed) and self.moved_on_update in self._columns else ()
        return self._insert([record], over_stored=True, only=(*changes, *moved), computed=computed)[0]

    def _refuse_overwrite(self) -> NoReturn:
        table = table_of(self.row)
        raise self.overwrite_error(f"{table}: {self.overwrite_refusal}", table=table)

    def _may_overwrite(self) -> Any:
        """The condition on a stored row's columns and the new one's, `EXCLUDED`, for an upsert; None for always."""
        environment = self._columns.get("environment")
        return None if environment is None else environment == EXCLUDED.environment

    def _conflict_columns(self) -> tuple[StoredColumn, ...]:
        return tuple(self._column(name) for name in self.conflict_target) or (key_of(self.row),)

    def _stamped(self, record: R) -> R:
        """The record as an upsert stores it now."""
        stamps = self.stamped_on_upsert
        return record.replace(**dict.fromkeys(stamps, utc_now())) if stamps else record

    def _in_order_of(self, records: Sequence[R], stored: list[R], numbered: bool) -> list[R]:
        """The stored records in the order of the given ones: a RETURNING clause promises none."""
        if len(stored) < 2:
            return stored
        name = self._key_name
        if numbered:
            return sorted(stored, key=lambda record: getattr(record, name))
        encode = key_of(self.row).encode  # a key may be given in another spelling: text for a UUID, a symbol
        by_key = {encode(getattr(record, name)): record for record in stored}
        given = [encode(getattr(record, name)) for record in records]
        if not by_key.keys() >= set(given):
            return stored  # upserted by another key: whoever stores many such rows does not ask for their order
        return [by_key[key] for key in given]


_CHUNK_SIZES: Final = (100, 10, 1)


def chunks(records: Iterable[T]) -> Iterator[list[T]]:
    """Records in groups of few different sizes, so that few statements serve any number."""
    records = iter(records)
    while group := list(itertools.islice(records, _CHUNK_SIZES[0])):
        for size in _CHUNK_SIZES:
            while len(group) >= size:
                yield group[:size]
                group = group[size:]


def _is_serial(key: StoredColumn) -> bool:
    return isinstance(key, SerialField)
