"""The rows that all peers read and write: realistic decisions, the same in every run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from bench import sql
from cream_plugins.core_trading import (
    Cycle,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionRow,
    DecisionsRepository,
    DecisionStatus,
    SizeUnit,
)
from cream_plugins.market_data import Candle, CandlesRepository, Timeframe
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


@dataclass(frozen=True, slots=True)
class CandleRange:
    """A part of one series of candles; both ends belong to it."""

    symbol: str
    timeframe: Timeframe
    start: datetime
    end: datetime


def range_of(candles: Sequence[Candle]) -> CandleRange:
    """From the first to the last candle of a series."""
    first, last = candles[0], candles[-1]
    return CandleRange(first.symbol, first.timeframe, first.timestamp, last.timestamp)


class Workload:
    """A store filled with decisions, and the questions to put to it."""

    def __init__(self, store: Store, rows: int, candles: int) -> None:
        self.store = store
        self.rows = rows
        self.candle_count = candles
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
    def candles(self) -> list[Candle]:
        """One series of candles, whether it is stored or not."""
        chance = self._random
        candles = []
        for minute in range(self.candle_count):
            low = Decimal(chance.randrange(1_000_000, 2_000_000)).scaleb(-4)
            candles.append(
                Candle(
                    symbol="SYM0000",
                    timeframe=Timeframe.MINUTE,
                    timestamp=_FIRST_MOMENT + timedelta(minutes=minute),
                    open=low + Decimal("0.0250"),
                    high=low + Decimal("0.5000"),
                    low=low,
                    close=low + Decimal("0.3750"),
                    volume=chance.randrange(1_000_000),
                    vwap=low + Decimal("0.2500"),
                    trade_count=chance.randrange(1_000),
                )
            )
        return candles

    @cached_property
    def candle_range(self) -> CandleRange:
        """The whole series."""
        return range_of(self.candles)

    @cached_property
    def candle_table(self) -> Any:
        """The series as an Arrow table, without the numbers that the database gives."""
        self.store_candles()
        span = self.candle_range
        candles = self.store[CandlesRepository].get_range_arrow(span.symbol, span.timeframe, span.start, span.end)
        return candles.drop_columns(["id"])

    def remove_candles(self) -> None:
        """Empties the table of candles."""
        self.store.database.empty_tables(["candles"])

    def store_candles(self) -> None:
        """Fills the table with the series, unless it holds it, and clears away what older writes left."""
        candles, database = self.store[CandlesRepository], self.store.database
        is_stored = candles.count(self.candle_range.symbol, self.candle_range.timeframe) == len(self.candles)
        if not is_stored:
            candles.bulk_upsert(self.candles)
        if database.kind == "postgresql":
            database.change("VACUUM candles" if is_stored else "VACUUM ANALYZE candles")

    def grow(self, rows: int) -> None:
        """Copies the decisions over and over, later in time and about other symbols, until there are so many.

        Each copy has all the rows of before, so that the number is right when it is a multiple of that.
        """
        copies = rows // self.rows - 1
        if copies > 0:
            end = DecisionRow.created_at.encode(_FIRST_MOMENT + timedelta(minutes=self.rows))
            self.store.database.change(sql.copy_decisions(self.store.database.kind, self.rows, copies), [end])
            self.rows *= copies + 1
            self._minutes = itertools.count(self.rows)
            self._symbols += [f"{symbol}-{copy}" for copy in range(1, copies + 1) for symbol in self._symbols]
            ids = self.store.database.fetch_all("SELECT id FROM decisions ORDER BY random() LIMIT 20000")
            self._ids = [UUID(str(id)) for (id,) in ids]
            self.__dict__.pop("deep_position", None)
        if self.store.database.kind == "postgresql":
            self.store.database.change("VACUUM ANALYZE decisions")

    @cached_property
    def deep_position(self) -> Position:
        """A place behind nine tenths of the table, or at page 10,000 when that comes first."""
        depth = min(max(1, self.rows * 9 // 10), 10_000 * PAGE_SIZE)
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
