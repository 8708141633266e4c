"""Peewee's own way: models in and out, on a database of Peewee's with its pool."""

from __future__ import annotations

from collections.abc import Sequence
from types import new_class
from typing import Any
from uuid import UUID

import peewee
from playhouse.pool import PooledPostgresqlDatabase, PooledSqliteDatabase

from bench.peer import POOL_SIZE, Peer
from bench.workload import PAGE_SIZE, CandleRange, Position
from cream_plugins.core_trading import Decision, DecisionRow, DecisionStatus
from cream_plugins.market_data import Candle, CandleRow
from cream_store import Database, Environment, Row, utc_now
from cream_store.row import columns_of, table_of


class PeeweeModels(Peer):
    name = "Peewee"

    def __init__(self, database: Database) -> None:
        self._pool = _pooled_database(database)
        self._database = _pooled_database(database)
        self._database.connect()
        self._decisions = _bound(DecisionRow, self._database)
        self._candles = _bound(CandleRow, self._database)
        is_paper = self._decisions.environment == Environment.PAPER
        # The same hint that the others give: see raw_sqlite.py.
        self._is_paper = peewee.fn.likely(is_paper) if database.kind == "sqlite" else is_paper

    def find_by_id(self, id: UUID) -> Any:
        return self._decisions.get_by_id(id)

    def find_many(self, symbol: str) -> tuple[int, list[Any]]:
        found = self._decisions.select().where(self._is_paper, self._decisions.symbol == symbol)
        newest = found.order_by(self._decisions.created_at.desc(), self._decisions.id.desc())
        return found.count(), list(newest.paginate(1, PAGE_SIZE))

    def find_keyset(self, after: Position | None) -> list[Any]:
        found = self._decisions.select().where(self._is_paper)
        if after is not None:
            place = peewee.Tuple(self._decisions.created_at, self._decisions.id)
            found = found.where(
                place < peewee.Tuple(self._value("created_at", after.created_at), self._value("id", after.id))
            )
        return list(found.order_by(self._decisions.created_at.desc(), self._decisions.id.desc()).limit(PAGE_SIZE))

    def create(self, decision: Decision) -> Any:
        return self._decisions.create(**decision.as_dict())

    def create_many(self, decisions: Sequence[Decision]) -> list[Any]:
        stored: list[Any] = []
        with self._database.atomic():
            for chunk in peewee.chunked([decision.as_dict() for decision in decisions], 100):
                stored += self._decisions.insert_many(chunk).returning(self._decisions).execute()
        return stored

    def approve(self, id: UUID) -> Any:
        changed = (
            self._decisions.update(status=DecisionStatus.APPROVED, updated_at=utc_now())
            .where(self._decisions.id == id, self._decisions.status == DecisionStatus.PENDING)
            .returning(self._decisions)
            .execute()
        )
        return next(iter(changed))

    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        key = [self._candles.symbol, self._candles.timeframe, self._candles.timestamp]
        kept = {self._candles.id, self._candles.created_at, *key}
        columns = [column for column in columns_of(self._candles).values() if column not in kept]
        rows = [candle.as_dict() for candle in candles]
        for row in rows:
            del row["id"]
        with self._database.atomic():
            for chunk in peewee.chunked(rows, 1_000):
                self._candles.insert_many(chunk).on_conflict(conflict_target=key, preserve=columns).execute()

    def read_range(self, range: CandleRange) -> list[Any]:
        found = self._candles.select().where(
            self._candles.symbol == range.symbol,
            self._candles.timeframe == range.timeframe,
            self._candles.timestamp.between(range.start, range.end),
        )
        return list(found.order_by(self._candles.timestamp, self._candles.id))

    def _value(self, column: str, value: Any) -> peewee.Value:
        return peewee.Value(value, converter=getattr(self._decisions, column).db_value)

    def check_out_and_return(self) -> None:
        self._pool.connect()
        self._pool.close()

    def find_by_id_pooled(self, id: UUID) -> Any:
        with self._pool.connection_context():
            return self._decisions.select().where(self._decisions.id == id).get(self._pool)

    def values_of(self, row: Any) -> tuple[Any, ...]:
        kind: type[Row] = type(row)
        return tuple(getattr(row, name) for name in columns_of(kind))

    def close(self) -> None:
        self._database.close_all()
        self._pool.close_all()


def _bound(row: type[Row], database: peewee.Database) -> Any:
    """A model of the same table on Peewee's database: a class of its own, as ours belong to whoever uses them."""
    meta = type("Meta", (), {"table_name": table_of(row), "database": database})
    return new_class(row.__name__, (row,), exec_body=lambda body: body.update(Meta=meta))


def _pooled_database(database: Database) -> Any:
    options: dict[str, Any] = {"max_connections": POOL_SIZE, "timeout": 60}
    if database.kind == "postgresql":
        return PooledPostgresqlDatabase(database.url.target, **options)
    pragmas = {"foreign_keys": 1, "synchronous": "full"}
    return PooledSqliteDatabase(
        database.url.target, pragmas=pragmas, returning_clause=True, check_same_thread=False, **options
    )
