"""Index constituents: which symbols belonged to an index, from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, TypedDict

from peewee import fn

from cream_plugins.universe.index_id import IndexId, IndexIdField, named_index, of_index
from cream_plugins.universe.moments import end_of, moment_of
from cream_store import (
    ConstraintViolationError,
    DayField,
    Given,
    NotFoundError,
    NumericField,
    Param,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SerialField,
    Statement,
    SymbolField,
    TextField,
    TimestampField,
    Written,
    field,
    index,
    query,
    record,
    transactional,
    utc_now,
)
from cream_store.repository import Key
from cream_store.row import columns_of


class IndexConstituentRow(Row):
    """Table `index_constituents`."""

    id = SerialField()
    index_id = IndexIdField()
    symbol = SymbolField()
    date_added = DayField()
    date_removed = DayField(null=True)
    reason_added = TextField(null=True)
    reason_removed = TextField(null=True)
    sector = TextField(null=True)
    industry = TextField(null=True)
    market_cap_at_add = NumericField(18, 2, null=True)
    provider = TextField(server_default="alpaca")
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "index_constituents"
        indexes = [
            index("idx_index_constituents_current", "index_id", "date_removed"),
            index("idx_index_constituents_pit", "index_id", "date_added", "date_removed"),
            index("idx_index_constituents_symbol", "symbol", "index_id"),
            index("idx_index_constituents_unique", "index_id", "symbol", "date_added", unique=True),
        ]


@record
class IndexConstituent(Record):
    """A symbol's membership in an index. It may join, leave and join again. Its days are stored as 00:00 UTC."""

    id: int | None = None  # None until stored
    index_id: IndexId | str  # plain text only when another program stored an undeclared index
    symbol: str  # the name of its time
    date_added: datetime  # the first day as a member; a `date` will do, as for the other day
    date_removed: datetime | None = None  # the first day as no member any more; None: not announced
    reason_added: str | None = None
    reason_removed: str | None = None
    sector: str | None = None
    industry: str | None = None
    market_cap_at_add: Decimal | None = None  # in the index's currency
    provider: str = "alpaca"
    created_at: datetime = field(default_factory=utc_now)  # when it became known here
    updated_at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChanges:
    """Who joined an index in a range of days, and who left it. A membership may be among both."""

    additions: list[IndexConstituent]  # by `date_added`
    removals: list[IndexConstituent]  # by `date_removed`


class IndexConstituentFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    index_id: IndexId | str | Sequence[IndexId | str] | None
    symbol: str | Sequence[str] | None
    sector: str | Sequence[str] | None
    industry: str | Sequence[str] | None
    provider: str | Sequence[str] | None


class IndexConstituentChanges(TypedDict, total=False):
    """What `update` can change. Index, symbol and first day stay."""

    date_removed: date | datetime | None
    reason_added: str | None
    reason_removed: str | None
    sector: str | None
    industry: str | None
    market_cap_at_add: Decimal | None
    provider: str


def _select_changes() -> Any:
    row = IndexConstituentRow
    added, removed = (
        column.between(Param("start", column.compared), Param("end", column.compared))
        for column in (row.date_added, row.date_removed)
    )
    of_index = row.index_id == Param("index_id", row.index_id.compared)
    return row.select(*columns_of(row).values()).where(of_index, added | removed)


_CHANGES: Final = Statement(_select_changes)


