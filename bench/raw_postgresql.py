"""psycopg2 by hand: one connection in autocommit mode, tuples as the driver decodes them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from decimal import Decimal
from queue import LifoQueue
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extras import Json, execute_values, register_uuid

from bench import sql
from bench.peer import POOL_SIZE, Peer
from bench.workload import PAGE_SIZE, CandleRange, Position
from cream_plugins.core_trading import Decision
from cream_plugins.market_data import Candle
from cream_store import utc_now

Row = tuple[Any, ...]


def _for_psycopg2(text: str) -> str:
    return text.replace("?", "%s")


_FIND_BY_ID = _for_psycopg2(sql.FIND_BY_ID)
_FIND_MANY = _for_psycopg2(sql.FIND_MANY)
_FIRST_PAGE = _for_psycopg2(sql.FIRST_PAGE)
_LATER_PAGE = _for_psycopg2(sql.LATER_PAGE)
_CREATE = _for_psycopg2(sql.CREATE)
_CREATE_MANY = f"INSERT INTO decisions ({sql.COLUMNS}) VALUES %s RETURNING {sql.COLUMNS}"
_APPROVE = _for_psycopg2(sql.APPROVE)
_READ_RANGE = _for_psycopg2(sql.READ_RANGE)
_INCOMING = f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {sql.NEW_CANDLE_COLUMNS} FROM candles WITH NO DATA"
_COPY = f"COPY incoming ({sql.NEW_CANDLE_COLUMNS}) FROM STDIN"
_MERGE = (
    f"INSERT INTO candles ({sql.NEW_CANDLE_COLUMNS}) SELECT {sql.NEW_CANDLE_COLUMNS} FROM incoming"
    f" {sql.OVER_STORED_CANDLES}"
)


class RawPsycopg2(Peer):
    name = "psycopg2"

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = self._connect()
        self._pool: LifoQueue[psycopg2.extensions.connection] = LifoQueue()
        for _ in range(POOL_SIZE):
            self._pool.put(self._connect())

    def _connect(self) -> psycopg2.extensions.connection:
        connection = psycopg2.connect(self._url)
        connection.autocommit = True
        register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]  # of types-psycopg2
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
        return connection

    def find_by_id(self, id: UUID) -> Row | None:
        return self._find_by_id(self._connection, id)

    def find_by_id_pooled(self, id: UUID) -> Row | None:
        connection = self._pool.get()
        try:
            return self._find_by_id(connection, id)
        finally:
            self._pool.put(connection)

    def _find_by_id(self, connection: psycopg2.extensions.connection, id: UUID) -> Row | None:
        cursor = connection.cursor()
        cursor.execute(_FIND_BY_ID, (str(id),))
        return cursor.fetchone()

    def find_many(self, symbol: str) -> tuple[int, list[Row]]:
        cursor = self._connection.cursor()
        cursor.execute(_FIND_MANY, ("PAPER", symbol, "PAPER", symbol, PAGE_SIZE, 0))
        rows = cursor.fetchall()
        return rows[0][0], [row[1:] for row in rows]

    def find_keyset(self, after: Position | None) -> list[Row]:
        cursor = self._connection.cursor()
        if after is None:
            cursor.execute(_FIRST_PAGE, ("PAPER", PAGE_SIZE))
        else:
            cursor.execute(_LATER_PAGE, ("PAPER", after.created_at, str(after.id), PAGE_SIZE))
        return cursor.fetchall()

    def create(self, decision: Decision) -> Row | None:
        cursor = self._connection.cursor()
        cursor.execute(_CREATE, _parameters(decision))
        return cursor.fetchone()

    def create_many(self, decisions: Sequence[Decision]) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute("BEGIN")
            rows = execute_values(cursor, _CREATE_MANY, map(_parameters, decisions), page_size=100, fetch=True)
            cursor.execute("COMMIT")
        return list(rows)

    def approve(self, id: UUID) -> Row | None:
        cursor = self._connection.cursor()
        cursor.execute(_APPROVE, ("approved", utc_now(), str(id), "pending", "PAPER"))
        return cursor.fetchone()

    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(_INCOMING)
            cursor.copy_expert(_COPY, io.StringIO("".join(map(_copied, candles))))
            cursor.execute(_MERGE)
            cursor.execute("COMMIT")

    def bulk_upsert_arrow(self, candles: Sequence[Candle], table: Any) -> None:
        self.bulk_upsert(candles)

    def read_range(self, range: CandleRange) -> list[Row]:
        cursor = self._connection.cursor()
        cursor.execute(_READ_RANGE, (range.symbol, range.timeframe.value, range.start, range.end))
        return cursor.fetchall()

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


def _copied(candle: Candle) -> str:
    """A line of COPY's text format. None of these values has a character that it would need escaped."""
    return (
        f"{candle.symbol}\t{candle.timeframe.value}\t{candle.timestamp}\t{candle.open}\t{candle.high}\t{candle.low}\t"
        f"{candle.close}\t{candle.volume}\t{_optional(candle.vwap)}\t{_optional(candle.trade_count)}\t"
        f"{candle.adjusted}\t{candle.split_adjusted}\t{candle.dividend_adjusted}\t{json.dumps(candle.quality_flags)}\t"
        f"{candle.provider}\t{candle.created_at}\n"
    )


def _optional(value: Decimal | int | None) -> str:
    return "\\N" if value is None else str(value)


def _parameters(decision: Decision) -> Row:
    return (
        str(decision.id),
        str(decision.cycle_id),
        decision.symbol,
        decision.action.value,
        decision.direction.value,
        decision.size,
        decision.size_unit.value,
        decision.entry_price,
        decision.stop_price,
        decision.target_price,
        decision.strategy_family,
        decision.time_horizon,
        Json(decision.bullish_factors),
        Json(decision.bearish_factors),
        decision.confidence_score,
        decision.risk_score,
        Json(decision.metadata),
        decision.status.value,
        decision.rationale,
        decision.environment.value,
        decision.created_at,
        decision.updated_at,
        decision.executed_at,
        decision.closed_at,
    )
