"""Sync runs: their course, one at a time where that is wanted, and what is told of them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.indicators import IndicatorRunType, IndicatorSyncRun, IndicatorSyncRunsRepository
from cream_plugins.vocabulary import SyncRunStatus
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    Store,
    clock_set_to,
    new_id,
)
from tests.indicators.samples import NOON, SECOND
from tests.races import at_once

PAPER, LIVE = Environment.PAPER, Environment.LIVE
RUNNING, COMPLETED, FAILED = SyncRunStatus
HOUR = timedelta(hours=1)


def run(run_type: str = "sentiment", **others: Any) -> IndicatorSyncRun:
    return IndicatorSyncRun(**{"run_type": run_type, "environment": PAPER, "started_at": NOON, **others})


@pytest.fixture
def runs(store: Store) -> IndicatorSyncRunsRepository:
    return store[IndicatorSyncRunsRepository]


class TestCreate:
    def test_a_new_run_is_running_since_now(self, runs: IndicatorSyncRunsRepository) -> None:
        with clock_set_to(NOON):
            given = IndicatorSyncRun(run_type=IndicatorRunType.MACRO_WATCH, environment=PAPER)
        stored = runs.create(given)
        assert stored == given == runs.find_by_id(given.id)
        assert (stored.status, stored.started_at, stored.completed_at) == (RUNNING, NOON, None)
        assert (stored.symbols_processed, stored.symbols_failed, stored.error_message) == (0, 0, None)
        with pytest.raises(DuplicateKeyError):
            runs.create(run(id=given.id))

    @pytest.mark.parametrize("values", [{"run_type": "astrology"}, {"symbols_failed": -1}, {"status": "paused"}])
    def test_what_can_not_be_is_refused(self, runs: IndicatorSyncRunsRepository, values: Any) -> None:
        for exclusive in (False, True):
            with pytest.raises(InvalidDataError):
                runs.create(run(**values), exclusive=exclusive)

    def test_missing_counters_read_as_nothing(self, runs: IndicatorSyncRunsRepository) -> None:
        stored = runs.create(run())
        runs.database.change("UPDATE indicator_sync_runs SET symbols_processed = NULL, symbols_failed = NULL")
        assert runs.find_by_id(stored.id) == stored
        added = runs.increment(stored.id, 2, 1)
        assert added == stored.replace(symbols_processed=2, symbols_failed=1)

    def test_an_exclusive_run_is_alone_of_its_type_and_environment(self, runs: IndicatorSyncRunsRepository) -> None:
        first = runs.create(run(), exclusive=True)
        with pytest.raises(DuplicateKeyError, match="running"):
            runs.create(run(), exclusive=True)
        runs.create(run(environment=LIVE), exclusive=True)
        runs.create(run("newspaper"), exclusive=True)
        runs.update(first.id, {"status": COMPLETED})
        runs.create(run(), exclusive=True)
        runs.create(run())
        assert runs.count_by_filters({"run_type": "sentiment", "status": RUNNING}) == 3

    def test_of_exclusive_runs_at_once_one_is_stored(self, postgresql_store: Store) -> None:
        runs = postgresql_store[IndicatorSyncRunsRepository]
        outcomes = at_once(*(partial(runs.create, run(), exclusive=True) for _ in range(5)))
        assert sum(isinstance(outcome, DuplicateKeyError) for outcome in outcomes) == 4
        assert runs.count() == 1


class TestCourse:
    @pytest.mark.parametrize("status", [COMPLETED, "failed"])
    def test_a_run_ends_once(self, runs: IndicatorSyncRunsRepository, status: Any) -> None:
        stored = runs.create(run())
        with clock_set_to(NOON + HOUR):
            ended = runs.update(stored.id, {"status": status, "symbols_processed": 7, "error_message": ""})
        assert ended == stored.replace(
            status=SyncRunStatus(status), completed_at=NOON + HOUR, symbols_processed=7, error_message=""
        )
        assert runs.update(stored.id, {"status": status}) == ended
        others = {RUNNING, COMPLETED, FAILED} - {SyncRunStatus(status)}
        for other in others:
            with pytest.raises(ConstraintViolationError, match="final"):
                runs.update(stored.id, {"status": other})
        assert runs.find_by_id(stored.id) == ended

    def test_an_update_writes_what_is_given(self, runs: IndicatorSyncRunsRepository) -> None:
        stored = runs.create(run(error_message="slow"))
        assert runs.update(stored.id, {}) == stored
        assert runs.update(stored.id, {"status": RUNNING, "symbols_failed": 2}) == stored.replace(symbols_failed=2)
        assert runs.update(stored.id, {"error_message": None, "symbols_failed": 0}) == stored.replace(
            error_message=None
        )
        with pytest.raises(InvalidDataError, match="run_type"):
            runs.update(stored.id, {"run_type": "newspaper"})  # type: ignore[typeddict-unknown-key]  # what is tested

    def test_a_cancelled_run_has_failed(self, runs: IndicatorSyncRunsRepository) -> None:
        stored = runs.create(run())
        with clock_set_to(NOON + HOUR):
            cancelled = runs.cancel(stored.id)
        assert cancelled == stored.replace(status=FAILED, completed_at=NOON + HOUR, error_message="Cancelled by user")
        assert runs.cancel(stored.id) == cancelled
        broken = runs.create(run(status=FAILED, error_message="no network"))
        assert runs.cancel(broken.id) == broken
        with pytest.raises(ConstraintViolationError):
            runs.cancel(runs.create(run(status=COMPLETED)).id)

    def test_there_is_no_changing_a_missing_run(self, runs: IndicatorSyncRunsRepository) -> None:
        for id in (new_id(), "no UUID"):
            assert runs.update(id, {"status": FAILED}) is None
            assert runs.update(id, {"symbols_failed": 1}) is None
            assert runs.cancel(id) is None
            assert runs.increment(id, 1) is None

    def test_counters_only_grow_by_increments(self, runs: IndicatorSyncRunsRepository) -> None:
        stored = runs.create(run(symbols_processed=5))
        assert runs.increment(stored.id, processed=2, failed=3) == stored.replace(symbols_processed=7, symbols_failed=3)
        for bad in ({"processed": -1}, {"failed": -1}):
            with pytest.raises(InvalidDataError):
                runs.increment(stored.id, **bad)

    def test_workers_can_count_at_once(self, postgresql_store: Store) -> None:
        runs = postgresql_store[IndicatorSyncRunsRepository]
        stored = runs.create(run())
        at_once(*(partial(runs.increment, stored.id, 1, 2) for _ in range(6)))
        assert runs.find_by_id(stored.id) == stored.replace(symbols_processed=6, symbols_failed=12)

    def test_stale_runs_fail(self, runs: IndicatorSyncRunsRepository) -> None:
        stale = runs.create(run(started_at=NOON - SECOND))
        for other in (
            run(),
            run("newspaper", started_at=NOON - HOUR),
            run(started_at=NOON - HOUR, status=COMPLETED),
            run(started_at=NOON - HOUR, environment=LIVE),
        ):
            runs.create(other)
        with clock_set_to(NOON + HOUR):
            assert runs.fail_stale(NOON, "sentiment", PAPER) == 1
        assert runs.find_by_id(stale.id) == stale.replace(
            status=FAILED, completed_at=NOON + HOUR, error_message="Stale run"
        )
        assert runs.fail_stale(NOON) == 2
        none: Any = None
        with pytest.raises(InvalidDataError, match="bound"):
            runs.fail_stale(none)


class TestFinding:
    def test_lists_come_newest_first(self, runs: IndicatorSyncRunsRepository) -> None:
        stored = [runs.create(run(started_at=NOON + (i // 2) * SECOND)) for i in range(24)]
        newest = sorted(stored, key=lambda one: (one.started_at, one.id), reverse=True)
        assert runs.find_many().data == newest[:20]
        assert runs.find_many(limit=2).data == newest[:2]
        assert runs.find_many({"environment": "LIVE"}).total == runs.count_by_filters({"status": "failed"}) == 0
        assert runs.count_by_filters() == 24

    def test_running_runs_can_be_found(self, runs: IndicatorSyncRunsRepository) -> None:
        old = runs.create(run(started_at=NOON - HOUR))
        new = runs.create(run())
        live = runs.create(run(environment=LIVE, started_at=NOON + HOUR))
        runs.create(run(status=COMPLETED, started_at=NOON + 2 * HOUR))
        assert runs.find_running_by_type("sentiment") == live
        assert runs.find_running_by_type("sentiment", "PAPER") == new
        assert runs.find_running_by_type("newspaper") is None
        assert runs.find_all_running() == [old, new, live]
        assert runs.find_all_running(LIVE) == [live]
        for bad in (None, "astrology"):
            with pytest.raises(InvalidDataError, match="run_type"):
                runs.find_running_by_type(bad)  # type: ignore[arg-type]  # what is being tested

    def test_the_last_run_of_each_type_is_over(self, runs: IndicatorSyncRunsRepository) -> None:
        assert runs.get_last_run_by_type() == {}
        runs.create(run(status=COMPLETED, started_at=NOON - HOUR))
        failed = runs.create(run(status=FAILED))
        runs.create(run(started_at=NOON + HOUR))
        runs.create(run("newspaper"))
        live = runs.create(run(status=COMPLETED, started_at=NOON + SECOND, environment=LIVE))
        assert runs.get_last_run_by_type() == {IndicatorRunType.SENTIMENT: live}
        assert runs.get_last_run_by_type(PAPER) == {IndicatorRunType.SENTIMENT: failed}

    def test_the_summary_of_nothing_names_every_type(self, runs: IndicatorSyncRunsRepository) -> None:
        summary = runs.get_summary()
        assert (summary.total_runs, summary.running, summary.completed, summary.failed) == (0, 0, 0, 0)
        assert summary.last_completed == dict.fromkeys(IndicatorRunType)

    def test_the_summary_counts_by_status(self, runs: IndicatorSyncRunsRepository) -> None:
        for i in range(3):
            runs.create(run(status=COMPLETED, completed_at=NOON + i * SECOND))
        runs.create(run(status=FAILED, completed_at=NOON + HOUR))
        runs.create(run("newspaper"))
        runs.create(run(environment=LIVE, status=COMPLETED, completed_at=NOON + HOUR))
        unknown = runs.create(run(status=COMPLETED, completed_at=NOON))
        runs.database.change(f"UPDATE indicator_sync_runs SET run_type = 'astrology' WHERE id = '{unknown.id}'")
        summary = runs.get_summary(PAPER)
        assert (summary.total_runs, summary.running, summary.completed, summary.failed) == (6, 1, 4, 1)
        completed = {run_type: at for run_type, at in summary.last_completed.items() if at is not None}
        assert completed == {IndicatorRunType.SENTIMENT: NOON + 2 * SECOND}
        assert set(summary.last_completed) == set(IndicatorRunType)
        assert runs.get_summary().last_completed[IndicatorRunType.SENTIMENT] == NOON + HOUR
        assert runs.get_summary().total_runs == 7
        assert set(runs.get_last_run_by_type()) == {IndicatorRunType.SENTIMENT}


def test_a_database_changes_only_runs_of_its_environment(paper_store: Store) -> None:
    runs = paper_store[IndicatorSyncRunsRepository]
    with pytest.raises(EnvironmentMismatchError):
        runs.create(run(environment=LIVE), exclusive=True)
    live = runs.create(run())
    runs.database.change("UPDATE indicator_sync_runs SET environment = 'LIVE'")
    assert runs.increment(live.id, 1) is None
    assert runs.fail_stale(NOON + HOUR, environment=LIVE) == 0
    with pytest.raises(EnvironmentMismatchError):
        runs.cancel(live.id)
    assert runs.find_all_running() == []
    assert runs.find_all_running(LIVE) == [live.replace(environment=LIVE)]
