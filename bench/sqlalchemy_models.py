"""SQLAlchemy's own way: mapped classes, sessions, and an engine with its pool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.peer import POOL_SIZE, Peer
from bench.workload import PAGE_SIZE, CandleRange, Position
from cream_plugins.core_trading import Decision, DecisionAction, DecisionDirection, DecisionStatus, SizeUnit
from cream_plugins.market_data import Candle, Timeframe
from cream_store import Database, Environment, utc_now


class _Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; on SQLite the text that the schema has there."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return sa.Text() if dialect.name == "sqlite" else sa.DateTime(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class _UUID(sa.types.TypeDecorator[UUID]):
    """A UUID; on SQLite the text that the schema has there."""

    impl = sa.Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return sa.Text() if dialect.name == "sqlite" else sa.Uuid()

    def process_bind_param(self, value: UUID | None, dialect: sa.Dialect) -> Any:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> UUID | None:
        return UUID(value) if isinstance(value, str) else value


def _enum(kind: type[StrEnum], name: str) -> sa.Enum:
    return sa.Enum(kind, name=name, values_callable=lambda members: [member.value for member in members])


_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


class _Base(DeclarativeBase):
    type_annotation_map = {
        datetime: _Moment,
        UUID: _UUID,
        list[Any]: _JSON,
        dict[str, Any]: _JSON,
        DecisionAction: _enum(DecisionAction, "decision_action"),
        DecisionDirection: _enum(DecisionDirection, "decision_direction"),
        DecisionStatus: _enum(DecisionStatus, "decision_status"),
        Environment: _enum(Environment, "environment"),
        SizeUnit: _enum(SizeUnit, "size_unit"),
        Timeframe: _enum(Timeframe, "timeframe"),
    }


class DecisionModel(_Base):
    """Table `decisions`."""

    __tablename__ = "decisions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    cycle_id: Mapped[UUID]
    symbol: Mapped[str]
    action: Mapped[DecisionAction]
    direction: Mapped[DecisionDirection]
    size: Mapped[Decimal] = mapped_column(sa.Numeric(14, 4))
    size_unit: Mapped[SizeUnit]
    entry_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(12, 4))
    stop_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(12, 4))
    target_price: Mapped[Decimal | None] = mapped_column(sa.Numeric(12, 4))
    strategy_family: Mapped[str | None]
    time_horizon: Mapped[str | None]
    bullish_factors: Mapped[list[Any]]
    bearish_factors: Mapped[list[Any]]
    confidence_score: Mapped[Decimal | None] = mapped_column(sa.Numeric(4, 3))
    risk_score: Mapped[Decimal | None] = mapped_column(sa.Numeric(4, 3))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    status: Mapped[DecisionStatus]
    rationale: Mapped[str | None]
    environment: Mapped[Environment]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    executed_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class CandleModel(_Base):
    """Table `candles`."""

    __tablename__ = "candles"

    id: Mapped[int] = mapped_column(primary_key=True)
    symbol: Mapped[str]
    timeframe: Mapped[Timeframe]
    timestamp: Mapped[datetime]
    open: Mapped[Decimal] = mapped_column(sa.Numeric(12, 4))
    high: Mapped[Decimal] = mapped_column(sa.Numeric(12, 4))
    low: Mapped[Decimal] = mapped_column(sa.Numeric(12, 4))
    close: Mapped[Decimal] = mapped_column(sa.Numeric(12, 4))
    volume: Mapped[int] = mapped_column(sa.BigInteger)
    vwap: Mapped[Decimal | None] = mapped_column(sa.Numeric(12, 4))
    trade_count: Mapped[int | None]
    adjusted: Mapped[bool]
    split_adjusted: Mapped[bool]
    dividend_adjusted: Mapped[bool]
    quality_flags: Mapped[list[Any]]
    provider: Mapped[str]
    created_at: Mapped[datetime]


class SQLAlchemyModels(Peer):
    """Sessions in autocommit mode, but for batches: their BEGIN and COMMIT would be two more round trips."""

    name = "SQLAlchemy"

    def __init__(self, database: Database) -> None:
        is_sqlite = database.kind == "sqlite"
        self._insert: Any = sqlite.insert if is_sqlite else postgresql.insert
        url = sa.make_url(f"sqlite:///{database.url.target}" if is_sqlite else database.url.target)
        url = url.set(drivername="sqlite" if is_sqlite else "postgresql+psycopg2")
        self._engine = sa.create_engine(url, pool_size=POOL_SIZE, max_overflow=0, poolclass=sa.QueuePool)
        sa.event.listen(self._engine, "connect", _prepare_sqlite if is_sqlite else _prepare_postgresql)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        is_paper = DecisionModel.environment == Environment.PAPER
        # The same hint that the others give: see raw_sqlite.py.
        self._is_paper: Any = sa.func.likely(is_paper) if is_sqlite else is_paper

    def _session(self) -> Session:
        return Session(self._autocommit, expire_on_commit=False)

    def find_by_id(self, id: UUID) -> DecisionModel | None:
        with self._session() as session:
            return session.get(DecisionModel, id)

    def find_many(self, symbol: str) -> tuple[int, Sequence[DecisionModel]]:
        found = sa.select(DecisionModel).where(self._is_paper, DecisionModel.symbol == symbol)
        newest = found.order_by(DecisionModel.created_at.desc(), DecisionModel.id.desc()).limit(PAGE_SIZE)
        counted = sa.select(sa.func.count()).where(self._is_paper, DecisionModel.symbol == symbol)
        with self._session() as session:
            return session.scalar(counted) or 0, session.scalars(newest).all()

    def find_keyset(self, after: Position | None) -> Sequence[DecisionModel]:
        found = sa.select(DecisionModel).where(self._is_paper)
        if after is not None:
            place = sa.tuple_(DecisionModel.created_at, DecisionModel.id)
            found = found.where(place < sa.tuple_(sa.literal(after.created_at, _Moment), sa.literal(after.id, _UUID)))
        found = found.order_by(DecisionModel.created_at.desc(), DecisionModel.id.desc()).limit(PAGE_SIZE)
        with self._session() as session:
            return session.scalars(found).all()

    def create(self, decision: Decision) -> DecisionModel:
        model = _decision_model(decision)
        with self._session() as session:
            session.add(model)
            session.commit()
        return model

    def create_many(self, decisions: Sequence[Decision]) -> Sequence[DecisionModel]:
        models = [_decision_model(decision) for decision in decisions]
        with Session(self._engine, expire_on_commit=False) as session:
            session.add_all(models)
            session.commit()
        return models

    def approve(self, id: UUID) -> DecisionModel:
        changed = (
            sa.update(DecisionModel)
            .where(DecisionModel.id == id, DecisionModel.status == DecisionStatus.PENDING)
            .values(status=DecisionStatus.APPROVED, updated_at=utc_now())
            .returning(DecisionModel)
        )
        with self._session() as session:
            return session.scalars(changed).one()

    def bulk_upsert(self, candles: Sequence[Candle]) -> None:
        insert = self._insert(CandleModel)
        key = ["symbol", "timeframe", "timestamp"]
        kept = {"id", "created_at", *key}
        columns = [column for column in CandleModel.__table__.columns if column.name not in kept]
        upsert = insert.on_conflict_do_update(
            index_elements=key, set_={column.name: insert.excluded[column.name] for column in columns}
        )
        rows = [candle.as_dict() for candle in candles]
        for row in rows:
            del row["id"]
        with Session(self._engine) as session:
            session.execute(upsert, rows)
            session.commit()

    def read_range(self, range: CandleRange) -> Sequence[CandleModel]:
        found = (
            sa.select(CandleModel)
            .where(
                CandleModel.symbol == range.symbol,
                CandleModel.timeframe == range.timeframe,
                CandleModel.timestamp.between(range.start, range.end),
            )
            .order_by(CandleModel.timestamp, CandleModel.id)
        )
        with self._session() as session:
            return session.scalars(found).all()

    def check_out_and_return(self) -> None:
        self._engine.raw_connection().close()

    def find_by_id_pooled(self, id: UUID) -> DecisionModel | None:
        return self.find_by_id(id)

    def values_of(self, row: Any) -> tuple[Any, ...]:
        return tuple(getattr(row, column.key) for column in sa.inspect(type(row)).column_attrs)

    def close(self) -> None:
        self._engine.dispose()


def _decision_model(decision: Decision) -> DecisionModel:
    values = decision.as_dict()
    return DecisionModel(metadata_=values.pop("metadata"), **values)


def _prepare_postgresql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
