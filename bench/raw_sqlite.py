"""sqlite3 by hand: one connection in autocommit mode, tuples whose values are decoded to the same types."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from queue import LifoQueue
from typing import Any
from uuid import UUID

from bench import sql
from bench.peer import POOL_SIZE, Peer
from bench.workload import PAGE_SIZE, CandleRange, Position
from cream_plugins.core_trading import Decision, DecisionAction, DecisionDirection, DecisionStatus, SizeUnit
from cream_plugins.market_data import Candle, Timeframe
from cream_store import Environment, utc_now

Row = tuple[Any, ...]


def _for_sqlite(text: str) -> str:
    # Without this hint, or statistics, SQLite would sort all rows of the environment to find the newest.
    return text.replace("environment = ?", "likely(environment = ?)")


_FIND_MANY = _for_sqlite(sql.FIND_MANY)
_FIRST_PAGE = _for_sqlite(sql.FIRST_PAGE)
_LATER_PAGE = _for_sqlite(sql.LATER_PAGE)
_APPROVE = _for_sqlite(sql.APPROVE)
_UPSERT = (
    f"INSERT INTO candles ({sql.NEW_CANDLE_COLUMNS}) VALUES ({', '.join('?' * len(sql.NEW_CANDLE_COLUMN_NAMES))})"
    f" {sql.OVER_STORED_CANDLES}"
)


class RawSqlite(Peer):
    name = "sqlite3"

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = self._connect()
        self._pool: LifoQueue[sqlite3.Connection] = LifoQueue()
        for _ in range(POOL_SIZE):
            self._pool.put(self._connect())

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def find_by_id(self, id: UUID) -> Row | None:
        return self._find_by_id(self._connection, id)

    def find_by_id_pooled(self, id: UUID) -> Row | None:
        connection = self._pool.get()
        try:
            return self._find_by_id(connection, id)
        finally:
            self._pool.put(connection)

    def _find_by_id(self, connection: sqlite3.Connection, id: UUID) -> Row | None:
        row = connection.execute(sql.FIND_BY_ID, (str(id),)).fetchone()
        return None if row is None else _decoded(row)

    def find_many(self, symbol: str) -> tuple[int, list[Row]]:
        rows = self._connection.execute(_FIND_MANY, ("PAPER", symbol, "PAPER", symbol, PAGE_SIZE, 0)).fetchall()
        return rows[0][0], [_decoded(row[1:]) for row in rows]

    def find_keyset(self, after: Position | None) -> list[Row]:
        if after is None:
            rows = self._connection.execute(_FIRST_PAGE, ("PAPER", PAGE_SIZE)).fetchall()
        else:
            position = (_text(after.created_at), str(after.id))
            rows = self._connection.execute(_LATER_PAGE, ("PAPER", *position, PAGE_SIZE)).fetchall()
        return [_decoded(row) for row in rows]

    def create(self, decision: Decision) -> Row:
        # All rows are fetched, because the statement ends, and so commits, with the last one.
        rows = self._connection.execute(sql.CREATE, _parameters(decision)).fetchall()
        return _decoded(rows[0])

    def create_many(self, decisions: Sequence[Decision]) -> list[Row]:
        stored: list[Row] = []
        remaining = iter(decisions)
        self._connection.execute("BEGIN IMMEDIATE")
        while chunk := list(islice(remaining, 100)):
            parameters = list(chain.from_iterable(map(_parameters, chunk)))
            stored += self._connection.execute(sql.create_many(len(chunk)), parameters).fetchall()
        self._connection.execute("COMMIT")
        return [_decoded(row) for row in stored]

    def approve(self, id: UUID) -> Row:
        parameters = ("approved", _text(utc_now()), str(id), "pending", "PAPER")
        rows = self._connection.execute(_APPROVE, parameters).fetchall()
        return _decoded(rows[0])

    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_UPSERT, map(_candle_parameters, candles))
        self._connection.execute("COMMIT")

    def bulk_upsert_arrow(self, candles: Sequence[Candle], table: Any) -> None:
        self.bulk_upsert(candles)

    def read_range(self, range: CandleRange) -> list[Row]:
        parameters = (range.symbol, range.timeframe.value, _text(range.start), _text(range.end))
        return [_decoded_candle(row) for row in self._connection.execute(sql.READ_RANGE, parameters).fetchall()]

    def read_range_arrow(self, range: CandleRange) -> list[Row]:
        return self.read_range(range)

    def check_out_and_return(self) -> None:
        self._pool.put(self._pool.get())

    def values_of(self, row: Any) -> tuple[Any, ...]:
        return tuple(row)

    def close(self) -> None:
        self._connection.close()
        while not self._pool.empty():
            self._pool.get().close()


def _decoded(row: Row) -> Row:
    return (
        UUID(row[0]),
        UUID(row[1]),
        row[2],
        DecisionAction(row[3]),
        DecisionDirection(row[4]),
        Decimal(str(row[5])),
        SizeUnit(row[6]),
        _optional_decimal(row[7]),
        _optional_decimal(row[8]),
        _optional_decimal(row[9]),
        row[10],
        row[11],
        json.loads(row[12]),
        json.loads(row[13]),
        _optional_decimal(row[14]),
        _optional_decimal(row[15]),
        json.loads(row[16]),
        DecisionStatus(row[17]),
        row[18],
        Environment(row[19]),
        datetime.fromisoformat(row[20]),
        datetime.fromisoformat(row[21]),
        None if row[22] is None else datetime.fromisoformat(row[22]),
        None if row[23] is None else datetime.fromisoformat(row[23]),
    )


def _parameters(decision: Decision) -> Row:
    return (
        str(decision.id),
        str(decision.cycle_id),
        decision.symbol,
        decision.action.value,
        decision.direction.value,
        str(decision.size),
        decision.size_unit.value,
        _optional_text(decision.entry_price),
        _optional_text(decision.stop_price),
        _optional_text(decision.target_price),
        decision.strategy_family,
        decision.time_horizon,
        json.dumps(decision.bullish_factors),
        json.dumps(decision.bearish_factors),
        _optional_text(decision.confidence_score),
        _optional_text(decision.risk_score),
        json.dumps(decision.metadata),
        decision.status.value,
        decision.rationale,
        decision.environment.value,
        _text(decision.created_at),
        _text(decision.updated_at),
        None if decision.executed_at is None else _text(decision.executed_at),
        None if decision.closed_at is None else _text(decision.closed_at),
    )


def _decoded_candle(row: Row) -> Row:
    return (
        row[0],
        row[1],
        Timeframe(row[2]),
        datetime.fromisoformat(row[3]),
        Decimal(str(row[4])),
        Decimal(str(row[5])),
        Decimal(str(row[6])),
        Decimal(str(row[7])),
        row[8],
        _optional_decimal(row[9]),
        row[10],
        bool(row[11]),
        bool(row[12]),
        bool(row[13]),
        json.loads(row[14]),
        row[15],
        datetime.fromisoformat(row[16]),
    )


def _candle_parameters(candle: Candle) -> Row:
    return (
        candle.symbol,
        candle.timeframe.value,
        _text(candle.timestamp),
        str(candle.open),
        str(candle.high),
        str(candle.low),
        str(candle.close),
        candle.volume,
        _optional_text(candle.vwap),
        candle.trade_count,
        candle.adjusted,
        candle.split_adjusted,
        candle.dividend_adjusted,
        json.dumps(candle.quality_flags),
        candle.provider,
        _text(candle.created_at),
    )


def _optional_decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _optional_text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
