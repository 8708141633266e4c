"""The benchmark runs on every back end, and every row of its tables comes out. How fast is not a matter of tests."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.backends import BACKENDS, opened
from bench.command import main
from bench.growth import GROWING, measure_growth, plot
from bench.imports import measure_imports
from bench.memory import measure_memory
from bench.operations import OPERATIONS, WITHOUT
from bench.results import OTHERS, OURS, UNPREPARED, Result, growth_comparisons, thread_comparisons
from bench.run import Size, measure_backend, measure_starts
from bench.startup import STARTS
from bench.workload import Workload
from cream_plugins.core_trading import DecisionsRepository

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

    assert "<= 1.80" in table
    assert f"{ours['ratio']:.2f}" in table.split("before")[1]


def test_a_file_that_is_no_earlier_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    file.write_text("[]")

    result = CliRunner().invoke(main, ["--compare", str(file)])

    assert result.exit_code == 1
    assert "is no output of scripts/bench --json" in result.stderr


def test_imports_cost_time_and_memory() -> None:
    costs = {cost.name: cost for cost in measure_imports(["user-settings"], 1, 1, QUIET)}

    assert costs["core"].seconds > costs["bare Python"].seconds
    assert costs["all plugins"].peak_bytes > costs["core"].peak_bytes > costs["bare Python"].peak_bytes
    assert "core + user-settings" in costs


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_large_job_is_measured(backend: str) -> None:
    _, costs = measure_memory(backend, None, 2_000, QUIET)

    assert [cost.job for cost in costs] == ["import of a CSV file", "stream of records", "stream of Arrow batches"]
    assert all(cost.seconds > 0 and cost.peak_bytes > 0 for cost in costs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_operations_are_measured_at_each_size_of_the_table(backend: str, tmp_path: Path) -> None:
    picture, sizes = tmp_path / "growth.png", [100, 400]

    title, results = measure_growth(backend, None, list(GROWING), sizes, TINY, QUIET)
    plot(picture, [title], results)

    assert {(result.operation, result.rows) for result in results} == {
        (name, n) for name in GROWING for n in (100, 400)
    }
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_table_grows_by_copies_of_all_its_rows(backend: str) -> None:
    with opened(backend, None) as open_backend:
        workload = Workload(open_backend.store, rows=100, candles=0)
        decisions = open_backend.store[DecisionsRepository]
        first, *_ = decisions.find_all(order_by="created_at")
        workload.new_decisions(3)
        workload.grow(300)

        assert decisions.count() == 300
        assert len({decision.created_at for decision in decisions.find_all()}) == 300
        copies = decisions.find_all(order_by="created_at")[100::100]
        assert [copy.created_at - first.created_at for copy in copies] == [timedelta(minutes=m) for m in (100, 200)]
        assert all(decisions.find_by_id(id) for id in workload.ids(5))


def test_what_shall_not_grow_is_compared() -> None:
    def ours(operation: str, rows: int, seconds: float) -> Result:
        return Result("sqlite", operation, OURS, seconds, 1, rows)

    compared = growth_comparisons(
        [
            ours("find_by_id", 10_000, 1),
            ours("find_by_id", 1_000_000, 1.1),
            ours("keyset_first", 1_000_000, 2),
            ours("keyset_deep", 1_000_000, 4),
        ]
    )

    assert [(one.ratio, one.is_met) for one in compared] == [(1.1, True), (2, False)]


def test_threads_that_share_connections_are_compared_with_those_that_need_not() -> None:
    alone = Result("postgresql", "lookups_10_threads", OURS, seconds=1, ratio=1)
    shared = Result("postgresql", "lookups_32_threads", OURS, seconds=1.2, ratio=1)

    assert [(one.ratio, one.is_met) for one in thread_comparisons([alone, shared])] == [(1.2, False)]
    assert thread_comparisons([alone]) == thread_comparisons([shared]) == []


@pytest.mark.parametrize("sizes", ["10,100", "1000,1500", "1000,1000", "many"])
def test_sizes_that_make_no_sense_are_refused(sizes: str) -> None:
    result = CliRunner().invoke(main, ["--sizes", sizes])

    assert result.exit_code == 2
    assert "--sizes" in result.stderr


@pytest.mark.parametrize("alone", ["--memory", "--explain"])
@pytest.mark.parametrize("other", [["--only", "create"], ["--sizes", "1000"], ["--plot", "growth.png"]])
def test_what_would_be_passed_over_is_refused(alone: str, other: list[str]) -> None:
    result = CliRunner().invoke(main, [alone, *other])

    assert result.exit_code == 2
    assert f"{alone} measures nothing else" in result.stderr


def test_tables_come_as_markdown_too() -> None:
    head, line, row, *_ = run("--markdown").splitlines()

    assert head.endswith(" | sqlite3 | cream-store | target | Peewee | SQLAlchemy |")
    assert line == "| --- | --: | --: | --: | --: | --: |"
    assert row.startswith("| `find_by_id` | ")
    assert " | <= 1.80 | " in row
