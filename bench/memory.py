"""The memory of jobs that are larger than it: the import of a file of candles, and reading all that it stored."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from bench.backends import opened
from bench.fresh_python import cost_of
from bench.progress import progressing

ROWS: Final = 5_000_000
QUICK_ROWS: Final = 50_000
LIMIT: Final = 300 * 2**20
"""Bytes that each job may take at most, however many rows there are."""

_OPENED: Final = """
from pathlib import Path
from cream_plugins.market_data import CandlesRepository
from cream_plugins.market_data.candle_import import import_candles
from cream_store import Store
store = Store.open(["market-data"], url={url!r})
candles = store[CandlesRepository]
"""
_JOBS: Final = {
    "import of a CSV file": """
assert import_candles(store.database, Path({file!r}), "SYM", "1m").inserted == {rows}
""",
    "stream of records": """
assert sum(1 for _ in candles.iterate_range("SYM", "1m", None, None)) == {rows}
""",
    "stream of Arrow batches": """
with candles.iterate_range_arrow("SYM", "1m", None, None) as batches:
    assert sum(batch.num_rows for batch in batches) == {rows}
""",
}
"""The first one stores what the others read."""


@dataclass(frozen=True, slots=True)
class MemoryCost:
    """What one job took."""

    section: str  # a back end
    job: str
    rows: int
    seconds: float
    peak_bytes: int  # the most memory that the process had resident


def measure_memory(
    backend: str, server_url: str | None, rows: int, progress: Console
) -> tuple[str, Sequence[MemoryCost]]:
    """The back end's name with its version, and what each job cost there."""
    with TemporaryDirectory(prefix="cream-store-bench-") as directory, opened(backend, server_url) as open_backend:
        file = Path(directory) / "candles.csv"
        _write_prices(file, rows)
        costs = []
        for job in progressing(list(_JOBS), f"{backend}, {rows:,} rows", progress):
            statements = (_OPENED + _JOBS[job]).format(
                url=open_backend.store.database.location.url, file=str(file), rows=rows
            )
            costs.append(MemoryCost(backend, job, rows, *cost_of(statements)))
        return open_backend.title, costs


def _write_prices(file: Path, rows: int) -> None:
    chance, moment, price = random.Random(20250101), datetime(2010, 1, 1, tzinfo=UTC), 1_000_000
    with file.open("w", encoding="ascii") as lines:
        lines.write("timestamp,open,high,low,close,volume\n")
        for _ in range(rows):
            opened_at, price = price, max(10_000, price + chance.randrange(-500, 501))
            high, low = max(opened_at, price) + chance.randrange(200), min(opened_at, price) - chance.randrange(200)
            prices = ",".join(f"{ticks / 10_000:.4f}" for ticks in (opened_at, high, low, price))
            lines.write(f"{moment:%Y-%m-%d %H:%M:%S},{prices},{chance.randrange(1_000_000)}\n")
            moment += timedelta(minutes=1)
