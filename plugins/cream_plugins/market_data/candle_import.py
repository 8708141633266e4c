"""Loading candles from a file: the whole file or nothing, in one transaction and little memory."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from cream_plugins.market_data.candles import Candle, CandleRow, CandlesRepository
from cream_plugins.market_data.price_files import PriceFile, open_prices, replacing
from cream_plugins.market_data.price_lines import CandleReader
from cream_plugins.market_data.timeframe import Timeframe
from cream_store import Columns, Database, InvalidDataError, with_transaction
from cream_store.row import columns_of

BAD_LINES_NAMED: Final = 10
"""Bad lines that are named with their reason; more are only counted."""

_LINES_AT_ONCE = 1_000

Progress = Callable[[int, int], None]
"""Is told from time to time how much of a file is done, of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleImport:
    """What came of a file."""

    symbol: str
    timeframe: Timeframe
    lines: int  # in the file, without header and blank ones
    inserted: int  # candles that were not there before
    replaced: int  # candles that were there already, or earlier in the file
    rejected: int  # bad lines
    bad_lines: tuple[str, ...]  # the first of these, each with its reason
    first: datetime | None  # the earliest bar; None when every line is bad
    last: datetime | None
    seconds: float


def import_candles(
    database: Database,
    path: Path,
    symbol: str,
    timeframe: Timeframe,
    *,
    zone: tzinfo = UTC,
    rounds: bool = False,
    provider: str = "file",
    rejects: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> CandleImport:
    """Upserts the candles of a CSV or Parquet file: all of them or, when anything goes wrong, none.

    `zone`: where times without an offset are at home. `rounds`: prices with more than 4 decimals, and volumes with any,
    are rounded half-even. `rejects`: bad lines go to this file, with the reason, and the others are stored; without it
    one bad line refuses the whole file. Raises InvalidDataError, naming the first bad lines.
    """
    started = time.perf_counter()
    CandleRow.provider.encode(provider)
    candles = CandlesRepository(database)

    def load(rejects: Path | None) -> CandleImport:
        with open_prices(path) as prices, _opened(rejects) as rejects_file:
            try:
                reader = CandleReader(prices.header, symbol, timeframe, provider, zone, rounds=rounds)
            except InvalidDataError as error:
                raise InvalidDataError(f"{path}: {error}") from error
            lines = _Lines(path, prices, reader, _BadLines(prices.header, rejects_file), progress)
            written = candles.bulk_upsert(lines.candles())
        return CandleImport(
            symbol=CandleRow.symbol.encode(symbol),
            timeframe=timeframe,
            lines=lines.count,
            inserted=written.inserted,
            replaced=written - written.inserted,
            rejected=lines.bad.count,
            bad_lines=tuple(lines.bad.named),
            first=lines.first,
            last=lines.last,
            seconds=time.perf_counter() - started,
        )

    with replacing(rejects) as temporary:
        return with_transaction(lambda: load(temporary), database)


class _Lines:
    """The lines of a file, on their way to the table."""

    def __init__(self, path: Path, prices: PriceFile, reader: CandleReader, bad: _BadLines, progress: Progress) -> None:
        self._path, self._prices, self._reader, self._progress = path, prices, reader, progress
        self.bad = bad
        self.count = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def candles(self) -> Iterator[Columns]:
        """The candles of the good lines. Raises InvalidDataError at the end if bad ones are not allowed."""
        lines = self._prices.lines()
        while part := list(islice(lines, _LINES_AT_ONCE)):
            self.count += len(part)
            good = self._reader.candles([line for _, line in part])
            if good is None:
                good = _columns_of(list(self._good_ones(part)))
            times = good["timestamp"]
            if times and (self.bad.has_file or not self.bad.count):
                self.first = min(times) if self.first is None else min(self.first, *times)
                self.last = max(times) if self.last is None else max(self.last, *times)
                yield good
            self._progress(self._prices.done, self._prices.total)
        if not self.count:
            raise InvalidDataError(f"{self._path}: no prices")
        if self.bad.count and not self.bad.has_file:
            raise InvalidDataError(
                f"{self._path}: {self.bad.count:,} of {self.count:,} lines can't be stored, so nothing was:\n"
                f"{self.bad.described()}"
            )

    def _good_ones(self, part: Iterable[tuple[int, Sequence[Any]]]) -> Iterator[Candle]:
        for number, line in part:
            try:
                yield self._reader.candle(line)
            except InvalidDataError as error:
                self.bad.add(number, line, error.message.removeprefix("candles."))


def _columns_of(candles: Sequence[Candle]) -> Columns:
    return Columns((name, [getattr(candle, name) for candle in candles]) for name in columns_of(CandleRow))


class _BadLines:
    """The lines that are no candles: all are counted and, if there is a file for them, written; the first are named."""

    def __init__(self, header: Sequence[str], file: IO[str] | None) -> None:
        # A file of rejects that was mended and is read again has these two columns already.
        self._positions = [i for i, name in enumerate(header) if name not in ("line", "reason")]
        self._writer = csv.writer(file) if file else None
        self.has_file = file is not None
        self.count = 0
        self.named: list[str] = []
        if self._writer:
            self._writer.writerow([*(header[i] for i in self._positions), "line", "reason"])

    def add(self, number: int, line: Sequence[Any], reason: str) -> None:
        """Takes note of a line and of the reason why it is bad."""
        self.count += 1
        if self.count <= BAD_LINES_NAMED:
            self.named.append(f"line {number}: {reason}")
        if self._writer:
            values = [line[i] if i < len(line) else "" for i in self._positions]
            self._writer.writerow([*values, number, reason])

    def described(self) -> str:
        """The first lines with their reasons, and how many more there are."""
        more = self.count - len(self.named)
        return "\n".join(f"  {named}" for named in [*self.named, *([f"... and {more:,} more"] if more else [])])


def _opened(path: Path | None) -> Any:
    return path.open("w", newline="", encoding="utf-8") if path else nullcontext()
