"""What the indicators of a symbol and day have in common, whichever they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from cream_store import (
    Given,
    InvalidDataError,
    Page,
    QueryBuilder,
    Record,
    Repository,
    Written,
    query,
    transactional,
    utc_now,
)
from cream_store.repository import FilterRule
from cream_store.table_access import chunks

if TYPE_CHECKING:
    import pyarrow as pa

Day = date | datetime
"""A day in UTC: a `date`, or any moment of it. As a bound, a `date` is the whole day and a moment itself."""


def utc_day(day: Day) -> date:
    """The day as a `date`. Raises InvalidDataError for a moment that does not say its offset from UTC."""
    if not isinstance(day, datetime):
        return day
    if day.utcoffset() is None:
        raise InvalidDataError(
            "needs a date or a timezone-aware datetime, got a naive one; add tzinfo=UTC if it is UTC"
        )
    return day.astimezone(UTC).date()


def on_day(column: str) -> FilterRule:
    """A filter for the whole of a day."""
    return lambda builder, day: builder.on_day(column, utc_day(day))


_ALL: Final = query()

R = TypeVar("R", bound=Record)
F = TypeVar("F", bound=Mapping[str, object])
C = TypeVar("C", bound=Mapping[str, object])


def _ids(records: Iterable[Any]) -> set[str]:
    return {str(record.id) for record in records}


class DailyRepository(Repository[R, F, C], Generic[R, F, C]):
    """Indicators of which a symbol has one row a day.

    An upsert overwrites every value of the row with the same symbol and day; with `merge=True` only by values that are
    not None.
    """

    day: ClassVar[str] = "date"
    """The column with the day."""
    has_rules_for_writing: ClassVar[bool] = False
    """Whether what an upsert writes over a stored row depends on the record, or on the row."""

    # Writing

    def upsert(self, record: R, *, merge: bool = False) -> R:
        """Stores a record, over the one of the same symbol and day if there is one. Returns it as stored."""
        self._guard(record)
        record = self._stamped(record)
        return self._store([record], self._written(record, merge))[0]

    def upsert_many(self, records: Given[R]) -> Written:
        """Upserts all records or none; of several with the same key, the last wins. Returns how many were given."""
        return self.bulk_upsert(records)

    def bulk_upsert(self, inputs: Given[R], *, merge: bool = False) -> Written:
        """Upserts all records or none; of several with the same key, the last wins. Returns how many were given."""
        if merge or self.has_rules_for_writing:
            return self._upsert_each(inputs, merge)
        return super().upsert_many(inputs)

    @transactional
    def _upsert_each(self, inputs: Given[R], merge: bool) -> Written:
        given = 0
        latest: dict[tuple[Any, ...], R] = {}
        for record in self._records(inputs):
            given += 1
            key = tuple(column.db_value(getattr(record, column.record_name)) for column in self._conflict_columns())
            earlier = latest.get(key, record)
            latest[key] = earlier.replace(**{name: getattr(record, name) for name in self._written(record, merge)})
        alike: dict[tuple[str, ...], list[R]] = {}
        for key in sorted(latest):  # so that two writers of the same rows queue instead of locking each other out
            record = self._stamped(latest[key])
            alike.setdefault(self._written(record, merge), []).append(record)
        inserted = 0
        for written, records in alike.items():
            for chunk in chunks(records):
                ids = _ids(chunk)
                known = _ids(self.find(query().one_of("id", ids)))
                inserted += len((ids - known) & _ids(self._store(chunk, written)))  # a row that was there keeps its id
        return Written(given, inserted, len(latest) - inserted)

    def _written(self, record: R, merge: bool) -> tuple[str, ...]:
        """The columns that an upsert of the record writes over a stored one."""
        kept = {*self.conflict_target, *self.kept_on_conflict}
        return tuple(
            name for name in self._columns if name not in kept and not (merge and getattr(record, name) is None)
        )

    def _store(self, records: Sequence[R], written: tuple[str, ...]) -> list[R]:
        return self._insert(records, over_stored=True, only=written)

    def delete_older_than(self, date: Day) -> int:
        """Deletes the rows from before a day, of all symbols, in batches. Returns how many they were."""
        return self._delete_older_than(self.day, date, query())

    # Finding

    def find_by_symbol_and_date(self, symbol: str, date: Day) -> R | None:
        """A symbol's row of a day."""
        return self._first(self._of(symbol).on_day(self.day, utc_day(date)).order_by(f"-{self.day}"))

    def _latest(self, symbols: Iterable[str], within: QueryBuilder) -> list[R]:
        """The newest row of each symbol within a query, by symbol. One statement."""
        return self._latest_of_each(["symbol"], within.one_of("symbol", symbols).order_by(f"-{self.day}"))

    def _of_day(self, day: Day, builder: QueryBuilder) -> list[R]:
        """The rows of a day that meet a query, in its order, which no index has: found symbol by symbol."""
        return self._among_latest(builder, query().on_day(self.day, utc_day(day)))

    def _since(self, day: date | None) -> QueryBuilder:
        return query().at_least(self.day, day)

    def _among_latest(self, builder: QueryBuilder, within: QueryBuilder = _ALL) -> list[R]:
        """Those of each symbol's newest rows, within a query, that meet another query, in its order. One statement."""
        return self._among_latest_of_each("symbol", within.order_by(f"-{self.day}"), builder)

    def _of(self, symbol: str) -> QueryBuilder:
        # Encoded here, because None would mean every symbol.
        return query().equals("symbol", self._column("symbol").encode(symbol))


