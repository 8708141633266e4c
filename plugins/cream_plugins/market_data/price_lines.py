"""From a line of a price file to a candle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from operator import ge, le
from typing import Any, Final

from cream_plugins.market_data.candles import Candle, CandleRow
from cream_plugins.market_data.timeframe import Timeframe
from cream_store import Columns, InvalidDataError, NumericField, utc_now
from cream_store.bulk.encoding import exact_numbers
from cream_store.row import columns_of

_PRICES: Final = ("open", "high", "low", "close")
_FLAGS: Final = ("adjusted", "split_adjusted", "dividend_adjusted")
_EXACT: Final = {
    name: exact_numbers(column) for name, column in columns_of(CandleRow).items() if isinstance(column, NumericField)
}
_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}
_TIMES: Final = (("timestamp",), ("datetime",), ("date", "time"), ("date",), ("time",), ("__index_level_0__",))
"""The columns that tell when a bar opens: the first of these that there are. The last is pandas's nameless index."""


class CandleReader:
    """Makes candles of the lines of one file.

    The header's names count in any case. `open`, `high`, `low` and `close` must be there. The time stands in a column
    that says so (`timestamp`, `datetime`, `date`, `time`, or `date` and `time` together), else in the first one. Other
    columns of a candle are taken when they are there, and columns that a candle hasn't are passed over.
    """

    def __init__(
        self, header: Sequence[str], symbol: str, timeframe: Timeframe, provider: str, zone: tzinfo, *, rounds: bool
    ) -> None:
        """`zone`: where times without an offset are at home. `rounds`: excess decimals are rounded half-even.

        Raises InvalidDataError for a header without the columns that are needed.
        """
        self._symbol, self._timeframe, self._provider = CandleRow.symbol.encode(symbol), timeframe, provider
        self._zone, self._rounds = zone, rounds
        self._created_at = utc_now()
        self._width = len(header)
        names = ["_".join(str(name).lower().split()) for name in header]
        if absent := [name for name in _PRICES if name not in names]:
            raise InvalidDataError(f"no column {', '.join(absent)}; the first line names the columns")
        if repeated := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
            raise InvalidDataError(f"two columns are called {', '.join(repeated)}")
        self._positions = {name: position for position, name in enumerate(names) if name}
        self._times = _time_columns(names)

    @property
    def created_at(self) -> datetime:
        """When the candles of this file become known: one moment for all."""
        return self._created_at

    def candle(self, line: Sequence[Any]) -> Candle:
        """The candle that a line describes. Raises InvalidDataError with the reason why it describes none."""
        if len(line) != self._width:
            raise InvalidDataError(f"{len(line)} values for {self._width} columns")
        self._refuse_other("symbol", line, self._symbol)
        self._refuse_other("timeframe", line, self._timeframe)
        given: dict[str, Any] = {name: self._required_number(name, line) for name in _PRICES}
        given |= {name: self._flag(name, line) for name in _FLAGS if name in self._positions}
        if "volume" in self._positions:
            given["volume"] = int(self._required_number("volume", line))
        if "quality_flags" in self._positions:
            given["quality_flags"] = _list_of_texts(self._value("quality_flags", line))
        if "provider" in self._positions:
            given["provider"] = CandleRow.provider.encode(str(self._value("provider", line) or self._provider))
        candle = Candle(
            symbol=self._symbol,
            timeframe=self._timeframe,
            timestamp=self._timestamp(line),
            vwap=self._number("vwap", line),
            trade_count=self._trade_count(line),
            created_at=self._created_at,
            **{"provider": self._provider, **given},
        )
        _refuse_impossible(candle)
        return candle

    def candles(self, lines: Sequence[Sequence[Any]]) -> Columns | None:
        """The candles that lines describe, or None when any line needs the closer look of `candle`.

        It goes through the columns, which is many times as quick, and accepts no line that `candle` would not.
        """
        if set(map(len, lines)) != {self._width}:
            return None
        columns = [_all_stripped(values) for values in zip(*lines, strict=True)]
        try:
            fields = self._fields(columns)
        except (InvalidDataError, ArithmeticError, LookupError, TypeError, ValueError):
            return None
        return fields if _are_possible(fields) else None

    def _fields(self, columns: list[list[Any]]) -> Columns:
        """The values of the candles' fields. Raises all kinds of errors."""
        count = len(columns[0])
        given = {name: columns[position] for name, position in self._positions.items()}
        for name, wanted in (("symbol", self._symbol), ("timeframe", self._timeframe)):
            for value in set(given.get(name, ())):
                if value is not None and str(value).casefold() != wanted.casefold():
                    raise ValueError
        fields = Columns(
            symbol=[self._symbol] * count,
            timeframe=[self._timeframe] * count,
            timestamp=self._timestamps([columns[position] for position in self._times]),
            created_at=[self._created_at] * count,
            provider=[self._provider] * count,
        )
        for name in (*_PRICES, "volume"):
            if name in given:
                fields[name] = self._numbers(name, given[name])
        for name in ("vwap", "trade_count"):
            if name in given:
                present = iter(self._numbers(name, [value for value in given[name] if value is not None]))
                fields[name] = [None if value is None else next(present) for value in given[name]]
        for name in _FLAGS:
            if name in given:
                fields[name] = [value is not None and _WORDS[str(value).lower()] for value in given[name]]
        if "quality_flags" in given:
            fields["quality_flags"] = list(map(_list_of_texts, given["quality_flags"]))
        if "provider" in given:
            encoded = {name: CandleRow.provider.encode(str(name or self._provider)) for name in set(given["provider"])}
            fields["provider"] = [encoded[name] for name in given["provider"]]
        return fields

    def _numbers(self, name: str, values: list[Any]) -> list[Any]:
        column: Any = getattr(CandleRow, name)
        texts = list(map(str, values))
        if "_" in "".join(texts):
            raise ValueError
        numbers: list[Any] = list(map(Decimal, texts))
        if isinstance(column, NumericField):
            if self._rounds:
                numbers = list(map(column.rounded, numbers))
            numbers = _EXACT[name](numbers) or []
        elif max((number.adjusted() for number in numbers), default=0) > 10 or any(n != int(n) for n in numbers):
            raise ValueError
        if len(numbers) < len(values):
            raise ValueError
        if column.value_type is int:
            numbers = list(map(int, numbers))
        if name == "trade_count":
            list(map(column.encode, numbers))
        return numbers

    def _timestamps(self, columns: list[list[Any]]) -> list[datetime]:
        values = (
            columns[0] if len(columns) == 1 else [" ".join(map(str, parts)) for parts in zip(*columns, strict=True)]
        )
        moments = (_utc_moments(values) if self._zone is UTC else None) or list(map(moment_of, values))
        zones = {moment.tzinfo for moment in moments}
        if zones == {UTC}:
            return moments
        if zones == {None} and self._zone is UTC:
            return [moment.replace(tzinfo=UTC) for moment in moments]
        return [moment.astimezone(UTC) if moment.tzinfo else _at_home(moment, self._zone) for moment in moments]

    def _value(self, name: str, line: Sequence[Any]) -> Any:
        """What stands in a column; None where it is blank or where there is no such column."""
        position = self._positions.get(name)
        if position is None:
            return None
        return _stripped(line[position])

    def _refuse_other(self, name: str, line: Sequence[Any], wanted: str) -> None:
        value = self._value(name, line)
        if value is not None and str(value).casefold() != wanted.casefold():
            raise InvalidDataError(f"{name} {value} is not {wanted}")

    def _required_number(self, name: str, line: Sequence[Any]) -> Decimal:
        number = self._number(name, line)
        if number is None:
            raise InvalidDataError(f"{name} is blank")
        return number

    def _number(self, name: str, line: Sequence[Any]) -> Decimal | None:
        value = self._value(name, line)
        if value is None:
            return None
        column: NumericField = getattr(CandleRow, name)
        number = _decimal(name, value)
        rounded = column.rounded(number)
        if self._rounds and rounded is not None:
            return rounded
        try:
            column.encode(number)
        except InvalidDataError:
            if rounded is None:
                raise
            decimals = f"more than {column.scale} decimals" if column.scale else "decimals"
            raise InvalidDataError(f"{name} {str(value)[:40]} has {decimals} (--round rounds half-even)") from None
        return number

    def _trade_count(self, line: Sequence[Any]) -> int | None:
        value = self._value("trade_count", line)
        if value is None:
            return None
        number = _decimal("trade_count", value)
        if number.adjusted() > 10 or number != int(number):  # so large an int would take all memory
            raise InvalidDataError(f"trade_count {str(value)[:40]} is not a number of trades")
        return int(CandleRow.trade_count.encode(int(number)))

    def _flag(self, name: str, line: Sequence[Any]) -> bool:
        value = self._value(name, line)
        flag = False if value is None else _WORDS.get(str(value).lower())
        if flag is None:
            raise InvalidDataError(f"{name} {value!r} is neither true nor false")
        return flag

    def _timestamp(self, line: Sequence[Any]) -> datetime:
        values = [line[position] for position in self._times]
        moment = moment_of(values[0] if len(values) == 1 else " ".join(str(value).strip() for value in values))
        try:
            return moment.astimezone(UTC) if moment.tzinfo else _at_home(moment, self._zone)
        except OverflowError:
            raise InvalidDataError(f"{moment} is outside the years 1 to 9999") from None


