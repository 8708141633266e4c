"""Ticker changes: when a company's shares began to trade under another name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypedDict

import peewee

from cream_plugins.universe.moments import moment_of
from cream_store import (
    DayField,
    EnumField,
    Given,
    InvalidDataError,
    NumericField,
    Param,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SerialField,
    SymbolField,
    TextField,
    TimestampField,
    Written,
    field,
    index,
    query,
    record,
    since,
    until,
    utc_now,
)

logger = logging.getLogger("cream_store")

_MAX_HOPS: Final = 32


class TickerChangeType(StrEnum):
    """Why a name changed."""

    RENAME = "rename"
    MERGER = "merger"  # the old company is part of the new one
    SPINOFF = "spinoff"
    DELISTED = "delisted"  # the old name no longer trades


_FORWARD: Final = (TickerChangeType.RENAME, TickerChangeType.MERGER, TickerChangeType.SPINOFF)
_BACKWARD: Final = (TickerChangeType.RENAME,)


class TickerChangeRow(Row):
    """Table `ticker_changes`."""

    id = SerialField()
    old_symbol = SymbolField()
    new_symbol = SymbolField()
    change_date = DayField()
    change_type = EnumField(TickerChangeType)
    conversion_ratio = NumericField(10, 6, null=True)
    reason = TextField(null=True)
    acquiring_company = TextField(null=True)
    provider = TextField(server_default="alpaca")
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "ticker_changes"
        indexes = [
            index("idx_ticker_changes_date", "change_date"),
            index("idx_ticker_changes_new", "new_symbol", "change_date"),
            index("idx_ticker_changes_old", "old_symbol", "change_date"),
            index("idx_ticker_changes_unique", "old_symbol", "new_symbol", "change_date", unique=True),
        ]


@record
class TickerChange(Record):
    """A change of name. On its day, stored as 00:00 UTC, the new name is in force."""

    id: int | None = None  # None until stored
    old_symbol: str
    new_symbol: str  # another than the old one, but for a delisting
    change_date: datetime  # a `date` will do
    change_type: TickerChangeType
    conversion_ratio: Decimal | None = None  # new shares for one old share
    reason: str | None = None
    acquiring_company: str | None = None
    provider: str = "alpaca"
    created_at: datetime = field(default_factory=utc_now)  # when it became known here


class TickerChangeFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `change_date`."""

    old_symbol: str | Sequence[str] | None
    new_symbol: str | Sequence[str] | None
    change_type: TickerChangeType | str | Sequence[TickerChangeType | str] | None
    provider: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class TickerChangeChanges(TypedDict, total=False):
    """What `update` can change. Names, day and type stay; `upsert` corrects the type."""

    conversion_ratio: Decimal | None
    reason: str | None
    acquiring_company: str | None
    provider: str


