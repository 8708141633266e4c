"""Runs that fetch or compute indicators: which are running, how the last ones went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_plugins.indicators.bounds import BoundedIntegerField
from cream_plugins.vocabulary import SyncRunStatus
from cream_store import (
    ChoiceField,
    DuplicateKeyError,
    EnumField,
    Environment,
    EnvironmentField,
    InvalidDataError,
    NotFoundError,
    Param,
    Record,
    Repository,
    Row,
    Statement,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    transactional,
    utc_now,
)
from cream_store.aggregates import Extreme
from cream_store.repository import Key
from cream_store.states import StateMachine

CANCELLED_MESSAGE: Final = "Cancelled by user"
STALE_MESSAGE: Final = "Stale run"

RUN_STATES: Final = StateMachine(
    {
        SyncRunStatus.RUNNING: [SyncRunStatus.COMPLETED, SyncRunStatus.FAILED],
        SyncRunStatus.COMPLETED: [],
        SyncRunStatus.FAILED: [],
    }
)


class IndicatorRunType(StrEnum):
    """What a run fetches."""

    FUNDAMENTALS = "fundamentals"
    SHORT_INTEREST = "short_interest"
    SENTIMENT = "sentiment"
    CORPORATE_ACTIONS = "corporate_actions"
    MACRO_WATCH = "macro_watch"
    NEWSPAPER = "newspaper"
    FILINGS_SYNC = "filings_sync"
    PREDICTION_MARKETS = "prediction_markets"
    ECONOMIC_CALENDAR = "economic_calendar"


class IndicatorSyncRunRow(Row):
    """Table `indicator_sync_runs`."""

    id = UUIDv7Field(primary_key=True)
    run_type = ChoiceField(IndicatorRunType)
    started_at = TimestampField()
    completed_at = TimestampField(null=True)
    symbols_processed = BoundedIntegerField(null=True, server_default=0, null_as=0)
    symbols_failed = BoundedIntegerField(null=True, server_default=0, null_as=0)
    status = EnumField(SyncRunStatus, server_default="running")
    error_message = TextField(null=True)
    environment = EnvironmentField()

    class Meta:
        table_name = "indicator_sync_runs"
        indexes = [
            index("idx_indicator_sync_runs_started", "started_at"),
            index("idx_indicator_sync_runs_status", "status"),
            index("idx_indicator_sync_runs_type", "run_type"),
        ]


@record
class IndicatorSyncRun(Record):
    """One run of a job. A new one is running since now."""

    id: UUID = field(default_factory=new_id)
    run_type: IndicatorRunType | str  # plain text only when another program stored an undeclared type
    started_at: datetime = field(default_factory=utc_now)
    completed_at: datetime | None = None  # or failed
    symbols_processed: int = 0
    symbols_failed: int = 0
    status: SyncRunStatus = SyncRunStatus.RUNNING
    error_message: str | None = None
    environment: Environment


class IndicatorSyncRunFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    run_type: IndicatorRunType | str | Sequence[IndicatorRunType | str] | None
    status: SyncRunStatus | str | Sequence[SyncRunStatus | str] | None
    environment: Environment | str | None


class IndicatorSyncRunChanges(TypedDict, total=False):
    """What `update` can change. The counters are what they become, not what is added."""

    status: SyncRunStatus | str
    symbols_processed: int
    symbols_failed: int
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndicatorSyncSummary:
    """How the runs stand."""

    total_runs: int
    running: int
    completed: int
    failed: int
    last_completed: dict[IndicatorRunType, datetime | None]  # every type; when its newest completed run was completed


def _increment() -> Any:
    row = IndicatorSyncRunRow
    return (
        row.update(
            {
                counter: fn.COALESCE(counter, 0) + Param(f"more_{counter.column_name}", counter)
                for counter in (row.symbols_processed, row.symbols_failed)
            }
        )
        .where(
            row.id == Param("id", row.id),
            row.environment.in_([Param("environment", row.environment), Param("or_environment", row.environment)]),
        )
        .returning(*row._meta.sorted_fields)
    )


_INCREMENT: Final = Statement(_increment)


class IndicatorSyncRunsRepository(Repository[IndicatorSyncRun, IndicatorSyncRunFilters, IndicatorSyncRunChanges]):
    """The runs of all jobs. A run that is over stays as it ended."""

    row = IndicatorSyncRunRow
    default_order = ("-started_at",)

    # The course of a run

    @transactional
    def create(self, record: IndicatorSyncRun, *, exclusive: bool = False) -> IndicatorSyncRun:
        """Stores a new run and returns it. Raises DuplicateKeyError when its id is taken.

        With `exclusive`, also when a run of the type is running in the environment: of several exclusive runs at once,
        one is stored.
        """
        self._guard(record)
        if exclusive:
            run_type = IndicatorSyncRunRow.run_type.encode(record.run_type)
            # Else two new runs would not see each other.
            self.database.advisory_lock(f"indicator sync run {run_type} {record.environment}")
            running = self.find_running_by_type(run_type, record.environment)
            if running is not None:
                raise DuplicateKeyError(
                    f"indicator_sync_runs: a {run_type} run is running in {record.environment}, {running.id}",
                    table="indicator_sync_runs",
                    columns=("run_type", "environment"),
                )
        return super().create(record)

    def update(  # type: ignore[override]  # None for a missing run
        self, id: Key, changes: IndicatorSyncRunChanges
    ) -> IndicatorSyncRun | None:
        """Writes the given columns and returns the run, or None when there is none.

        Completed or failed, it ends now. Raises ConstraintViolationError for another status of a run that is over.
        """
        others = dict(self._checked_changes(changes))
        if "status" not in others:
            return self._update_one(id, others)
        status = SyncRunStatus(IndicatorSyncRunRow.status.encode(others.pop("status")))
        return self._end(id, status, others)

    def cancel(self, id: Key) -> IndicatorSyncRun | None:
        """Fails a run that somebody cancelled; None when there is none.

        A run that has failed already stays as it is. Raises ConstraintViolationError for a completed one.
        """
        return self._end(id, SyncRunStatus.FAILED, {}, CANCELLED_MESSAGE)

    def increment(self, id: Key, processed: int = 0, failed: int = 0) -> IndicatorSyncRun | None:
        """Adds to the counters, in one statement, so that workers can count at once; None when there is no such run.

        Raises InvalidDataError for less than nothing.
        """
        own = self.database.environment
        writable = (Environment.PAPER, Environment.LIVE) if own is Environment.TEST else (own, own)
        values = {
            "more_symbols_processed": processed,
            "more_symbols_failed": failed,
            "environment": writable[0],
            "or_environment": writable[1],
        }
        return self._fetch_one(id, _INCREMENT, values)

    def fail_stale(
        self,
        older_than: date | datetime,
        run_type: IndicatorRunType | str | None = None,
        environment: Environment | str | None = None,
    ) -> int:
        """Fails the running runs that started before a moment: nobody runs them. Returns how many they were."""
        if older_than is None:
            raise InvalidDataError("indicator_sync_runs: failing stale runs needs a bound", table="indicator_sync_runs")
        stale = query().equals("status", SyncRunStatus.RUNNING).below("started_at", older_than)
        stale = stale.equals("run_type", run_type).equals("environment", self.environment_of(environment))
        ended = {"status": SyncRunStatus.FAILED, "completed_at": utc_now(), "error_message": STALE_MESSAGE}
        return self._update_all(stale, ended)

    def _end(
        self, id: Key, status: SyncRunStatus, others: dict[str, Any], error_message: str | None = None
    ) -> IndicatorSyncRun | None:
        ending: dict[str, Any] = {"completed_at": utc_now()}
        if error_message is not None:
            ending["error_message"] = error_message
        try:
            return self._move(id, RUN_STATES, status, ending, in_any_case=others)
        except NotFoundError:
            return None

    # Finding

    def find_running_by_type(
        self, run_type: IndicatorRunType | str, environment: Environment | str | None = None
    ) -> IndicatorSyncRun | None:
        """The newest run of a type that is running."""
        # Encoded here, because None would mean every type.
        run_type = IndicatorSyncRunRow.run_type.encode(run_type)
        return self.first({"run_type": run_type, "status": SyncRunStatus.RUNNING, "environment": environment})

    def find_all_running(self, environment: Environment | str | None = None) -> list[IndicatorSyncRun]:
        """Every run that is running, the oldest first."""
        return self.find_all({"status": SyncRunStatus.RUNNING, "environment": environment}, order_by="started_at")

    def get_last_run_by_type(
        self, environment: Environment | str | None = None
    ) -> dict[IndicatorRunType, IndicatorSyncRun]:
        """Of each type, the run that started last of those that are over; no key for a type without one."""
        over = query().one_of("status", RUN_STATES.terminal).equals("environment", self.environment_of(environment))
        runs = {
            run.run_type: run for run in self._among_latest_of_each("run_type", over.order_by("-started_at"), query())
        }
        return {run_type: runs[run_type] for run_type in IndicatorRunType if run_type in runs}

    def get_summary(self, environment: Environment | str | None = None) -> IndicatorSyncSummary:
        """How many runs there are, how they stand, and when each type was last completed. One statement."""
        row = IndicatorSyncRunRow
        builder = query().equals("environment", self.environment_of(environment))
        groups = self._aggregate(
            "summary",
            builder,
            [fn.COUNT(SQL("*")), Extreme("MAX", row.completed_at)],
            group_by=[row.run_type, row.status],
        )
        counts = dict.fromkeys(SyncRunStatus, 0)
        last_completed: dict[IndicatorRunType, datetime | None] = dict.fromkeys(IndicatorRunType)
        for run_type, status, count, completed_at in groups:
            counts[status] += count
            if status is SyncRunStatus.COMPLETED and completed_at is not None and run_type in last_completed:
                last_completed[run_type] = completed_at
        return IndicatorSyncSummary(
            total_runs=sum(counts.values()),
            running=counts[SyncRunStatus.RUNNING],
            completed=counts[SyncRunStatus.COMPLETED],
            failed=counts[SyncRunStatus.FAILED],
            last_completed=last_completed,
        )

    def count_by_filters(self, filters: IndicatorSyncRunFilters | None = None) -> int:
        """How many runs match all filters."""
        return self.count(filters)
