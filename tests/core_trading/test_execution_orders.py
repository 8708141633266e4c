"""Order snapshots of the execution engine: nothing newer is lost, nothing unreadable is guessed."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.core_trading import (
    ExecutionOrderSide,
    ExecutionOrderSnapshot,
    ExecutionOrderSnapshotsRepository,
    ExecutionOrderStatus,
    ExecutionOrderType,
    ExecutionTimeInForce,
)
from cream_store import (
    ConstraintViolationError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
    query,
)
from tests.races import at_once, overtaken

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
Status = ExecutionOrderStatus
ACTIVE = [Status.PENDING_NEW, Status.NEW, Status.ACCEPTED, Status.PARTIALLY_FILLED, Status.PENDING_CANCEL]
TERMINAL = [Status.FILLED, Status.CANCELED, Status.REJECTED, Status.EXPIRED]


def order(order_id: str = "order-1", status: Status = Status.ACCEPTED, **others: Any) -> ExecutionOrderSnapshot:
    values: dict[str, Any] = {
        "broker_order_id": f"broker-{order_id}",
        "instrument_id": "AAPL",
        "side": ExecutionOrderSide.SELL,
        "order_type": ExecutionOrderType.LIMIT,
        "time_in_force": ExecutionTimeInForce.GTC,
        "requested_quantity": Decimal(100),
        "submitted_at": NOON,
        "last_update_at": NOON,
        "environment": PAPER,
    }
    return ExecutionOrderSnapshot(order_id=order_id, status=status, **values | others)


@pytest.fixture
def orders(store: Store) -> ExecutionOrderSnapshotsRepository:
    return store[ExecutionOrderSnapshotsRepository]


def ids(found: list[ExecutionOrderSnapshot]) -> list[str]:
    return [one.order_id for one in found]


def overwrite(orders: ExecutionOrderSnapshotsRepository, order_id: str, column: str, literal: str) -> None:
    """What another program may have stored."""
    changed = orders.database.change(
        f"UPDATE execution_order_snapshots SET {column} = {literal} WHERE order_id = '{order_id}'"
    )
    assert changed == 1


# Values


def test_every_value_comes_back_as_it_was_saved(orders: ExecutionOrderSnapshotsRepository) -> None:
    given = order(
        status=Status.PARTIALLY_FILLED,
        requested_quantity=Decimal("9999999999.9999"),
        filled_quantity=Decimal("0.0001"),
        avg_fill_price=Decimal("99999999.9999"),
        limit_price=Decimal("187.5"),
        stop_price=Decimal("-0.0001"),
        submitted_at=NOON - SECOND,
        last_update_at=NOON + timedelta(microseconds=1),
        status_message="half of it",
        is_multi_leg=True,
        environment=LIVE,
    )
    with clock_set_to(NOON):
        saved = orders.save(given)

    assert saved == given.replace(updated_at=NOON)
    assert orders.find_by_id("order-1", LIVE) == saved
    assert type(saved.status) is ExecutionOrderStatus


def test_zero_and_nothing_stay_apart(orders: ExecutionOrderSnapshotsRepository) -> None:
    unfilled = orders.save(order(limit_price=Decimal(0), stop_price=None))
    assert unfilled.filled_quantity == unfilled.avg_fill_price == unfilled.limit_price == 0
    assert unfilled.stop_price is None


def test_times_are_stored_as_text_in_utc_that_sorts_by_time(orders: ExecutionOrderSnapshotsRepository) -> None:
    new_york = timezone(timedelta(hours=-4))
    orders.save(order(submitted_at=datetime(2024, 3, 15, 23, 30, 0, 500, new_york), last_update_at=NOON))

    stored = orders.database.fetch_all("SELECT submitted_at, last_update_at FROM execution_order_snapshots")
    assert stored == [("2024-03-16T03:30:00.000500Z", "2024-03-15T12:00:00.000000Z")]


def test_times_in_another_programs_spelling_are_read(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order(last_update_at=NOON - SECOND))
    for text in ("2024-03-15T12:00:00Z", "2024-03-15T08:00:00.000000000-04:00"):
        overwrite(orders, "order-1", "last_update_at", f"'{text}'")
        found = orders.find_by_id_or_raise("order-1", PAPER)
        assert (found.last_update_at, found.last_update_at.tzinfo) == (NOON, UTC)


def test_a_status_message_that_is_null_reads_as_empty(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order(status_message="rejected by the venue"))
    overwrite(orders, "order-1", "status_message", "NULL")

    assert orders.find_by_id_or_raise("order-1", PAPER).status_message == ""


IMPOSSIBLE: list[dict[str, Any]] = [
    {"status": "Done"},
    {"status": "filled"},
    {"side": "Short"},
    {"order_type": "Iceberg"},
    {"time_in_force": "Gtd"},
    {"requested_quantity": Decimal("NaN")},
    {"requested_quantity": Decimal("0.00001")},
    {"requested_quantity": 1.5},
    {"limit_price": Decimal("Infinity")},
    {"last_update_at": datetime(2024, 3, 15, 12)},  # noqa: DTZ001  # naive on purpose
    {"submitted_at": "2024-03-15T12:00:00Z"},
    {"environment": Environment.TEST},
]


def test_what_makes_no_sense_is_not_saved(orders: ExecutionOrderSnapshotsRepository) -> None:
    for impossible in IMPOSSIBLE:
        with pytest.raises(InvalidDataError):
            orders.save(order(**impossible))
        with pytest.raises(InvalidDataError):
            orders.save_all([order("good"), order(**impossible)], PAPER)
    assert orders.count_of(query()) == 0


# The latest state wins


def test_a_newer_snapshot_replaces_every_column(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order(limit_price=Decimal(5), status_message="old"))
    newer = order(
        status=Status.FILLED,
        broker_order_id="another",
        instrument_id="MSFT",
        side=ExecutionOrderSide.BUY,
        order_type=ExecutionOrderType.MARKET,
        time_in_force=ExecutionTimeInForce.DAY,
        requested_quantity=Decimal(7),
        filled_quantity=Decimal(7),
        avg_fill_price=Decimal(3),
        submitted_at=NOON - SECOND,
        last_update_at=NOON + SECOND,
        is_multi_leg=True,
    )
    with clock_set_to(NOON + timedelta(days=1)):
        saved = orders.save(newer)

    assert saved == newer.replace(updated_at=NOON + timedelta(days=1))
    assert orders.count_of(query()) == 1


def test_an_older_snapshot_changes_nothing_and_gives_the_stored_one(orders: ExecutionOrderSnapshotsRepository) -> None:
    stored = orders.save(order(status=Status.PARTIALLY_FILLED))
    assert orders.save(order(status=Status.NEW, last_update_at=NOON - timedelta(microseconds=1))) == stored
    assert orders.find_by_id("order-1", PAPER) == stored


def test_a_snapshot_of_the_same_moment_replaces(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order(status=Status.NEW))
    assert orders.save(order(status=Status.ACCEPTED)).status is Status.ACCEPTED


def test_a_terminal_order_never_becomes_active_again(orders: ExecutionOrderSnapshotsRepository) -> None:
    for terminal in TERMINAL:
        stored = orders.save(order(terminal, terminal))
        for active in ACTIVE:
            assert orders.save(order(terminal, active, last_update_at=NOON + SECOND)) == stored
        assert orders.find_by_id(terminal, PAPER) == stored


def test_a_terminal_order_may_be_corrected_later(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order(status=Status.CANCELED))
    assert orders.save(order(status=Status.FILLED, last_update_at=NOON + SECOND)).status is Status.FILLED
    assert orders.save(order(status=Status.EXPIRED, last_update_at=NOON)).status is Status.FILLED


def test_terminal_means_done() -> None:
    assert [status for status in Status if status.is_terminal] == TERMINAL
    assert [status for status in Status if not status.is_terminal] == ACTIVE


def test_an_order_of_the_other_environment_is_in_the_way(orders: ExecutionOrderSnapshotsRepository) -> None:
    live = orders.save(order(environment=LIVE))
    for last_update_at in (NOON - SECOND, NOON + SECOND):
        with pytest.raises(ConstraintViolationError, match="order-1 belongs to environment LIVE") as refused:
            orders.save(order(environment=PAPER, last_update_at=last_update_at))
        assert refused.value.columns == ("environment",)
    assert orders.find_by_id("order-1", LIVE) == live


def test_a_live_order_is_not_saved_in_a_paper_database(paper_store: Store) -> None:
    orders = paper_store[ExecutionOrderSnapshotsRepository]
    with pytest.raises(EnvironmentMismatchError):
        orders.save(order(environment=LIVE))
    with pytest.raises(EnvironmentMismatchError):
        orders.save_all([order(environment=LIVE)], LIVE)
    assert orders.save(order(environment=PAPER)).environment is PAPER


# Many at once


def test_save_all_follows_the_same_rule_for_each(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save_all([order("a", last_update_at=NOON), order("b", Status.FILLED), order("c")], PAPER)

    given = [
        order("a", Status.NEW, last_update_at=NOON - SECOND),
        order("b", Status.NEW, last_update_at=NOON + SECOND),
        order("c", Status.CANCELED, last_update_at=NOON + SECOND),
        order("d", Status.PENDING_NEW),
    ]
    assert orders.save_all(given, PAPER) == 4

    assert {one.order_id: one.status for one in orders.find(query())} == {
        "a": Status.ACCEPTED,
        "b": Status.FILLED,
        "c": Status.CANCELED,
        "d": Status.PENDING_NEW,
    }


def test_of_one_order_given_several_times_the_latest_state_is_saved(orders: ExecutionOrderSnapshotsRepository) -> None:
    given = [
        order(status=Status.PARTIALLY_FILLED, last_update_at=NOON + SECOND),
        order(status=Status.FILLED, last_update_at=NOON + 2 * SECOND),
        order(status=Status.NEW, last_update_at=NOON),
    ]
    assert orders.save_all(given, PAPER) == 3
    assert [one.status for one in orders.find(query())] == [Status.FILLED]


def test_save_all_takes_any_number_from_any_iterable(orders: ExecutionOrderSnapshotsRepository) -> None:
    assert orders.save_all([], PAPER) == 0
    assert orders.save_all((order(f"order-{i}") for i in range(237)), PAPER) == 237
    assert len(orders.load_active(PAPER)) == 237


def test_save_all_is_all_or_nothing(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order("order-150", environment=LIVE))
    with pytest.raises(ConstraintViolationError, match="order-150"):
        orders.save_all([order(f"order-{i}") for i in range(200)], PAPER)
    assert orders.count_of(query()) == 1


def test_save_all_refuses_orders_of_another_environment_than_the_named(
    orders: ExecutionOrderSnapshotsRepository,
) -> None:
    with pytest.raises(EnvironmentMismatchError, match="LIVE was given with the rows of PAPER"):
        orders.save_all([order("a"), order("b", environment=LIVE)], PAPER)
    assert orders.count_of(query()) == 0


# Look-ups


def test_orders_are_found_in_their_own_environment_only(orders: ExecutionOrderSnapshotsRepository) -> None:
    stored = orders.save(order())

    assert orders.find_by_id("order-1", "paper") == stored
    assert orders.find_by_id_or_raise("order-1", PAPER) == stored
    assert orders.find_by_broker_order_id("broker-order-1", PAPER) == stored
    assert orders.find_by_status("Accepted", PAPER) == [stored]
    assert orders.load_active(PAPER) == [stored]
    assert orders.exists("order-1", PAPER)

    assert orders.find_by_id("order-1", LIVE) is None
    with pytest.raises(NotFoundError, match="order-1"):
        orders.find_by_id_or_raise("order-1", LIVE)
    assert orders.find_by_broker_order_id("broker-order-1", LIVE) is None
    assert orders.find_by_status(Status.ACCEPTED, LIVE) == []
    assert orders.load_active(LIVE) == []
    assert not orders.exists("order-1", LIVE)
    assert not orders.delete("order-1", LIVE)
    assert orders.delete("order-1", PAPER)
    assert not orders.delete("order-1", PAPER)


def test_the_environment_is_paper_or_live(orders: ExecutionOrderSnapshotsRepository) -> None:
    missing: Any = None
    for call in (
        partial(orders.find_by_id, "order-1"),
        partial(orders.exists, "order-1"),
        partial(orders.delete, "order-1"),
        partial(orders.find_by_broker_order_id, "broker-1"),
        partial(orders.find_by_status, Status.NEW),
        orders.load_active,
        partial(orders.save_all, []),
    ):
        for environment in (Environment.TEST, "PAPR", "", missing):
            with pytest.raises(InvalidDataError):
                call(environment)


def test_a_key_that_is_missing_by_mistake_matches_nothing(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order())
    missing: Any = None

    assert orders.find_by_id(missing, PAPER) is None
    assert orders.find_by_broker_order_id(missing, PAPER) is None
    assert not orders.exists(missing, PAPER)
    assert not orders.delete(missing, PAPER)
    with pytest.raises(InvalidDataError, match="cutoff"):
        orders.delete_terminal_older_than(PAPER, missing)
    assert orders.exists("order-1", PAPER)


def test_of_several_orders_with_one_broker_id_the_last_updated_is_found(
    orders: ExecutionOrderSnapshotsRepository,
) -> None:
    later = NOON + SECOND
    for order_id, last_update_at in [("a", NOON), ("c", later), ("b", later), ("d", NOON)]:
        orders.save(order(order_id, broker_order_id="shared", last_update_at=last_update_at))
    found = orders.find_by_broker_order_id("shared", PAPER)
    assert found is not None
    assert found.order_id == "c"


def test_lists_are_in_the_order_of_submission_then_of_ids(orders: ExecutionOrderSnapshotsRepository) -> None:
    for order_id, minutes in [("d", 2), ("c", 1), ("b", 1), ("a", 3)]:
        orders.save(order(order_id, submitted_at=NOON + timedelta(minutes=minutes)))
    assert ids(orders.find_by_status(Status.ACCEPTED, PAPER)) == ["b", "c", "d", "a"]
    assert ids(orders.load_active(PAPER)) == ["b", "c", "d", "a"]


def test_active_is_what_is_not_terminal(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save_all([order(status, status) for status in Status], PAPER)
    assert {one.status for one in orders.load_active(PAPER)} == set(ACTIVE)


def test_an_unknown_status_is_no_filter(orders: ExecutionOrderSnapshotsRepository) -> None:
    with pytest.raises(InvalidDataError, match="shutdown"):
        orders.find_by_status("shutdown", PAPER)


# Retention


def test_terminal_orders_saved_before_a_moment_are_deleted(orders: ExecutionOrderSnapshotsRepository) -> None:
    for name, saved_at in [("before", NOON - timedelta(microseconds=1)), ("at", NOON), ("after", NOON + SECOND)]:
        with clock_set_to(saved_at):
            orders.save_all([order(f"{name} {status}", status) for status in Status], PAPER)
            orders.save(order(f"{name} live", Status.FILLED, environment=LIVE))

    assert orders.delete_terminal_older_than(PAPER, NOON) == len(TERMINAL)
    assert {one.order_id for one in orders.find(query().one_of("status", TERMINAL))} == {
        *(f"{name} {status}" for name in ("at", "after") for status in TERMINAL),
        *(f"{name} live" for name in ("before", "at", "after")),
    }
    assert len(orders.load_active(PAPER)) == 3 * len(ACTIVE)


def test_a_date_as_bound_means_its_first_moment(orders: ExecutionOrderSnapshotsRepository) -> None:
    with clock_set_to(datetime(2024, 3, 15, tzinfo=UTC)):
        orders.save(order(status=Status.FILLED))
    assert orders.delete_terminal_older_than(PAPER, date(2024, 3, 15)) == 0
    assert orders.delete_terminal_older_than(PAPER, date(2024, 3, 16)) == 1


# What can't be read

UNREADABLE = [
    ("status", "'Done'"),
    ("side", "'buy'"),
    ("order_type", "''"),
    ("time_in_force", "'Gtd'"),
    ("submitted_at", "'yesterday'"),
    ("last_update_at", "'2024-03-15T12:00:00'"),
]


def test_an_unreadable_order_is_an_error_with_its_id(orders: ExecutionOrderSnapshotsRepository) -> None:
    for column, literal in UNREADABLE:
        orders.delete("bad", PAPER)
        orders.save_all([order("good"), order("bad")], PAPER)
        overwrite(orders, "bad", column, literal)

        with pytest.raises(InvalidDataError, match=rf"\.{column}: .*order_id bad") as unreadable:
            orders.load_active(PAPER)
        assert unreadable.value.table == "execution_order_snapshots"
        assert unreadable.value.columns == (column,)
        with pytest.raises(InvalidDataError, match="order_id bad"):
            orders.find_by_id("bad", PAPER)
        assert orders.exists("bad", PAPER)

        loaded = orders.load_active(PAPER, skip_invalid=True)
        assert ids(loaded.orders) == ["good"]
        assert loaded.invalid_order_ids == ["bad"]


def test_a_quantity_that_is_no_number_is_unreadable(postgresql_store: Store) -> None:
    orders = postgresql_store[ExecutionOrderSnapshotsRepository]
    columns = ["requested_quantity", "filled_quantity", "avg_fill_price", "limit_price", "stop_price"]
    orders.save_all([order(column) for column in columns], PAPER)
    for column in columns:
        overwrite(orders, column, column, "'NaN'")
        with pytest.raises(InvalidDataError, match=rf"\.{column}: .*order_id {column}"):
            orders.find_by_id(column, PAPER)
    assert orders.load_active(PAPER, skip_invalid=True).invalid_order_ids == sorted(columns)


def test_a_newer_snapshot_repairs_an_unreadable_one(orders: ExecutionOrderSnapshotsRepository) -> None:
    orders.save(order())
    overwrite(orders, "order-1", "status", "'Done'")
    assert orders.save(order(last_update_at=NOON + SECOND)).status is Status.ACCEPTED
    assert orders.load_active(PAPER, skip_invalid=True).invalid_order_ids == []


# Races


def test_a_slow_write_of_an_older_state_loses(postgresql_store: Store) -> None:
    orders = postgresql_store[ExecutionOrderSnapshotsRepository]
    orders.save(order(status=Status.NEW))
    filled = order(status=Status.FILLED, last_update_at=NOON + 2 * SECOND)
    accepted = order(status=Status.ACCEPTED, last_update_at=NOON + SECOND)

    seen = overtaken(postgresql_store, partial(orders.save, accepted), by=partial(orders.save, filled))

    assert seen.status is Status.FILLED
    assert orders.find_by_id_or_raise("order-1", PAPER).status is Status.FILLED


def test_engines_that_write_one_orders_states_out_of_order_leave_the_last(postgresql_store: Store) -> None:
    orders = postgresql_store[ExecutionOrderSnapshotsRepository]
    life = [
        order(status=status, filled_quantity=Decimal(filled), last_update_at=NOON + i * SECOND)
        for i, (status, filled) in enumerate(
            [
                (Status.PENDING_NEW, 0),
                (Status.NEW, 0),
                (Status.ACCEPTED, 0),
                (Status.PARTIALLY_FILLED, 40),
                (Status.PARTIALLY_FILLED, 80),
                (Status.FILLED, 100),
            ]
        )
    ]
    shuffle = random.Random(7).shuffle
    for _ in range(5):
        orders.delete("order-1", PAPER)
        shuffle(life)
        saved = at_once(*(partial(orders.save, snapshot) for snapshot in life))
        assert all(isinstance(one, ExecutionOrderSnapshot) for one in saved)
        last = orders.find_by_id_or_raise("order-1", PAPER)
        assert (last.status, last.filled_quantity) == (Status.FILLED, Decimal(100))


def test_engines_that_save_the_same_orders_queue(postgresql_store: Store) -> None:
    orders = postgresql_store[ExecutionOrderSnapshotsRepository]
    many = [order(f"order-{i}") for i in range(150)]
    given = at_once(*(partial(orders.save_all, batch, PAPER) for batch in (many, many[::-1], many[50:] + many[:50])))
    assert given == [150, 150, 150]
    assert len(orders.load_active(PAPER)) == 150
