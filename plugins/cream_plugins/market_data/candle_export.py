"""Writing candles to a file, in little memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from cream_plugins.market_data.candles import Candle, CandleRow, CandlesRepository
from cream_plugins.market_data.price_files import import_pyarrow, is_parquet, replacing
from cream_plugins.market_data.timeframe import Timeframe
from cream_store import Database
from cream_store.row import columns_of

COLUMNS: Final = tuple(name for name in columns_of(CandleRow) if name not in ("id", "created_at"))
"""What is exported: all that a program which imports it can't know."""

_ROWS_AT_ONCE = 10_000


def export_candles(
    database: Database,
    symbol: str,
    timeframe: Timeframe,
    start: date | datetime | None,
    end: date | datetime | None,
    target: Path | IO[str],
) -> int:
    """Writes a series' candles from start to end, oldest first, and returns how many they were.

    To a Parquet file if its name says so, else as CSV. All are of one state of the table. A file appears, or is
    replaced, when it is complete.
    """
    with database.transaction(snapshot=True):
        candles = CandlesRepository(database).iterate_range(symbol, timeframe, start, end)
        if not isinstance(target, Path):
            return _write_csv(target, candles)
        with replacing(target) as temporary:
            assert temporary is not None
            if is_parquet(target):
                return _write_parquet(temporary, candles)
            with temporary.open("w", newline="", encoding="utf-8") as file:
                return _write_csv(file, candles)


def _write_csv(file: IO[str], candles: Iterator[Candle]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for candle in candles:
        writer.writerow([_text(getattr(candle, name)) for name in COLUMNS])
        count += 1
    return count


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def _write_parquet(path: Path, candles: Iterator[Candle]) -> int:
    arrow = import_pyarrow()
    price = arrow.decimal128(12, 4)
    types = {
        "symbol": arrow.string(),
        "timeframe": arrow.string(),
        "timestamp": arrow.timestamp("us", "UTC"),
        **dict.fromkeys(("open", "high", "low", "close", "vwap"), price),
        "volume": arrow.int64(),
        "trade_count": arrow.int32(),
        **dict.fromkeys(("adjusted", "split_adjusted", "dividend_adjusted"), arrow.bool_()),
        "quality_flags": arrow.list_(arrow.string()),
        "provider": arrow.string(),
    }
    schema = arrow.schema([(name, types[name]) for name in COLUMNS])
    count = 0
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(candles, _ROWS_AT_ONCE)):
            count += len(part)
            writer.write_batch(
                arrow.record_batch(
                    [arrow.array([getattr(one, name) for one in part], types[name]) for name in COLUMNS], schema=schema
                )
            )
    return count
