"""Candles from and to Parquet files (needs pyarrow, as the extra `dev` brings it)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from cream_plugins.market_data import Candle, CandlesRepository, Timeframe
from cream_store import Store
from cream_store.cli import cli

Run = Callable[..., Result]

NINE = datetime(2024, 3, 15, 9, tzinfo=UTC)
SERIES = ("--symbol", "AAPL", "--timeframe", "1h")


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `cream-store candles ...` on the store."""
    monkeypatch.setenv("DATABASE_URL_PAPER", store.database.location.url)
    return lambda *words: CliRunner().invoke(cli, ["candles", *map(str, words)])


@pytest.fixture
def candles(store: Store) -> CandlesRepository:
    return store[CandlesRepository]


def file_of(directory: Path, **columns: Any) -> Path:
    """A file with a bar an hour from nine on, and other columns or other values in these."""
    prices = {"Open": [10.0, 11.0], "High": [12.5, 12.5], "Low": [9.0, 1.0], "Close": [11.0, 1.07083], "Volume": [5, 6]}
    path = directory / "prices.parquet"
    pyarrow.parquet.write_table(pyarrow.table(prices | columns), path)
    return path


def hours(type_: Any) -> Any:
    return pyarrow.array([NINE.replace(tzinfo=None), (NINE + timedelta(hours=1)).replace(tzinfo=None)]).cast(type_)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        pytest.param("Date", hours(pyarrow.timestamp("ns")), id="nanoseconds without a zone"),
        pytest.param("timestamp", hours(pyarrow.timestamp("us", "UTC")), id="microseconds in UTC"),
        pytest.param("__index_level_0__", hours(pyarrow.timestamp("s", "America/New_York")), id="seconds of a zone"),
        pytest.param("time", ["2024-03-15 09:00", "2024-03-15 10:00"], id="text"),
    ],
)
def test_every_row_becomes_a_candle(
    run: Run, candles: CandlesRepository, tmp_path: Path, name: str, times: Any
) -> None:
    done = run("import", file_of(tmp_path, **{name: times}), *SERIES, "--round", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["inserted"] == 2
    first, second = candles.get_latest("AAPL", "1h")
    assert (first.timestamp, second.timestamp) == (NINE, NINE + timedelta(hours=1))
    assert (first.high, second.close, second.volume) == (Decimal("12.5"), Decimal("1.0708"), 6)


def test_days_are_read_too(run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
    path = file_of(tmp_path, date=[date(2024, 3, 15), date(2024, 3, 16)])
    assert run("import", path, *SERIES, "--round", "--timezone", "Europe/Berlin").exit_code == 0
    assert [one.timestamp.hour for one in candles.get_latest("AAPL", "1h")] == [23, 23]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, "line 2: Close 1.07083 has more than 4 decimals"),
        ({"Close": [11.0, None]}, "line 2: close is blank"),
        ({"Close": [float("nan"), 11.0]}, "line 1: close 'nan' is not a number"),
        ({"Close": [20.0, 11.0]}, "line 1: high 12.5 is below 20.0"),
        ({"Close": [Decimal("9.00001"), Decimal(9)]}, "line 1: close 9.00001 has more than 4 decimals"),
    ],
)
def test_a_bad_row_refuses_the_whole_file(
    run: Run, candles: CandlesRepository, tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    path = file_of(tmp_path, time=hours(pyarrow.timestamp("ms")), **columns)
    done = run("import", path, *SERIES)
    assert done.exit_code == 1
    assert reason.lower() in done.stderr.lower()
    assert candles.find_all() == []
    done = run("import", path, *SERIES, "--partial", tmp_path / "rejects.csv")
    assert done.exit_code == 0, done.output
    assert len(candles.find_all()) == 1


def test_a_time_finer_than_a_microsecond_is_not_cut(run: Run, tmp_path: Path) -> None:
    times = pyarrow.array([1_710_493_200_000_000_001] * 2).cast(pyarrow.timestamp("ns"))
    done = run("import", file_of(tmp_path, time=times), *SERIES, "--round")
    assert done.exit_code == 1
    assert "would lose data" in done.stderr


def test_what_is_no_parquet_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    path.write_text("date,open,high,low,close\n", encoding="utf-8")
    done = run("import", path, *SERIES)
    assert done.exit_code == 1
    assert f"{path}: not a Parquet file" in done.stderr


def test_import_reads_back_exactly_what_export_wrote(run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
    given = [
        Candle(
            symbol="AAPL",
            timeframe=Timeframe.HOUR,
            timestamp=NINE + i * timedelta(microseconds=1),
            open=Decimal("99999999.9999"),
            high=Decimal("99999999.9999"),
            low=Decimal("-0.0001"),
            close=Decimal(0),
            volume=999_999_999_999_999_999,
            vwap=Decimal("10.1234") if i else None,
            trade_count=0 if i else None,
            adjusted=True,
            quality_flags=["gap"] if i else [],
            provider="polygon",
            created_at=NINE,
        )
        for i in range(3)
    ]
    candles.bulk_upsert(given)
    path = tmp_path / "candles.parquet"

    done = run("export", *SERIES, "-o", path)

    assert done.stderr == "3 candles written\n"
    table = pyarrow.parquet.read_table(path)
    assert str(table.schema.field("timestamp").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("open").type) == "decimal128(12, 4)"
    candles.delete_many({"symbol": "AAPL"})
    assert run("import", path, *SERIES).exit_code == 0
    assert [one.replace(id=None, created_at=NINE) for one in candles.get_latest("AAPL", "1h")] == given


def test_nothing_is_a_file_without_rows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "candles.parquet"
    assert run("export", *SERIES, "-o", path).stderr == "0 candles written\n"
    assert pyarrow.parquet.read_table(path).num_rows == 0
