"""Orders as the execution engine knows them, saved so that it finds them again after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple, overload

from peewee import EXCLUDED

from cream_plugins.core_trading.execution_tables import EngineNumericField, EngineTextField, SnapshotsAccess
from cream_store import (
    BooleanField,
    Environment,
    EnvironmentField,
    InvalidDataError,
    Record,
    Row,
    TextField,
    TimestampField,
    TimestampTextField,
    field,
    index,
    record,
    utc_now,
)


class ExecutionOrderStatus(StrEnum):
    """How an order stands at the broker, in the engine's spelling."""

    PENDING_NEW = "PendingNew"
    NEW = "New"
    ACCEPTED = "Accepted"
    PARTIALLY_FILLED = "PartiallyFilled"
    PENDING_CANCEL = "PendingCancel"
    FILLED = "Filled"
    CANCELED = "Canceled"
    REJECTED = "Rejected"
    EXPIRED = "Expired"

    @property
    def is_terminal(self) -> bool:
        """Whether the order is done with; every other one is active."""
        return self in _TERMINAL


_TERMINAL = (
    ExecutionOrderStatus.FILLED,
    ExecutionOrderStatus.CANCELED,
    ExecutionOrderStatus.REJECTED,
    ExecutionOrderStatus.EXPIRED,
)


class ExecutionOrderSide(StrEnum):
    """Which way the order trades."""

    BUY = "Buy"
    SELL = "Sell"


class ExecutionOrderType(StrEnum):
    """What the order waits for."""

    MARKET = "Market"
    LIMIT = "Limit"
    STOP = "Stop"
    STOP_LIMIT = "StopLimit"


class ExecutionTimeInForce(StrEnum):
    """How long the order stands: the day, until cancelled, now or never (in part; whole), at the open, at the close."""

    DAY = "Day"
    GTC = "Gtc"
    IOC = "Ioc"
    FOK = "Fok"
    OPG = "Opg"
    CLS = "Cls"


class ExecutionOrderSnapshotRow(Row):
    """Table `execution_order_snapshots`."""

    order_id = TextField(primary_key=True)
    broker_order_id = TextField()
    instrument_id = TextField()
    status = EngineTextField(ExecutionOrderStatus)
    side = EngineTextField(ExecutionOrderSide)
    order_type = EngineTextField(ExecutionOrderType)
    time_in_force = EngineTextField(ExecutionTimeInForce)
    requested_quantity = EngineNumericField(14, 4)
    filled_quantity = EngineNumericField(14, 4)
    avg_fill_price = EngineNumericField(12, 4)
    limit_price = EngineNumericField(12, 4, null=True)
    stop_price = EngineNumericField(12, 4, null=True)
    submitted_at = TimestampTextField()
    last_update_at = TimestampTextField()
    status_message = TextField(null=True, null_as="")
    is_multi_leg = BooleanField(server_default=False)
    environment = EnvironmentField()
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "execution_order_snapshots"
        indexes = [
            index("idx_exec_order_snapshots_broker_id", "broker_order_id"),
            index("idx_exec_order_snapshots_env_status", "environment", "status"),
        ]


@record
class ExecutionOrderSnapshot(Record):
    """An order at one moment of its life. The legs of a multi-leg order are not stored."""

    order_id: str
    broker_order_id: str
    instrument_id: str
    status: ExecutionOrderStatus
    side: ExecutionOrderSide
    order_type: ExecutionOrderType
    time_in_force: ExecutionTimeInForce
    requested_quantity: Decimal
    filled_quantity: Decimal = Decimal(0)
    avg_fill_price: Decimal = Decimal(0)  # 0 when nothing is filled
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    submitted_at: datetime
    last_update_at: datetime  # when the order was as the snapshot says
    status_message: str = ""
    is_multi_leg: bool = False
    environment: Environment
    updated_at: datetime = field(default_factory=utc_now)  # when the snapshot was saved


class LoadedOrders(NamedTuple):
    """Orders that could be read, and the ids of those that could not."""

    orders: list[ExecutionOrderSnapshot]
    invalid_order_ids: list[str]


class ExecutionOrderSnapshotsRepository(SnapshotsAccess[ExecutionOrderSnapshot]):
    """The engine's orders. Whatever reads an order that makes no sense raises InvalidDataError with its id."""

    row = ExecutionOrderSnapshotRow
    default_order = ("submitted_at",)

    def save(self, snapshot: ExecutionOrderSnapshot) -> ExecutionOrderSnapshot:
        """Saves an order's snapshot over the stored one and returns what is stored then.

        The stored one stays, and is returned, when it was updated later or when it is terminal and the given one is
        active: writes that arrive in the wrong order change nothing. Raises ConstraintViolationError when an order of
        the other environment has the id.
        """
        return self._save(snapshot)

    def save_all(self, snapshots: Iterable[ExecutionOrderSnapshot], environment: Environment | str) -> int:
        """Saves snapshots, all or none, each as `save` does, and returns how many were given.

        Raises EnvironmentMismatchError for a snapshot of another environment than the named one.
        """
        return self._save_all(snapshots, environment)

    def find_by_broker_order_id(
        self, broker_order_id: str, environment: Environment | str
    ) -> ExecutionOrderSnapshot | None:
        """The order that the broker knows by that id, the last updated of several, or None."""
        return self._first(self._matching(environment, broker_order_id=broker_order_id).order_by("-last_update_at"))

    def find_by_status(
        self, status: ExecutionOrderStatus | str, environment: Environment | str
    ) -> list[ExecutionOrderSnapshot]:
        """The orders with that status, in the order of their submission."""
        return self.find(self._matching(environment, status=status))

    @overload
    def load_active(self, environment: Environment | str) -> list[ExecutionOrderSnapshot]: ...
    @overload
    def load_active(self, environment: Environment | str, *, skip_invalid: Literal[True]) -> LoadedOrders: ...
    def load_active(
        self, environment: Environment | str, *, skip_invalid: bool = False
    ) -> list[ExecutionOrderSnapshot] | LoadedOrders:
        """The orders that are not terminal, in the order of their submission.

        An order that makes no sense raises InvalidDataError; with `skip_invalid` it is left out and its id returned.
        """
        rows = self._select(self._matching(environment).none_of("status", _TERMINAL))
        if not skip_invalid:
            return self._decode(rows)
        loaded = LoadedOrders([], [])
        for row in rows:
            try:
                loaded.orders.extend(self._decode([row]))
            except InvalidDataError:
                loaded.invalid_order_ids.append(row[0])
        return loaded

    def delete_terminal_older_than(self, environment: Environment | str, before: date | datetime) -> int:
        """Deletes the terminal orders that were last saved before a moment, and returns how many they were."""
        return self._delete_older_than("updated_at", before, self._matching(environment).one_of("status", _TERMINAL))

    def _may_overwrite(self) -> Any:
        stored = ExecutionOrderSnapshotRow
        is_no_older = stored.last_update_at <= EXCLUDED.last_update_at
        stays_terminal = stored.status.not_in(_TERMINAL) | EXCLUDED.status.in_(_TERMINAL)
        return super()._may_overwrite() & is_no_older & stays_terminal
