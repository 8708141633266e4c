"""Corporate actions as indicators: dividends, earnings and splits that are near."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypedDict
from uuid import UUID

from cream_plugins.indicators.bounds import BoundedIntegerField
from cream_plugins.indicators.daily import DailyRepository, Day, on_day
from cream_store import (
    BooleanField,
    DayField,
    InvalidDataError,
    NumericField,
    Record,
    Row,
    SymbolField,
    TextField,
    UUIDv7Field,
    field,
    new_id,
    query,
    record,
    since,
    unique,
    until,
)

_SPLIT_RATIO: Final = re.compile(r"0*[1-9][0-9]*:0*[1-9][0-9]*")
_TEN_YEARS: Final = 3660  # days


class _SplitRatioField(TextField):
    """Two positive whole numbers joined by a colon."""

    def encode(self, value: Any) -> str:
        text = super().encode(value)
        if not _SPLIT_RATIO.fullmatch(text):
            self.refuse(f"a split ratio is two positive whole numbers such as 4:1, got {value!r}")
        return text


class CorporateActionsIndicatorsRow(Row):
    """Table `corporate_actions_indicators`."""

    id = UUIDv7Field(primary_key=True)
    symbol = SymbolField()
    date = DayField()
    trailing_dividend_yield = NumericField(8, 4, null=True)
    ex_dividend_days = BoundedIntegerField(lowest=-_TEN_YEARS, highest=_TEN_YEARS, null=True)
    upcoming_earnings_days = BoundedIntegerField(lowest=-_TEN_YEARS, highest=_TEN_YEARS, null=True)
    recent_split = BooleanField(null=True, server_default=False, null_as=False)
    split_ratio = _SplitRatioField(null=True)

    class Meta:
        table_name = "corporate_actions_indicators"
        constraints = [unique("corp_actions_indicators_symbol_date", "symbol", "date")]


@record
class CorporateActionsIndicators(Record):
    """What is near for an instrument on a day. A day count is negative once the event has passed; at most ten years."""

    id: UUID = field(default_factory=new_id)
    symbol: str
    date: datetime  # stored as 00:00 UTC; a `date` will do
    trailing_dividend_yield: Decimal | None = None  # a fraction
    ex_dividend_days: int | None = None  # until the next ex-dividend date
    upcoming_earnings_days: int | None = None  # until the next earnings report
    recent_split: bool = False
    split_ratio: str | None = None  # new shares for old ones: 4:1; a recent split has one


class CorporateActionsIndicatorsFilters(TypedDict, total=False):
    """What `find_many` can be limited to; bounds are included."""

    symbol: str | Sequence[str] | None
    date: Day | None
    start_date: Day | None
    end_date: Day | None
    recent_split: bool | None


class CorporateActionsIndicatorsChanges(TypedDict, total=False):
    """What `update` can change. Symbol and day stay. A recent split comes with its ratio."""

    trailing_dividend_yield: Decimal | None
    ex_dividend_days: int | None
    upcoming_earnings_days: int | None
    recent_split: bool
    split_ratio: str | None


class CorporateActionsIndicatorsRepository(
    DailyRepository[CorporateActionsIndicators, CorporateActionsIndicatorsFilters, CorporateActionsIndicatorsChanges]
):
    """The corporate actions that are near, of all instruments.

    An upsert overwrites every value of the row with the same symbol and day; with `merge=True` only by values that are
    not None, and a recent split stays one.
    """

    row = CorporateActionsIndicatorsRow
    default_order = ("-date", "symbol")
    default_limit = 50
    filter_rules = {"date": on_day("date"), "start_date": since("date"), "end_date": until("date")}
    conflict_target = ("symbol", "date")

    def find_latest_by_symbol(self, symbol: str, as_of: Day | None = None) -> CorporateActionsIndicators | None:
        """A symbol's newest row, up to a day (`as_of`) if one is given."""
        return self._first(self._of(symbol).as_of("date", as_of).order_by("-date"))

    def find_latest_for_symbols(
        self, symbols: Iterable[str], as_of: Day | None = None
    ) -> dict[str, CorporateActionsIndicators]:
        """The newest row of each symbol, up to a day (`as_of`) if one is given; no key for a symbol without one."""
        return {newest.symbol: newest for newest in self._latest(symbols, query().as_of("date", as_of))}

    def find_by_symbol(
        self, symbol: str, start_date: Day | None = None, end_date: Day | None = None, limit: int = 365
    ) -> list[CorporateActionsIndicators]:
        """A symbol's rows from start to end, both included, newest first."""
        builder = self._of(symbol).at_least("date", start_date).at_most("date", end_date)
        return self.find(builder.order_by("-date").limit(limit))

    def _guard(self, record: CorporateActionsIndicators) -> None:
        super()._guard(record)
        if record.recent_split and record.split_ratio is None:
            _refuse_split_without_ratio()

    def _written(self, record: CorporateActionsIndicators, merge: bool) -> tuple[str, ...]:
        written = super()._written(record, merge)
        keeps_split = merge and not record.recent_split
        return tuple(name for name in written if name != "recent_split") if keeps_split else written

    def _checked_changes(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        split, ratio = changes.get("recent_split"), changes.get("split_ratio")
        if (split and ratio is None) or ("split_ratio" in changes and ratio is None and split is not False):
            _refuse_split_without_ratio()
        return super()._checked_changes(changes)


def _refuse_split_without_ratio() -> None:
    raise InvalidDataError(
        "corporate_actions_indicators: a recent split has a ratio; recent_split and split_ratio go together",
        table="corporate_actions_indicators",
        columns=("recent_split", "split_ratio"),
    )
