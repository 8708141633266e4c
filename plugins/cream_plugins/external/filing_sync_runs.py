"""Filing sync runs: each time that filings are fetched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

import peewee
from peewee import fn

from cream_plugins.external.columns import CounterField
from cream_plugins.vocabulary import SyncRunStatus
from cream_store import (
    UNSET,
    ConstraintViolationError,
    DayField,
    DuplicateKeyError,
    EnumField,
    Environment,
    EnvironmentField,
    InvalidDataError,
    JSONField,
    Param,
    Record,
    Repository,
    Row,
    Statement,
    SymbolsField,
    TextField,
    TimestampField,
    Unset,
    UUIDv7Field,
    field,
    first_moment,
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


class SyncTriggerSource(StrEnum):
    """Who started a run."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    DASHBOARD = "dashboard"


class FilingSyncRunRow(Row):
    """Table `filing_sync_runs`."""

    id = UUIDv7Field(primary_key=True)
    started_at = TimestampField()
    completed_at = TimestampField(null=True)
    symbols_requested = SymbolsField()
    filing_types = JSONField(list)
    date_range_start = DayField(null=True)
    date_range_end = DayField(null=True)
    symbols_total = CounterField()
    symbols_processed = CounterField()
    filings_fetched = CounterField()
    filings_ingested = CounterField()
    chunks_created = CounterField()
    status = EnumField(SyncRunStatus, server_default="running")
    error_message = TextField(null=True)
    trigger_source = EnumField(SyncTriggerSource)
    environment = EnvironmentField()
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "filing_sync_runs"
        indexes = [
            index("idx_filing_sync_runs_environment", "environment"),
            index("idx_filing_sync_runs_started_at", "started_at"),
            index("idx_filing_sync_runs_status", "status"),
            index("idx_filing_sync_runs_trigger", "trigger_source"),
        ]


