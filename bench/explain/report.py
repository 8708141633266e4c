"""What the check found, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.explain.check import Findings, WholeScan


def print_findings(console: Console, title: str, findings: Findings) -> None:
    """The summary, and each method that goes through a whole table."""
    expected = [scan for scan in findings.scans if scan.reason is not None]
    console.print(
        f"{title}: {len(findings.methods)} methods, {findings.statements:,} statements;"
        f" {len({scan.method for scan in expected})} methods go through a whole table as expected,"
        f" {len({scan.method for scan in findings.unexpected})} without a reason,"
        f" {len({read.method for read in findings.not_covered})} not covered"
    )
    if expected:
        console.print(_expected_table(expected))
    if findings.unexpected:
        console.print(_unexpected_table(findings.unexpected))
    for read in findings.not_covered:
        console.print(f"[red]not covered:[/] {read.method}: {read.reason}", highlight=False)
    for expectation in findings.needless:
        console.print(f"[yellow]never happened:[/] {expectation.reason}", highlight=False)


def _expected_table(scans: Sequence[WholeScan]) -> Table:
    table = Table(title="As expected", title_justify="left", title_style="bold", show_lines=True)
    table.add_column("reason", ratio=1)
    table.add_column("methods", ratio=2)
    by_reason: dict[str, list[str]] = {}
    for scan in scans:
        methods = by_reason.setdefault(scan.reason or "", [])
        if scan.method not in methods:
            methods.append(scan.method)
    for reason, methods in by_reason.items():
        table.add_row(reason, ", ".join(_grouped(methods)))
    return table


def _grouped(methods: Sequence[str]) -> list[str]:
    """Methods of one name together: `find_all (12)`; those of few repositories by their whole names."""
    by_name: dict[str, list[str]] = {}
    for method in methods:
        by_name.setdefault(method.split(".")[1], []).append(method)
    return [
        part
        for name, same in sorted(by_name.items())
        for part in ([f"{name} of {len(same)} repositories"] if len(same) > 3 else same)
    ]


def _unexpected_table(scans: Sequence[WholeScan]) -> Table:
    table = Table(title="Without a reason", title_justify="left", title_style="bold red")
    for column in ("method", "with", "table", "step", "rows"):
        table.add_column(column, justify="right" if column == "rows" else "left")
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
