"""Fundamentals: how a company is valued, and how well it earns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from cream_plugins.indicators.daily import Day, MeasuredRepository, utc_day
from cream_store import (
    DayField,
    NumericField,
    Record,
    Row,
    SymbolField,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    new_id,
    query,
    record,
    since,
    unique,
    until,
    utc_now,
)
from cream_store.repository import Key


class FundamentalIndicatorsRow(Row):
    """Table `fundamental_indicators`."""

    id = UUIDv7Field(primary_key=True)
    symbol = SymbolField()
    date = DayField()
    pe_ratio_ttm = NumericField(10, 2, null=True)
    pe_ratio_forward = NumericField(10, 2, null=True)
    pb_ratio = NumericField(10, 2, null=True)
    ev_ebitda = NumericField(10, 2, null=True)
    earnings_yield = NumericField(8, 4, null=True)
    dividend_yield = NumericField(8, 4, null=True)
    cape_10yr = NumericField(10, 2, null=True)
    gross_profitability = NumericField(8, 4, null=True)
    roe = NumericField(8, 4, null=True)
    roa = NumericField(8, 4, null=True)
    asset_growth = NumericField(8, 4, null=True)
    accruals_ratio = NumericField(8, 4, null=True)
    cash_flow_quality = NumericField(8, 4, null=True)
    beneish_m_score = NumericField(8, 4, null=True)
    market_cap = NumericField(18, 2, null=True)
    sector = TextField(null=True)
    industry = TextField(null=True)
    source = TextField(server_default="computed")
    computed_at = TimestampField(default_now=True)

    class Meta:
        table_name = "fundamental_indicators"
        constraints = [unique("fundamental_indicators_symbol_date", "symbol", "date")]


@record
class FundamentalIndicators(Record):
    """The fundamentals of a company on a day. Yields, returns, growth and profitability are fractions."""

    id: UUID = field(default_factory=new_id)
    symbol: str
    date: datetime  # stored as 00:00 UTC; a `date` will do
    pe_ratio_ttm: Decimal | None = None  # of the trailing twelve months
    pe_ratio_forward: Decimal | None = None
    pb_ratio: Decimal | None = None
    ev_ebitda: Decimal | None = None
    earnings_yield: Decimal | None = None
    dividend_yield: Decimal | None = None
    cape_10yr: Decimal | None = None  # price to average earnings of ten years, adjusted for inflation
    gross_profitability: Decimal | None = None
    roe: Decimal | None = None
    roa: Decimal | None = None
    asset_growth: Decimal | None = None
    accruals_ratio: Decimal | None = None
    cash_flow_quality: Decimal | None = None
    beneish_m_score: Decimal | None = None
    market_cap: Decimal | None = None  # in the instrument's currency
    sector: str | None = None
    industry: str | None = None
    source: str = "computed"
    computed_at: datetime = field(default_factory=utc_now)


class FundamentalFilters(TypedDict, total=False):
    """What `find_many` can be limited to. The dates are about `date`, both included."""

    symbol: str | Sequence[str] | None
    symbols: Sequence[str] | None
    sector: str | Sequence[str] | None
    industry: str | Sequence[str] | None
    start_date: Day | None
    end_date: Day | None


class FundamentalChanges(TypedDict, total=False):
    """What `update` can change. Symbol, day and source stay."""

    pe_ratio_ttm: Decimal | None
    pe_ratio_forward: Decimal | None
    pb_ratio: Decimal | None
    ev_ebitda: Decimal | None
    earnings_yield: Decimal | None
    dividend_yield: Decimal | None
    cape_10yr: Decimal | None
    gross_profitability: Decimal | None
    roe: Decimal | None
    roa: Decimal | None
    asset_growth: Decimal | None
    accruals_ratio: Decimal | None
    cash_flow_quality: Decimal | None
    beneish_m_score: Decimal | None
    market_cap: Decimal | None
    sector: str | None
    industry: str | None


class FundamentalsRepository(MeasuredRepository[FundamentalIndicators, FundamentalFilters, FundamentalChanges]):
    """The fundamentals of all companies.

    An upsert overwrites every value of the row with the same symbol and day (with `merge=True` only by values that are
    not None), and sets `computed_at` to now.
    """

    row = FundamentalIndicatorsRow
    default_order = ("-date", "symbol")
    default_limit = 50
    filter_rules = {
        "symbols": lambda builder, symbols: builder.one_of("symbol", symbols),
        "start_date": since("date"),
        "end_date": until("date"),
    }
    conflict_target = ("symbol", "date")
    stamped_on_upsert = ("computed_at",)

    def find_latest_by_symbols(
        self, symbols: Iterable[str], as_of: Day | None = None, known_at: Day | None = None
    ) -> list[FundamentalIndicators]:
        """The newest row of each symbol, by symbol, up to a day (`as_of`) and as far as it was known at a moment."""
        return self._latest(symbols, self._known(query(), as_of, known_at))

    def find_by_sector(self, sector: str, date: Day | None = None) -> list[FundamentalIndicators]:
        """A sector's rows of a day, by symbol; without a day, each symbol's newest row if it is in the sector."""
        of_sector = query().equals("sector", FundamentalIndicatorsRow.sector.encode(sector)).order_by("symbol")
        if date is None:
            return self._among_latest(of_sector)
        return self._of_day(date, of_sector)

    def get_distinct_sectors(self) -> list[str]:
        """The sectors there are, ascending."""
        return self._distinct("sector", query().is_null("sector", False))

    def get_distinct_industries(self, sector: str | None = None) -> list[str]:
        """The industries there are, of all sectors or of one, ascending."""
        return self._distinct("industry", query().is_null("industry", False).equals("sector", sector))

    def update(self, id: Key, changes: FundamentalChanges) -> FundamentalIndicators:
        """Writes the given columns, sets `computed_at` to now, and returns the row. Nothing given: nothing changes.

        Raises NotFoundError.
        """
        return self._update_one(id, self._remeasured(changes)) or self._raise_not_found(id)

    def delete_by_symbol_and_date(self, symbol: str, date: Day) -> bool:
        """Deletes a symbol's row of a day; False when there is none."""
        return self._delete(self._of(symbol).on_day("date", utc_day(date))) > 0

    def delete_by_symbol(self, symbol: str) -> int:
        """Deletes all rows of a symbol. Returns how many they were."""
        return self._delete(self._of(symbol))
