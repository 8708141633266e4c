"""What a plugin shows on the studio's first page: a title, and a function that reads what is below it.

    def read(store: Store, environment: Environment) -> list[Block]:
        notes = store[NotesRepository]
        return [Facts({"notes": str(notes.count()), "latest": Link("notes", notes.first().id)})]

    @hookimpl
    def cream_store_studio_views():
        return [StudioView("Notes", read)]

The function says what to show and the studio how. It runs in a read-only transaction that ends after some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cream_store.environment import Environment
    from cream_store.store import Store


@dataclass(frozen=True, slots=True)
class Link:
    """A row of a table, by its key, or the whole table."""

    table: str
    key: object | None = None
    text: str | None = None
    """What is shown; by default the key, or the table's name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, in order."""

    facts: Mapping[str, str | Link]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, from 0 to its value."""

    label: str
    value: Decimal | int
    note: str = ""
    """What its length doesn't tell: "12 of 40"."""


@dataclass(frozen=True, slots=True)
class BarChart:
    """Values side by side, none negative. `top`: the end of the scale; by default the longest bar's value."""

    title: str
    bars: Sequence[Bar]
    unit: str = ""
    top: Decimal | int | None = None
    nothing: str = "Nothing to show yet."
    """Said when there are no bars."""


@dataclass(frozen=True, slots=True)
class LineChart:
    """Values over time, oldest first."""

    title: str
    points: Sequence[tuple[datetime, Decimal]]
    unit: str = ""
    nothing: str = "Nothing to show yet."
    """Said when there are no points."""


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said."""

    speaker: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """Messages, in order."""

    title: str
    messages: Sequence[Message]
    nothing: str = "Nothing was said."
    """Said when there are no messages."""


Block = Facts | BarChart | LineChart | Transcript


@dataclass(frozen=True, slots=True)
class StudioView:
    """A part of the studio's first page.

    `read` gives what it shows of one environment: the database's own, or PAPER on a TEST database.
    """

    title: str
    read: Callable[[Store, Environment], Sequence[Block]]
