"""What was measured: as tables for people, as JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

OURS: Final = "cream-store"


@dataclass(frozen=True, slots=True)
class Result:
    """One operation of one peer."""

    section: str  # a back end, or "start"
    operation: str
    peer: str
    seconds: float  # of one call, the median over the repetitions
    ratio: float  # to the first peer of the section


@dataclass(frozen=True, slots=True)
class Target:
    """What cream-store may take at most: so many times the first peer's time, or so many seconds."""

    ratio: float | None = None
    seconds: float | None = None

    def is_met(self, result: Result) -> bool:
        """Whether a result keeps to it."""
        return (self.ratio is None or result.ratio <= self.ratio) and (
            self.seconds is None or result.seconds <= self.seconds
        )

    def __str__(self) -> str:
        limit = f"{self.ratio:.2f} x" if self.ratio is not None else duration(self.seconds or 0)
        return f"<= {limit}"


TARGETS: Final[dict[str, dict[str, Target]]] = {
    "sqlite": dict.fromkeys(("find_by_id", "create", "update", "find_many"), Target(ratio=2.0)),
    "postgresql": dict.fromkeys(("find_by_id", "create", "update", "find_many"), Target(ratio=1.25)),
    "start": {"help": Target(seconds=1 / 3)},
}
"""By section and operation."""


def results_of(section: str, operation: str, medians: Mapping[str, float]) -> list[Result]:
    """The results of one row; the first peer is what the others are compared to."""
    first = next(iter(medians.values()))
    return [Result(section, operation, peer, seconds, seconds / first) for peer, seconds in medians.items()]


def as_json(results: Iterable[Result], settings: Mapping[str, Any]) -> str:
    """The whole run, for `--compare` and for other programs."""
    run = {"machine": machine(), "settings": settings, "results": [asdict(result) for result in results]}
    return json.dumps(run, indent=2)


def read_json(path: Path) -> list[Result]:
    """The results of an earlier run. Raises ValueError when the file holds none."""
    try:
        return [Result(**result) for result in json.loads(path.read_text())["results"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no output of scripts/bench --json: {error}") from error


def machine() -> str:
    """The machine in a few words."""
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def print_table(console: Console, title: str, results: Sequence[Result], earlier: Sequence[Result]) -> None:
    """One section: an operation a row, a peer a column. The first peer's cells are times, the others' are ratios."""
    peers = list(dict.fromkeys(result.peer for result in results))
    before = {(result.section, result.operation): result for result in earlier if result.peer == OURS}
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("operation")
    for peer in peers:
        table.add_column(peer, justify="right")
        if peer == OURS:
            table.add_column("target", justify="right")
            if earlier:
                table.add_column("before", justify="right")
    for operation in dict.fromkeys(result.operation for result in results):
        row = {result.peer: result for result in results if result.operation == operation}
        cells = [operation]
        for peer in peers:
            cells.append(_cell(row.get(peer), is_first=peer == peers[0]))
            if peer == OURS:
                target = TARGETS.get(row[peer].section, {}).get(operation)
                cells[-1] = _coloured(cells[-1], target, row[peer])
                cells.append(str(target or ""))
                if earlier:
                    cells.append(_cell(before.get((row[peer].section, operation)), is_first=False))
        table.add_row(*cells)
    console.print(table)


def _cell(result: Result | None, *, is_first: bool) -> str:
    if result is None:
        return ""
    return duration(result.seconds) if is_first or result.section == "start" else f"{result.ratio:.2f} x"


def _coloured(text: str, target: Target | None, result: Result) -> str:
    if target is None:
        return text
    return f"[green]{text}[/]" if target.is_met(result) else f"[red]{text}[/]"


def duration(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