@record
class FilingSyncRun(Record):
    """A run that fetches filings. Its date range is in days, each as its first moment in UTC."""

    id: UUID = field(default_factory=new_id)
    started_at: datetime = field(default_factory=utc_now)
    completed_at: datetime | None = None
    symbols_requested: list[str]
    filing_types: list[str]
    date_range_start: datetime | None = None
    date_range_end: datetime | None = None
    symbols_total: int = 0
    symbols_processed: int = 0
    filings_fetched: int = 0
    filings_ingested: int = 0
    chunks_created: int = 0
    status: SyncRunStatus = SyncRunStatus.RUNNING
    error_message: str | None = None
    trigger_source: SyncTriggerSource
    environment: Environment
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class FilingSyncRunFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `started_at`. An empty list matches nothing."""

    status: SyncRunStatus | str | Sequence[SyncRunStatus | str] | None
    trigger_source: SyncTriggerSource | str | Sequence[SyncTriggerSource | str] | None
    environment: Environment | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class FilingSyncRunChanges(TypedDict, total=False):
    """What `update` can change. How a run goes, the methods for that say."""

    symbols_total: int


_MOVES: Final = StateMachine(
    {
        SyncRunStatus.RUNNING: [SyncRunStatus.COMPLETED, SyncRunStatus.FAILED],
        SyncRunStatus.COMPLETED: [],
        SyncRunStatus.FAILED: [],
    }
)
_PROGRESS: Final = ("symbols_processed", "filings_fetched", "filings_ingested", "chunks_created")


def _increment() -> peewee.Node:
    columns: Any = columns_of(FilingSyncRunRow)
    sums = {columns[name]: fn.COALESCE(columns[name], 0) + Param(name, columns[name]) for name in _PROGRESS}
    return (
        FilingSyncRunRow.update({**sums, FilingSyncRunRow.updated_at: Param("now", FilingSyncRunRow.updated_at)})
        .where(
            FilingSyncRunRow.id == Param("id", FilingSyncRunRow.id),
            FilingSyncRunRow.status == SyncRunStatus.RUNNING,
            FilingSyncRunRow.environment.in_(
                [Param("environment", FilingSyncRunRow.environment), Param("other", FilingSyncRunRow.environment)]
            ),
        )
        .returning(*columns.values())
    )


_INCREMENT: Final = Statement(_increment)


class FilingSyncRunsRepository(Repository[FilingSyncRun, FilingSyncRunFilters, FilingSyncRunChanges]):
    """The runs, the newest first. Only a running one changes; that is decided inside the UPDATE."""

    row = FilingSyncRunRow
    default_order = ("-started_at",)
    filter_rules = {"from_date": since("started_at"), "to_date": until("started_at")}

    @transactional
    def start(
        self,
        symbols_requested: Sequence[str],
        filing_types: Sequence[str],
        symbols_total: int,
        trigger_source: SyncTriggerSource | str,
        environment: Environment | str | None = None,
        date_range_start: date | datetime | None = None,
        date_range_end: date | datetime | None = None,
        *,
        exclusive: bool = False,
    ) -> FilingSyncRun:
        """Stores a run that starts now. Raises DuplicateKeyError if it is to be the only one and another one runs."""
        one = self.one_environment_of(environment)
        if exclusive:
            self.database.advisory_lock(f"filing_sync_runs {one}")
            if running := self.find_running(one):
                raise DuplicateKeyError(
                    f"filing_sync_runs: run {running.id} of {one} is running", table="filing_sync_runs"
                )
        now = utc_now()
        return self.create(
            FilingSyncRun(
                started_at=now,
                symbols_requested=list(symbols_requested),
                filing_types=list(filing_types),
                date_range_start=first_moment(date_range_start),
                date_range_end=first_moment(date_range_end),
                symbols_total=symbols_total,
                trigger_source=SyncTriggerSource(FilingSyncRunRow.trigger_source.encode(trigger_source)),
                environment=one,
                created_at=now,
                updated_at=now,
            )
        )

    def update_progress(
        self,
        id: Key,
        *,
        symbols_processed: int | Unset = UNSET,
        filings_fetched: int | Unset = UNSET,
        filings_ingested: int | Unset = UNSET,
        chunks_created: int | Unset = UNSET,
    ) -> FilingSyncRun:
        """Sets counters of a running run, and in any case `updated_at`. Returns the run.

        Raises NotFoundError, and ConstraintViolationError for a run that is over.
        """
        given = (symbols_processed, filings_fetched, filings_ingested, chunks_created)
        counters = {name: value for name, value in zip(_PROGRESS, given, strict=True) if value is not UNSET}
        running = query().equals("status", SyncRunStatus.RUNNING)
        updated = self._update_one(id, {"updated_at": utc_now(), **counters}, running)
        return updated or self._raise_not_running(id)

    def increment_progress(
        self,
        id: Key,
        *,
        symbols_processed: int = 0,
        filings_fetched: int = 0,
        filings_ingested: int = 0,
        chunks_created: int = 0,
    ) -> FilingSyncRun:
        """Adds to counters of a running run, in the database, so that several workers can. Returns the run.

        Raises NotFoundError, and ConstraintViolationError for a run that is over.
        """
        added = (symbols_processed, filings_fetched, filings_ingested, chunks_created)
        own = self.environment_of(None)
        values: dict[str, Any] = {
            **dict(zip(_PROGRESS, added, strict=True)),
            "now": utc_now(),
            "environment": own or Environment.PAPER,
            "other": own or Environment.LIVE,
        }
        return self._fetch_one(id, _INCREMENT, values) or self._raise_not_running(id)

    def complete(self, id: Key, filings_ingested: int, chunks_created: int) -> FilingSyncRun:
        """Ends a running run. One that is complete already stays as it is.

        Raises NotFoundError, and ConstraintViolationError for a failed run.
        """
        counters = {"filings_ingested": filings_ingested, "chunks_created": chunks_created}
        return self._move(id, _MOVES, SyncRunStatus.COMPLETED, {**counters, "completed_at": utc_now()})

    def fail(self, id: Key, error_message: str) -> FilingSyncRun:
        """Gives up a running run. One that failed already stays as it is.

        Raises NotFoundError, and ConstraintViolationError for a complete run.
        """
        return self._move(id, _MOVES, SyncRunStatus.FAILED, {"error_message": error_message, "completed_at": utc_now()})

    def fail_stale(self, older_than: date | datetime, environment: Environment | str | None = None) -> int:
        """Gives up the running runs that started before a moment, and returns how many they were."""
        if older_than is None:
            raise InvalidDataError("fail_stale needs a moment: without one it would fail every run")
        stale = self._filtered({"environment": environment, "status": SyncRunStatus.RUNNING})
        changes = {"status": SyncRunStatus.FAILED, "error_message": "Stale run", "completed_at": utc_now()}
        return self._update_all(stale.below("started_at", older_than), changes)

    def find_recent(self, limit: int = 10, environment: Environment | str | None = None) -> list[FilingSyncRun]:
        """The newest runs of any status."""
        return self.find_all({"environment": environment}, limit=limit)

    def find_running(self, environment: Environment | str | None = None) -> FilingSyncRun | None:
        """The running run that started last, or None."""
        return self.first({"environment": environment, "status": SyncRunStatus.RUNNING})

    def get_last_successful(self, environment: Environment | str | None = None) -> FilingSyncRun | None:
        """The run that was completed last, or None."""
        return self.first({"environment": environment, "status": SyncRunStatus.COMPLETED}, order_by="-completed_at")

    def _raise_not_running(self, id: Key) -> Any:
        run = self.find_by_id_or_raise(id)
        self._guard_environment(run.environment)
        raise ConstraintViolationError(
            f"filing_sync_runs {id}: the run is {run.status}; only a running one makes progress",
            table="filing_sync_runs",
            columns=("status",),
        )
