"""Short interest: how many shares of an instrument are sold short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from cream_plugins.indicators.daily import Day, MeasuredRepository, on_day
from cream_store import (
    DayField,
    NotFoundError,
    NumericField,
    Page,
    Record,
    Row,
    SymbolField,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    unique,
    until,
    utc_now,
)
from cream_store.repository import Key


class ShortInterestRow(Row):
    """Table `short_interest_indicators`."""

    id = UUIDv7Field(primary_key=True)
    symbol = SymbolField()
    settlement_date = DayField()
    short_interest = NumericField(18, 0)
    short_interest_ratio = NumericField(8, 2, null=True)
    days_to_cover = NumericField(8, 2, null=True)
    short_pct_float = NumericField(8, 4, null=True)
    short_interest_change = NumericField(8, 4, null=True)
    source = TextField(server_default="FINRA")
    fetched_at = TimestampField(default_now=True)

    class Meta:
        table_name = "short_interest_indicators"
        constraints = [unique("short_interest_symbol_date", "symbol", "settlement_date")]
        indexes = [index("idx_short_interest_settlement", "settlement_date")]


@record
class ShortInterestIndicators(Record):
    """The short interest of an instrument on a settlement date, which is published more than a week later."""

    id: UUID = field(default_factory=new_id)
    symbol: str
    settlement_date: datetime  # stored as 00:00 UTC; a `date` will do
    short_interest: int  # shares
    short_interest_ratio: Decimal | None = None
    days_to_cover: Decimal | None = None  # at the average volume
    short_pct_float: Decimal | None = None  # a fraction of the float: 0.25 is 25 percent
    short_interest_change: Decimal | None = None  # since the settlement date before
    source: str = "FINRA"
    fetched_at: datetime = field(default_factory=utc_now)  # when these values were first fetched


class ShortInterestFilters(TypedDict, total=False):
    """What `find_many` can be limited to; bounds are included. A missing fraction is at least nothing."""

    symbol: str | Sequence[str] | None
    settlement_date: Day | None
    settlement_date_gte: Day | None
    settlement_date_lte: Day | None
    short_pct_float_gte: Decimal | None
    fetched_at_gte: Day | None
    fetched_at_lte: Day | None


class ShortInterestChanges(TypedDict, total=False):
    """What `update` can change. Symbol, settlement date and source stay."""

    short_interest: int
    short_interest_ratio: Decimal | None
    days_to_cover: Decimal | None
    short_pct_float: Decimal | None
    short_interest_change: Decimal | None


class ShortInterestRepository(MeasuredRepository[ShortInterestIndicators, ShortInterestFilters, ShortInterestChanges]):
    """The short interest of all instruments.

    An upsert overwrites every value of the row with the same symbol and settlement date (with `merge=True` only by
    values that are not None). `fetched_at` becomes now when a value differs, and stays when none does: it tells since
    when the values are known.
    """

    row = ShortInterestRow
    day = "settlement_date"
    known_since = "fetched_at"
    default_order = ("-settlement_date", "symbol")
    default_limit = 50
    filter_rules = {
        "settlement_date": on_day("settlement_date"),
        "settlement_date_gte": since("settlement_date"),
        "settlement_date_lte": until("settlement_date"),
        "short_pct_float_gte": since("short_pct_float"),
        "fetched_at_gte": since("fetched_at"),
        "fetched_at_lte": until("fetched_at"),
    }
    conflict_target = ("symbol", "settlement_date")
    has_rules_for_writing = True
    stamped_on_upsert = ("fetched_at",)

    def find_by_symbol_and_date(self, symbol: str, settlement_date: Day) -> ShortInterestIndicators | None:
        """A symbol's row of a settlement date."""
        return super().find_by_symbol_and_date(symbol, settlement_date)

    def find_latest_for_symbols(
        self, symbols: Iterable[str], as_of: Day | None = None, known_at: Day | None = None
    ) -> list[ShortInterestIndicators]:
        """The newest row of each symbol, by symbol, up to a day (`as_of`) and as far as it was known at a moment."""
        return self._latest(symbols, self._known(query(), as_of, known_at))

    def find_highest_short_interest(
        self, limit: int = 10, min_short_pct_float: Decimal | None = None, min_settlement_date: Day | None = None
    ) -> list[ShortInterestIndicators]:
        """The symbols with the largest fraction of their float sold short by their newest row, the largest first.

        A symbol whose newest row lacks the fraction is left out. `min_settlement_date` leaves out those whose newest
        row is older: a delisted symbol keeps its last one.
        """
        known = query().is_null("short_pct_float", False).at_least("short_pct_float", min_short_pct_float)
        return self._among_latest(known.order_by("-short_pct_float").limit(limit), self._since(min_settlement_date))

    def find_by_fetched_at_range(
        self, start: Day, end: Day, limit: int = 100, offset: int = 0
    ) -> Page[ShortInterestIndicators]:
        """The rows that were fetched from start to end, both included, by symbol: a page of them, and how many."""
        fetched: ShortInterestFilters = {"fetched_at_gte": start, "fetched_at_lte": end}
        return self.find_many(fetched, limit=limit, offset=offset, order_by=("symbol", "settlement_date"))

    @transactional
    def update(  # type: ignore[override]  # None for a missing row
        self, id: Key, changes: ShortInterestChanges
    ) -> ShortInterestIndicators | None:
        """Writes the given columns and returns the row, or None when there is none.

        `fetched_at` becomes now when a value differs.
        """
        written = self._remeasured(changes)
        try:
            held = self._hold(id)
        except NotFoundError:
            return None
        return self._update_one(id, written) if _differs(held, written) else held

    @transactional
    def _store(
        self, records: Sequence[ShortInterestIndicators], written: tuple[str, ...]
    ) -> list[ShortInterestIndicators]:
        # As they were, if they were stored; from now on nobody else changes them.
        stored = {_key(one): one for one in super()._store(records, ())}
        changed = [
            one for one in records if _differs(stored[_key(one)], {name: getattr(one, name) for name in written})
        ]
        if changed:
            stored |= {_key(one): one for one in super()._store(changed, written)}
        return [stored[_key(one)] for one in records]


def _key(one: ShortInterestIndicators) -> tuple[str, str]:
    row = ShortInterestRow
    return row.symbol.encode(one.symbol), row.settlement_date.encode(one.settlement_date)


def _differs(stored: ShortInterestIndicators, values: Mapping[str, Any]) -> bool:
    """Whether any value is another one; when it was fetched is none."""
    return any(getattr(stored, name) != value for name, value in values.items() if name != "fetched_at")
