"""The recovery state of an environment's execution engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from cream_plugins.core_trading import (
    ExecutionRecoveryState,
    ExecutionRecoveryStateRepository,
    ExecutionRecoveryStatus,
)
from cream_store import Environment, EnvironmentMismatchError, InvalidDataError, Store, clock_set_to, query
from tests.races import at_once

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
CYCLE = UUID("018f0000-0000-7000-8000-000000000001")
States = ExecutionRecoveryStateRepository
Status = ExecutionRecoveryStatus


@pytest.fixture
def states(store: Store) -> States:
    return store[ExecutionRecoveryStateRepository]


def test_an_environment_that_was_never_saved_is_unknown_and_stays_unsaved(states: States) -> None:
    with clock_set_to(NOON):
        assert states.get("paper") == ExecutionRecoveryState(environment=PAPER, updated_at=NOON)
    assert states.get(PAPER).status is Status.UNKNOWN
    assert states.count_of(query()) == 0


def test_what_a_status_asks_for(states: States) -> None:
    asked = {
        status: (state.is_healthy, state.needs_recovery, state.requires_operator)
        for status in Status
        for state in [states.update(PAPER, status)]
    }
    assert asked == {
        Status.UNKNOWN: (False, True, False),
        Status.HEALTHY: (True, False, False),
        Status.ERROR: (False, True, True),
        Status.INTERRUPTED: (False, True, False),
        Status.NEEDS_ATTENTION: (False, False, True),
    }


def test_an_update_makes_the_row_and_then_changes_it(states: States) -> None:
    with clock_set_to(NOON):
        first = states.update(PAPER, "error", CYCLE, "no connection")
    assert first == ExecutionRecoveryState(
        environment=PAPER,
        last_snapshot_at=NOON,
        last_cycle_id=str(CYCLE),
        status=Status.ERROR,
        error_message="no connection",
        updated_at=NOON,
    )

    with clock_set_to(LATER):
        second = states.update(PAPER, Status.HEALTHY)
    assert second == first.replace(last_snapshot_at=LATER, status=Status.HEALTHY, error_message=None, updated_at=LATER)
    assert states.get(PAPER) == second


def test_a_cycle_that_is_not_given_is_kept_and_none_clears_it(states: States) -> None:
    assert states.update(PAPER, Status.HEALTHY, "cycle-1").last_cycle_id == "cycle-1"
    assert states.update(PAPER, Status.HEALTHY).last_cycle_id == "cycle-1"
    assert states.mark_interrupted(PAPER).last_cycle_id == "cycle-1"
    assert states.update(PAPER, Status.HEALTHY, None).last_cycle_id is None
    assert states.mark_interrupted(PAPER, "cycle-2").last_cycle_id == "cycle-2"
    assert states.mark_interrupted(PAPER, "").last_cycle_id == ""


def test_an_interruption_is_a_status(states: States) -> None:
    with clock_set_to(NOON):
        state = states.mark_interrupted(PAPER, CYCLE)
    assert (state.status, state.last_snapshot_at, state.error_message) == (Status.INTERRUPTED, NOON, None)


@pytest.mark.parametrize(
    ("passed", "status", "message"), [(True, Status.HEALTHY, None), (False, Status.NEEDS_ATTENTION, "lost fills")]
)
def test_a_reconciliation_keeps_what_it_is_not_about(
    states: States, passed: bool, status: Status, message: str | None
) -> None:
    with clock_set_to(NOON):
        before = states.update(PAPER, Status.ERROR, CYCLE, "lost fills")
    with clock_set_to(LATER):
        state = states.log_reconciliation(PAPER, passed)
    assert state == before.replace(last_reconciliation_at=LATER, status=status, error_message=message, updated_at=LATER)
    assert states.update(PAPER, Status.HEALTHY).last_reconciliation_at == LATER


@pytest.mark.parametrize(("passed", "status"), [(True, Status.HEALTHY), (False, Status.NEEDS_ATTENTION)])
def test_a_reconciliation_makes_the_row(states: States, passed: bool, status: Status) -> None:
    with clock_set_to(NOON):
        states.log_reconciliation(PAPER, passed)
    assert states.get(PAPER) == ExecutionRecoveryState(
        environment=PAPER, last_reconciliation_at=NOON, status=status, updated_at=NOON
    )


def test_environments_have_states_of_their_own(states: States) -> None:
    states.update(LIVE, Status.HEALTHY, "live cycle")
    states.update(PAPER, Status.ERROR, "paper cycle", "broken")
    assert (states.get(LIVE).status, states.get(LIVE).last_cycle_id) == (Status.HEALTHY, "live cycle")
    assert (states.get(PAPER).status, states.get(PAPER).last_cycle_id) == (Status.ERROR, "paper cycle")


def test_a_status_or_environment_that_does_not_exist_is_refused(states: States) -> None:
    with pytest.raises(InvalidDataError, match="shutdown"):
        states.update(PAPER, "shutdown")
    for environment in (Environment.TEST, "PAPR"):
        with pytest.raises(InvalidDataError):
            states.get(environment)
        with pytest.raises(InvalidDataError):
            states.log_reconciliation(environment, True)
    assert states.count_of(query()) == 0


def test_a_live_state_is_not_written_in_a_paper_database(paper_store: Store) -> None:
    states = paper_store[ExecutionRecoveryStateRepository]
    with pytest.raises(EnvironmentMismatchError):
        states.update(LIVE, Status.HEALTHY)
    with pytest.raises(EnvironmentMismatchError):
        states.log_reconciliation(LIVE, True)
    assert states.count_of(query()) == 0


def test_first_writes_at_once_make_one_row(postgresql_store: Store) -> None:
    states = postgresql_store[ExecutionRecoveryStateRepository]
    written = at_once(
        partial(states.update, PAPER, Status.HEALTHY, "cycle"),
        partial(states.mark_interrupted, PAPER),
        partial(states.log_reconciliation, PAPER, True),
        partial(states.log_reconciliation, PAPER, False),
    )
    assert all(isinstance(one, ExecutionRecoveryState) for one in written)
    [state] = states.find(query())
    assert state.last_cycle_id == "cycle"
    assert state.last_snapshot_at is not None
    assert state.last_reconciliation_at is not None
