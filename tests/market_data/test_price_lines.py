"""Reading a price file by column: what comes of it is what comes of its lines, one by one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cream_plugins.market_data import Candle, Timeframe
from cream_plugins.market_data.price_lines import CandleReader
from cream_store import InvalidDataError

HEADER = [
    "Date",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "vwap",
    "trade_count",
    "adjusted",
    "quality_flags",
    "provider",
]
GOOD = ["2024-03-15 09:30", "10", "12", "9", "11", "500", "", "", "", "", ""]
CELLS: dict[str, list[Any]] = {
    "Date": ["2024-03-15", "2024-03-15T09:30:01.5", "2024-03-31 02:30", "2024-03-15 09:30+01:00", "20240315", "x", ""],
    "open": [" 9.5 ", "1e1", "10.00001", "1_0", "nan", "inf", "1e9", "", "8", "-1", Decimal("9.75"), 9.25, None],
    "volume": ["500.0", "0.5", "-1", "1e19", "999999999999999999", "", 7, None],
    "vwap": ["10.5", "10.55555", "nan", "", None],
    "trade_count": ["3", "3.0", "3.5", "2147483648", "1e300", "-1", 3, None],
    "adjusted": ["true", "FALSE", "1", "yes", True, None],
    "quality_flags": ["[]", '["gap"]', "[1]", "{", ["gap"], None],
    "provider": ["alpaca", " ", "\x00", None],
}


def lines_of(choice: random.Random) -> list[list[Any]]:
    """Some lines, of which a few have cells that are uncommon, or impossible."""
    lines: list[list[Any]] = [list(GOOD) for _ in range(4)]
    for _ in range(choice.randrange(3)):
        name = choice.choice(list(CELLS))
        choice.choice(lines)[HEADER.index(name)] = choice.choice(CELLS[name])
    if choice.random() < 0.05:
        choice.choice(lines).append("more")
    return lines


def one_by_one(reader: CandleReader, lines: list[list[Any]]) -> list[Candle] | None:
    try:
        return [reader.candle(line) for line in lines]
    except InvalidDataError:
        return None


@pytest.mark.parametrize("rounds", [False, True])
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin")])
def test_columns_give_what_lines_give(zone: Any, rounds: bool) -> None:
    choice = random.Random(7)
    reader = CandleReader(HEADER, "AAPL", Timeframe.DAY, "file", zone, rounds=rounds)
    by_column = 0
    for _ in range(1_000):
        lines = lines_of(choice)
        expected, fields = one_by_one(reader, lines), reader.candles(lines)
        if fields is not None:
            by_column += 1
            rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
            assert [Candle(**row) for row in rows] == expected
    assert by_column > 400


def test_common_lines_are_read_by_column() -> None:
    reader = CandleReader(HEADER, "AAPL", Timeframe.DAY, "file", UTC, rounds=False)
    fields = reader.candles([GOOD, GOOD])
    assert fields is not None
    assert fields["timestamp"] == [datetime(2024, 3, 15, 9, 30, tzinfo=UTC)] * 2
    assert fields["open"] == [Decimal("10")] * 2
