"""The check of the plans calls every read, and finds one that goes through a whole table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from bench.backends import postgresql_store
from bench.explain.calls import Call, reads_of, repositories
from bench.explain.check import Findings, check
from bench.explain.filling import BOUNDED_ROWS, ROWS, fill
from bench.explain.plans import TableScan
from bench.explain.report import as_dict, print_findings
from cream_plugins.core_trading import DecisionsRepository
from cream_store import Store, query

QUIET = Console(quiet=True)
SCALE = 0.005


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Store, dict[str, int]]]:
    with postgresql_store(None, plugins=None) as store:
        yield store, fill(store, SCALE, QUIET)


def test_every_table_is_filled(filled: tuple[Store, dict[str, int]]) -> None:
    store, rows = filled

    stored = {table: store.database.fetch_all(f'SELECT COUNT(*) FROM "{table}"')[0][0] for table in store.owners}

    assert stored == rows
    assert stored["candles"] == ROWS["candles"] * SCALE
    assert min(count for table, count in stored.items() if table not in BOUNDED_ROWS) >= 250


def test_every_read_of_every_repository_is_called(filled: tuple[Store, dict[str, int]]) -> None:
    store, _ = filled
    called: set[str] = set()

    for repository in repositories(store):
        for read in reads_of(repository):
            assert isinstance(read, Call), read
            if read.method not in called:
                with store.transaction():  # which some of them need
                    read.run()
                called.add(read.method)

    known = {kind.__name__ for plugin in store.plugins for kind in plugin.repositories}
    assert {method.split(".")[0] for method in called} == known
    assert "DecisionsRepository.find_recent_within_window" in called


def test_a_method_that_nobody_knows_how_to_call_is_reported(filled: tuple[Store, dict[str, int]]) -> None:
    class Decisions(DecisionsRepository):
        def find_by_mood(self, mood: str) -> None:
            """Its parameter is no column."""

        def ponder(self) -> None:
            """Neither reads nor writes, by its name."""

    store, _ = filled

    unknown = {read.method: read.reason for read in reads_of(Decisions(store.database)) if not isinstance(read, Call)}

    assert unknown.keys() == {"Decisions.find_by_mood", "Decisions.ponder"}
    assert "mood" in unknown["Decisions.find_by_mood"]


def test_a_scan_without_a_reason_is_found(
    filled: tuple[Store, dict[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    class Decisions(DecisionsRepository):
        def find_by_rationale(self, rationale: str) -> object:
            """No index has the rationale."""
            return self.find(query().equals("rationale", rationale))

    store, rows = filled
    core_trading = next(plugin for plugin in store.plugins if plugin.name == "core-trading")
    findings = check(Store(store.database, [replace(core_trading, repositories=(Decisions,))]), rows, QUIET)

    (scan,) = [scan for scan in findings.unexpected if scan.method == "Decisions.find_by_rationale"]
    assert (scan.scan.table, scan.scan.node) == ("decisions", "Seq Scan")
    assert not findings.is_as_expected
    assert as_dict(findings)["is_as_expected"] is False
    print_findings(Console(width=200), "PostgreSQL", findings)
    assert "Decisions.find_by_rationale" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("node", "rows", "is_whole"),
    [
        ("Seq Scan", 5_000, True),
        ("Seq Scan", 20, False),  # it ends with the first rows
        ("Index Scan", 5_000, False),
        ("Index Scan", 5_001, True),
    ],
)
def test_what_goes_through_a_whole_table(node: str, rows: int, is_whole: bool) -> None:
    scan = TableScan("decisions", node, index=None, rows=rows, is_counted=False)

    assert scan.is_whole({"decisions": 10_000}) is is_whole


def test_nothing_found_is_as_expected() -> None:
    assert Findings().is_as_expected