class TickerChangesRepository(Repository[TickerChange, TickerChangeFilters, TickerChangeChanges]):
    """The changes of all names.

    An upsert overwrites every value of the change with the same names and day.
    """

    row = TickerChangeRow
    default_order = ("change_date",)
    default_limit = 100
    filter_rules = {"from_date": since("change_date"), "to_date": until("change_date")}
    conflict_target = ("old_symbol", "new_symbol", "change_date")

    def insert(self, change: TickerChange) -> bool:
        """Stores a change, unless there is one with the same names and day: that stays as it is. Whether it did."""
        return self._insert_if_absent(change) is not None

    def bulk_upsert(self, changes: Given[TickerChange]) -> Written:
        """Upserts all changes or none; of several with the same key, the last wins. Returns how many were given."""
        return self.upsert_many(changes)

    def get_changes_from_symbol(self, old_symbol: str) -> list[TickerChange]:
        """The changes of a name into another, oldest first."""
        return self.find(query().equals("old_symbol", TickerChangeRow.old_symbol.encode(old_symbol)))

    def get_changes_to_symbol(self, new_symbol: str) -> list[TickerChange]:
        """The changes of another name into this one, oldest first."""
        return self.find(query().equals("new_symbol", TickerChangeRow.new_symbol.encode(new_symbol)))

    def get_changes_in_range(
        self, start_date: date | datetime, end_date: date | datetime, limit: int | None = None
    ) -> list[TickerChange]:
        """The changes from start to end, both included, oldest first: all, unless there is a limit."""
        return self.find(_between(start_date, end_date).limit(limit))

    def count_in_range(self, start_date: date | datetime, end_date: date | datetime) -> int:
        """How many changes there were from start to end, both included."""
        return self.count_of(_between(start_date, end_date))

    def find_delistings(self, symbols: Iterable[str], as_of: date | datetime) -> list[TickerChange]:
        """When any of these names stopped trading, as far as that had happened by a moment, oldest first."""
        delisted = query().equals("change_type", TickerChangeType.DELISTED)
        return self.find(delisted.one_of("old_symbol", symbols).as_of("change_date", moment_of(as_of)))

    def resolve_to_current_symbol(
        self,
        historical_symbol: str,
        as_of: date | datetime | None = None,
        change_types: Iterable[TickerChangeType | str] = _FORWARD,
    ) -> str:
        """The name that a name became; the name itself if it did not change.

        `as_of`: what was called so at that moment (a `date` means its first one in UTC) is followed; without it, what
        was called so last. From there on, each change is the next in time. A delisting ends the walk, and so does a
        circle of changes, or the 32nd.
        """
        return self.resolve_many_to_current([historical_symbol], as_of, change_types)[historical_symbol]

    def resolve_to_historical_symbol(
        self,
        current_symbol: str,
        as_of: date | datetime,
        change_types: Iterable[TickerChangeType | str] = _BACKWARD,
    ) -> str:
        """The name under which a name's company traded at a moment; the name itself if it did not change since.

        A `date` means its first moment in UTC. Each change is the one before in time. Only renames are followed unless
        more `change_types` are told: an acquirer is not what it bought.
        """
        return self.resolve_many_to_historical([current_symbol], as_of, change_types)[current_symbol]

    def resolve_many_to_current(
        self,
        symbols: Iterable[str],
        as_of: date | datetime | None = None,
        change_types: Iterable[TickerChangeType | str] = _FORWARD,
    ) -> dict[str, str]:
        """`resolve_to_current_symbol` of many, by the names as they are given. One statement."""
        followed = {*_types(change_types), TickerChangeType.DELISTED}
        moment = None if as_of is None else moment_of(as_of)

        def following(changes: Sequence[TickerChange], previous: TickerChange | None) -> TickerChange | None:
            if previous is not None:
                changes = [change for change in changes if change.change_date >= previous.change_date]
            elif moment is not None:
                changes = [change for change in changes if change.change_date > moment]
            else:
                changes = changes[-1:]
            # A delisting is where the name ends.
            is_over = not changes or changes[0].change_type is TickerChangeType.DELISTED
            return None if is_over else changes[0]

        return self._resolve(symbols, "old_symbol", "new_symbol", followed, following)

    def resolve_many_to_historical(
        self,
        symbols: Iterable[str],
        as_of: date | datetime,
        change_types: Iterable[TickerChangeType | str] = _BACKWARD,
    ) -> dict[str, str]:
        """`resolve_to_historical_symbol` of many, by the names as they are given. One statement."""
        moment = moment_of(as_of)

        def preceding(changes: Sequence[TickerChange], previous: TickerChange | None) -> TickerChange | None:
            possible = [
                change
                for change in changes
                if change.change_date > moment and (previous is None or change.change_date <= previous.change_date)
            ]
            return possible[-1] if possible else None

        return self._resolve(symbols, "new_symbol", "old_symbol", _types(change_types), preceding)

    def _resolve(
        self, symbols: Iterable[str], name: str, other: str, change_types: Iterable[TickerChangeType], step: _Step
    ) -> dict[str, str]:
        """Where a walk from each name ends, whose every change `step` chooses; it goes from `name` to `other`."""
        if isinstance(symbols, str):
            raise InvalidDataError("needs several symbols, got one text")
        encoded = {symbol: TickerChangeRow.old_symbol.encode(symbol) for symbol in symbols}
        followed = set(change_types)
        changes: dict[str, list[TickerChange]] = {}
        for change in self._reachable(set(encoded.values()), name, other):
            if change.change_type in followed:
                changes.setdefault(getattr(change, name), []).append(change)
        return {given: _walk(symbol, changes, other, step) for given, symbol in encoded.items()}

    def _reachable(self, symbols: Iterable[str], name: str, other: str) -> list[TickerChange]:
        """All changes that any walk from these names can meet, oldest first. Circles add nothing new, so it ends."""
        given = sorted(symbols)
        if not given:
            return []
        count = 1 << (len(given) - 1).bit_length()  # so that lists of all lengths share a few statements

        def build() -> peewee.Node:
            start, further = TickerChangeRow.alias(), TickerChangeRow.alias()
            parameters = [Param(i, TickerChangeRow.old_symbol) for i in range(count)]
            first = start.select(getattr(start, name)).where(getattr(start, name).in_(parameters))
            names = first.cte("names", recursive=True, columns=("symbol",))
            more = further.select(getattr(further, other)).join(names, on=getattr(further, name) == names.c.symbol)
            names = names.union(more)
            return (
                TickerChangeRow.select(*self._columns.values())
                .where(self._column(name).in_(peewee.Select([names], [names.c.symbol])))
                .order_by(TickerChangeRow.change_date, TickerChangeRow.id)
                .with_cte(names)
            )

        statement = self._statement(("reachable", name, count), build)
        return self._fetch(statement, given + given[-1:] * (count - len(given)))

    def _guard(self, record: TickerChange) -> None:
        super()._guard(record)
        old, new = (
            TickerChangeRow.old_symbol.encode(record.old_symbol),
            TickerChangeRow.new_symbol.encode(record.new_symbol),
        )
        if old == new and record.change_type != TickerChangeType.DELISTED:
            TickerChangeRow.new_symbol.refuse(f"{old} can't become {new} by a {record.change_type}; only be delisted")


_Step = Callable[[Sequence[TickerChange], TickerChange | None], TickerChange | None]
"""Chooses the next change of a walk among those of a name, oldest first; given the previous change if there is one."""


def _walk(symbol: str, changes: Mapping[str, Sequence[TickerChange]], other: str, step: _Step) -> str:
    visited: set[int | None] = set()
    previous: TickerChange | None = None
    for _ in range(_MAX_HOPS):
        change = step(changes.get(symbol, ()), previous)
        if change is None:
            return symbol
        if change.id in visited:
            logger.warning("ticker_changes: the changes of %s go in a circle", symbol)
            return symbol
        visited.add(change.id)
        symbol, previous = getattr(change, other), change
    logger.warning("ticker_changes: %s is reached after %d changes; no more are followed", symbol, _MAX_HOPS)
    return symbol


def _types(change_types: Iterable[TickerChangeType | str]) -> list[TickerChangeType]:
    return [TickerChangeType(TickerChangeRow.change_type.encode(one)) for one in change_types]


def _between(start: date | datetime, end: date | datetime) -> QueryBuilder:
    return query().at_least("change_date", start).at_most("change_date", end).order_by("change_date")
