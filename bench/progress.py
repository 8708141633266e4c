"""How far a run is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def progressing(steps: Sequence[T], title: str, console: Console, name: Callable[[T], str] = str) -> Iterator[T]:
    """The steps, one after the other, shown as they begin."""
    if console.is_terminal:
        yield from track(steps, title, console=console, transient=True)
        return
    for step in steps:
        console.print(f"{title}: {name(step)}", highlight=False)
        yield step
