"""The engine's whole state: saved and loaded as one, by one engine at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.core_trading import (
    ExecutionOrderSide,
    ExecutionOrderSnapshot,
    ExecutionOrderStatus,
    ExecutionOrderType,
    ExecutionPositionSnapshot,
    ExecutionRecoveryState,
    ExecutionRecoveryStatus,
    ExecutionRecoveryStore,
    ExecutionTimeInForce,
)
from cream_store import (
    ConstraintViolationError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    Store,
    clock_set_to,
    get_db,
    query,
)
from tests.races import at_once, overtaken

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
CYCLE = UUID("018f0000-0000-7000-8000-000000000001")
Status = ExecutionRecoveryStatus


def order(order_id: str = "order-1", environment: Environment = PAPER, **others: Any) -> ExecutionOrderSnapshot:
    values: dict[str, Any] = {
        "status": ExecutionOrderStatus.ACCEPTED,
        "order_type": ExecutionOrderType.MARKET,
        "time_in_force": ExecutionTimeInForce.DAY,
        "side": ExecutionOrderSide.BUY,
        "requested_quantity": Decimal(10),
        "submitted_at": NOON,
        "last_update_at": NOON,
    }
    return ExecutionOrderSnapshot(
        order_id=order_id,
        broker_order_id=f"broker-{order_id}",
        instrument_id="AAPL",
        environment=environment,
        **values | others,
    )


def position(symbol: str = "AAPL", quantity: int = 100, environment: Environment = PAPER) -> ExecutionPositionSnapshot:
    return ExecutionPositionSnapshot(
        symbol=symbol, quantity=Decimal(quantity), avg_entry_price=Decimal(50), environment=environment
    )


@pytest.fixture
def recovery(store: Store) -> ExecutionRecoveryStore:
    return ExecutionRecoveryStore(store.database)


def quantities(recovery: ExecutionRecoveryStore) -> dict[str, Decimal]:
    return {symbol: one.quantity for symbol, one in recovery.load_state(PAPER).positions.items()}


def test_a_state_that_was_never_saved_is_unknown_and_empty(recovery: ExecutionRecoveryStore) -> None:
    loaded = recovery.load_state(PAPER)
    assert loaded.state.needs_recovery
    assert (loaded.orders, loaded.positions) == ([], {})
    assert recovery.states.count_of(query()) == 0


def test_what_is_saved_is_loaded(recovery: ExecutionRecoveryStore) -> None:
    with clock_set_to(NOON):
        state = recovery.save_state(
            PAPER,
            [order("b"), order("a"), order("done", status=ExecutionOrderStatus.FILLED)],
            [position("MSFT"), position("AAPL", -5), position("FLAT", 0)],
            CYCLE,
        )
    assert state == ExecutionRecoveryState(
        environment=PAPER,
        last_snapshot_at=NOON,
        last_cycle_id=str(CYCLE),
        status=Status.HEALTHY,
        updated_at=NOON,
    )

    loaded = recovery.load_state("PAPER")
    assert loaded.state == state
    assert [one.order_id for one in loaded.orders] == ["a", "b"]
    assert list(loaded.positions) == ["AAPL", "MSFT"]
    assert recovery.load_state(LIVE).orders == []


def test_a_clean_shutdown_is_healthy_and_keeps_the_cycle(recovery: ExecutionRecoveryStore) -> None:
    with clock_set_to(NOON):
        recovery.save_state(PAPER, [order()], [], CYCLE, "error")
    with clock_set_to(LATER):
        done = order(status=ExecutionOrderStatus.CANCELED, last_update_at=LATER)
        state = recovery.save_state(PAPER, iter([done]), iter([]))
    assert (state.status, state.last_snapshot_at, state.last_cycle_id) == (Status.HEALTHY, LATER, str(CYCLE))
    assert recovery.load_state(PAPER).orders == []


def test_a_save_is_all_or_nothing(recovery: ExecutionRecoveryStore) -> None:
    recovery.positions.save("TAKEN", Decimal(1), Decimal(1), LIVE)
    with pytest.raises(ConstraintViolationError, match="TAKEN"):
        recovery.save_state(PAPER, [order()], [position(), position("TAKEN")])
    with pytest.raises(InvalidDataError, match="shutdown"):
        recovery.save_state(PAPER, [order()], [position()], status="shutdown")
    with pytest.raises(EnvironmentMismatchError):
        recovery.save_state(PAPER, [order()], [position(environment=LIVE)])

    loaded = recovery.load_state(PAPER)
    assert (loaded.orders, loaded.positions, recovery.states.count_of(query())) == ([], {}, 0)


@pytest.mark.parametrize(("passed", "status"), [(True, Status.HEALTHY), (False, Status.NEEDS_ATTENTION)])
def test_a_recovery_ends_with_the_brokers_positions_and_an_outcome(
    recovery: ExecutionRecoveryStore, passed: bool, status: Status
) -> None:
    with clock_set_to(NOON):
        recovery.save_state(PAPER, [order()], [position("AAPL"), position("GONE")], CYCLE, Status.INTERRUPTED)
    filled = order(status=ExecutionOrderStatus.FILLED, last_update_at=LATER)
    with clock_set_to(LATER):
        completed = recovery.complete_recovery(PAPER, [position("AAPL"), position("NEW")], [filled], passed)

    assert (completed.saved, completed.cleared) == (["NEW"], ["GONE"])
    assert completed.state == ExecutionRecoveryState(
        environment=PAPER,
        last_snapshot_at=NOON,
        last_reconciliation_at=LATER,
        last_cycle_id=str(CYCLE),
        status=status,
        updated_at=LATER,
    )
    loaded = recovery.load_state(PAPER)
    assert loaded.state == completed.state
    assert (loaded.orders, list(loaded.positions)) == ([], ["AAPL", "NEW"])


def test_a_recovery_that_fails_leaves_everything_as_it_was(recovery: ExecutionRecoveryStore) -> None:
    recovery.save_state(PAPER, [order()], [position()], CYCLE, Status.ERROR)
    recovery.orders.save(order("taken", LIVE))
    before = recovery.load_state(PAPER)
    with pytest.raises(ConstraintViolationError, match="taken"):
        recovery.complete_recovery(PAPER, [position("NEW")], [order("taken")], passed=True)
    assert recovery.load_state(PAPER) == before


def test_the_price_tolerance_of_a_recovery_can_be_given(recovery: ExecutionRecoveryStore) -> None:
    recovery.positions.save("AAPL", Decimal(100), Decimal("50.1"), PAPER)
    assert recovery.complete_recovery(PAPER, [position()], [], passed=True).saved == []
    assert recovery.complete_recovery(PAPER, [position()], [], True, Decimal("0.001")).saved == ["AAPL"]


def test_an_aborted_recovery_is_an_error_for_the_operator(recovery: ExecutionRecoveryStore) -> None:
    recovery.save_state(PAPER, [], [], CYCLE)
    aborted = recovery.abort_recovery(PAPER)
    assert aborted.error_message == "Critical discrepancies during recovery"
    assert (aborted.status, aborted.last_cycle_id) == (Status.ERROR, str(CYCLE))
    assert aborted.requires_operator
    assert recovery.abort_recovery("PAPER", "half of it is missing").error_message == "half of it is missing"
    assert recovery.abort_recovery(LIVE).last_cycle_id is None


def test_an_unreadable_order_stops_the_engine(recovery: ExecutionRecoveryStore) -> None:
    recovery.save_state(PAPER, [order("good"), order("bad")], [])
    recovery.database.change("UPDATE execution_order_snapshots SET side = 'sell' WHERE order_id = 'bad'")
    with pytest.raises(InvalidDataError, match="order_id bad"):
        recovery.load_state(PAPER)


def test_operations_join_the_callers_transaction(store: Store, recovery: ExecutionRecoveryStore) -> None:
    class CallersError(Exception):
        pass

    with pytest.raises(CallersError), store.transaction():  # noqa: PT012  # what is inside is the test
        recovery.save_state(PAPER, [order()], [position()])
        assert len(recovery.load_state(PAPER).orders) == 1
        raise CallersError
    assert recovery.load_state(PAPER).orders == []


def test_without_a_database_the_current_environments_is_used() -> None:
    assert ExecutionRecoveryStore().database is get_db()


# Two engines


def test_saves_at_once_do_not_mix(postgresql_store: Store) -> None:
    recovery = ExecutionRecoveryStore(postgresql_store.database)

    def save(engine: int) -> ExecutionRecoveryState:
        orders = [order(f"order-{i}", status_message=str(engine)) for i in range(12)]
        positions = [position(f"S{i}", engine) for i in range(12)]
        # Each in an order of its own.
        return recovery.save_state(PAPER, orders[engine:] + orders[:engine], positions[::-1], str(engine))

    for _ in range(3):
        saved = at_once(*(partial(save, engine) for engine in range(1, 5)))
        assert all(isinstance(one, ExecutionRecoveryState) for one in saved)
        loaded = recovery.load_state(PAPER)
        engines = {one.status_message for one in loaded.orders} | {
            str(q) for q in map(int, quantities(recovery).values())
        }
        assert engines == {loaded.state.last_cycle_id}


def test_recoveries_of_one_environment_take_turns(postgresql_store: Store) -> None:
    recovery = ExecutionRecoveryStore(postgresql_store.database)
    second = overtaken(
        postgresql_store,
        partial(recovery.complete_recovery, PAPER, [position("MSFT")], [], False),
        by=partial(recovery.complete_recovery, PAPER, [position("AAPL")], [], True),
    )
    # The second one saw, and cleared, what the first one had saved.
    assert (second.saved, second.cleared) == (["MSFT"], ["AAPL"])
    assert recovery.load_state(PAPER).state.status is Status.NEEDS_ATTENTION


def test_engines_of_different_environments_do_not_wait_for_each_other(postgresql_store: Store) -> None:
    recovery = ExecutionRecoveryStore(postgresql_store.database)
    with ThreadPoolExecutor(1) as another_thread, postgresql_store.transaction():
        recovery.save_state(PAPER, [order("paper")], [])
        saved = another_thread.submit(recovery.save_state, LIVE, [order("live", LIVE)], [])
        assert saved.result().environment is LIVE


def test_a_load_waits_for_a_save_and_sees_it(postgresql_store: Store) -> None:
    recovery = ExecutionRecoveryStore(postgresql_store.database)
    loaded = overtaken(
        postgresql_store,
        partial(recovery.load_state, PAPER),
        by=partial(recovery.save_state, PAPER, [order()], [position()], CYCLE),
    )
    assert loaded.state.last_cycle_id == str(CYCLE)
    assert len(loaded.orders) == len(loaded.positions) == 1


def test_a_load_sees_one_moment_even_of_writers_that_take_no_turns(postgresql_store: Store) -> None:
    recovery = ExecutionRecoveryStore(postgresql_store.database)

    def write(number: int) -> None:
        with postgresql_store.transaction():
            recovery.orders.save(order(status_message=str(number)))
            recovery.positions.save("AAPL", Decimal(number), Decimal(1), PAPER)

    def write_many() -> None:
        for number in range(2, 80):
            write(number)

    write(1)
    with ThreadPoolExecutor(1) as another_thread:
        writing = another_thread.submit(write_many)
        while not writing.done():
            loaded = recovery.load_state(PAPER)
            assert [Decimal(one.status_message) for one in loaded.orders] == [loaded.positions["AAPL"].quantity]
        writing.result()
