"""Peewee's own way: models in and out, on a database of Peewee's with its pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import peewee
from playhouse.pool import PooledPostgresqlDatabase, PooledSqliteDatabase

from bench.peer import POOL_SIZE, Peer
from bench.workload import PAGE_SIZE, CandleRange, Position
from cream_plugins.core_trading import Decision, DecisionRow, DecisionStatus
from cream_plugins.market_data import Candle, CandleRow
from cream_store import Database, Environment, Row, utc_now
from cream_store.row import columns_of


# Classes of their own: what is bound to Peewee's database must not change what cream-store compiles.
class DecisionModel(DecisionRow):
    """Table `decisions`."""

    class Meta:
        table_name = "decisions"


class CandleModel(CandleRow):
    """Table `candles`."""

    class Meta:
        table_name = "candles"


class PeeweeModels(Peer):
    name = "Peewee"

    def __init__(self, database: Database) -> None:
        self._pool = _pooled_database(database)
        self._database = _pooled_database(database)
        self._database.connect()
        is_paper = DecisionModel.environment == Environment.PAPER
        # The same hint that the others give: see raw_sqlite.py.
        self._is_paper = peewee.fn.likely(is_paper) if database.kind == "sqlite" else is_paper
        for model in (DecisionModel, CandleModel):
            model.bind(self._database, bind_refs=False, bind_backrefs=False)

    def find_by_id(self, id: UUID) -> DecisionModel:
        return DecisionModel.get_by_id(id)

    def find_many(self, symbol: str) -> tuple[int, list[DecisionModel]]:
        found = DecisionModel.select().where(self._is_paper, DecisionModel.symbol == symbol)
        newest = found.order_by(DecisionModel.created_at.desc(), DecisionModel.id.desc())
        return found.count(), list(newest.paginate(1, PAGE_SIZE))

    def find_keyset(self, after: Position | None) -> list[DecisionModel]:
        found = DecisionModel.select().where(self._is_paper)
        if after is not None:
            place = peewee.Tuple(DecisionModel.created_at, DecisionModel.id)
            found = found.where(place < peewee.Tuple(_value("created_at", after.created_at), _value("id", after.id)))
        return list(found.order_by(DecisionModel.created_at.desc(), DecisionModel.id.desc()).limit(PAGE_SIZE))

    def create(self, decision: Decision) -> DecisionModel:
        return DecisionModel.create(**decision.as_dict())

    def create_many(self, decisions: Sequence[Decision]) -> list[DecisionModel]:
        stored: list[DecisionModel] = []
        with self._database.atomic():
            for chunk in peewee.chunked([decision.as_dict() for decision in decisions], 100):
                stored += DecisionModel.insert_many(chunk).returning(DecisionModel).execute()
        return stored

    def approve(self, id: UUID) -> Any:
        changed = (
            DecisionModel.update(status=DecisionStatus.APPROVED, updated_at=utc_now())
            .where(DecisionModel.id == id, DecisionModel.status == DecisionStatus.PENDING)
            .returning(DecisionModel)
            .execute()
        )
        return next(iter(changed))

    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        key = [CandleModel.symbol, CandleModel.timeframe, CandleModel.timestamp]
        kept = {CandleModel.id, CandleModel.created_at, *key}
        columns = [column for column in columns_of(CandleModel).values() if column not in kept]
        rows = [candle.as_dict() for candle in candles]
        for row in rows:
            del row["id"]
        with self._database.atomic():
            for chunk in peewee.chunked(rows, 1_000):
                CandleModel.insert_many(chunk).on_conflict(conflict_target=key, preserve=columns).execute()

    def read_range(self, range: CandleRange) -> list[CandleModel]:
        found = CandleModel.select().where(
            CandleModel.symbol == range.symbol,
            CandleModel.timeframe == range.timeframe,
            CandleModel.timestamp.between(range.start, range.end),
        )
        return list(found.order_by(CandleModel.timestamp, CandleModel.id))

    def check_out_and_return(self) -> None:
        self._pool.connect()
        self._pool.close()

    def find_by_id_pooled(self, id: UUID) -> Any:
        with self._pool.connection_context():
            return DecisionModel.select().where(DecisionModel.id == id).get(self._pool)

    def values_of(self, row: Any) -> tuple[Any, ...]:
        kind: type[Row] = type(row)
        return tuple(getattr(row, name) for name in columns_of(kind))

    def close(self) -> None:
        self._database.close_all()
        self._pool.close_all()


def _value(column: str, value: Any) -> peewee.Value:
    return peewee.Value(value, converter=getattr(DecisionModel, column).db_value)


def _pooled_database(database: Database) -> Any:
    options: dict[str, Any] = {"max_connections": POOL_SIZE, "timeout": 60}
    if database.kind == "postgresql":
        return PooledPostgresqlDatabase(database.url.target, **options)
    pragmas = {"foreign_keys": 1, "synchronous": "full"}
    return PooledSqliteDatabase(
        database.url.target, pragmas=pragmas, returning_clause=True, check_same_thread=False, **options
    )
