"""What `cream-store demo` tells the plugins about its cycle, and what each of them shows in return.

A plugin adds its part by the hook `cream_store_demo(store, story)`, which stores something in tables of its own and
returns `Section`s. It runs in one transaction, which is undone when it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from cream_plugins.vocabulary import CyclePhase
from cream_store.environment import Environment
from cream_store.errors import InvalidDataError


class Bar(NamedTuple):
    """The prices of one period, in the instrument's currency."""

    time: str  # when it opens, as the price file writes it
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """A trade from its entry to its exit. Prices are those at which the orders were filled."""

    quantity: Decimal  # bought, and sold again
    confidence: Decimal | None  # in the entry, 0..1
    entry_price: Decimal
    entry_bar: str  # the time of the bar that led to the entry
    stop: Decimal
    target: Decimal
    exit_price: Decimal
    exit_bar: str  # the time of the bar that led to the exit
    exit_signal: str  # why: TARGET_REACHED, STOPPED or CROSSED_DOWN

    @property
    def profit(self) -> Decimal:
        """What it earned, before commissions."""
        return self.quantity * (self.exit_price - self.entry_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The cycle that the demo ran."""

    environment: Environment  # of the rows; the database's is this or TEST
    symbol: str
    cycle_id: UUID
    bars: tuple[Bar, ...]  # oldest first
    trades: tuple[RoundTrip, ...]  # that are over, oldest first


Cell = str | int | Decimal | datetime | UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table to show. Numbers stand on the right, with as many decimals as their column needs; None is blank.

    Raises InvalidDataError for a row that has more or fewer cells than there are columns.
    """

    phase: CyclePhase  # the sections are shown in the order of the phases
    title: str
    columns: tuple[str, ...] = ()  # none: the first cell of each row says what the second one is
    rows: Sequence[tuple[Cell, ...]] = ()  # the last ones are shown if they are many
    note: str = ""  # stands below

    def __post_init__(self) -> None:
        width = len(self.columns or ("", ""))
        for row in self.rows:
            if len(row) != width:
                raise InvalidDataError(f"the section {self.title!r} has a row of {len(row)} cells, not {width}: {row}")
