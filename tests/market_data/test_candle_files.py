"""`cream-store candles import` and `export`: whole files or nothing, exact values, times where they are at home."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cream_plugins.market_data import Candle, CandlesRepository, Timeframe
from cream_store import Store
from cream_store.cli import cli

Run = Callable[..., Result]

HEADER = "date,open,high,low,close,volume"
GOOD = "2024-03-15,10,12,9,11,500"
SERIES = ("--symbol", "aapl", "--timeframe", "1d")


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `cream-store candles ...` on the store."""
    monkeypatch.setenv("DATABASE_URL_PAPER", store.database.location.url)
    return lambda *words: CliRunner().invoke(cli, ["candles", *map(str, words)])


@pytest.fixture
def candles(store: Store) -> CandlesRepository:
    return store[CandlesRepository]


def file_of(directory: Path, *lines: str, name: str = "prices.csv") -> Path:
    path = directory / name
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def many(count: int) -> list[str]:
    """Lines of so many minutes from midnight on."""
    start = datetime(2024, 3, 15, tzinfo=UTC)
    return [f"{start + timedelta(minutes=i)},10,12,9,{9 + i % 3},{i}" for i in range(count)]


class TestImport:
    def test_every_line_becomes_a_candle(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, GOOD, "2024-03-16,11,11.5,10.1234,10.5,0", "")

        done = run("import", path, *SERIES)

        assert done.exit_code == 0, done.output
        assert "AAPL 1d from" in done.stdout
        assert "2024-03-15 00:00 to 2024-03-16 00:00 UTC" in done.stdout
        assert "2 inserted, 0 replaced, in" in done.stdout
        assert done.stderr == ""
        first, second = candles.get_latest("AAPL", "1d")
        assert first == Candle(
            id=first.id,
            symbol="AAPL",
            timeframe=Timeframe.DAY,
            timestamp=datetime(2024, 3, 15, tzinfo=UTC),
            open=Decimal(10),
            high=Decimal(12),
            low=Decimal(9),
            close=Decimal(11),
            volume=500,
            provider="file",
            created_at=first.created_at,
        )
        assert (second.low, second.volume) == (Decimal("10.1234"), 0)

    def test_a_second_import_changes_nothing(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, *many(1500))
        assert run("import", path, *SERIES).exit_code == 0
        stored = candles.get_latest("AAPL", "1d", 1500)

        done = run("import", path, *SERIES, "--json")

        assert candles.get_latest("AAPL", "1d", 1500) == stored
        report = json.loads(done.stdout)
        assert report.pop("seconds") >= 0
        assert report == {
            "file": str(path),
            "symbol": "AAPL",
            "timeframe": "1d",
            "lines": 1500,
            "inserted": 0,
            "replaced": 1500,
            "rejected": 0,
            "rejects": None,
            "bad_lines": [],
            "first": "2024-03-15T00:00:00+00:00",
            "last": "2024-03-16T00:59:00+00:00",
        }

    def test_other_series_are_left_alone(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, GOOD)
        run("import", path, "--symbol", "MSFT", "--timeframe", "1d")
        done = run("import", path, *SERIES, "--json", "--provider", "stooq")
        assert json.loads(done.stdout)["inserted"] == 1
        assert [one.provider for one in candles.find_all(order_by="symbol")] == ["stooq", "file"]

    def test_of_several_lines_with_one_time_the_last_counts(
        self, run: Run, candles: CandlesRepository, tmp_path: Path
    ) -> None:
        path = file_of(tmp_path, HEADER, "2024-03-15,1,1,1,1,1", GOOD)
        report = json.loads(run("import", path, *SERIES, "--json").stdout)
        assert (report["lines"], report["inserted"], report["replaced"]) == (2, 1, 1)
        assert [one.close for one in candles.get_latest("AAPL", "1d")] == [11]

    @pytest.mark.parametrize(
        ("header", "line"),
        [
            (",Open,High,Low,Close,Volume", "2024-03-15 09:30:00,10,12,9,11,500"),
            ("\ufeffTimestamp,OPEN,HIGH,LOW,CLOSE,VOLUME", "2024-03-15T09:30Z,10,12,9,11,500"),
            ("Close,Low,High,Open,Volume,Datetime", "11,9,12,10,500,2024-03-15 10:30:00+01:00"),
            ("date,time,open,high,low,close,volume", "2024-03-15,09:30,10,12,9,11,500"),
            ("whenever, Open , High,Low,Close,Volume,Adj Close", "2024-03-15 09:30,10,12,9, 11 ,500,10.99"),
            ("close,time,date,timestamp,open,high,low,volume", "11,10:30,2024-03-16,2024-03-15 09:30,10,12,9,500"),
            ('"date","open","high","low","close","volume"', '"2024-03-15 09:30","10","12","9","11","500"'),
        ],
    )
    def test_columns_are_known_by_their_names(
        self, run: Run, candles: CandlesRepository, tmp_path: Path, header: str, line: str
    ) -> None:
        done = run("import", file_of(tmp_path, header, line), *SERIES)
        assert done.exit_code == 0, done.output
        [found] = candles.get_latest("AAPL", "1d")
        assert found.timestamp == datetime(2024, 3, 15, 9, 30, tzinfo=UTC)
        assert [int(price) for price in (found.open, found.high, found.low, found.close)] == [10, 12, 9, 11]
        assert found.volume == 500

    def test_a_file_need_not_have_volumes(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        run("import", file_of(tmp_path, "date,open,high,low,close", "2024-03-15,1,1,1,1"), *SERIES)
        assert [one.volume for one in candles.get_latest("AAPL", "1d")] == [0]

    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            ([], "no column open, high, low, close"),
            ([""], "no column open, high, low, close"),
            (["date,open,high,close"], "no column low"),
            (["date,open,high,low,close,Close"], "two columns are called close"),
            (["open,high,low,close,volume", "1,1,1,1,1"], "no column with times"),
            ([HEADER], "no prices"),
            ([HEADER, "", ""], "no prices"),
        ],
    )
    def test_a_file_that_holds_no_prices_is_refused(
        self, run: Run, tmp_path: Path, lines: list[str], reason: str
    ) -> None:
        path = file_of(tmp_path, *lines)
        done = run("import", path, *SERIES)
        assert done.exit_code == 1
        assert f"{path}: {reason}" in done.stderr

    @pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xe4,1,1,1,1,1\n", b'"2024-03-15"1,"\n' + b"x" * 200_000])
    def test_what_is_no_text_in_columns_is_refused(
        self, run: Run, candles: CandlesRepository, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "prices.csv"
        path.write_bytes(f"{HEADER}\n{GOOD}\n".encode() + content)
        done = run("import", path, *SERIES)
        assert done.exit_code == 1
        assert "not CSV in UTF-8" in done.stderr
        assert candles.find_all() == []


class TestTimes:
    @pytest.mark.parametrize(
        ("zone", "time", "utc"),
        [
            ("America/New_York", "2024-03-15 09:30", "2024-03-15T13:30:00Z"),
            ("America/New_York", "2024-01-15 09:30", "2024-01-15T14:30:00Z"),
            ("America/New_York", "2024-03-15", "2024-03-15T04:00:00Z"),
            ("America/New_York", "2024-03-15T09:30:00.123456+00:00", "2024-03-15T09:30:00.123456Z"),
            ("Asia/Kolkata", "2024-03-15 09:15", "2024-03-15T03:45:00Z"),
            ("utc", "20240315", "2024-03-15T00:00:00Z"),
        ],
    )
    def test_a_time_without_an_offset_is_at_home_in_the_zone(
        self, run: Run, candles: CandlesRepository, tmp_path: Path, zone: str, time: str, utc: str
    ) -> None:
        path = file_of(tmp_path, HEADER, f"{time},1,1,1,1,1")
        done = run("import", path, *SERIES, "--timezone", zone)
        assert done.exit_code == 0, done.output
        assert [one.timestamp for one in candles.get_latest("AAPL", "1d")] == [datetime.fromisoformat(utc)]

    @pytest.mark.parametrize(
        ("time", "reason"),
        [
            ("2024-11-03 01:30", "show twice 2024-11-03 01:30:00"),
            ("2024-03-10 02:30", "skip 2024-03-10 02:30:00"),
        ],
    )
    def test_a_time_that_the_clocks_show_twice_or_never_is_refused(
        self, run: Run, candles: CandlesRepository, tmp_path: Path, time: str, reason: str
    ) -> None:
        path = file_of(tmp_path, HEADER, f"{time},1,1,1,1,1")
        done = run("import", path, *SERIES, "--timezone", "America/New_York")
        assert done.exit_code == 1
        assert f"the clocks of America/New_York {reason}" in done.stderr
        assert run("import", path, *SERIES).exit_code == 0
        path = file_of(tmp_path, HEADER, f"{time}-05:00,1,1,1,1,1")
        assert run("import", path, *SERIES, "--timezone", "America/New_York").exit_code == 0

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
    def test_an_unknown_zone_is_a_mistake_of_the_command(self, run: Run, tmp_path: Path, zone: str) -> None:
        done = run("import", file_of(tmp_path, HEADER, GOOD), *SERIES, "--timezone", zone)
        assert done.exit_code == 2
        assert "no time zone such as Europe/Berlin" in done.stderr


BAD_LINES = {
    "2024-03-01,ten,12,9,11,1": "open 'ten' is not a number",
    "2024-03-01,1_0,12,9,11,1": "open '1_0' is not a number",
    "2024-03-01,10,NaN,9,11,1": "high 'NaN' is not a number",
    "2024-03-01,10,12,-inf,11,1": "low '-inf' is not a number",
    "2024-03-01,10,12,9,,1": "close is blank",
    "2024-03-01,10,12,9,11,": "volume is blank",
    "2024-03-01,10,12,9,11,-1": "volume -1 is negative",
    "2024-03-01,10,10.5,9,11,1": "high 10.5 is below 11",
    "2024-03-01,10,12,10.5,11,1": "low 10.5 is above 10",
    "2024-03-01,123456789,123456789,9,11,1": "open: 123456789 has more than 8 digits before the point",
    "2024-03-01,10,12,9,1e40,1": "close: 1E+40 has more than 8 digits before the point",
    "2024-03-01,10,12,9,11,1,extra": "7 values for 6 columns",
    "2024-03-01,10": "2 values for 6 columns",
    "yesterday,10,12,9,11,1": "'yesterday' is not a time such as 2024-01-31 or 2024-01-31 15:30:00",
    "1710460800,10,12,9,11,1": "'1710460800' is not a time such as 2024-01-31 or 2024-01-31 15:30:00",
    ",10,12,9,11,1": "'' is not a time such as 2024-01-31 or 2024-01-31 15:30:00",
    "0001-01-01T00:00+01:00,10,12,9,11,1": "0001-01-01 00:00:00+01:00 is outside the years 1 to 9999",
    "2024-02-30,10,12,9,11,1": "'2024-02-30' is not a time such as 2024-01-31 or 2024-01-31 15:30:00",
}


class TestBadLines:
    def test_one_refuses_the_whole_file(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, *many(2500), "2024-03-01,10,8,9,11,1")
        done = run("import", path, *SERIES)
        assert done.exit_code == 1
        assert f"{path}: 1 of 2,501 lines can't be stored, so nothing was:" in done.stderr
        assert "  line 2502: high 8 is below 11\n" in done.stderr
        assert candles.find_all() == []

    def test_the_first_ten_are_named_and_the_others_counted(self, run: Run, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, GOOD, *["2024-03-01,10,12,9,x,1"] * 1234)
        done = run("import", path, *SERIES)
        assert "1,234 of 1,235 lines" in done.stderr
        assert [line for line in done.stderr.splitlines() if line.startswith("  line")] == [
            f"  line {number}: close 'x' is not a number" for number in range(3, 13)
        ]
        assert "  ... and 1,224 more" in done.stderr

    def test_each_has_its_reason(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        rejects = tmp_path / "rejects.csv"
        path = file_of(tmp_path, HEADER, *BAD_LINES, GOOD)

        done = run("import", path, *SERIES, "--partial", rejects)

        assert done.exit_code == 0, done.output
        with rejects.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        assert header == [*HEADER.split(","), "line", "reason"]
        assert [line[-1] for line in lines] == list(BAD_LINES.values())
        assert [line[-2] for line in lines] == [str(number) for number in range(2, len(BAD_LINES) + 2)]
        assert [one.close for one in candles.get_latest("AAPL", "1d")] == [11]
        assert "1 inserted, 0 replaced" in done.stdout
        assert f"{len(BAD_LINES)} of {len(BAD_LINES) + 1} lines are bad; they are in {rejects}:" in done.stdout
        assert "  line 2: open 'ten' is not a number" in done.stdout

    def test_a_mended_file_of_rejects_can_be_imported(
        self, run: Run, candles: CandlesRepository, tmp_path: Path
    ) -> None:
        rejects, again = tmp_path / "rejects.csv", tmp_path / "again.csv"
        path = file_of(tmp_path, HEADER, GOOD, "2024-03-16,10,12,9,1O,1", "2024-03-17,10,12,9,1l,1")
        run("import", path, *SERIES, "--partial", rejects)
        rejects.write_text(rejects.read_text(encoding="utf-8").replace("1O", "10"), encoding="utf-8")

        report = json.loads(run("import", rejects, *SERIES, "--partial", again, "--json").stdout)

        assert (report["inserted"], report["rejected"], report["rejects"]) == (1, 1, str(again))
        assert report["bad_lines"] == ["line 3: close '1l' is not a number"]
        assert [one.close for one in candles.get_latest("AAPL", "1d")] == [11, 10]
        assert again.read_text(encoding="utf-8").splitlines() == [
            f"{HEADER},line,reason",
            "2024-03-17,10,12,9,1l,1,3,close '1l' is not a number",
        ]

    def test_a_failure_leaves_an_earlier_file_of_rejects_as_it_was(self, run: Run, tmp_path: Path) -> None:
        rejects = file_of(tmp_path, "mine", name="rejects.csv")
        broken = tmp_path / "prices.csv"
        broken.write_bytes(f"{HEADER}\n{GOOD}\nx\n".encode() + b"\xff")
        assert run("import", broken, *SERIES, "--partial", rejects).exit_code == 1
        assert rejects.read_text(encoding="utf-8") == "mine\n"
        assert sorted(path.name for path in tmp_path.glob("*.csv*")) == ["prices.csv", "rejects.csv"]

    def test_the_rejects_do_not_replace_the_file_itself(self, run: Run, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, GOOD)
        assert run("import", path, *SERIES, "--partial", path).exit_code == 2
        assert path.read_text(encoding="utf-8") == f"{HEADER}\n{GOOD}\n"

    def test_all_of_them_may_be_bad(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, "2024-03-16,10,12,9,,1")
        report = json.loads(run("import", path, *SERIES, "--partial", tmp_path / "rejects.csv", "--json").stdout)
        assert (report["inserted"], report["rejected"], report["first"], report["last"]) == (0, 1, None, None)
        assert candles.find_all() == []


class TestExcessDecimals:
    LINES = (HEADER, "2024-03-15,1.00005,1.00026,1.00005,1.00015,2.5", "2024-03-16,1.50000,1.5,1.5,1.5,7.0")

    def test_they_are_refused_naming_the_column(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        done = run("import", file_of(tmp_path, *self.LINES), *SERIES)
        assert done.exit_code == 1
        assert "1 of 2 lines" in done.stderr
        assert "line 2: open 1.00005 has more than 4 decimals (--round rounds half-even)" in done.stderr
        assert candles.find_all() == []

    def test_on_request_they_are_rounded_half_even(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        assert run("import", file_of(tmp_path, *self.LINES), *SERIES, "--round").exit_code == 0
        first, second = candles.get_latest("AAPL", "1d")
        assert [str(price) for price in (first.open, first.high, first.low, first.close)] == [
            "1.0000",
            "1.0003",
            "1.0000",
            "1.0002",
        ]
        assert (first.volume, second.volume) == (2, 7)

    def test_rounding_does_not_make_a_bar_impossible_or_possible(self, run: Run, tmp_path: Path) -> None:
        path = file_of(tmp_path, HEADER, "2024-03-15,1.00004,1.00001,1,1,1")  # the high is below the open
        assert run("import", path, *SERIES, "--round").exit_code == 0


class TestOtherColumns:
    HEADER = "timestamp,open,high,low,close,vwap,trade_count,split_adjusted,quality_flags,provider,symbol,timeframe"

    def test_all_that_a_candle_has_is_read(self, run: Run, candles: CandlesRepository, tmp_path: Path) -> None:
        path = file_of(
            tmp_path,
            self.HEADER,
            '2024-03-15,1,1,1,1,0.5,12,TRUE,"[""gap""]",polygon, aapl,1D',
            "2024-03-16,1,1,1,1,,,,,,,",
        )
        assert run("import", path, *SERIES).exit_code == 0
        first, second = candles.get_latest("AAPL", "1d")
        assert (first.vwap, first.trade_count, first.split_adjusted) == (Decimal("0.5"), 12, True)
        assert (first.quality_flags, first.provider) == (["gap"], "polygon")
        assert (second.vwap, second.trade_count, second.split_adjusted) == (None, None, False)
        assert (second.quality_flags, second.provider) == ([], "file")

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            (",,,,,MSFT,", "symbol MSFT is not AAPL"),
            (",,,,,,1h", "timeframe 1h is not 1d"),
            ("x,,,,,,", "vwap 'x' is not a number"),
            (",1.5,,,,,", "trade_count 1.5 is not a number of trades"),
            (",1e999999999,,,,,", "trade_count 1e999999999 is not a number of trades"),
            (",9999999999,,,,,", "trade_count: a number outside"),
            (",,maybe,,,,", "split_adjusted 'maybe' is neither true nor false"),
            (",,,gap,,,", "quality_flags 'gap' is not a JSON list of texts"),
            (",,,[1],,,", "quality_flags '[1]' is not a JSON list of texts"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, run: Run, tmp_path: Path, values: str, reason: str) -> None:
        done = run("import", file_of(tmp_path, self.HEADER, f"2024-03-15,1,1,1,1,{values}"), *SERIES)
        assert done.exit_code == 1
        assert f"line 2: {reason}" in done.stderr


class TestExport:
    CANDLES = (
        Candle(
            symbol="AAPL",
            timeframe=Timeframe.DAY,
            timestamp=datetime(2024, 3, 15, tzinfo=UTC),
            open=Decimal("10.5"),
            high=Decimal("99999999.9999"),
            low=Decimal("-0.0001"),
            close=Decimal(0),
            volume=999_999_999_999_999_999,
            vwap=Decimal("10.1234"),
            trade_count=0,
            adjusted=True,
            split_adjusted=True,
            quality_flags=["gap", 'a "quoted", späte flag'],
            provider="polygon",
        ),
        Candle(
            symbol="AAPL",
            timeframe=Timeframe.DAY,
            timestamp=datetime(2024, 3, 16, 9, 30, 0, 123456, tzinfo=UTC),
            open=Decimal(1),
            high=Decimal(1),
            low=Decimal(1),
            close=Decimal(1),
            dividend_adjusted=True,
        ),
    )

    def test_it_writes_csv(self, run: Run, candles: CandlesRepository) -> None:
        candles.bulk_upsert(self.CANDLES)
        done = run("export", *SERIES)
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines() == [
            "symbol,timeframe,timestamp,open,high,low,close,volume,vwap,trade_count,adjusted,split_adjusted,"
            "dividend_adjusted,quality_flags,provider",
            "AAPL,1d,2024-03-15T00:00:00Z,10.5000,99999999.9999,-0.0001,0.0000,999999999999999999,10.1234,0,true,true,"
            'false,"[""gap"", ""a \\""quoted\\"", späte flag""]",polygon',
            "AAPL,1d,2024-03-16T09:30:00.123456Z,1.0000,1.0000,1.0000,1.0000,0,,,false,false,true,[],alpaca",
        ]
        assert done.stderr == "2 candles written\n"

    def test_import_reads_back_exactly_what_it_wrote(
        self, run: Run, candles: CandlesRepository, tmp_path: Path
    ) -> None:
        candles.bulk_upsert(self.CANDLES)
        path = tmp_path / "candles.csv"
        assert run("export", *SERIES, "-o", path).exit_code == 0
        candles.delete_many({"symbol": "AAPL"})

        assert run("import", path, *SERIES).exit_code == 0

        found = candles.get_latest("AAPL", "1d")
        assert [one.replace(id=None, created_at=self.CANDLES[0].created_at) for one in found] == [
            one.replace(created_at=self.CANDLES[0].created_at) for one in self.CANDLES
        ]

    def test_the_oldest_is_first_whatever_the_number(
        self, run: Run, candles: CandlesRepository, tmp_path: Path
    ) -> None:
        path = file_of(tmp_path, HEADER, *reversed(many(2500)))
        assert run("import", path, *SERIES).exit_code == 0
        assert run("export", *SERIES, "-o", path).stderr == "2,500 candles written\n"
        with path.open(newline="", encoding="utf-8") as file:
            times = [line["timestamp"] for line in csv.DictReader(file)]
        assert times == sorted(times)
        assert len(times) == 2500

    @pytest.mark.parametrize(
        ("bounds", "days"),
        [
            (["--from", "2024-03-16"], [16, 17]),
            (["--to", "2024-03-16"], [15, 16]),
            (["--from", "2024-03-16T12:00", "--to", "2024-03-17T10:00+02:00"], []),
            (["--from", "2024-03-16 09:00", "--to", "2024-03-17T11:00+02:00"], [16, 17]),
        ],
    )
    def test_bounds_are_included_and_in_utc(
        self, run: Run, candles: CandlesRepository, bounds: list[str], days: list[int]
    ) -> None:
        nine = self.CANDLES[1].timestamp.replace(hour=9, minute=0, microsecond=0)
        candles.bulk_upsert(self.CANDLES[1].replace(timestamp=nine + timedelta(days=day)) for day in (-1, 0, 1))
        done = run("export", *SERIES, *bounds)
        assert [int(line.split(",")[2][8:10]) for line in done.stdout.splitlines()[1:]] == days

    def test_nothing_is_a_header(self, run: Run) -> None:
        done = run("export", *SERIES)
        assert done.exit_code == 0
        assert done.stdout.startswith("symbol,")
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == "0 candles written\n"

    def test_a_failure_leaves_an_earlier_file_as_it_was(self, run: Run, tmp_path: Path, store: Store) -> None:
        path = file_of(tmp_path, "mine")
        assert run("export", "--symbol", " ", "--timeframe", "1d", "-o", path).exit_code == 1
        assert path.read_text(encoding="utf-8") == "mine\n"
        assert [one.name for one in tmp_path.glob("*.csv*")] == [path.name]

    def test_a_bound_that_is_no_time_is_a_mistake_of_the_command(self, run: Run) -> None:
        done = run("export", *SERIES, "--from", "yesterday")
        assert done.exit_code == 2
        assert "'yesterday' is no time such as" in done.stderr


@pytest.mark.parametrize("words", [("import", "FILE"), ("export",)])
@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (("--symbol", "AAPL"), "--timeframe"),
        (("--timeframe", "1d"), "--symbol"),
        (("--symbol", "AAPL", "--timeframe", "4h"), "is not one of '1m', '5m', '15m', '1h', '1d'"),
    ],
)
def test_a_series_is_named(
    run: Run, tmp_path: Path, words: tuple[str, ...], series: tuple[str, ...], reason: str
) -> None:
    path = file_of(tmp_path, HEADER, GOOD)
    done = run(*(path if word == "FILE" else word for word in words), *series)
    assert done.exit_code == 2
    assert reason in done.stderr


def test_live_has_to_be_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREAM_ENV", "LIVE")
    done = run("import", file_of(tmp_path, HEADER, GOOD), *SERIES)
    assert done.exit_code == 2
    assert "--env LIVE" in done.stderr


def test_without_pyarrow_parquet_is_declined_with_advice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    advice = "Parquet files need pyarrow: pip install 'cream-store[arrow]'"
    for words in (
        ("import", file_of(tmp_path, "PAR1", name="prices.parquet")),
        ("export", "-o", tmp_path / "x.parquet"),
    ):
        done: Any = run(*words, *SERIES)
        assert done.exit_code == 1
        assert advice in done.stderr
    assert not (tmp_path / "x.parquet").exists()
