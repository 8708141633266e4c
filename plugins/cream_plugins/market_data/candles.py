"""Candles: what an instrument's price did in each bar of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

from peewee import EXCLUDED, SQL, fn

from cream_plugins.market_data.series import last_opening, series_of
from cream_plugins.market_data.timeframe import Timeframe
from cream_store import (
    BooleanField,
    EnumField,
    Given,
    IntegerField,
    InvalidDataError,
    JSONField,
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
    check,
    field,
    index,
    record,
    since,
    until,
    utc_now,
)
from cream_store.skip_scan import distinct_values

if TYPE_CHECKING:
    import pyarrow as pa

AdjustmentMismatch = Literal["overwrite", "reject"]
"""What an upsert does when a raw bar meets a stored split-adjusted one."""


class CandleRow(Row):
    """Table `candles`."""

    id = SerialField()
    symbol = SymbolField()
    timeframe = EnumField(Timeframe)
    timestamp = TimestampField()
    open = NumericField(12, 4)
    high = NumericField(12, 4)
    low = NumericField(12, 4)
    close = NumericField(12, 4)
    volume = NumericField(18, 0, server_default=0)
    vwap = NumericField(12, 4, null=True)
    trade_count = IntegerField(null=True)
    adjusted = BooleanField(server_default=False)
    split_adjusted = BooleanField(server_default=False)
    dividend_adjusted = BooleanField(server_default=False)
    quality_flags = JSONField(list, null=True, server_default=[])
    provider = TextField(server_default="alpaca")
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "candles"
        constraints = [
            check("positive_volume", "volume >= 0"),
            check("valid_ohlc", "high >= low AND high >= open AND high >= close AND low <= open AND low <= close"),
        ]
        indexes = [
            index("idx_candles_symbol_timeframe_ts", "symbol", "timeframe", "timestamp", unique=True),
            index("idx_candles_timeframe", "timeframe"),
            index("idx_candles_timestamp", "timestamp"),
        ]


@record
class Candle(Record):
    """The prices of one bar. A symbol has one candle of a timeframe and moment, raw or adjusted."""

    id: int | None = None  # None until stored
    symbol: str
    timeframe: Timeframe
    timestamp: datetime  # when the bar opens
    open: Decimal  # in the instrument's currency, as all prices
    high: Decimal  # the highest of the four
    low: Decimal  # the lowest of the four
    close: Decimal
    volume: int = 0  # shares or contracts, >= 0
    vwap: Decimal | None = None  # volume-weighted average price
    trade_count: int | None = None
    adjusted: bool = False  # for splits or dividends
    split_adjusted: bool = False
    dividend_adjusted: bool = False
    quality_flags: list[str] = field(default_factory=list)
    provider: str = "alpaca"
    created_at: datetime = field(default_factory=utc_now)


class CandleFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `timestamp`."""

    symbol: str | Sequence[str] | None
    timeframe: Timeframe | str | Sequence[Timeframe | str] | None
    provider: str | Sequence[str] | None
    adjusted: bool | None
    split_adjusted: bool | None
    dividend_adjusted: bool | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class CandleChanges(TypedDict, total=False):
    """What `update` can change. Symbol, timeframe and moment stay."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    vwap: Decimal | None
    trade_count: int | None
    adjusted: bool
    split_adjusted: bool
    dividend_adjusted: bool
    quality_flags: list[str]
    provider: str


def _select_symbols() -> Any:
    symbols = distinct_values(CandleRow.symbol)
    return symbols.select_from(symbols.c.value).where(symbols.c.value.is_null(False))


def _select_symbols_of_timeframe() -> Any:
    symbols = distinct_values(CandleRow.symbol)
    candles = CandleRow.select(SQL("1")).where(
        CandleRow.symbol == symbols.c.value, CandleRow.timeframe == Param("timeframe", CandleRow.timeframe)
    )
    return symbols.select_from(symbols.c.value).where(fn.EXISTS(candles))


_SYMBOLS: Final = Statement(_select_symbols)
_SYMBOLS_OF_TIMEFRAME: Final = Statement(_select_symbols_of_timeframe)


class CandlesRepository(Repository[Candle, CandleFilters, CandleChanges]):
    """The candles of all instruments.

    An upsert overwrites every value of the candle with the same symbol, timeframe and timestamp, its provider too.
    """

    row = CandleRow
    default_order = ("-timestamp",)
    default_limit = 100
    filter_rules = {"from_date": since("timestamp"), "to_date": until("timestamp")}
    conflict_target = ("symbol", "timeframe", "timestamp")

    def upsert(self, candle: Candle, on_adjustment_mismatch: AdjustmentMismatch = "overwrite") -> Candle:
        """Stores a candle, over the stored one of the same bar if there is one. Returns it as stored.

        With "reject", raises ConstraintViolationError when a raw bar would replace a split-adjusted one.
        """
        if _keeps_adjusted(on_adjustment_mismatch):
            return _AdjustedCandlesKept(self._database).upsert(candle)
        return super().upsert(candle)

    def bulk_upsert(self, candles: Given[Candle], on_adjustment_mismatch: AdjustmentMismatch = "overwrite") -> Written:
        """Upserts all candles or none; of several of the same bar, the last wins. Returns how many were given.

        With "reject", raises ConstraintViolationError when a raw bar would replace a stored split-adjusted one.
        """
        if _keeps_adjusted(on_adjustment_mismatch):
            return _AdjustedCandlesKept(self._database).upsert_many(candles)
        return self.upsert_many(candles)

    def get_range(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        start: date | datetime,
        end: date | datetime,
        limit: int | None = None,
    ) -> list[Candle]:
        """The candles that open from start to end, both included, oldest first: all, unless there is a limit.

        A `date` as the end includes its whole day in UTC.
        """
        return self.find(self._in_range(symbol, timeframe, start, end).limit(limit))

    def iterate_range(
        self, symbol: str, timeframe: Timeframe | str, start: date | datetime | None, end: date | datetime | None
    ) -> Iterator[Candle]:
        """The candles of `get_range`, read a part at a time, so that a range of any length fits into memory.

        None as a bound means none. One state of the table only inside a transaction with `snapshot=True`.
        """
        return self.iterate(self._in_range(symbol, timeframe, start, end))

    def get_range_arrow(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        start: date | datetime | None,
        end: date | datetime | None,
        limit: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> pa.Table:
        """The candles of `get_range` as an Arrow table, as `find_arrow` gives it. None as a bound means none."""
        builder = self._in_range(symbol, timeframe, start, end)
        return self._arrow(builder, limit=limit, columns=columns, floats=floats)

    def iterate_range_arrow(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        start: date | datetime | None,
        end: date | datetime | None,
        *,
        columns: Sequence[str] | None = None,
        floats: bool = False,
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """The candles of `get_range` as a reader of record batches, as `iterate_arrow` gives it."""
        return self._iterate_arrow(self._in_range(symbol, timeframe, start, end), columns=columns, floats=floats)

    def get_latest(self, symbol: str, timeframe: Timeframe | str, limit: int = 100) -> list[Candle]:
        """The newest candles, oldest first. The last one may be of a bar that is not over yet."""
        return self._newest(series_of(CandleRow, symbol, timeframe), limit)

    def get_closed_as_of(
        self, symbol: str, timeframe: Timeframe | str, as_of: date | datetime, limit: int = 100
    ) -> list[Candle]:
        """The newest candles of bars that were over at a moment, oldest first.

        A `date` means its first moment in UTC.
        """
        return self._newest(
            series_of(CandleRow, symbol, timeframe).as_of("timestamp", last_opening(timeframe, as_of)), limit
        )

    def get_last_candle(self, symbol: str, timeframe: Timeframe | str) -> Candle | None:
        """The newest candle. It may be of a bar that is not over yet."""
        return self._first(series_of(CandleRow, symbol, timeframe).order_by("-timestamp"))

    def count(self, symbol: str, timeframe: Timeframe | str) -> int:  # type: ignore[override]  # the contract counts one series
        """How many candles of a timeframe a symbol has."""
        return self.count_of(series_of(CandleRow, symbol, timeframe))

    def delete_older_than(self, symbol: str, timeframe: Timeframe | str, before: date | datetime) -> int:
        """Deletes a symbol's candles of a timeframe from before the given moment, in batches. Returns how many.

        A `date` means its first moment in UTC.
        """
        return self._delete_older_than("timestamp", before, series_of(CandleRow, symbol, timeframe))

    def get_symbols(self, timeframe: Timeframe | str | None = None) -> list[str]:
        """The symbols that have candles, of one timeframe or of any, ascending."""
        statement = _SYMBOLS if timeframe is None else _SYMBOLS_OF_TIMEFRAME
        return sorted(symbol for (symbol,) in statement.fetch_all(self.database, {"timeframe": timeframe}))

    def _in_range(
        self, symbol: str, timeframe: Timeframe | str, start: date | datetime | None, end: date | datetime | None
    ) -> QueryBuilder:
        return (
            series_of(CandleRow, symbol, timeframe)
            .at_least("timestamp", start)
            .at_most("timestamp", end)
            .order_by("timestamp")
        )

    def _newest(self, builder: QueryBuilder, limit: int) -> list[Candle]:
        return self.find(builder.order_by("-timestamp").limit(limit))[::-1]


class _AdjustedCandlesKept(CandlesRepository):
    """Candles among which no raw bar replaces a split-adjusted one."""

    row = CandleRow
    overwrite_refusal = "a raw bar would replace a split-adjusted one"

    def _may_overwrite(self) -> Any:
        return EXCLUDED.split_adjusted | ~CandleRow.split_adjusted


def _keeps_adjusted(on_adjustment_mismatch: AdjustmentMismatch) -> bool:
    if on_adjustment_mismatch not in get_args(AdjustmentMismatch):
        raise InvalidDataError(f"on_adjustment_mismatch is overwrite or reject, got {on_adjustment_mismatch!r}")
    return on_adjustment_mismatch == "reject"
