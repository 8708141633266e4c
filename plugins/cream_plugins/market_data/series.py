"""Series: one instrument's bars of one timeframe, which candles, features and regime labels are about."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from cream_plugins.market_data.timeframe import Timeframe
from cream_store import InvalidDataError, QueryBuilder, Row, first_moment, query


def series_of(row: type[Row], symbol: str, timeframe: Timeframe | str) -> QueryBuilder:
    """The rows of one series. Raises InvalidDataError for an impossible symbol or timeframe."""
    columns: Any = row
    # Encoded here, because None would mean every symbol or timeframe.
    builder = query().equals("symbol", columns.symbol.encode(symbol))
    return builder.equals("timeframe", columns.timeframe.encode(timeframe))


def last_opening(timeframe: Timeframe | str, as_of: date | datetime) -> datetime:
    """When the last bar opened that was over at a moment; a `date` means its first moment in UTC."""
    moment = first_moment(as_of)
    if not isinstance(moment, datetime):
        raise InvalidDataError(f"as_of is a datetime or a date, got {type(as_of).__name__}")
    try:
        return moment - Timeframe(timeframe).length
    except OverflowError:
        raise InvalidDataError(f"no bar was over at {as_of}") from None