def _stripped(value: Any) -> Any:
    """A cell without surrounding space; None for a blank one."""
    return (value.strip() or None) if isinstance(value, str) else value


def _all_stripped(values: Sequence[Any]) -> list[Any]:
    try:
        stripped: list[Any] = list(map(str.strip, values))
    except TypeError:  # not all are texts
        return list(map(_stripped, values))
    return [text or None for text in stripped] if "" in stripped else stripped


def _are_possible(fields: Columns) -> bool:
    """Whether the table's checks accept the candles."""
    high, low = fields["high"], fields["low"]
    return (
        all(map(ge, high, low))
        and all(all(map(ge, high, fields[name])) and all(map(le, low, fields[name])) for name in ("open", "close"))
        and min(fields.get("volume", [0])) >= 0
    )


def _time_columns(names: list[str]) -> list[int]:
    """The positions of the columns that tell the time."""
    for columns in _TIMES:
        if all(name in names for name in columns):
            return [names.index(name) for name in columns]
    if names[0] in {*_PRICES, "volume"}:
        raise InvalidDataError("no column with times: neither timestamp, datetime, date, time nor the first column")
    return [0]


def _decimal(name: str, value: Any) -> Decimal:
    """The number that a text or a float shows."""
    text = str(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or "_" in text:  # Python reads 1_000 as a number
        raise InvalidDataError(f"{name} {text[:40]!r} is not a number")
    return number


def moment_of(value: Any) -> datetime:
    """The time that a value shows, without an offset if it has none. Raises InvalidDataError for what shows none."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    try:
        return datetime.fromisoformat(str(value).strip())
    except ValueError:
        text = str(value)[:40]
        raise InvalidDataError(f"{text!r} is not a time such as 2024-01-31 or 2024-01-31 15:30:00") from None


def _utc_moments(values: list[Any]) -> list[datetime] | None:
    """The times that texts without an offset show, in UTC; None if there is anything else among them."""
    try:
        # Giving each its offset as a datetime would take longer than all the rest.
        moments = [datetime.fromisoformat(f"{text}+00:00") for text in values]
    except ValueError:
        return None
    return moments if {moment.tzinfo for moment in moments} == {UTC} else None


def _at_home(moment: datetime, zone: tzinfo) -> datetime:
    """A time of a zone's clocks in UTC. Raises InvalidDataError for one that they show twice, or skip."""
    if zone is UTC:
        return moment.replace(tzinfo=UTC)
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    utc = first.astimezone(UTC)
    if first.utcoffset() != second.utcoffset():
        skips = utc.astimezone(zone).replace(tzinfo=None) != moment
        raise InvalidDataError(f"the clocks of {zone} {'skip' if skips else 'show twice'} {moment}; add its offset")
    return utc


def _list_of_texts(value: Any) -> list[str]:
    texts = [] if value is None else value
    if isinstance(value, str):
        try:
            texts = json.loads(value)
        except (ValueError, RecursionError):
            texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidDataError(f"quality_flags {str(value)[:40]!r} is not a JSON list of texts")
    CandleRow.quality_flags.encode(texts)
    return texts


def _refuse_impossible(candle: Candle) -> None:
    """Raises InvalidDataError for what the table's checks refuse, which could not name the line."""
    highest = max(candle.open, candle.low, candle.close)
    if candle.high < highest:
        raise InvalidDataError(f"high {candle.high} is below {highest}")
    lowest = min(candle.open, candle.close)
    if candle.low > lowest:
        raise InvalidDataError(f"low {candle.low} is above {lowest}")
    if candle.volume < 0:
        raise InvalidDataError(f"volume {candle.volume} is negative")
