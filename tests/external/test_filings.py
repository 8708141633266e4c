"""Filings and the runs that fetch them: who may take what in, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from cream_plugins.external import (
    Filing,
    FilingsRepository,
    FilingStatus,
    FilingSyncRun,
    FilingSyncRunsRepository,
    FilingType,
)
from cream_plugins.vocabulary import SyncRunStatus
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
from tests.races import at_once

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
FILED = datetime(2024, 2, 2, tzinfo=UTC)
NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)


def filing(number: str = "0001", filed: date = FILED, **others: Any) -> Filing:
    given: dict[str, Any] = {
        "accession_number": number,
        "symbol": "aapl",
        "filing_type": FilingType.ANNUAL_REPORT,
        "filed_date": filed,
        "ingested_at": NOON,
    }
    return Filing(**given | others)


@pytest.fixture
def filings(store: Store) -> FilingsRepository:
    return store[FilingsRepository]


@pytest.fixture
def runs(store: Store) -> FilingSyncRunsRepository:
    return store[FilingSyncRunsRepository]


class TestFilings:
    def test_a_new_one_is_pending(self, filings: FilingsRepository) -> None:
        stored = filings.create(filing(filed=date(2024, 2, 2), report_date=date(2023, 12, 31)))
        assert (stored.symbol, stored.status, stored.section_count) == ("AAPL", FilingStatus.PENDING, 0)
        assert (stored.filed_date, stored.report_date) == (FILED, datetime(2023, 12, 31, tzinfo=UTC))
        assert filings.find_by_id(stored.id) == filings.find_by_accession_number("0001") == stored
        assert filings.exists_by_accession_number("0001")
        assert not filings.exists_by_accession_number("0002")

    def test_an_accession_number_occurs_once(self, filings: FilingsRepository) -> None:
        stored, created = filings.create_if_absent(filing(company_name="Apple"))
        assert created
        assert filings.create_if_absent(stored) == filings.create_if_absent(filing()) == (stored, False)
        with pytest.raises(DuplicateKeyError):
            filings.create(filing())

    def test_one_of_several_stores_it(self, postgresql_store: Store) -> None:
        filings = postgresql_store[FilingsRepository]
        results: Any = at_once(*(partial(filings.create_if_absent, filing()) for _ in range(6)))
        assert sorted(created for _, created in results) == [False] * 5 + [True]
        assert {stored.id for stored, _ in results} == {filings.find_all()[0].id}

    def test_lists(self, filings: FilingsRepository) -> None:
        given = [
            filings.create(filing(str(i), FILED + i // 2 * DAY, filing_type=kind, created_at=NOON + i * DAY))
            for i, kind in enumerate(("10-K", "10-Q", "8-K", "8-K"))
        ]
        filings.create(filing("other", symbol="MSFT"))
        assert filings.find_by_symbol(" aapl") == given[::-1]
        assert filings.find_by_symbol("AAPL", limit=1) == [given[3]]
        assert filings.find_by_symbol("AAPL", as_of=FILED) == [given[1], given[0]]
        assert filings.find_by_created_at_range(NOON + DAY, NOON + 2 * DAY) == [given[2], given[1]]
        assert filings.find_by_created_at_range(NOON, NOON + 3 * DAY, limit=1) == [given[3]]
        page = filings.find_many({"symbol": "AAPL", "filing_type": ["10-K", "8-K"]}, page=2, page_size=2)
        assert (page.data, page.total) == ([given[0]], 3)
        assert filings.find_many({"symbol": "AAPL", "to_date": date(2024, 2, 2)}).total == 2
        assert filings.find_many({"from_date": date(2024, 2, 3)}).data == [given[3], given[2]]
        assert filings.find_many({"status": []}).total == filings.find_many({"status": "failed"}).total == 0

    def test_recent_ones_are_complete(self, filings: FilingsRepository) -> None:
        stored = [filings.create(filing(str(i), FILED + i * DAY)) for i in range(3)]
        complete = [filings.mark_complete(one.id, 1, 2) for one in stored[:2]]
        assert filings.find_recent("AAPL") == complete[::-1]
        assert filings.find_recent("AAPL", FilingType.ANNUAL_REPORT, limit=1) == [complete[1]]
        assert filings.find_recent("AAPL", "8-K") == []
        assert filings.find_recent("AAPL", as_of=FILED) == [complete[0]]


class TestTakingIn:
    def test_the_course(self, filings: FilingsRepository) -> None:
        id = filings.create(filing()).id
        with clock_set_to(NOON):
            failed = filings.mark_failed(id, "no text")
            assert (failed.status, failed.error_message, failed.completed_at) == ("failed", "no text", None)
            assert failed.updated_at == NOON
            assert filings.mark_processing(id).error_message is None
            complete = filings.mark_complete(id, 3, 40)
        assert (complete.status, complete.section_count, complete.chunk_count) == ("complete", 3, 40)
        assert complete.completed_at == NOON
        again = filings.mark_processing(id, force=True)
        assert (again.status, again.completed_at) == ("processing", None)

    def test_other_moves_are_refused(self, filings: FilingsRepository) -> None:
        id = filings.create(filing()).id
        filings.mark_processing(id)
        with pytest.raises(ConstraintViolationError, match="processing"):
            filings.mark_processing(id, force=True)
        filings.mark_complete(id, 1, 1)
        moves: list[Callable[[], Any]] = [
            partial(filings.mark_processing, id),
            partial(filings.mark_complete, id, 2, 2),
            partial(filings.mark_failed, id, "late"),
        ]
        for move in moves:
            with pytest.raises(ConstraintViolationError, match="complete"):
                move()

    def test_an_unknown_one_is_not_found(self, filings: FilingsRepository) -> None:
        with pytest.raises(NotFoundError):
            filings.mark_processing(new_id())
        with pytest.raises(NotFoundError):
            filings.mark_complete(new_id(), 1, 1)
        with pytest.raises(NotFoundError):
            filings.mark_failed("no uuid", "error")

    def test_counts_are_never_negative(self, filings: FilingsRepository) -> None:
        with pytest.raises(InvalidDataError, match="chunk_count"):
            filings.mark_complete(filings.create(filing()).id, 1, -1)

    def test_the_oldest_pending_are_claimed(self, filings: FilingsRepository) -> None:
        given = [filings.create(filing(str(i), created_at=NOON - i * DAY)) for i in range(4)]
        filings.mark_processing(given[3].id)
        assert [one.id for one in filings.claim_next(2)] == [given[2].id, given[1].id]
        assert [one.status for one in filings.claim_next(5)] == ["processing"]
        assert filings.claim_next() == []
        with pytest.raises(InvalidDataError):
            filings.claim_next(0)

    def test_workers_at_once_claim_different_ones(self, postgresql_store: Store) -> None:
        filings = postgresql_store[FilingsRepository]
        filings.create_many(filing(str(i)) for i in range(12))
        claimed: Any = at_once(*(partial(filings.claim_next, 2) for _ in range(6)))
        assert len({one.id for ones in claimed for one in ones}) == sum(map(len, claimed)) == 12


def test_stats_are_of_complete_filings(filings: FilingsRepository) -> None:
    nothing = filings.get_stats_by_symbol("AAPL")
    assert (nothing.total, set(nothing.by_type.values()), nothing.last_ingested) == (0, {0}, None)
    for i, (symbol, kind) in enumerate((("AAPL", "10-K"), ("AAPL", "8-K"), ("AAPL", "8-K"), ("MSFT", "8-K"))):
        stored = filings.create(filing(str(i), symbol=symbol, filing_type=kind, ingested_at=NOON + i * DAY))
        filings.mark_complete(stored.id, 1, 10)
    filings.create(filing("pending", ingested_at=NOON + 9 * DAY))
    stats = filings.get_stats_by_symbol("aapl")
    assert (stats.total, stats.last_ingested) == (3, NOON + 2 * DAY)
    assert stats.by_type == {"10-K": 1, "10-Q": 0, "8-K": 2, "DEF14A": 0}
    overall = filings.get_overall_stats()
    assert (overall.total, overall.total_chunks) == (4, 40)
    assert overall.by_type == {"10-K": 1, "10-Q": 0, "8-K": 3, "DEF14A": 0}


def start(runs: FilingSyncRunsRepository, environment: str = "PAPER", **others: Any) -> FilingSyncRun:
    return runs.start(["aapl"], ["10-K"], 1, "manual", environment, **others)


class TestSyncRuns:
    def test_one_starts_now(self, runs: FilingSyncRunsRepository) -> None:
        with clock_set_to(NOON):
            run = start(runs, date_range_start=date(2024, 1, 1))
        assert (run.started_at, run.status, run.completed_at) == (NOON, SyncRunStatus.RUNNING, None)
        assert (run.symbols_requested, run.symbols_total, run.filings_fetched) == (["AAPL"], 1, 0)
        assert run.date_range_start == datetime(2024, 1, 1, tzinfo=UTC)
        assert runs.find_by_id(run.id) == run

    def test_an_exclusive_one_is_alone_in_its_environment(self, runs: FilingSyncRunsRepository) -> None:
        run = start(runs, exclusive=True)
        with pytest.raises(DuplicateKeyError, match=str(run.id)):
            start(runs, exclusive=True)
        start(runs, "LIVE", exclusive=True)
        runs.fail(run.id, "stopped")
        start(runs, exclusive=True)

    def test_of_several_exclusive_ones_one_starts(self, postgresql_store: Store) -> None:
        runs = postgresql_store[FilingSyncRunsRepository]
        results = at_once(*(partial(start, runs, exclusive=True) for _ in range(5)))
        assert sum(isinstance(result, FilingSyncRun) for result in results) == runs.count() == 1

    def test_progress_is_set_and_added(self, runs: FilingSyncRunsRepository) -> None:
        id = start(runs).id
        runs.update_progress(id, symbols_processed=5, chunks_created=0)
        run = runs.increment_progress(id, symbols_processed=2, filings_fetched=3)
        assert (run.symbols_processed, run.filings_fetched, run.filings_ingested) == (7, 3, 0)
        with clock_set_to(NOON):
            assert runs.update_progress(id) == run.replace(updated_at=NOON)
        for progress in (runs.update_progress, runs.increment_progress):
            with pytest.raises(InvalidDataError, match="filings_fetched"):
                progress(id, filings_fetched=-1)

    def test_workers_at_once_lose_no_progress(self, postgresql_store: Store) -> None:
        runs = postgresql_store[FilingSyncRunsRepository]
        id = start(runs).id
        at_once(*(partial(runs.increment_progress, id, filings_ingested=1) for _ in range(8)))
        assert runs.find_by_id_or_raise(id).filings_ingested == 8

    def test_a_run_ends_once(self, runs: FilingSyncRunsRepository) -> None:
        id = start(runs).id
        with clock_set_to(NOON):
            completed = runs.complete(id, 4, 50)
        assert (completed.status, completed.filings_ingested, completed.chunks_created) == ("completed", 4, 50)
        assert completed.completed_at == completed.updated_at == NOON
        assert runs.complete(id, 9, 9).filings_ingested == 4
        changes: list[Callable[[], Any]] = [
            partial(runs.fail, id, "x"),
            partial(runs.update_progress, id),
            partial(runs.increment_progress, id),
        ]
        for change in changes:
            with pytest.raises(ConstraintViolationError, match="completed"):
                change()
        failed = runs.fail(start(runs).id, "no network")
        assert (failed.status, failed.error_message, failed.chunks_created) == ("failed", "no network", 0)
        assert failed.completed_at is not None

    def test_an_unknown_run_is_not_found(self, runs: FilingSyncRunsRepository) -> None:
        changes: list[Callable[[], Any]] = [
            partial(runs.update_progress, new_id()),
            partial(runs.increment_progress, "no uuid"),
            partial(runs.complete, new_id(), 1, 1),
            partial(runs.fail, new_id(), "x"),
        ]
        for change in changes:
            with pytest.raises(NotFoundError):
                change()

    def test_lists_are_of_one_environment_if_asked(self, runs: FilingSyncRunsRepository) -> None:
        made = []
        for i, environment in enumerate(("PAPER", "LIVE", "PAPER", "LIVE")):
            with clock_set_to(NOON + i * DAY):
                made.append(start(runs, environment))
        for i in (1, 0):
            with clock_set_to(NOON + (9 - i) * DAY):
                made[i] = runs.complete(made[i].id, 1, 1)
        assert runs.find_recent() == made[::-1]
        assert runs.find_recent(1, "PAPER") == [made[2]]
        assert (runs.find_running(), runs.find_running("PAPER")) == (made[3], made[2])
        assert (runs.get_last_successful(), runs.get_last_successful("LIVE")) == (made[0], made[1])

    def test_stale_ones_fail(self, runs: FilingSyncRunsRepository) -> None:
        for moment in (NOON - TICK, NOON):
            with clock_set_to(moment):
                start(runs)
        assert runs.fail_stale(NOON, "LIVE") == 0
        assert runs.fail_stale(NOON) == 1
        (failed,) = runs.find_all({"status": "failed"})
        assert failed.error_message == "Stale run"
        assert failed.completed_at is not None
        forgotten: Any = None
        with pytest.raises(InvalidDataError):
            runs.fail_stale(forgotten)

    def test_another_environments_runs_do_not_change(self, paper_store: Store) -> None:
        runs = paper_store[FilingSyncRunsRepository]
        live = start(runs).replace(id=new_id(), environment=Environment.LIVE)
        with paper_store.database.transaction():
            row = runs.row
            values = {name: getattr(live, name) for name in runs._columns}
            row.insert(values).execute(paper_store.database)
        for change in (partial(runs.update_progress, live.id), partial(runs.increment_progress, live.id)):
            with pytest.raises(EnvironmentMismatchError):
                change()
        assert runs.find_recent() != [live]
