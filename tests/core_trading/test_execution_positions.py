"""Position snapshots of the execution engine, and how they follow the broker's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.core_trading import (
    BrokerSync,
    ExecutionPositionSnapshot,
    ExecutionPositionSnapshotsRepository,
)
from cream_store import (
    ConstraintViolationError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    Store,
    clock_set_to,
    query,
)
from tests.races import at_once, overtaken

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
Positions = ExecutionPositionSnapshotsRepository


def position(
    symbol: str = "AAPL", quantity: int | str = 100, price: int | str = 50, environment: Environment = PAPER
) -> ExecutionPositionSnapshot:
    return ExecutionPositionSnapshot(
        symbol=symbol, quantity=Decimal(quantity), avg_entry_price=Decimal(price), environment=environment
    )


@pytest.fixture
def positions(store: Store) -> Positions:
    return store[ExecutionPositionSnapshotsRepository]


def held(positions: Positions, environment: Environment = PAPER) -> dict[str, tuple[Decimal | int, Decimal | int]]:
    """Quantity and price of every stored position, flat ones too."""
    return {
        symbol: (one.quantity, one.avg_entry_price)
        for symbol, one in positions.load(environment, include_flat=True).items()
    }


# Saving


def test_every_value_comes_back_as_it_was_saved(positions: Positions) -> None:
    with clock_set_to(NOON):
        saved = positions.save("BRK.B", Decimal("-9999999999.9999"), Decimal("99999999.9999"), LIVE)

    assert saved == ExecutionPositionSnapshot(
        symbol="BRK.B",
        quantity=Decimal("-9999999999.9999"),
        avg_entry_price=Decimal("99999999.9999"),
        environment=LIVE,
        updated_at=NOON,
    )
    assert positions.find_by_symbol("BRK.B", LIVE) == saved


def test_a_save_replaces_quantity_and_price(positions: Positions) -> None:
    positions.save("AAPL", Decimal(100), Decimal(50), PAPER)
    with clock_set_to(NOON):
        saved = positions.save(" aapl ", Decimal(0), Decimal(0), "paper")
    assert saved == position("AAPL", 0, 0).replace(updated_at=NOON)
    assert positions.count_of(query()) == 1


def test_a_position_of_the_other_environment_is_in_the_way(positions: Positions) -> None:
    live = positions.save("AAPL", Decimal(100), Decimal(50), LIVE)
    with pytest.raises(ConstraintViolationError, match="AAPL belongs to environment LIVE"):
        positions.save("AAPL", Decimal(1), Decimal(1), PAPER)
    with pytest.raises(ConstraintViolationError, match="AAPL belongs to environment LIVE"):
        positions.save_all([position("MSFT"), position("aapl")], PAPER)
    assert positions.find(query()) == [live]


def test_a_live_position_is_not_saved_in_a_paper_database(paper_store: Store) -> None:
    positions = paper_store[ExecutionPositionSnapshotsRepository]
    with pytest.raises(EnvironmentMismatchError):
        positions.save("AAPL", Decimal(1), Decimal(1), LIVE)
    with pytest.raises(EnvironmentMismatchError):
        positions.sync_from_broker([position(environment=LIVE)], LIVE)
    assert positions.count_of(query()) == 0


def test_what_makes_no_sense_is_not_saved(positions: Positions) -> None:
    impossible: list[tuple[str, Any, Environment]] = [
        (" ", Decimal(1), PAPER),
        ("AAPL", 1.0, PAPER),
        ("AAPL", Decimal("NaN"), PAPER),
        ("AAPL", Decimal("0.00001"), PAPER),
        ("AAPL", Decimal(1), Environment.TEST),
    ]
    for symbol, quantity, environment in impossible:
        with pytest.raises(InvalidDataError):
            positions.save(symbol, quantity, Decimal(1), environment)
    assert positions.count_of(query()) == 0


def test_save_all_saves_all(positions: Positions) -> None:
    assert positions.save_all([], PAPER) == 0
    assert positions.save_all((position(f"S{i}", i) for i in range(120)), PAPER) == 120
    assert positions.save_all([position("S1", 7), position("s1", 8), position("S200", 9)], PAPER) == 3
    assert held(positions)["S1"] == (8, 50)
    assert len(held(positions)) == 121


def test_save_all_refuses_positions_of_another_environment_than_the_named(positions: Positions) -> None:
    with pytest.raises(EnvironmentMismatchError):
        positions.save_all([position("AAPL"), position("MSFT", environment=LIVE)], PAPER)
    assert positions.count_of(query()) == 0


# Reading


def test_load_gives_an_environments_open_positions_by_symbol(positions: Positions) -> None:
    positions.save_all([position("MSFT", -5), position("AAPL"), position("FLAT", 0)], PAPER)
    positions.save("LIVE", Decimal(1), Decimal(1), LIVE)

    assert list(positions.load(PAPER)) == ["AAPL", "MSFT"]
    assert positions.load(PAPER)["MSFT"].quantity == -5
    assert list(positions.load(PAPER, include_flat=True)) == ["AAPL", "FLAT", "MSFT"]
    assert list(positions.load(LIVE)) == ["LIVE"]
    assert positions.find_by_symbol("LIVE", PAPER) is None
    assert positions.find_by_symbol("NONE", PAPER) is None
    assert positions.find_by_symbol(" msft", PAPER) == positions.load(PAPER)["MSFT"]


def test_a_position_is_deleted_in_its_own_environment_only(positions: Positions) -> None:
    positions.save("AAPL", Decimal(1), Decimal(1), PAPER)
    assert not positions.delete("AAPL", LIVE)
    assert positions.exists("AAPL", PAPER)
    assert positions.delete("aapl", PAPER)
    assert not positions.exists("AAPL", PAPER)


def test_an_unreadable_quantity_is_no_closed_position(postgresql_store: Store) -> None:
    positions = postgresql_store[ExecutionPositionSnapshotsRepository]
    positions.save("AAPL", Decimal(1), Decimal(1), PAPER)
    positions.database.change("UPDATE execution_position_snapshots SET quantity = 'NaN'")
    with pytest.raises(InvalidDataError, match=r"quantity: .*symbol AAPL"):
        positions.load(PAPER)
    with pytest.raises(InvalidDataError, match=r"quantity: .*symbol AAPL"):
        positions.sync_from_broker([], PAPER)


# Following the broker


def test_the_brokers_positions_become_the_stored_ones(positions: Positions) -> None:
    with clock_set_to(NOON):
        positions.save_all([position("SAME"), position("MORE"), position("GONE", -3), position("FLAT", 0, 0)], PAPER)
    with clock_set_to(NOON + timedelta(hours=1)):
        sync = positions.sync_from_broker([position("NEW", 1), position("MORE", "100.0001"), position("SAME")], PAPER)

    assert sync == BrokerSync(saved=["MORE", "NEW"], cleared=["GONE"])
    assert held(positions) == {
        "FLAT": (0, 0),
        "GONE": (0, 0),
        "MORE": (Decimal("100.0001"), 50),
        "NEW": (1, 50),
        "SAME": (100, 50),
    }
    untouched = {one.symbol for one in positions.find(query()) if one.updated_at == NOON}
    assert untouched == {"SAME", "FLAT"}


def test_a_second_sync_finds_nothing_to_do(positions: Positions) -> None:
    positions.save_all([position("GONE"), position("ALSO", -1)], PAPER)
    assert positions.sync_from_broker([position("AAPL")], PAPER) == BrokerSync(saved=["AAPL"], cleared=["ALSO", "GONE"])
    assert positions.sync_from_broker([position("AAPL")], PAPER) == BrokerSync(saved=[], cleared=[])


def test_a_price_is_saved_when_it_is_off_by_more_than_the_tolerance(positions: Positions) -> None:
    for stored, broker, tolerance, is_saved in [
        ("1.01", "1", "0.01", False),  # exactly the tolerance, which floats would miss
        ("0.99", "1", "0.01", False),
        ("1.0101", "1", "0.01", True),
        ("0.9899", "1", "0.01", True),
        ("100", "101", "0.01", False),  # of the broker's price: 1.01
        ("101.01", "100", "0.01", True),
        ("50", "50", "0", False),
        ("50", "50.0001", "0", True),
        ("0.0001", "0", "0.01", True),
        ("-99", "-100", "0.01", False),
        ("10", "20", "0.5", False),
    ]:
        positions.save("AAPL", Decimal(1), Decimal(stored), PAPER)
        sync = positions.sync_from_broker([position("AAPL", 1, broker)], PAPER, Decimal(tolerance))
        assert sync.saved == (["AAPL"] if is_saved else []), (stored, broker, tolerance)
        assert held(positions)["AAPL"] == (1, Decimal(broker if is_saved else stored))


def test_the_tolerance_is_one_percent_unless_given(positions: Positions) -> None:
    positions.save("AAPL", Decimal(1), Decimal(99), PAPER)
    assert positions.sync_from_broker([position("AAPL", 1, 100)], PAPER).saved == []
    positions.save("AAPL", Decimal(1), Decimal("98.9999"), PAPER)
    assert positions.sync_from_broker([position("AAPL", 1, 100)], PAPER).saved == ["AAPL"]


def test_a_tolerance_that_makes_no_sense_is_refused(positions: Positions) -> None:
    positions.save("AAPL", Decimal(1), Decimal(1), PAPER)
    impossible: list[Any] = [0.01, 1, Decimal("-0.01"), Decimal("NaN"), Decimal("Infinity"), None]
    for tolerance in impossible:
        with pytest.raises(InvalidDataError, match="price_tolerance"):
            positions.sync_from_broker([], PAPER, tolerance)
    assert held(positions) == {"AAPL": (1, 1)}


def test_symbols_of_the_broker_are_compared_as_they_are_stored(positions: Positions) -> None:
    positions.save("AAPL", Decimal(100), Decimal(50), PAPER)
    assert positions.sync_from_broker([position(" aapl")], PAPER) == BrokerSync(saved=[], cleared=[])
    assert positions.sync_from_broker([position("aapl", 5), position("AAPL", 6)], PAPER).saved == ["AAPL"]
    assert held(positions) == {"AAPL": (6, 50)}


def test_a_flat_position_of_the_broker_closes_the_stored_one(positions: Positions) -> None:
    positions.save("AAPL", Decimal(100), Decimal(50), PAPER)
    assert positions.sync_from_broker([position("AAPL", 0, 0)], PAPER) == BrokerSync(saved=["AAPL"], cleared=[])
    assert positions.load(PAPER) == {}


def test_a_sync_leaves_the_other_environment_alone(positions: Positions) -> None:
    positions.save("LIVE", Decimal(1), Decimal(1), LIVE)
    assert positions.sync_from_broker([], PAPER) == BrokerSync(saved=[], cleared=[])
    assert held(positions, LIVE) == {"LIVE": (1, 1)}


def test_a_sync_is_all_or_nothing(positions: Positions) -> None:
    positions.save("LIVE", Decimal(1), Decimal(1), LIVE)
    positions.save("GONE", Decimal(1), Decimal(1), PAPER)
    with pytest.raises(ConstraintViolationError, match="LIVE"):
        positions.sync_from_broker([position("AAPL"), position("LIVE")], PAPER)
    with pytest.raises(EnvironmentMismatchError):
        positions.sync_from_broker([position("AAPL"), position("MSFT", environment=LIVE)], PAPER)
    assert held(positions) == {"GONE": (1, 1)}


# Retention


def test_flat_positions_saved_before_a_moment_are_deleted(positions: Positions) -> None:
    for name, saved_at in [("BEFORE", NOON - timedelta(microseconds=1)), ("AT", NOON)]:
        with clock_set_to(saved_at):
            positions.save_all([position(f"{name}-FLAT", 0), position(f"{name}-OPEN", "0.0001")], PAPER)
            positions.save(f"{name}-LIVE", Decimal(0), Decimal(0), LIVE)

    assert positions.delete_flat_older_than(PAPER, NOON) == 1
    assert sorted(held(positions)) == ["AT-FLAT", "AT-OPEN", "BEFORE-OPEN"]
    assert sorted(held(positions, LIVE)) == ["AT-LIVE", "BEFORE-LIVE"]
    assert positions.delete_flat_older_than(PAPER, date(2024, 3, 16)) == 1


# Races


def test_a_sync_sees_what_was_saved_while_it_waited(postgresql_store: Store) -> None:
    positions = postgresql_store[ExecutionPositionSnapshotsRepository]
    positions.save("AAPL", Decimal(100), Decimal(50), PAPER)

    sync = overtaken(
        postgresql_store,
        partial(positions.sync_from_broker, [position("AAPL", 100)], PAPER),
        by=partial(positions.save, "AAPL", Decimal(40), Decimal(50), PAPER),
    )

    assert sync.saved == ["AAPL"]
    assert held(positions) == {"AAPL": (100, 50)}


def test_a_position_that_is_opened_again_is_not_deleted_as_flat(postgresql_store: Store) -> None:
    positions = postgresql_store[ExecutionPositionSnapshotsRepository]
    with clock_set_to(NOON):
        positions.save("AAPL", Decimal(0), Decimal(0), PAPER)

    deleted = overtaken(
        postgresql_store,
        partial(positions.delete_flat_older_than, PAPER, NOON + timedelta(days=1)),
        by=partial(positions.save, "AAPL", Decimal(40), Decimal(50), PAPER),
    )

    assert deleted == 0
    assert held(positions) == {"AAPL": (40, 50)}


def test_syncs_at_once_leave_what_one_of_them_was_given(postgresql_store: Store) -> None:
    positions = postgresql_store[ExecutionPositionSnapshotsRepository]
    symbols = [f"S{i}" for i in range(20)]
    positions.save_all([position(symbol, 1) for symbol in symbols], PAPER)
    for _ in range(3):
        syncs = at_once(
            *(
                partial(positions.sync_from_broker, [position(symbol, quantity) for symbol in order], PAPER)
                for quantity, order in ((2, symbols), (3, symbols[::-1]), (4, symbols[10:]))
            )
        )
        assert all(isinstance(sync, BrokerSync) for sync in syncs)
        assert {quantity for quantity, _ in held(positions).values()} in ({2}, {3}, {0, 4})
