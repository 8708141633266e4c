"""What was measured, as tables for people: in colour for a terminal, as Markdown for documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.imports import ImportCost
from bench.memory import LIMIT, MemoryCost
from bench.results import (
    OTHERS,
    OURS,
    TARGETS,
    UNPREPARED,
    UNPREPARED_TARGETS,
    Comparison,
    Result,
    Target,
    duration,
    growth_comparisons,
    is_left_behind,
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: cells are text, perhaps with rich's colours."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def as_table(self) -> Table:
        """The table for a terminal."""
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for place, column in enumerate(self.columns):
            table.add_column(column, justify="right" if place else "left", no_wrap=not place)
        for row in self.rows:
            table.add_row(*row)
        return table

    def as_markdown(self) -> str:
        """The table for a document; the title is its first column's."""
        lines = [
            [self.title, *self.columns[1:]],
            ["---", *["--:"] * (len(self.columns) - 1)],
            *([f"`{row[0]}`", *(Text.from_markup(cell).plain for cell in row[1:])] for row in self.rows),
        ]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def print_grids(console: Console, grids: Sequence[Grid], *, as_markdown: bool) -> None:
    """Tables one after the other."""
    for grid in grids:
        if as_markdown:
            console.out(grid.as_markdown(), end="\n\n", highlight=False)
        else:
            console.print(grid.as_table())


def operations_grid(title: str, results: Sequence[Result], earlier: Sequence[Result]) -> Grid:
    """One section: an operation a row, a peer a column. The first peer's cells are times, the others' are ratios."""
    peers = list(dict.fromkeys(result.peer for result in results))
    before = {(result.section, result.operation): result for result in earlier if result.peer == OURS}
    columns = ["operation"]
    for peer in peers:
        columns += [peer, "target", *(["before"] if earlier else [])] if peer == OURS else [peer]
    grid = Grid(title, columns)
    for operation in dict.fromkeys(result.operation for result in results):
        row = {result.peer: result for result in results if result.operation == operation}
        ours = row[OURS]
        target = TARGETS.get(ours.section, {}).get(operation)
        cells = [operation]
        for peer in peers:
            result = row.get(peer)
            if result is None:
                cells.append("")
            elif peer == OURS:
                in_seconds = target is not None and target.seconds is not None
                text = duration(ours.seconds) if in_seconds else _cell(ours, is_first=peer == peers[0])
                cells += [_coloured(text, target, ours), str(target or "")]
                if earlier:
                    old = before.get((ours.section, operation))
                    cells.append("" if old is None else duration(old.seconds) if in_seconds else _cell(old))
            elif peer == UNPREPARED:
                cells.append(_coloured(_cell(result), UNPREPARED_TARGETS.get(operation), result))
            elif peer in OTHERS:
                cells.append(_judged(_cell(result), is_left_behind(result, ours)))
            else:
                cells.append(_cell(result, is_first=peer == peers[0]))
        grid.rows.append(cells)
    return grid


def growth_grids(title: str, results: Sequence[Result]) -> list[Grid]:
    """What our own calls cost at each size of the table, and what shall not grow."""
    ours = {(result.operation, result.rows): result.seconds for result in results if result.peer == OURS}
    sizes = sorted({rows for _, rows in ours})
    grid = Grid(f"{title}: {OURS} by rows in the table", ["operation", *(f"{rows:,}" for rows in sizes)])
    for operation in dict.fromkeys(operation for operation, _ in ours):
        grid.rows.append([operation, *(duration(ours[operation, rows]) for rows in sizes)])
    return [grid, *comparison_grids(f"{title}: what shall not grow", growth_comparisons(results))]


def comparison_grids(title: str, comparisons: Sequence[Comparison]) -> list[Grid]:
    """The figures that are compared, if there are any."""
    grid = Grid(title, ["figures", "ratio", "target"])
    for one in comparisons:
        grid.rows.append([one.title, _judged(f"{one.ratio:.2f}", one.is_met), f"<= {one.limit:.2f}"])
    return [grid] if comparisons else []


def memory_grid(title: str, costs: Sequence[MemoryCost]) -> Grid:
    """Time and memory of each job."""
    grid = Grid(title, ["job", "time", "rows a second", "peak memory", "target"])
    for cost in costs:
        peak = _judged(_megabytes(cost.peak_bytes), cost.peak_bytes <= LIMIT)
        speed = f"{cost.rows / cost.seconds:,.0f}"
        grid.rows.append([cost.job, duration(cost.seconds), speed, peak, f"<= {_megabytes(LIMIT)}"])
    return grid


def imports_grid(costs: Sequence[ImportCost]) -> Grid:
    """Time and memory of each selection of plugins, and what it adds to a bare Python."""
    grid = Grid("Imports", ["loaded", "time", "peak memory", "more than bare Python"])
    for cost in costs:
        added = _megabytes(cost.peak_bytes - costs[0].peak_bytes)
        grid.rows.append([cost.name, duration(cost.seconds), _megabytes(cost.peak_bytes), added])
    return grid


def _cell(result: Result, *, is_first: bool = False) -> str:
    return duration(result.seconds) if is_first or result.section == "start" else f"{result.ratio:.2f}"


def _coloured(text: str, target: Target | None, result: Result) -> str:
    return text if target is None else _judged(text, target.is_met(result))


def _judged(text: str, is_good: bool) -> str:
    return f"[green]{text}[/]" if is_good else f"[red]{text}[/]"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
