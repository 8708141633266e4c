"""Positions as the execution engine knows them, saved so that it finds them again after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import peewee

from cream_plugins.core_trading.execution_tables import EngineNumericField, SnapshotsAccess, named_environment
from cream_store import (
    Environment,
    EnvironmentField,
    InvalidDataError,
    Param,
    Record,
    Row,
    Statement,
    SymbolField,
    TimestampField,
    field,
    index,
    record,
    transactional,
    utc_now,
)
from cream_store.statement import for_update

DEFAULT_PRICE_TOLERANCE: Final = Decimal("0.01")
"""The part of the broker's price by which a stored average price may differ."""


class ExecutionPositionSnapshotRow(Row):
    """Table `execution_position_snapshots`."""

    symbol = SymbolField(primary_key=True)
    quantity = EngineNumericField(14, 4)
    avg_entry_price = EngineNumericField(12, 4)
    environment = EnvironmentField()
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "execution_position_snapshots"
        indexes = [index("idx_exec_position_snapshots_env", "environment")]


@record
class ExecutionPositionSnapshot(Record):
    """What is held of an instrument."""

    symbol: str
    quantity: Decimal  # negative for short, 0 for flat
    avg_entry_price: Decimal
    environment: Environment
    updated_at: datetime = field(default_factory=utc_now)  # when the snapshot was saved


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSync:
    """What had to change for the stored positions to be the broker's: symbols, sorted."""

    saved: list[str]
    cleared: list[str]  # held here, unknown to the broker: flat now


class ExecutionPositionSnapshotsRepository(SnapshotsAccess[ExecutionPositionSnapshot]):
    """The engine's positions. Whatever reads a position that makes no sense raises InvalidDataError with its symbol."""

    row = ExecutionPositionSnapshotRow

    def save(
        self, symbol: str, quantity: Decimal, avg_entry_price: Decimal, environment: Environment | str
    ) -> ExecutionPositionSnapshot:
        """Saves a position over the stored one.

        Raises ConstraintViolationError when there is a position in the instrument in the other environment.
        """
        return self._save(
            ExecutionPositionSnapshot(
                symbol=symbol,
                quantity=quantity,
                avg_entry_price=avg_entry_price,
                environment=named_environment(environment),
            )
        )

    def save_all(self, positions: Iterable[ExecutionPositionSnapshot], environment: Environment | str) -> int:
        """Saves positions, all or none, each as `save` does; of several in one instrument, the last counts.

        Returns how many were given. Raises EnvironmentMismatchError for one of another environment than the named.
        """
        return self._save_all(positions, environment)

    def find_by_symbol(self, symbol: str, environment: Environment | str) -> ExecutionPositionSnapshot | None:
        """The position in an instrument, or None."""
        return self.find_by_id(symbol, environment)

    def load(self, environment: Environment | str, include_flat: bool = False) -> dict[str, ExecutionPositionSnapshot]:
        """The positions by symbol, in the order of symbols; those with quantity 0 only on request."""
        positions = self._matching(environment)
        if not include_flat:
            positions = positions.differs("quantity", Decimal(0))
        return {position.symbol: position for position in self.find(positions)}

    @transactional
    def sync_from_broker(
        self,
        broker_positions: Iterable[ExecutionPositionSnapshot],
        environment: Environment | str,
        price_tolerance: Decimal = DEFAULT_PRICE_TOLERANCE,
    ) -> BrokerSync:
        """Makes the stored positions those that the broker reports; of several in one instrument, the last counts.

        A position is saved when it is new, when its quantity differs at all, or when its average price differs by
        more than `price_tolerance` (0 or more) times the broker's. A position that the broker does not report gets
        quantity 0 and price 0. Raises InvalidDataError, EnvironmentMismatchError, ConstraintViolationError as
        `save_all` does.
        """
        tolerance = _checked_tolerance(price_tolerance)
        at_broker = {self._encoded_key(one): one for one in self._all_of(environment, broker_positions)}
        locked = self._fetch(_LOCK_POSITIONS, {"environment": named_environment(environment)})
        stored = {position.symbol: position for position in locked}
        saved = {
            symbol: position
            for symbol, position in at_broker.items()
            if symbol not in stored or _differs(stored[symbol], position, tolerance)
        }
        cleared = {
            symbol: position.replace(quantity=Decimal(0), avg_entry_price=Decimal(0))
            for symbol, position in stored.items()
            if position.quantity and symbol not in at_broker
        }
        self._save_all([*saved.values(), *cleared.values()], environment)
        return BrokerSync(saved=sorted(saved), cleared=sorted(cleared))

    def delete_flat_older_than(self, environment: Environment | str, before: date | datetime) -> int:
        """Deletes the positions of quantity 0 that were last saved before a moment; returns how many they were."""
        return self._delete_older_than("updated_at", before, self._matching(environment, quantity=Decimal(0)))


def _lock_positions() -> peewee.Node:
    row = ExecutionPositionSnapshotRow
    of_environment = row.environment == Param("environment", row.environment)
    return for_update(row.select().where(of_environment).order_by(row.symbol))


_LOCK_POSITIONS = Statement(_lock_positions)


def _checked_tolerance(price_tolerance: Decimal) -> Decimal:
    if not isinstance(price_tolerance, Decimal) or not price_tolerance.is_finite() or price_tolerance < 0:
        raise InvalidDataError(f"price_tolerance is a Decimal from 0, got {price_tolerance!r}")
    return price_tolerance


def _differs(stored: ExecutionPositionSnapshot, broker: ExecutionPositionSnapshot, tolerance: Decimal) -> bool:
    distance = abs(stored.avg_entry_price - broker.avg_entry_price)
    return stored.quantity != broker.quantity or distance > tolerance * abs(broker.avg_entry_price)
