"""Sections as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import Cell, Section

MOST_ROWS: Final = 6
"""Rows of a table at most."""


def show(sections: Iterable[tuple[str, Section]], console: Console) -> None:
    """Prints the sections, each with the plugin it came from, in the order of the cycle's phases."""
    phases = list(CyclePhase)
    for plugin, section in sorted(sections, key=lambda one: phases.index(one[1].phase)):
        console.print(f"\n[bold]{section.phase.capitalize()}: {escape(section.title)}[/] ({escape(plugin)})")
        if section.rows:
            console.print(_table(section))
        if len(section.rows) > MOST_ROWS:
            console.print(f"the last {MOST_ROWS} of {len(section.rows):,}", highlight=False)
        if section.note:
            console.print(section.note, markup=False, highlight=False)


def _table(section: Section) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, show_header=bool(section.columns))
    columns = [_texts(cells) for cells in zip(*section.rows[-MOST_ROWS:], strict=True)]
    for number, (_, is_numeric) in enumerate(columns):
        table.add_column(
            section.columns[number] if section.columns else "",
            justify="right" if is_numeric else "left",
            no_wrap=number < len(columns) - 1,  # what is too long is in the last column
        )
    for row in zip(*(texts for texts, _ in columns), strict=True):
        table.add_row(*row)
    return table


def _texts(cells: Sequence[Cell]) -> tuple[list[str], bool]:
    """A column's cells as they are shown, and whether they are numbers."""
    numbers = [cell for cell in cells if isinstance(cell, int | Decimal)]
    places = _places(numbers)
    texts = ["" if cell is None else _text(cell, places) for cell in cells]
    return texts, all(cell is None or isinstance(cell, int | Decimal) for cell in cells)


def _text(cell: Cell, places: int) -> str:
    if isinstance(cell, int | Decimal):
        return f"{cell:,.{places}f}"
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    return escape(str(cell))


def _places(numbers: Sequence[int | Decimal]) -> int:
    """The decimals that a column needs: two at most for numbers from 10 up, and four below."""
    most = 2 if any(not -10 < number < 10 for number in numbers) else 4
    decimals = [f"{number:.{most}f}".partition(".")[2].rstrip("0") for number in numbers]
    return max(map(len, decimals), default=0)
