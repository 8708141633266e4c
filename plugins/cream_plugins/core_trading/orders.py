"""Orders: what was asked of the broker, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

import peewee
from peewee import Case

from cream_plugins.core_trading.decisions import DecisionRow
from cream_store import (
    UNSET,
    ConstraintViolationError,
    EnumField,
    Environment,
    EnvironmentField,
    ForeignKey,
    NumericField,
    Param,
    Record,
    Repository,
    Row,
    Statement,
    SymbolField,
    TextField,
    TimestampField,
    Unset,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.repository import Key
from cream_store.row import columns_of
from cream_store.states import StateMachine


class OrderSide(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """At which price an order trades."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class OrderStatus(StrEnum):
    """How far an order has come."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIAL_FILL = "partial_fill"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"


class TimeInForce(StrEnum):
    """How long an order stands: for the day, until cancelled, or only at once (in part, or whole)."""

    DAY = "day"
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


_OPEN: Final = (OrderStatus.PENDING, OrderStatus.SUBMITTED, OrderStatus.ACCEPTED, OrderStatus.PARTIAL_FILL)
_FINAL: Final = tuple(status for status in OrderStatus if status not in _OPEN)

ORDER_STATES: Final = StateMachine(
    {status: [*_OPEN[position + 1 :], *_FINAL] for position, status in enumerate(_OPEN)}
    | {status: [] for status in _FINAL}
)
"""An order goes forward only; from every open status it may end in any way."""


class OrderRow(Row):
    """Table `orders`."""

    id = UUIDv7Field(primary_key=True)
    decision = ForeignKey(DecisionRow, null=True)
    symbol = SymbolField()
    side = EnumField(OrderSide)
    quantity = NumericField(14, 4, column_name="qty")
    order_type = EnumField(OrderType)
    limit_price = NumericField(12, 4, null=True)
    stop_price = NumericField(12, 4, null=True)
    time_in_force = EnumField(TimeInForce, server_default="day")
    status = EnumField(OrderStatus, server_default="pending")
    broker_order_id = TextField(null=True)
    filled_quantity = NumericField(14, 4, null=True, server_default=0, null_as=Decimal(0), column_name="filled_qty")
    avg_fill_price = NumericField(12, 4, null=True, column_name="filled_avg_price")
    commission = NumericField(10, 4, null=True)
    environment = EnvironmentField()
    created_at = TimestampField(default_now=True)
    submitted_at = TimestampField(null=True)
    filled_at = TimestampField(null=True)
    cancelled_at = TimestampField(null=True)

    class Meta:
        table_name = "orders"
        constraints = [check("positive_quantity", "qty > 0")]
        indexes = [
            index("idx_orders_broker_order_id", "broker_order_id"),
            index("idx_orders_created_at", "created_at"),
            index("idx_orders_decision_id", "decision_id"),
            index("idx_orders_environment", "environment"),
            index("idx_orders_status", "status"),
            index("idx_orders_symbol", "symbol"),
        ]


@record
class Order(Record):
    """An order to the broker. A new one is pending and unfilled.

    Limit orders need a limit price, stop orders a stop price, stop-limit orders both.
    """

    id: UUID = field(default_factory=new_id)
    decision_id: UUID | None = None
    symbol: str
    side: OrderSide
    quantity: Decimal  # > 0
    order_type: OrderType
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    status: OrderStatus = OrderStatus.PENDING
    broker_order_id: str | None = None
    filled_quantity: Decimal = Decimal(0)  # in all so far, 0..quantity
    avg_fill_price: Decimal | None = None  # over all fills so far
    commission: Decimal | None = None  # in all so far
    environment: Environment
    created_at: datetime = field(default_factory=utc_now)
    submitted_at: datetime | None = None
    filled_at: datetime | None = None  # when it was filled completely
    cancelled_at: datetime | None = None


class OrderFilters(TypedDict, total=False):
    """What `find_many` can be limited to. An empty list matches nothing."""

    symbol: str | Sequence[str] | None
    side: OrderSide | str | Sequence[OrderSide | str] | None
    order_type: OrderType | str | Sequence[OrderType | str] | None
    status: OrderStatus | str | Sequence[OrderStatus | str] | None
    decision_id: UUID | str | None
    broker_order_id: str | Sequence[str] | None
    environment: Environment | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class OrderChanges(TypedDict, total=False):
    """What `update` can change. What was ordered stays: other terms are another order."""

    decision_id: UUID | None
    broker_order_id: str | None
    commission: Decimal | None


_WITH_LIMIT_PRICE: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_WITH_STOP_PRICE: Final = (OrderType.STOP, OrderType.STOP_LIMIT)

_TIME_OF_ENTRY: Final = {
    OrderStatus.SUBMITTED: "submitted_at",
    OrderStatus.FILLED: "filled_at",
    OrderStatus.CANCELLED: "cancelled_at",
}


def _record_fill() -> peewee.Node:
    """Takes a fill report over, unless it is older than the stored one or tells of a fill that can't be."""
    row = OrderRow
    filled = Param("filled_quantity", row.filled_quantity)
    is_complete = row.quantity == filled
    is_final = row.status.in_(_FINAL)
    # No COALESCE here: on SQLite a parameter is compared as a number with a bare column only.
    is_not_older = row.filled_quantity.is_null() | (row.filled_quantity <= filled)
    # What ended otherwise gets no more fills, but a fill that is known already may tell its commission later.
    can_be_filled = row.status.in_([*_OPEN, OrderStatus.FILLED]) | (row.filled_quantity == filled)
    commission = Case(None, [(Param("tells_commission"), Param("commission", row.commission))], row.commission)
    status = Case(
        None,
        [(is_final, row.status), (is_complete, OrderStatus.FILLED.value)],
        OrderStatus.PARTIAL_FILL.value,
    )
    filled_at = Case(None, [(is_complete & ~is_final, Param("now", row.filled_at))], row.filled_at)
    return (
        row.update(
            {
                row.filled_quantity: filled,
                row.avg_fill_price: Param("avg_fill_price", row.avg_fill_price),
                row.commission: commission,
                row.status: status,
                row.filled_at: filled_at,
            }
        )
        .where(row.id == Param("id", row.id), row.quantity >= filled, is_not_older, can_be_filled)
        .returning(row)
    )


