"""A peer: one way to read and write the same tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from bench.workload import CandleRange, Position
from cream_plugins.core_trading import Decision
from cream_plugins.market_data import Candle

POOL_SIZE = 10


class Peer(ABC):
    """What is measured of everyone. Rows come back whole, values in the same Python types, in the peer's own form."""

    name: ClassVar[str]

    @abstractmethod
    def find_by_id(self, id: UUID) -> Any:
        """One row."""

    @abstractmethod
    def find_many(self, symbol: str) -> tuple[int, Sequence[Any]]:
        """How many decisions of the PAPER environment are about the symbol, and the newest 20 of them."""

    @abstractmethod
    def find_keyset(self, after: Position | None) -> Sequence[Any]:
        """The newest 20 decisions of the PAPER environment, or those that follow a position."""

    @abstractmethod
    def create(self, decision: Decision) -> Any:
        """The row as it was stored."""

    @abstractmethod
    def create_many(self, decisions: Sequence[Decision]) -> Sequence[Any]:
        """The rows as they were stored, all or none."""

    @abstractmethod
    def approve(self, id: UUID) -> Any:
        """The row of a pending decision after its status and `updated_at` were changed."""

    @abstractmethod
    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        """Stores candles, over the stored ones of the same bars, all or none."""

    def bulk_upsert_arrow(self, candles: Sequence[Candle], table: Any) -> None:
        """Upserts an Arrow table of these candles; the raw driver, which takes none, upserts the candles."""
        raise NotImplementedError

    @abstractmethod
    def read_range(self, range: CandleRange) -> Sequence[Any]:
        """The candles of a range, oldest first."""

    def read_range_arrow(self, range: CandleRange) -> Any:
        """The candles of a range as an Arrow table; the raw driver, which has none, gives rows."""
        raise NotImplementedError

    @abstractmethod
    def check_out_and_return(self) -> None:
        """Takes one of 10 pooled connections and gives it back."""

    @abstractmethod
    def find_by_id_pooled(self, id: UUID) -> Any:
        """One row, on one of 10 pooled connections."""

    @abstractmethod
    def values_of(self, row: Any) -> tuple[Any, ...]:
        """A row's values in the order of its table's columns."""

    @abstractmethod
    def close(self) -> None:
        """Ends all connections."""
