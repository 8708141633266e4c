"""System state: one row per environment, whoever writes first; phases, errors and what each change leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.dashboard import SystemState, SystemStateRepository, SystemStatus
from cream_plugins.vocabulary import CyclePhase
from cream_store import (
    ConstraintViolationError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PAPER, LIVE = Environment.PAPER, Environment.LIVE


@pytest.fixture
def states(store: Store) -> SystemStateRepository:
    return store[SystemStateRepository]


def busy(states: SystemStateRepository) -> SystemState:
    """The state of a system in the middle of everything."""
    with clock_set_to(NOW):
        return states.update(
            PAPER,
            {
                "status": SystemStatus.RUNNING,
                "last_cycle_id": new_id(),
                "last_cycle_time": NOW - SECOND,
                "current_phase": CyclePhase.DECIDE,
                "phase_started_at": NOW,
                "next_cycle_at": NOW + SECOND,
                "error_message": "a warning",
            },
        )


def test_a_system_is_stopped_until_something_is_known(states: SystemStateRepository) -> None:
    assert states.find_by_environment(PAPER) is None
    with clock_set_to(NOW):
        made = states.get_or_create(PAPER)
    assert made == SystemState(environment=PAPER, status=SystemStatus.STOPPED, updated_at=NOW)
    assert states.get_or_create("PAPER") == states.find_by_environment("paper") == made
    assert states.find_by_environment(LIVE) is None


def test_every_value_comes_back_as_it_was_stored(states: SystemStateRepository) -> None:
    stored = busy(states)
    assert stored == states.find_by_environment(PAPER)
    assert (stored.current_phase, stored.next_cycle_at, stored.updated_at) == (CyclePhase.DECIDE, NOW + SECOND, NOW)


def test_an_unknown_phase_of_another_program_is_text(states: SystemStateRepository) -> None:
    states.database.change("INSERT INTO system_state (environment, current_phase) VALUES ('PAPER', 'dream')")
    stored = states.get_or_create(PAPER)
    assert (stored.status, stored.current_phase) == (SystemStatus.STOPPED, "dream")


class TestUpdate:
    def test_it_writes_what_is_given_and_nothing_else(self, states: SystemStateRepository) -> None:
        before = busy(states)
        with clock_set_to(NOW + SECOND):
            after = states.update(PAPER, {"next_cycle_at": None})
        assert after == before.replace(next_cycle_at=None, updated_at=NOW + SECOND)

    def test_nothing_given_changes_nothing(self, states: SystemStateRepository) -> None:
        before = busy(states)
        assert states.update(PAPER, {}) == before
        assert states.update(LIVE, {}).status is SystemStatus.STOPPED

    @pytest.mark.parametrize(
        "wrong", [{"status": "broken"}, {"current_phase": "dream"}, {"last_cycle_id": "x"}, {"updated_at": NOW}]
    )
    def test_what_cant_be_stored_is_refused(self, states: SystemStateRepository, wrong: Any) -> None:
        before = busy(states)
        with pytest.raises(InvalidDataError):
            states.update(PAPER, wrong)
        assert states.find_by_environment(PAPER) == before

    def test_there_is_always_a_status(self, states: SystemStateRepository) -> None:
        nothing: Any = {"status": None}
        with pytest.raises(ConstraintViolationError):
            states.update(PAPER, nothing)
        with pytest.raises(InvalidDataError):
            states.set_status(PAPER, nothing["status"])

    def test_setting_the_status_leaves_the_rest(self, states: SystemStateRepository) -> None:
        before = busy(states)
        with clock_set_to(NOW + SECOND):
            after = states.set_status(PAPER, "paused")
        assert after == before.replace(status=SystemStatus.PAUSED, updated_at=NOW + SECOND)


class TestCycles:
    def test_a_phase_starts_when_it_or_the_cycle_changes(self, states: SystemStateRepository) -> None:
        first, second = new_id(), new_id()
        starts = []
        for second_of_day, (cycle, phase) in enumerate(
            [(first, "observe"), (first, "observe"), (first, "orient"), (second, "orient"), (second, "orient")]
        ):
            with clock_set_to(NOW + second_of_day * SECOND):
                state = states.update_cycle(PAPER, cycle, phase)
            assert (state.last_cycle_id, state.current_phase) == (cycle, phase)
            assert state.updated_at == NOW + second_of_day * SECOND
            assert state.phase_started_at is not None
            starts.append((state.phase_started_at - NOW) // SECOND)
        assert starts == [0, 0, 2, 3, 3]

    def test_a_phase_without_a_start_gets_one(self, states: SystemStateRepository) -> None:
        cycle = new_id()
        states.update(PAPER, {"last_cycle_id": cycle, "current_phase": CyclePhase.ACT})
        with clock_set_to(NOW):
            assert states.update_cycle(PAPER, cycle, CyclePhase.ACT).phase_started_at == NOW

    def test_only_completion_is_a_cycles_time(self, states: SystemStateRepository) -> None:
        cycle = new_id()
        for phase in CyclePhase:
            with clock_set_to(NOW):
                state = states.update_cycle(PAPER, cycle, phase)
            assert state.last_cycle_time == (NOW if phase is CyclePhase.COMPLETE else None)
        with clock_set_to(NOW + SECOND):
            assert states.update_cycle(PAPER, new_id(), "observe").last_cycle_time == NOW

    def test_the_rest_stays(self, states: SystemStateRepository) -> None:
        before = busy(states)
        after = states.update_cycle(PAPER, str(before.last_cycle_id), CyclePhase.DECIDE)
        assert after == before.replace(updated_at=after.updated_at)

    @pytest.mark.parametrize(("cycle", "phase"), [("nonsense", "act"), (None, "act"), (new_id(), "dream")])
    def test_a_wrong_report_is_refused(self, states: SystemStateRepository, cycle: Any, phase: str) -> None:
        with pytest.raises(InvalidDataError):
            states.update_cycle(PAPER, cycle, phase)
        assert states.find_by_environment(PAPER) is None

    def test_clearing_keeps_the_last_and_the_next(self, states: SystemStateRepository) -> None:
        before = busy(states)
        after = states.clear_cycle(PAPER)
        assert after == before.replace(current_phase=None, phase_started_at=None, updated_at=after.updated_at)


class TestErrors:
    def test_an_error_is_a_status(self, states: SystemStateRepository) -> None:
        before = busy(states)
        after = states.set_error(PAPER, "no data")
        assert after == before.replace(status=SystemStatus.ERROR, error_message="no data", updated_at=after.updated_at)

    def test_without_its_error_the_system_is_stopped(self, states: SystemStateRepository) -> None:
        states.set_error(PAPER, "no data")
        cleared = states.clear_error(PAPER)
        assert (cleared.status, cleared.error_message) == (SystemStatus.STOPPED, None)

    def test_a_system_that_goes_on_already_goes_on(self, states: SystemStateRepository) -> None:
        states.set_error(PAPER, "no data")
        assert states.set_status(PAPER, SystemStatus.RUNNING).error_message == "no data"
        cleared = states.clear_error(PAPER)
        assert (cleared.status, cleared.error_message) == (SystemStatus.RUNNING, None)

    def test_of_a_system_that_nothing_was_known_of(self, states: SystemStateRepository) -> None:
        assert states.clear_error(PAPER).status is SystemStatus.STOPPED
        assert states.set_error(LIVE, "no data").status is SystemStatus.ERROR


class TestEnvironments:
    def test_a_test_database_has_to_be_told_which(self, states: SystemStateRepository) -> None:
        for call in (states.get_or_create, states.find_by_environment, states.clear_cycle, states.clear_error):
            with pytest.raises(InvalidDataError, match="PAPER and LIVE"):
                call()
            with pytest.raises(InvalidDataError):
                call(Environment.TEST)

    def test_the_databases_own_needs_no_name(self, paper_store: Store) -> None:
        states = paper_store[SystemStateRepository]
        assert states.get_or_create().environment is PAPER
        assert states.set_status(None, "running") == states.find_by_environment()

    def test_another_one_is_not_written(self, paper_store: Store) -> None:
        states = paper_store[SystemStateRepository]
        for write in (
            partial(states.get_or_create, LIVE),
            partial(states.set_error, LIVE, "x"),
            partial(states.clear_error, LIVE),
            partial(states.update_cycle, LIVE, new_id(), "act"),
        ):
            with pytest.raises(EnvironmentMismatchError):
                write()
        assert states.find_by_environment(LIVE) is None

    def test_lists_tell_them_apart(self, states: SystemStateRepository) -> None:
        states.set_status(LIVE, "running")
        states.get_or_create(PAPER)
        assert [state.environment for state in states.find_all()] == [PAPER, LIVE]
        assert [state.environment for state in states.find_many({"status": "running"}).data] == [LIVE]


class TestRaces:
    def test_all_first_calls_get_the_same_row(self, postgresql_store: Store) -> None:
        states = postgresql_store[SystemStateRepository]
        made = at_once(*(partial(states.get_or_create, PAPER) for _ in range(6)))
        assert set(map(repr, made)) == {repr(states.find_by_environment(PAPER))}

    def test_changes_of_different_columns_all_stay(self, postgresql_store: Store) -> None:
        states, cycle = postgresql_store[SystemStateRepository], new_id()
        at_once(
            partial(states.set_status, PAPER, "running"),
            partial(states.update_cycle, PAPER, cycle, "act"),
            partial(states.update, PAPER, {"next_cycle_at": NOW}),
            partial(states.update, PAPER, {"error_message": "slow"}),
        )
        state = states.get_or_create(PAPER)
        assert (state.status, state.last_cycle_id, state.current_phase) == ("running", cycle, "act")
        assert (state.next_cycle_at, state.error_message) == (NOW, "slow")