class MeasuredRepository(DailyRepository[R, F, C], Generic[R, F, C]):
    """Daily indicators that also say when they became known here: when they were computed, or fetched.

    That moment is what point-in-time reads need: a row is about a day, and known only later. `known_at` leaves out what
    became known after it; of a row that was overwritten, the earlier values are gone.
    """

    known_since: ClassVar[str] = "computed_at"
    """The column with the moment at which the values became known."""

    def find_latest_by_symbol(self, symbol: str, as_of: Day | None = None, known_at: Day | None = None) -> R | None:
        """A symbol's newest row, up to a day (`as_of`) and as far as it was known at a moment."""
        builder = self._known(self._of(symbol), as_of, known_at)
        return self._first(builder.order_by(f"-{self.day}"))

    def find_by_symbol(
        self,
        symbol: str,
        start_date: Day | None = None,
        end_date: Day | None = None,
        known_at: Day | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """A symbol's rows from start to end, both included, newest first: all, unless there is a limit."""
        return self.find(self._of_symbol(symbol, start_date, end_date, known_at).limit(limit))

    def find_by_symbol_arrow(
        self,
        symbol: str,
        start_date: Day | None = None,
        end_date: Day | None = None,
        known_at: Day | None = None,
        limit: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> pa.Table:
        """The rows of `find_by_symbol` as an Arrow table, as `find_arrow` gives it."""
        builder = self._of_symbol(symbol, start_date, end_date, known_at)
        return self._arrow(builder, limit=limit, columns=columns, floats=floats)

    def _of_symbol(
        self, symbol: str, start_date: Day | None, end_date: Day | None, known_at: Day | None
    ) -> QueryBuilder:
        builder = self._known(self._of(symbol), None, known_at).at_least(self.day, start_date)
        return builder.at_most(self.day, end_date).order_by(f"-{self.day}")

    def find_with_filters(
        self, filters: F | None = None, page: int | None = None, page_size: int | None = None
    ) -> Page[R]:
        """A page of the rows that match all filters: the newest day first, then by symbol."""
        return self.find_many(filters, page=page, page_size=page_size)

    def _known(self, builder: QueryBuilder, as_of: Day | None, known_at: Day | None) -> QueryBuilder:
        return builder.as_of(self.day, as_of).as_of(self.known_since, known_at)

    def _remeasured(self, changes: C) -> Mapping[str, Any]:
        """The changes, with the moment at which they became known; nothing if there are none."""
        changed = self._checked_changes(changes)
        return {**changed, self.known_since: utc_now()} if changed else changed