_RECORD_FILL: Final = Statement(_record_fill)


class OrdersRepository(Repository[Order, OrderFilters, OrderChanges]):
    """The orders. Every new one is pending and unfilled; `update_status` and `update_fill` tell what becomes of it.

    Storing an order refuses, with InvalidDataError, one that lacks a price that its type needs, or that says what only
    the broker's reports can say. Storing one again (`upsert`) changes nothing of it but its decision.
    """

    row = OrderRow
    default_order = ("-created_at",)
    filter_rules = {"from_date": since("created_at"), "to_date": until("created_at")}
    kept_on_conflict = tuple(name for name in columns_of(OrderRow) if name != "decision_id")
    beginning = {
        "status": OrderStatus.PENDING,
        "filled_quantity": Decimal(0),
        "avg_fill_price": None,
        "commission": None,
        "submitted_at": None,
        "filled_at": None,
        "cancelled_at": None,
    }
    history_told_by = "update_status and update_fill"

    def find_by_broker_order_id(
        self, broker_order_id: str, environment: Environment | str | None = None
    ) -> Order | None:
        """The order that the broker calls so; the newest one, should it call several so."""
        return self._first(self._filtered({"environment": environment}).exactly("broker_order_id", broker_order_id))

    def find_by_decision(self, decision_id: UUID | str) -> list[Order]:
        """All orders of a decision, newest first."""
        return self.find(query().exactly("decision_id", decision_id))

    def find_active(self, environment: Environment | str | None = None) -> list[Order]:
        """All orders that are still open, newest first."""
        return self.find_all({"status": _OPEN, "environment": environment})

    def find_recent(self, environment: Environment | str | None = None, limit: int = 20) -> list[Order]:
        """The newest orders."""
        return self.find_all({"environment": environment}, limit=limit)

    def update_status(self, id: Key, status: OrderStatus | str, broker_order_id: str | Unset | None = UNSET) -> Order:
        """Moves an order on, and writes the broker's id for it if that is given. Fills stay as they are.

        Entering `submitted`, `filled` or `cancelled` sets that status's time. The status that the order has already
        changes nothing but the broker's id. Raises NotFoundError, and ConstraintViolationError for a move that
        `ORDER_STATES` does not allow.
        """
        status = OrderStatus(OrderRow.status.encode(status))
        return self._move(
            id,
            ORDER_STATES,
            status,
            {_TIME_OF_ENTRY[status]: utc_now()} if status in _TIME_OF_ENTRY else {},
            in_any_case={} if broker_order_id is UNSET else {"broker_order_id": broker_order_id},
        )

    @transactional
    def update_fill(
        self,
        id: Key,
        filled_qty: Decimal,
        avg_fill_price: Decimal,
        commission: Decimal | Unset | None = UNSET,
    ) -> Order:
        """Takes over what the broker reports of an order's fills so far, and returns the order as it is then.

        `filled_qty`: in all, more than 0 and at most the ordered quantity; that much makes the order `filled`, less
        makes it `partial_fill`. `avg_fill_price`: over all fills, more than 0. `commission`: in all; the stored one
        stays when it is not given.

        A report of less than is stored is an older one that came late: it changes nothing. A final status stays; an
        order that was called `filled` without a report still takes one. Raises NotFoundError, InvalidDataError, and
        ConstraintViolationError for more than was ordered, or for further fills of an order that ended otherwise.
        """
        for column, value in ((OrderRow.filled_quantity, filled_qty), (OrderRow.avg_fill_price, avg_fill_price)):
            column.encode(value)  # refuses what is not even a number
            if value <= 0:
                column.refuse(f"a fill report tells of more than 0, got {value}")
        report: dict[str, Any] = {
            "filled_quantity": filled_qty,
            "avg_fill_price": avg_fill_price,
            "tells_commission": commission is not UNSET,
            "commission": None if commission is UNSET else commission,
            "now": utc_now(),
        }
        recorded = self._fetch_one(id, _RECORD_FILL, report)
        order = recorded or self.find_by_id_or_raise(id)
        self._guard_environment(order.environment)  # the transaction takes back what was recorded
        if recorded or filled_qty < order.filled_quantity:
            return order
        if filled_qty > order.quantity:
            reason = f"more than the ordered {order.quantity}"
        else:
            reason = ORDER_STATES.describe(order.status)
        raise ConstraintViolationError(
            f"orders {id}: can't be filled to {filled_qty}: {reason}", table="orders", columns=("filled_qty",)
        )

    def cancel(self, id: Key) -> Order:
        """Calls an open order cancelled; one that is cancelled already stays as it is.

        Raises NotFoundError, and ConstraintViolationError for an order that ended otherwise.
        """
        return self.update_status(id, OrderStatus.CANCELLED)

    def count_by_status(self, environment: Environment | str | None = None) -> dict[OrderStatus, int]:
        """How many orders have each status; every status is listed."""
        return self._count_by("status", environment)

    def _guard(self, record: Order) -> None:
        super()._guard(record)
        if record.order_type in _WITH_LIMIT_PRICE and record.limit_price is None:
            OrderRow.limit_price.refuse(f"a {record.order_type} order needs a limit price")
        if record.order_type in _WITH_STOP_PRICE and record.stop_price is None:
            OrderRow.stop_price.refuse(f"a {record.order_type} order needs a stop price")
