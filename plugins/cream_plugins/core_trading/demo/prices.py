"""Price bars from an OHLCV file."""

from __future__ import annotations

import csv
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from cream_plugins.vocabulary.demo import Bar
from cream_store import InvalidDataError

SAMPLE: Final = Path(__file__).parent.parent / "data" / "goog_1d.csv"
"""Alphabet's daily prices from June 2011 to January 2013."""

_NUMBERS: Final = ("open", "high", "low", "close", "volume")


def read_bars(path: Path) -> list[Bar]:
    """The bars of a CSV file with the columns Open, High, Low, Close and Volume; the first column is the time.

    Raises InvalidDataError, naming the line, for a missing column, a value that is no number, or no bar at all.
    """
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = [name.strip().lower() for name in next(lines, [])]
        if absent := [name for name in _NUMBERS if name not in header]:
            raise InvalidDataError(f"{path}: no column {', '.join(absent)}; the first line names the columns")
        positions = [header.index(name) for name in _NUMBERS]
        bars = [_bar(path, lines.line_num, line, positions) for line in lines if line]
    if not bars:
        raise InvalidDataError(f"{path}: no prices")
    return bars


def _bar(path: Path, number: int, line: list[str], positions: list[int]) -> Bar:
    try:
        values = [Decimal(line[position]) for position in positions]
    except (InvalidOperation, IndexError):
        raise InvalidDataError(f"{path}, line {number}: not a line of prices: {','.join(line)[:80]}") from None
    if not all(value.is_finite() and value >= 0 for value in values):
        raise InvalidDataError(f"{path}, line {number}: prices are finite and not negative: {','.join(line)[:80]}")
    return Bar(line[0], *values)
