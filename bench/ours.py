"""cream-store, as its users use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from bench.peer import Peer
from bench.workload import PAGE_SIZE, CandleRange, Position
from cream_plugins.core_trading import Decision, DecisionsRepository, DecisionStatus
from cream_plugins.market_data import Candle, CandlesRepository
from cream_store import Database
from cream_store.database import open_database


class CreamStore(Peer):
    name = "cream-store"

    def __init__(self, database: Database) -> None:
        self._pool = database.pool
        self._decisions = DecisionsRepository(database)
        self._candles = CandlesRepository(database)

    def find_by_id(self, id: UUID) -> Decision | None:
        return self._decisions.find_by_id(id)

    def find_many(self, symbol: str) -> tuple[int, list[Decision]]:
        page = self._decisions.find_many({"symbol": symbol}, limit=PAGE_SIZE)
        return page.total, page.data

    def find_keyset(self, after: Position | None) -> list[Decision]:
        return self._decisions.find_keyset(after=after.cursor if after else None, limit=PAGE_SIZE).data

    def create(self, decision: Decision) -> Decision:
        return self._decisions.create(decision)

    def create_many(self, decisions: Sequence[Decision]) -> list[Decision]:
        return self._decisions.create_many(decisions)

    def approve(self, id: UUID) -> Decision:
        return self._decisions.update_status(id, DecisionStatus.APPROVED)

    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        self._candles.bulk_upsert(candles)

    def bulk_upsert_arrow(self, candles: Sequence[Candle], table: Any) -> None:
        self._candles.bulk_upsert(table)

    def read_range(self, range: CandleRange) -> list[Candle]:
        return self._candles.get_range(range.symbol, range.timeframe, range.start, range.end)

    def read_range_arrow(self, range: CandleRange) -> Any:
        return self._candles.get_range_arrow(range.symbol, range.timeframe, range.start, range.end)

    def check_out_and_return(self) -> None:
        self._pool.release(self._pool.acquire())

    def find_by_id_pooled(self, id: UUID) -> Decision | None:
        return self._decisions.find_by_id(id)

    def values_of(self, row: Any) -> tuple[Any, ...]:
        return tuple(row.as_dict().values())

    def close(self) -> None:
        """The store is not ours to close."""


class UnpreparedCreamStore(CreamStore):
    """cream-store behind a URL that forbids prepared statements, as behind some connection poolers."""

    name = "unprepared"

    def __init__(self, database: Database) -> None:
        url = database.location.url
        self._own = open_database(f"{url}{'&' if '?' in url else '?'}prepared=off", database.environment)
        super().__init__(self._own)

    def close(self) -> None:
        self._own.close_pool()
