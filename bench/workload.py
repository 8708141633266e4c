"""The rows that all peers read and write: realistic decisions, the same in every run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from cream_plugins.core_trading import (
    Cycle,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionsRepository,
    DecisionStatus,
    SizeUnit,
)
from cream_store import Environment, Store

PAGE_SIZE = 20
ROWS_OF_A_SYMBOL = 100
_FIRST_MOMENT = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the list of all decisions, newest first: after which row, as values and as our own cursor."""

    created_at: datetime
    id: UUID
    cursor: str


class Workload:
    """A store filled with decisions, and the questions to put to it."""

    def __init__(self, store: Store, rows: int) -> None:
        self.store = store
        self.rows = rows
        self._random = random.Random(20250101)
        self._minutes = itertools.count()
        self._symbols = [f"SYM{number:04}" for number in range(max(1, rows // ROWS_OF_A_SYMBOL))]
        cycles = [Cycle(environment=Environment.PAPER) for _ in range(max(1, rows // 50))]
        self._cycle_ids = [cycle.id for cycle in store[CyclesRepository].create_many(cycles)]
        stored = store[DecisionsRepository].create_many(self._decisions(rows))
        self._ids = [decision.id for decision in stored]
        if store.database.kind == "postgresql":
            store.database.change("VACUUM ANALYZE decisions")

    def ids(self, count: int) -> list[UUID]:
        """Keys of rows that exist."""
        return self._random.choices(self._ids, k=count)

    def symbols(self, count: int) -> list[str]:
        """Symbols with about a hundred decisions each."""
        return self._random.choices(self._symbols, k=count)

    def new_decisions(self, count: int) -> list[Decision]:
        """Records that are not stored yet."""
        return list(self._decisions(count))

    def pending_ids(self, count: int) -> list[UUID]:
        """Keys of pending decisions, stored for this call."""
        pending = [decision.replace(status=DecisionStatus.PENDING) for decision in self._decisions(count)]
        return [decision.id for decision in self.store[DecisionsRepository].create_many(pending)]

    @cached_property
    def deep_position(self) -> Position:
        """A place behind nine tenths of the table."""
        depth = max(1, self.rows * 9 // 10)
        decisions = self.store[DecisionsRepository]
        cursor: str | None = None
        while True:
            page = decisions.find_keyset(after=cursor, limit=min(depth, 10_000))
            cursor = page.next_cursor
            depth -= len(page.data)
            assert cursor is not None
            if depth <= 0:
                return Position(page.data[-1].created_at, page.data[-1].id, cursor)

    def _decisions(self, count: int) -> Iterator[Decision]:
        chance = self._random
        for minute in itertools.islice(self._minutes, count):
            created_at = _FIRST_MOMENT + timedelta(minutes=minute, microseconds=chance.randrange(1_000_000))
            price = Decimal(chance.randrange(10_000, 5_000_000)).scaleb(-4)
            status = chance.choice(list(DecisionStatus))
            yield Decision(
                cycle_id=chance.choice(self._cycle_ids),
                symbol=chance.choice(self._symbols),
                action=chance.choice(list(DecisionAction)),
                direction=chance.choice(list(DecisionDirection)),
                size=Decimal(chance.randrange(1, 10_000_000)).scaleb(-4),
                size_unit=chance.choice(list(SizeUnit)),
                entry_price=price,
                stop_price=price - Decimal("0.8750"),
                target_price=price + Decimal("2.2500"),
                strategy_family="MOMENTUM",
                time_horizon="SWING",
                bullish_factors=["close above its 50-day average", "volume 1.8 times its average", "sector leads"],
                bearish_factors=["earnings in 6 days"],
                confidence_score=Decimal(chance.randrange(1001)).scaleb(-3),
                risk_score=Decimal(chance.randrange(1001)).scaleb(-3),
                metadata={"model": "crossover", "windows": [20, 50], "atr": 3.1415, "regime": {"name": "BULL_TREND"}},
                status=status,
                rationale="The trend is up on both windows, the pull-back held above the stop, volume confirms it.",
                environment=Environment.PAPER,
                created_at=created_at,
                updated_at=created_at,
                executed_at=created_at + timedelta(seconds=3) if status is DecisionStatus.EXECUTED else None,
            )
