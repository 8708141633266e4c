"""Orders: what was asked of the broker, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.core_trading import (
    ORDER_STATES,
    Cycle,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionsRepository,
    Order,
    OrderRow,
    OrderSide,
    OrdersRepository,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once, overtaken

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
PRICE = Decimal("187.2500")
FINAL = [OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED]


@pytest.fixture
def orders(store: Store) -> OrdersRepository:
    return store[OrdersRepository]


def an_order(**values: Any) -> Order:
    ordered: dict[str, Any] = {
        "symbol": "AAPL",
        "side": OrderSide.BUY,
        "quantity": Decimal(100),
        "order_type": OrderType.MARKET,
        "environment": Environment.PAPER,
    }
    return Order(**(ordered | values))


def a_stored_order(orders: OrdersRepository, status: OrderStatus = OrderStatus.PENDING, **values: Any) -> Order:
    order = orders.create(an_order(**values))
    return order if status is OrderStatus.PENDING else orders.update_status(order.id, status)


def a_decision_id(store: Store) -> UUID:
    cycle = store[CyclesRepository].create(Cycle(environment=Environment.PAPER))
    decision = Decision(
        cycle_id=cycle.id,
        symbol="AAPL",
        action=DecisionAction.BUY,
        direction=DecisionDirection.LONG,
        size=Decimal(100),
        environment=Environment.PAPER,
    )
    return store[DecisionsRepository].create(decision).id


def ids(orders: list[Order]) -> list[UUID]:
    return [order.id for order in orders]


# Storing


def test_an_order_is_stored_as_it_was_given(store: Store, orders: OrdersRepository) -> None:
    given = an_order(
        decision_id=a_decision_id(store),
        symbol=" brk.b ",
        side=OrderSide.SELL,
        quantity=Decimal("0.0001"),
        order_type=OrderType.STOP_LIMIT,
        limit_price=Decimal("99999999.9999"),
        stop_price=Decimal(0),
        time_in_force=TimeInForce.GTC,
        broker_order_id="b-1",
        environment=Environment.LIVE,
        created_at=NOON,
    )

    stored = orders.create(given)

    assert stored == given.replace(symbol="BRK.B")
    assert orders.find_by_id(given.id) == stored
    assert orders.find_by_id_or_raise(str(given.id)) == stored


def test_a_new_order_is_pending_and_unfilled(orders: OrdersRepository) -> None:
    with clock_set_to(NOON):
        order = orders.create(an_order())

    assert (order.status, order.filled_quantity, order.time_in_force) == (
        OrderStatus.PENDING,
        Decimal(0),
        TimeInForce.DAY,
    )
    assert order.created_at == NOON
    assert (order.submitted_at, order.filled_at, order.cancelled_at) == (None, None, None)
    assert (order.avg_fill_price, order.commission, order.broker_order_id, order.decision_id) == (None,) * 4


HISTORIES: dict[str, dict[str, Any]] = {
    "status": {"status": OrderStatus.FILLED},
    "filled_qty": {"filled_quantity": Decimal(1)},
    "filled_avg_price": {"avg_fill_price": PRICE},
    "commission": {"commission": Decimal(0)},
    "submitted_at": {"submitted_at": NOON},
    "filled_at": {"filled_at": NOON},
    "cancelled_at": {"cancelled_at": NOON},
}


def test_a_new_order_that_claims_a_history_is_refused(orders: OrdersRepository) -> None:
    for column, history in HISTORIES.items():
        order = an_order(**history)
        attempts: list[Callable[[], object]] = [
            partial(orders.create, order),
            partial(orders.create_many, [an_order(), order]),
            partial(orders.upsert, order),
            partial(orders.upsert_many, [an_order(), order]),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidDataError, match=f"orders.{column}: a new record has") as caught:
                attempt()
            assert caught.value.columns == (column,)
    assert orders.count() == 0


@pytest.mark.parametrize(
    ("order_type", "needs"),
    [
        (OrderType.MARKET, []),
        (OrderType.LIMIT, ["limit_price"]),
        (OrderType.STOP, ["stop_price"]),
        (OrderType.STOP_LIMIT, ["limit_price", "stop_price"]),
    ],
)
def test_an_order_needs_the_prices_of_its_type(
    orders: OrdersRepository, order_type: OrderType, needs: list[str]
) -> None:
    both = {"limit_price": PRICE, "stop_price": PRICE}
    for lacking in needs:
        for spelling in (order_type, order_type.value):
            with pytest.raises(InvalidDataError, match=f"orders.{lacking}: ") as caught:
                orders.create(an_order(order_type=spelling, **both | {lacking: None}))
            assert caught.value.columns == (lacking,)

    assert orders.create(an_order(order_type=order_type, **dict.fromkeys(needs, PRICE))).order_type is order_type


def test_the_database_refuses_impossible_orders(orders: OrdersRepository) -> None:
    for quantity in (Decimal(0), Decimal(-1)):
        with pytest.raises(ConstraintViolationError) as caught:
            orders.create(an_order(quantity=quantity))
        assert caught.value.constraint == "positive_quantity"
    with pytest.raises(ConstraintViolationError):
        orders.create(an_order(decision_id=new_id()))
    with pytest.raises(InvalidDataError, match=r"orders.qty: .* more than 4 decimals"):
        orders.create(an_order(quantity=Decimal("0.00001")))

    stored = a_stored_order(orders)
    with pytest.raises(DuplicateKeyError):
        orders.create(an_order(id=stored.id))
    assert orders.count() == 1


def test_storing_an_order_again_changes_only_its_decision(store: Store, orders: OrdersRepository) -> None:
    given = an_order()
    orders.create(given)
    filled = orders.update_fill(given.id, Decimal(60), PRICE, Decimal(1))
    decision_id = a_decision_id(store)

    again = orders.upsert(given.replace(decision_id=decision_id, quantity=Decimal(10), symbol="MSFT"))

    assert again == filled.replace(decision_id=decision_id)


def test_bookkeeping_can_change_but_what_was_ordered_stays(store: Store, orders: OrdersRepository) -> None:
    order = a_stored_order(orders)
    decision_id = a_decision_id(store)

    changed = orders.update(
        order.id, {"decision_id": decision_id, "broker_order_id": "b-1", "commission": Decimal("-0.0001")}
    )

    assert changed == order.replace(decision_id=decision_id, broker_order_id="b-1", commission=Decimal("-0.0001"))
    assert orders.update(order.id, {}) == changed
    for name in ("quantity", "status", "filled_quantity", "filled_at", "environment", "limit_price"):
        with pytest.raises(InvalidDataError, match=f"orders.{name} can't be changed"):
            orders.update(order.id, {name: None})  # type: ignore[misc]  # what a checker refuses too
    with pytest.raises(NotFoundError):
        orders.update(new_id(), {"commission": None})


def test_an_order_is_deleted_once(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)

    assert orders.delete(order.id) is True
    assert orders.delete(order.id) is False
    assert orders.find_by_id(order.id) is None


def test_text_that_is_no_id_names_no_order(orders: OrdersRepository) -> None:
    assert orders.find_by_id("order-1") is None
    assert orders.find_by_decision("decision-1") == []
    assert orders.delete("order-1") is False
    attempts: list[Callable[[], object]] = [
        lambda: orders.find_by_id_or_raise("order-1"),
        lambda: orders.update_status("order-1", OrderStatus.FILLED),
        lambda: orders.update_fill("order-1", Decimal(1), PRICE),
        lambda: orders.cancel("order-1"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError, match="order-1"):
            attempt()


# Finding


def test_a_page_holds_the_newest_orders_and_ties_go_by_id(orders: OrdersRepository) -> None:
    old = orders.create(an_order(created_at=NOON - timedelta(hours=1)))
    tied = sorted(ids(orders.create_many([an_order(created_at=NOON) for _ in range(4)])))

    first, second = orders.find_many(limit=3), orders.find_many(limit=3, offset=3)

    assert ids(first.data) == [*reversed(tied[1:])]
    assert ids(second.data) == [tied[0], old.id]
    assert (first.total, first.limit, first.offset, second.total) == (5, 3, 0, 5)
    assert orders.find_many().limit == 20


def test_orders_are_found_by_what_they_are(store: Store, orders: OrdersRepository) -> None:
    decision_id = a_decision_id(store)
    wanted = a_stored_order(
        orders,
        OrderStatus.ACCEPTED,
        symbol="MSFT",
        side=OrderSide.SELL,
        order_type=OrderType.LIMIT,
        limit_price=PRICE,
        decision_id=decision_id,
        environment=Environment.LIVE,
        broker_order_id="b-1",
        created_at=NOON,
    )
    other = a_stored_order(orders, created_at=NOON - timedelta(days=1))

    filters: list[Any] = [
        {"symbol": " msft"},
        {"side": "sell"},
        {"order_type": OrderType.LIMIT},
        {"status": OrderStatus.ACCEPTED},
        {"status": [OrderStatus.ACCEPTED, OrderStatus.FILLED]},
        {"decision_id": decision_id},
        {"broker_order_id": "b-1"},
        {"environment": "LIVE"},
        {"from_date": NOON},
        {"from_date": date(2026, 3, 2), "to_date": date(2026, 3, 2)},
    ]
    for one in filters:
        assert ids(orders.find_many(one).data) == [wanted.id], one
        assert orders.count(one) == 1
    assert ids(orders.find_many({"to_date": NOON - timedelta(days=1)}).data) == [other.id]
    assert ids(orders.find_many({"symbol": None, "status": None}).data) == [wanted.id, other.id]
    assert orders.find_many({"status": []}).total == 0
    assert orders.find_many({"symbol": "MSFT", "side": "buy"}).total == 0


def test_filters_that_make_no_sense_are_refused(orders: OrdersRepository) -> None:
    naive = NOON.replace(tzinfo=None)
    nonsense: list[Any] = [{"symbol": " "}, {"status": "open"}, {"from_date": naive}, {"price": 1}]
    for filters in nonsense:
        with pytest.raises(InvalidDataError):
            orders.find_many(filters)


def test_the_brokers_id_finds_the_newest_order_of_the_environment(orders: OrdersRepository) -> None:
    orders.create(an_order(broker_order_id="b-1", created_at=NOON))
    newest = orders.create(an_order(broker_order_id="b-1", created_at=LATER))
    live = orders.create(an_order(broker_order_id="b-1", created_at=NOON, environment=Environment.LIVE))

    assert orders.find_by_broker_order_id("b-1") == newest
    assert orders.find_by_broker_order_id("b-1", "PAPER") == newest
    assert orders.find_by_broker_order_id("b-1", Environment.LIVE) == live
    assert orders.find_by_broker_order_id("b-2") is None
    with pytest.raises(InvalidDataError):
        orders.find_by_broker_order_id("")


def test_the_orders_of_a_decision_come_newest_first(store: Store, orders: OrdersRepository) -> None:
    decision_id = a_decision_id(store)
    first = orders.create(an_order(decision_id=decision_id, created_at=NOON))
    second = orders.create(an_order(decision_id=decision_id, created_at=LATER))
    orders.create(an_order())

    assert orders.find_by_decision(decision_id) == [second, first]
    assert orders.find_by_decision(str(decision_id)) == [second, first]
    assert orders.find_by_decision(new_id()) == []


def test_active_orders_are_the_open_ones(orders: OrdersRepository) -> None:
    stored = {status: a_stored_order(orders, status) for status in OrderStatus}
    live = a_stored_order(orders, environment=Environment.LIVE)

    open_ones = [stored[status] for status in OrderStatus if status not in FINAL]
    assert orders.find_active("PAPER") == open_ones[::-1]
    assert orders.find_active(Environment.LIVE) == [live]
    assert orders.find_active() == [live, *open_ones[::-1]]


def test_recent_orders_are_the_newest(orders: OrdersRepository) -> None:
    stored = orders.create_many([an_order() for _ in range(21)])
    live = a_stored_order(orders, environment=Environment.LIVE)

    assert orders.find_recent("PAPER") == stored[:0:-1]
    assert orders.find_recent(limit=2) == [live, stored[-1]]
    assert orders.find_recent(Environment.LIVE) == [live]
    for limit in (0, -1, 10_001):
        with pytest.raises(InvalidDataError):
            orders.find_recent(limit=limit)


def test_every_status_is_counted(orders: OrdersRepository) -> None:
    assert orders.count_by_status() == dict.fromkeys(OrderStatus, 0)
    a_stored_order(orders)
    a_stored_order(orders, OrderStatus.REJECTED)
    a_stored_order(orders, OrderStatus.REJECTED, environment=Environment.LIVE)

    none = dict.fromkeys(OrderStatus, 0)
    assert orders.count_by_status("PAPER") == none | {OrderStatus.PENDING: 1, OrderStatus.REJECTED: 1}
    assert orders.count_by_status() == none | {OrderStatus.PENDING: 1, OrderStatus.REJECTED: 2}
    with pytest.raises(InvalidDataError):
        orders.count_by_status("DEMO")


def test_a_paper_database_shows_and_takes_its_own_orders_only(paper_store: Store) -> None:
    orders = paper_store[OrdersRepository]
    own = a_stored_order(orders, broker_order_id="b-1")
    write_as_another_program(paper_store, an_order(broker_order_id="b-1", environment=Environment.LIVE))

    assert orders.find_active() == orders.find_recent() == orders.find_many().data == [own]
    assert orders.find_by_broker_order_id("b-1") == own
    assert orders.count_by_status()[OrderStatus.PENDING] == 1
    with pytest.raises(EnvironmentMismatchError):
        orders.create(an_order(environment=Environment.LIVE))


def test_an_order_of_another_environment_is_not_changed(paper_store: Store) -> None:
    orders = paper_store[OrdersRepository]
    live = an_order(environment=Environment.LIVE)
    write_as_another_program(paper_store, live)

    attempts: list[Callable[[], object]] = [
        lambda: orders.update_fill(live.id, Decimal(100), PRICE),
        lambda: orders.update_fill(live.id, Decimal(101), PRICE),
        lambda: orders.update_status(live.id, OrderStatus.FILLED, "b-1"),
        lambda: orders.cancel(live.id),
    ]
    for attempt in attempts:
        with pytest.raises(EnvironmentMismatchError):
            attempt()
    with pytest.raises(NotFoundError):
        orders.update(live.id, {"broker_order_id": "b-1"})
    assert orders.delete(live.id) is False
    assert orders.find_by_id(live.id) == live


def write_as_another_program(store: Store, order: Order) -> None:
    columns = {OrderRow._meta.combined[name]: value for name, value in order.as_dict().items()}
    OrderRow.insert(columns).execute(store.database)


# Status


def test_orders_go_forward_only_and_a_final_status_stays(orders: OrdersRepository) -> None:
    for state in OrderStatus:
        for successor in OrderStatus:
            order = a_stored_order(orders, state)
            if state == successor:
                assert orders.update_status(order.id, successor) == order
            elif ORDER_STATES.allows(state, successor):
                assert orders.update_status(order.id, successor).status == successor
            else:
                with pytest.raises(ConstraintViolationError, match=f"status {state} can't become {successor}"):
                    orders.update_status(order.id, successor)
                assert orders.find_by_id(order.id) == order


def test_open_statuses_follow_each_other_and_may_end_in_any_way() -> None:
    assert ORDER_STATES.terminal == frozenset(FINAL)
    assert ORDER_STATES.after(OrderStatus.ACCEPTED) == (OrderStatus.PARTIAL_FILL, *FINAL)
    assert ORDER_STATES.before(OrderStatus.PENDING) == ()


def test_entering_a_status_sets_its_time_once(orders: OrdersRepository) -> None:
    columns = {"submitted": "submitted_at", "filled": "filled_at", "cancelled": "cancelled_at"}
    for status in OrderStatus:
        order = a_stored_order(orders)

        with clock_set_to(NOON):
            entered = orders.update_status(order.id, status.value)
        with clock_set_to(LATER):
            repeated = orders.update_status(order.id, status)

        times = {columns[status]: NOON} if status in columns else {}
        assert entered == repeated == order.replace(status=status, **times)


def test_the_brokers_id_is_written_only_when_it_is_given(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)

    assert orders.update_status(order.id, "submitted", "b-1").broker_order_id == "b-1"
    assert orders.update_status(order.id, "accepted").broker_order_id == "b-1"
    assert orders.update_status(order.id, "accepted", "b-2").broker_order_id == "b-2"
    assert orders.update_status(order.id, "filled", broker_order_id=None).broker_order_id is None

    with pytest.raises(ConstraintViolationError):
        orders.update_status(order.id, "cancelled", "b-3")
    assert orders.find_by_id_or_raise(order.id).broker_order_id is None


def test_a_status_of_no_order_and_no_status_of_an_order(orders: OrdersRepository) -> None:
    with pytest.raises(NotFoundError):
        orders.update_status(new_id(), OrderStatus.FILLED)
    with pytest.raises(InvalidDataError, match=r"orders.status: 'done' is not one of"):
        orders.update_status(a_stored_order(orders).id, "done")


def test_cancelling_ends_an_open_order(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)
    orders.update_fill(order.id, Decimal(40), PRICE)
    with clock_set_to(NOON):
        cancelled = orders.cancel(order.id)
    with clock_set_to(LATER):
        again = orders.cancel(order.id)

    assert (cancelled.status, cancelled.cancelled_at, cancelled.filled_quantity) == (
        OrderStatus.CANCELLED,
        NOON,
        Decimal(40),
    )
    assert again == cancelled


def test_what_ended_otherwise_is_not_cancelled(orders: OrdersRepository) -> None:
    for status in (OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.EXPIRED):
        order = a_stored_order(orders, status)

        with pytest.raises(ConstraintViolationError, match=f"{status} is final"):
            orders.cancel(order.id)
        assert orders.find_by_id(order.id) == order


# Fills


def test_fills_add_up_to_a_filled_order(orders: OrdersRepository) -> None:
    order = a_stored_order(orders, OrderStatus.SUBMITTED)

    with clock_set_to(NOON):
        partly = orders.update_fill(order.id, Decimal("99.9999"), PRICE, commission=Decimal("0.5"))
    with clock_set_to(LATER):
        wholly = orders.update_fill(order.id, Decimal(100), Decimal("187.3"))

    assert partly == order.replace(
        status=OrderStatus.PARTIAL_FILL,
        filled_quantity=Decimal("99.9999"),
        avg_fill_price=PRICE,
        commission=Decimal("0.5"),
    )
    assert wholly == partly.replace(
        status=OrderStatus.FILLED,
        filled_quantity=Decimal(100),
        avg_fill_price=Decimal("187.3"),
        filled_at=LATER,
    )


def test_the_last_ten_thousandth_of_a_large_order_counts(orders: OrdersRepository) -> None:
    order = a_stored_order(orders, quantity=Decimal("9999999999.9999"))

    assert orders.update_fill(order.id, Decimal("9999999999.9998"), PRICE).status is OrderStatus.PARTIAL_FILL
    assert orders.update_fill(order.id, Decimal("9999999999.9997"), PRICE).filled_quantity == Decimal("9999999999.9998")
    assert orders.update_fill(order.id, Decimal("9999999999.9999"), PRICE).status is OrderStatus.FILLED


def test_an_older_report_changes_nothing(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)
    partly = orders.update_fill(order.id, Decimal(60), PRICE)
    assert orders.update_fill(order.id, Decimal("59.9999"), Decimal(1), Decimal(9)) == partly

    cancelled = orders.cancel(order.id)
    assert orders.update_fill(order.id, Decimal(30), Decimal(1)) == cancelled


def test_a_repeated_report_keeps_the_time_of_the_fill(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)
    with clock_set_to(NOON):
        filled = orders.update_fill(order.id, Decimal(100), PRICE)
    with clock_set_to(LATER):
        repeated = orders.update_fill(order.id, Decimal(100), PRICE, commission=Decimal("1.25"))

    assert filled.filled_at == NOON
    assert repeated == filled.replace(commission=Decimal("1.25"))


def test_a_commission_stays_unless_the_report_tells_it(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)

    assert orders.update_fill(order.id, Decimal(1), PRICE).commission is None
    assert orders.update_fill(order.id, Decimal(2), PRICE, Decimal(0)).commission == Decimal(0)
    assert orders.update_fill(order.id, Decimal(3), PRICE, Decimal("-0.01")).commission == Decimal("-0.01")
    assert orders.update_fill(order.id, Decimal(4), PRICE).commission == Decimal("-0.01")
    assert orders.update_fill(order.id, Decimal(5), PRICE, None).commission is None


def test_an_order_called_filled_without_a_report_still_takes_one(orders: OrdersRepository) -> None:
    with clock_set_to(NOON):
        called = a_stored_order(orders, OrderStatus.FILLED)
    assert (called.filled_quantity, called.avg_fill_price) == (Decimal(0), None)

    partly = orders.update_fill(called.id, Decimal(60), PRICE)
    wholly = orders.update_fill(called.id, Decimal(100), PRICE)

    assert partly == called.replace(filled_quantity=Decimal(60), avg_fill_price=PRICE)
    assert wholly == partly.replace(filled_quantity=Decimal(100))


@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED])
def test_what_ended_otherwise_gets_no_more_fills(orders: OrdersRepository, status: OrderStatus) -> None:
    order = a_stored_order(orders)
    orders.update_fill(order.id, Decimal(60), PRICE)
    ended = orders.update_status(order.id, status)

    for quantity in (Decimal("60.0001"), Decimal(100)):
        with pytest.raises(ConstraintViolationError, match=f"{status} is final"):
            orders.update_fill(order.id, quantity, PRICE)
    assert orders.find_by_id(order.id) == ended

    settled = orders.update_fill(order.id, Decimal(60), PRICE, commission=Decimal(1))
    assert settled == ended.replace(commission=Decimal(1))


IMPOSSIBLE_REPORTS: list[tuple[Any, Any, str]] = [
    (Decimal(0), PRICE, "filled_qty"),
    (Decimal(-1), PRICE, "filled_qty"),
    (Decimal("NaN"), PRICE, "filled_qty"),
    (Decimal("0.00001"), PRICE, "filled_qty"),
    (1.5, PRICE, "filled_qty"),
    (None, PRICE, "filled_qty"),
    (Decimal(1), Decimal(0), "filled_avg_price"),
    (Decimal(1), Decimal("-0.01"), "filled_avg_price"),
    (Decimal(1), Decimal("1.23456"), "filled_avg_price"),
]


def test_impossible_reports_are_refused(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)

    for quantity, price, column in IMPOSSIBLE_REPORTS:
        with pytest.raises(InvalidDataError, match=f"orders.{column}: "):
            orders.update_fill(order.id, quantity, price)
    assert orders.find_by_id(order.id) == order


def test_more_than_was_ordered_is_refused(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)
    filled = orders.update_fill(order.id, Decimal(100), PRICE)

    with pytest.raises(ConstraintViolationError, match=r"100.0001: more than the ordered 100"):
        orders.update_fill(order.id, Decimal("100.0001"), PRICE)
    assert orders.find_by_id(order.id) == filled
    with pytest.raises(NotFoundError):
        orders.update_fill(new_id(), Decimal(1), PRICE)


def test_no_stored_fill_is_a_fill_of_nothing(orders: OrdersRepository) -> None:
    order = a_stored_order(orders)
    OrderRow.update(filled_quantity=None).execute(orders.database)

    assert orders.find_by_id_or_raise(order.id).filled_quantity == Decimal(0)
    assert orders.update_fill(order.id, Decimal(1), PRICE).filled_quantity == Decimal(1)


# Races


def test_a_fill_report_that_waited_for_a_newer_one_does_not_lower_it(postgresql_store: Store) -> None:
    orders = postgresql_store[OrdersRepository]
    order = a_stored_order(orders)

    older = overtaken(
        postgresql_store,
        lambda: orders.update_fill(order.id, Decimal(40), Decimal(1)),
        by=lambda: orders.update_fill(order.id, Decimal(100), PRICE),
    )

    assert (older.filled_quantity, older.status, older.avg_fill_price) == (Decimal(100), OrderStatus.FILLED, PRICE)
    assert orders.find_by_id(order.id) == older


def test_a_fill_that_waited_for_a_cancellation_does_not_revive_the_order(postgresql_store: Store) -> None:
    orders = postgresql_store[OrdersRepository]
    order = a_stored_order(orders)

    with pytest.raises(ConstraintViolationError, match="cancelled is final"):
        overtaken(
            postgresql_store,
            lambda: orders.update_fill(order.id, Decimal(100), PRICE),
            by=lambda: orders.cancel(order.id),
        )

    stored = orders.find_by_id_or_raise(order.id)
    assert (stored.status, stored.filled_quantity, stored.filled_at) == (OrderStatus.CANCELLED, Decimal(0), None)


def test_a_cancellation_that_waited_for_the_last_fill_is_refused(postgresql_store: Store) -> None:
    orders = postgresql_store[OrdersRepository]
    order = a_stored_order(orders)

    with pytest.raises(ConstraintViolationError, match="filled is final"):
        overtaken(
            postgresql_store,
            lambda: orders.cancel(order.id),
            by=lambda: orders.update_fill(order.id, Decimal(100), PRICE),
        )

    stored = orders.find_by_id_or_raise(order.id)
    assert (stored.status, stored.cancelled_at) == (OrderStatus.FILLED, None)


def test_the_brokers_id_is_not_lost_to_somebody_elses_move(postgresql_store: Store) -> None:
    orders = postgresql_store[OrdersRepository]
    order = a_stored_order(orders)

    submitted = overtaken(
        postgresql_store,
        lambda: orders.update_status(order.id, OrderStatus.SUBMITTED, "b-1"),
        by=lambda: orders.update_status(order.id, OrderStatus.SUBMITTED),
    )

    assert (submitted.status, submitted.broker_order_id) == (OrderStatus.SUBMITTED, "b-1")


def test_many_fill_reports_at_once_leave_the_largest(postgresql_store: Store) -> None:
    orders = postgresql_store[OrdersRepository]
    order = a_stored_order(orders)

    quantities = [Decimal(quantity) for quantity in (50, 10, 80, 30, 90, 20, 70, 40)]
    at_once(*(partial(orders.update_fill, order.id, quantity, PRICE) for quantity in quantities))

    stored = orders.find_by_id_or_raise(order.id)
    assert (stored.filled_quantity, stored.status) == (Decimal(90), OrderStatus.PARTIAL_FILL)


def test_of_a_cancellation_and_a_fill_at_once_exactly_one_holds(postgresql_store: Store) -> None:
    orders = postgresql_store[OrdersRepository]
    for _ in range(10):
        order = a_stored_order(orders)

        outcomes = at_once(
            partial(orders.cancel, order.id),
            partial(orders.update_fill, order.id, Decimal(100), PRICE),
        )

        [winner] = [outcome for outcome in outcomes if isinstance(outcome, Order)]
        [refusal] = [outcome for outcome in outcomes if not isinstance(outcome, Order)]
        assert isinstance(refusal, ConstraintViolationError)
        assert orders.find_by_id(order.id) == winner
        assert (winner.filled_at is None) != (winner.cancelled_at is None)