class IndexConstituentsRepository(Repository[IndexConstituent, IndexConstituentFilters, IndexConstituentChanges]):
    """The memberships in all indices.

    A symbol is a member of an index from `date_added` on, and no longer on `date_removed`. Its memberships in one index
    must not overlap: whatever writes raises ConstraintViolationError when they would, or when one would end before
    it began.
    """

    row = IndexConstituentRow
    default_order = ("index_id", "symbol", "date_added")
    default_limit = 100
    conflict_target = ("index_id", "symbol", "date_added")
    filled_on_conflict = (
        "date_removed",
        "reason_added",
        "reason_removed",
        "sector",
        "industry",
        "market_cap_at_add",
    )
    stamped_on_upsert = ("updated_at",)

    # Writing

    @transactional
    def create(self, record: IndexConstituent) -> IndexConstituent:
        """Stores a new membership and returns it as stored. Raises DuplicateKeyError, ConstraintViolationError."""
        stored = super().create(record)
        self._refuse_overlaps([stored])
        return stored

    @transactional
    def create_many(self, records: Given[IndexConstituent]) -> list[IndexConstituent]:
        """Stores new memberships, all or none, and returns them as stored, in the same order."""
        stored = super().create_many(records)
        self._refuse_overlaps(stored)
        return stored

    @transactional
    def upsert(self, record: IndexConstituent) -> IndexConstituent:
        """Stores a membership, over the stored one with the same index, symbol and `date_added` if there is one.

        What the record leaves out (None) stays as it is stored: loading memberships again brings no removed company
        back to life. To clear a value, use `update`.
        """
        stored = super().upsert(record)
        self._refuse_overlaps([stored])
        return stored

    @transactional
    def upsert_many(self, records: Given[IndexConstituent]) -> Written:
        """Upserts all memberships or none; of several with the same key, the last wins. Returns how many were given."""
        given = list(self._records(records))
        written = super().upsert_many(given)
        self._refuse_overlaps(given)
        return written

    def bulk_upsert(self, constituents: Given[IndexConstituent]) -> Written:
        """Upserts all memberships or none; of several with the same key, the last wins. Returns how many were given."""
        return self.upsert_many(constituents)

    def bulk_insert(self, constituents: Given[IndexConstituent]) -> Written:
        """The same as `bulk_upsert`, under its older name."""
        return self.upsert_many(constituents)

    @transactional
    def update(self, id: Key, changes: IndexConstituentChanges) -> IndexConstituent:
        """Writes the given columns and returns the membership as it is then; None clears a value.

        Raises NotFoundError, ConstraintViolationError.
        """
        changed = super().update(id, changes)
        self._refuse_overlaps([changed])
        return changed

    @transactional
    def close_membership(
        self, index_id: IndexId | str, symbol: str, date_removed: date | datetime, reason: str | None = None
    ) -> IndexConstituent:
        """Ends the membership whose end was not known, and returns it.

        Raises NotFoundError when there is none; ConstraintViolationError when it began on that day or later.
        """
        removed = IndexConstituentRow.date_removed.encode(date_removed)
        closed = self._update_where(
            _of(index_id, symbol).is_null("date_removed"),
            {"date_removed": datetime.fromisoformat(removed), "reason_removed": reason},
        )
        if not closed:
            raise NotFoundError(
                f"index_constituents: {symbol} has no membership in {index_id} to end", table="index_constituents"
            )
        self._refuse_overlaps(closed)
        return max(closed, key=lambda membership: membership.date_added)

    # Reading

    def get_constituents_as_of(
        self, index_id: IndexId | str, as_of: date | datetime, known_at: date | datetime | None = None
    ) -> list[str]:
        """The members of an index at a moment, ascending.

        A `date` means its first moment in UTC. `known_at`: only memberships that were stored by then. (When a removal
        became known is not recorded.)
        """
        return self._distinct("symbol", _members(index_id, as_of).as_of("created_at", known_at))

    def get_memberships_as_of(
        self, index_id: IndexId | str, as_of: date | datetime, known_at: date | datetime | None = None
    ) -> list[IndexConstituent]:
        """The memberships behind `get_constituents_as_of`, by symbol."""
        return self.find(_members(index_id, as_of).as_of("created_at", known_at).order_by("symbol"))

    def get_current_constituents(self, index_id: IndexId | str) -> list[IndexConstituent]:
        """The memberships of today, by symbol: those with an announced end still, those announced not yet."""
        return self.get_memberships_as_of(index_id, utc_now())

    def get_symbol_history(self, symbol: str) -> list[IndexConstituent]:
        """All memberships of a symbol, by index and `date_added`."""
        symbol = IndexConstituentRow.symbol.encode(symbol)
        return self.find(query().equals("symbol", symbol).order_by("index_id", "date_added"))

    def was_in_index_on_date(self, index_id: IndexId | str, symbol: str, date: date | datetime) -> bool:
        """Whether a symbol was a member of an index at a moment; a `date` means its first one in UTC."""
        symbol = IndexConstituentRow.symbol.encode(symbol)
        return self.count_of(_members(index_id, date).equals("symbol", symbol)) > 0

    def get_changes_in_range(
        self, index_id: IndexId | str, start_date: date | datetime, end_date: date | datetime
    ) -> IndexChanges:
        """Who joined an index and who left it from start to end, both included, oldest first."""
        start, end = moment_of(start_date), end_of(end_date)
        values = {"index_id": named_index(IndexConstituentRow, index_id), "start": start, "end": end}
        found = self._fetch(_CHANGES, values)
        removals = [(one.date_removed, one.id, one) for one in found if _within(one.date_removed, start, end)]
        return IndexChanges(
            additions=sorted(
                (one for one in found if _within(one.date_added, start, end)), key=lambda one: (one.date_added, one.id)
            ),
            removals=[one for *_, one in sorted(removals, key=lambda removal: removal[:2])],
        )

    def get_constituent_count(self, index_id: IndexId | str, as_of: date | datetime | None = None) -> int:
        """How many members an index had at a moment, or has today. A `date` means its first moment in UTC."""
        members = _members(index_id, utc_now() if as_of is None else as_of)
        [(count,)] = self._aggregate("members", members, [fn.COUNT(IndexConstituentRow.symbol.distinct())])
        return int(count)

    # The rest is how it is done

    def _refuse_overlaps(self, written: Iterable[IndexConstituent]) -> None:
        """Raises ConstraintViolationError when memberships of what was just written overlap, or end too soon."""
        symbols: dict[str, set[str]] = {}
        for membership in written:
            column = IndexConstituentRow.symbol
            symbols.setdefault(membership.index_id, set()).add(column.encode(membership.symbol))
        # After the writing: whoever gets the lock second sees what the first one wrote.
        for index_id in sorted(symbols):
            self.database.advisory_lock(f"index_constituents {index_id}")
            touched = sorted(symbols[index_id])
            for start in range(0, len(touched), 1_000):
                for membership, following in _with_following(self.find(_of(index_id, *touched[start : start + 1_000]))):
                    _refuse_overlap(membership, following)


