"""What the check found, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.explain.check import Findings, WholeScan
from bench.explain.expected import EXPECTED


def print_findings(console: Console, title: str, findings: Findings) -> None:
    """The summary, and each method that goes through a whole table."""
    expected = [scan for scan in findings.scans if scan.reason is not None]
    console.print(
        f"{title}: {len(findings.methods)} methods, {findings.statements:,} statements;"
        f" {len({scan.method for scan in expected})} methods go through a whole table as expected,"
        f" {len({scan.method for scan in findings.unexpected})} without a reason,"
        f" {len({read.method for read in findings.not_covered})} not covered"
    )
    for reason, methods in _by_reason(expected).items():
        console.print(f"\n[bold]{reason}[/]:", ", ".join(_grouped(methods)), highlight=False)
    if expected:
        console.print()
    if findings.unexpected:
        console.print(_unexpected_table(findings.unexpected))
    for read in findings.not_covered:
        console.print(f"[red]not covered:[/] {read.method}: {read.reason}", highlight=False)
    for expectation in findings.needless:
        console.print(f"[yellow]never happened:[/] {expectation.reason}", highlight=False)


def _by_reason(scans: Sequence[WholeScan]) -> dict[str, list[str]]:
    """The methods by the reason that they have, in the order of the list of expectations."""
    methods: dict[str, list[str]] = {expectation.reason: [] for expectation in EXPECTED}
    for scan in scans:
        if scan.reason is not None and scan.method not in methods[scan.reason]:
            methods[scan.reason].append(scan.method)
    return {reason: found for reason, found in methods.items() if found}


def _grouped(methods: Sequence[str]) -> list[str]:
    """The methods without the word that all their classes end with; those of many repositories together."""
    by_name: dict[str, list[str]] = {}
    for method in methods:
        repository, name = method.split(".")
        by_name.setdefault(name, []).append(repository.removesuffix("Repository"))
    grouped: list[str] = []
    for name, repositories in sorted(by_name.items()):
        if len(repositories) > _MANY:
            grouped.append(f"{name} of {len(repositories)} repositories")
        else:
            grouped += [f"{repository}.{name}" for repository in repositories]
    return grouped


_MANY: Final = 15


def _unexpected_table(scans: Sequence[WholeScan]) -> Table:
    table = Table(title="Without a reason", title_justify="left", title_style="bold red")
    for column in ("method", "with", "table", "step", "rows"):
        table.add_column(column, justify="right" if column == "rows" else "left", overflow="fold")
    for scan in scans:
        step = f"{scan.scan.node} {scan.scan.index or ''}".strip()
        given = ", ".join(arguments or "nothing optional" for arguments in scan.arguments)
        table.add_row(scan.method, given, scan.scan.table, step, f"{scan.scan.rows:,}")
    return table


def as_dict(findings: Findings) -> dict[str, Any]:
    """The findings as they are printed as JSON."""
    return {
        "methods": sorted(findings.methods),
        "statements": findings.statements,
        "not_covered": [asdict(read) for read in findings.not_covered],
        "whole_scans": [asdict(scan) for scan in findings.scans],
        "is_as_expected": findings.is_as_expected,
    }
