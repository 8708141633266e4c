"""The benchmark runs on every back end, and every row of its tables comes out. How fast is not a matter of tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.backends import BACKENDS
from bench.command import main
from bench.operations import OPERATIONS, WITHOUT
from bench.report import OTHERS, OURS, UNPREPARED, Result
from bench.run import Size, measure_backend, measure_starts
from bench.startup import STARTS

TINY = Size(rows=100, repetitions=1, calls=2, candles=200, budget=1)
QUIET = Console(quiet=True)


def run(*arguments: str) -> str:
    tiny = ["--quick", "--rows", "100", "--backend", "sqlite", "--only", "find_by_id"]
    result = CliRunner().invoke(main, [*tiny, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def measured(results: list[Result]) -> set[tuple[str, str]]:
    assert all(result.seconds > 0 and result.ratio > 0 for result in results)
    return {(result.operation, result.peer) for result in results}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_operation_is_measured_for_every_peer(backend: str) -> None:
    raw = {"sqlite": "sqlite3", "postgresql": "psycopg2"}[backend]
    peers = {"sqlite": [raw, OURS], "postgresql": [raw, OURS, UNPREPARED]}[backend]

    _, results = measure_backend(backend, None, list(OPERATIONS), TINY, QUIET)

    everybody = {(name, peer) for name in OPERATIONS for peer in (*peers, *OTHERS) if peer not in WITHOUT.get(name, ())}
    assert measured(results) == everybody


def test_every_start_is_measured_for_every_peer() -> None:
    results = measure_starts(list(STARTS), TINY, QUIET)

    assert measured(results) == {(name, peer) for name, peers in STARTS.items() for peer in peers}


def test_a_table_shows_the_target_and_the_earlier_run(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text(run("--json"))
    (ours,) = [result for result in json.loads(earlier.read_text())["results"] if result["peer"] == "cream-store"]

    table = run("--compare", str(earlier))

    assert "<= 1.80 x" in table
    assert f"{ours['ratio']:.2f} x" in table.split("before")[1]


def test_a_file_that_is_no_earlier_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    file.write_text("[]")

    result = CliRunner().invoke(main, ["--compare", str(file)])

    assert result.exit_code == 1
    assert "is no output of scripts/bench --json" in result.stderr