def _of(index_id: IndexId | str, *symbols: str) -> QueryBuilder:
    encoded = [IndexConstituentRow.symbol.encode(symbol) for symbol in symbols]
    return of_index(IndexConstituentRow, index_id).one_of("symbol", encoded)


def _members(index_id: IndexId | str, as_of: date | datetime) -> QueryBuilder:
    moment = moment_of(as_of)
    return of_index(IndexConstituentRow, index_id).as_of("date_added", moment).above_or_null("date_removed", moment)


def _within(day: datetime | None, start: datetime, end: datetime) -> bool:
    return day is not None and start <= day <= end


def _with_following(
    memberships: Sequence[IndexConstituent],
) -> Iterable[tuple[IndexConstituent, IndexConstituent | None]]:
    """Each membership of an index, which are ordered by symbol and time, with the next one of its symbol."""
    for membership, following in pairwise([*memberships, None]):
        if membership is not None:
            is_same = following is not None and following.symbol == membership.symbol
            yield membership, following if is_same else None


def _refuse_overlap(membership: IndexConstituent, following: IndexConstituent | None) -> None:
    removed = membership.date_removed
    what = f"index_constituents: the membership of {membership.symbol} in {membership.index_id}"
    what += f" from {membership.date_added:%Y-%m-%d}"
    if removed is not None and removed <= membership.date_added:
        raise ConstraintViolationError(
            f"{what} can't end on {removed:%Y-%m-%d} already", table="index_constituents", columns=("date_removed",)
        )
    if following is not None and (removed is None or removed > following.date_added):
        raise ConstraintViolationError(
            f"{what} overlaps the one from {following.date_added:%Y-%m-%d}",
            table="index_constituents",
            columns=("date_added", "date_removed"),
        )
