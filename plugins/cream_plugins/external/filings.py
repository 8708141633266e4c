"""Filings: what companies file with the SEC, and how far their text has been taken in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_plugins.external.columns import CounterField
from cream_store import (
    ConstraintViolationError,
    DayField,
    EnumField,
    Param,
    Record,
    Repository,
    Row,
    Statement,
    SymbolField,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    unique,
    until,
    utc_now,
)
from cream_store.aggregates import Extreme
from cream_store.queries import checked_limit
from cream_store.repository import Key
from cream_store.statement import for_update


class FilingType(StrEnum):
    """The form."""

    ANNUAL_REPORT = "10-K"
    QUARTERLY_REPORT = "10-Q"
    CURRENT_REPORT = "8-K"
    PROXY_STATEMENT = "DEF14A"


class FilingStatus(StrEnum):
    """How far a filing has been taken in."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETE = "complete"
    FAILED = "failed"


class FilingRow(Row):
    """Table `filings`."""

    id = UUIDv7Field(primary_key=True)
    accession_number = TextField()
    symbol = SymbolField()
    filing_type = EnumField(FilingType)
    filed_date = DayField()
    report_date = DayField(null=True)
    company_name = TextField(null=True)
    cik = TextField(null=True)
    section_count = CounterField()
    chunk_count = CounterField()
    status = EnumField(FilingStatus, server_default="pending")
    error_message = TextField(null=True)
    ingested_at = TimestampField()
    completed_at = TimestampField(null=True)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "filings"
        constraints = [unique("filings_accession_number_unique", "accession_number")]
        indexes = [
            index("idx_filings_filed_date", "filed_date"),
            index("idx_filings_filing_type", "filing_type"),
            index("idx_filings_status", "status"),
            index("idx_filings_symbol_date", "symbol", "filed_date"),
            index("idx_filings_symbol_type", "symbol", "filing_type"),
        ]


@record
class Filing(Record):
    """A filing. A new one is pending."""

    id: UUID = field(default_factory=new_id)
    accession_number: str  # the SEC's number of the filing
    symbol: str
    filing_type: FilingType
    filed_date: datetime  # a day, as its first moment in UTC; a `date` will do
    report_date: datetime | None = None  # the end of the period reported on, likewise
    company_name: str | None = None
    cik: str | None = None  # the SEC's number of the company
    section_count: int = 0
    chunk_count: int = 0
    status: FilingStatus = FilingStatus.PENDING
    error_message: str | None = None
    ingested_at: datetime
    completed_at: datetime | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class FilingFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `filed_date`. An empty list matches nothing."""

    symbol: str | Sequence[str] | None
    filing_type: FilingType | str | Sequence[FilingType | str] | None
    status: FilingStatus | str | Sequence[FilingStatus | str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class FilingChanges(TypedDict, total=False):
    """What `update` can change. How far a filing has been taken in, the mark methods say."""

    filed_date: date | datetime
    report_date: date | datetime | None
    company_name: str | None
    cik: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFilingStats:
    """A symbol's complete filings; every type is listed."""

    total: int
    by_type: Mapping[FilingType, int]
    last_ingested: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilingStats:
    """All complete filings; every type is listed."""

    total: int
    total_chunks: int
    by_type: Mapping[FilingType, int]


_HOLD_PENDING: Final = Statement(
    lambda: for_update(
        FilingRow.select(FilingRow.id)
        .where(FilingRow.status == FilingStatus.PENDING)
        .order_by(FilingRow.created_at, FilingRow.id)
        .limit(Param("limit")),
        skip_locked=True,
    )
)


class FilingsRepository(Repository[Filing, FilingFilters, FilingChanges]):
    """The filings, the latest filed first.

    Which status may follow which is decided inside the UPDATE. A filing that is made after the close is known to a
    strategy only in the next session, although it was filed that day.
    """

    row = FilingRow
    default_order = ("-filed_date",)
    default_limit = 50
    filter_rules = {"from_date": since("filed_date"), "to_date": until("filed_date")}
    conflict_target = ("accession_number",)

    @transactional
    def create_if_absent(self, filing: Filing) -> tuple[Filing, bool]:
        """Stores a filing unless its accession number is known. The stored one, and whether it is new."""
        while True:
            known = self.find_by_accession_number(filing.accession_number)
            if known is not None:
                return known, False
            if created := self._insert_if_absent(filing):
                return created, True
            # Somebody else has just stored it.

    def find_by_accession_number(self, accession_number: str) -> Filing | None:
        """The filing with that number, or None."""
        return self._first(query().exactly("accession_number", accession_number))

    def exists_by_accession_number(self, accession_number: str) -> bool:
        """Whether the filing with that number is stored."""
        return self.find_by_accession_number(accession_number) is not None

    def find_by_symbol(self, symbol: str, limit: int = 50, as_of: date | datetime | None = None) -> list[Filing]:
        """A symbol's latest filings of any status; `as_of`: of those filed up to then."""
        return self.find(query().exactly("symbol", symbol).as_of("filed_date", as_of).limit(limit))

    def find_recent(
        self,
        symbol: str,
        filing_type: FilingType | str | None = None,
        limit: int = 10,
        as_of: date | datetime | None = None,
    ) -> list[Filing]:
        """A symbol's latest complete filings, perhaps of one type; `as_of`: of those filed up to then."""
        complete = query().exactly("symbol", symbol).equals("status", FilingStatus.COMPLETE)
        return self.find(complete.equals("filing_type", filing_type).as_of("filed_date", as_of).limit(limit))

    def mark_processing(self, id: Key, *, force: bool = False) -> Filing:
        """Begins to take a filing in that is pending or failed, or with `force` one that is complete.

        Raises NotFoundError, and ConstraintViolationError otherwise: somebody else has it.
        """
        among = [FilingStatus.PENDING, FilingStatus.FAILED, *([FilingStatus.COMPLETE] if force else [])]
        return self._mark(id, _PROCESSING, among)

    def mark_complete(self, id: Key, section_count: int, chunk_count: int) -> Filing:
        """Ends taking in a filing that is pending or processing.

        Raises NotFoundError, and ConstraintViolationError for another status.
        """
        changes = {
            "status": FilingStatus.COMPLETE,
            "section_count": section_count,
            "chunk_count": chunk_count,
            "error_message": None,
            "completed_at": utc_now(),
        }
        return self._mark(id, changes, _UNFINISHED)

    def mark_failed(self, id: Key, error_message: str) -> Filing:
        """Gives up a filing that is pending or processing.

        Raises NotFoundError, and ConstraintViolationError for another status.
        """
        return self._mark(id, {"status": FilingStatus.FAILED, "error_message": error_message}, _UNFINISHED)

    @transactional
    def claim_next(self, limit: int = 1) -> list[Filing]:
        """Begins to take in the pending filings that were stored first, and returns them, at most `limit`.

        Several workers may claim at once: nobody waits, and nobody gets what another one has.
        """
        held = _HOLD_PENDING.fetch_all(self.database, {"limit": checked_limit(limit)})
        pending = query().one_of("id", [id for (id,) in held]).equals("status", FilingStatus.PENDING)
        return sorted(self._update_where(pending, _PROCESSING), key=lambda filing: (filing.created_at, filing.id))

    def get_stats_by_symbol(self, symbol: str) -> SymbolFilingStats:
        """What is complete of a symbol."""
        groups = self._aggregate(
            "by symbol",
            query().exactly("symbol", symbol).equals("status", FilingStatus.COMPLETE),
            [fn.COUNT(SQL("*")), Extreme("MAX", FilingRow.ingested_at)],
            group_by=[FilingRow.filing_type],
        )
        by_type = dict.fromkeys(FilingType, 0) | {filing_type: count for filing_type, count, _ in groups}
        return SymbolFilingStats(
            total=sum(by_type.values()),
            by_type=by_type,
            last_ingested=max((ingested_at for *_, ingested_at in groups), default=None),
        )

    def get_overall_stats(self) -> FilingStats:
        """What is complete."""
        groups = self._aggregate(
            "overall",
            query().equals("status", FilingStatus.COMPLETE),
            [fn.COUNT(SQL("*")), fn.COALESCE(fn.SUM(FilingRow.chunk_count), 0)],
            group_by=[FilingRow.filing_type],
        )
        by_type = dict.fromkeys(FilingType, 0) | {filing_type: count for filing_type, count, _ in groups}
        total_chunks = sum(int(chunks) for *_, chunks in groups)
        return FilingStats(total=sum(by_type.values()), total_chunks=total_chunks, by_type=by_type)

    def find_by_created_at_range(self, start: date | datetime, end: date | datetime, limit: int = 100) -> list[Filing]:
        """The latest filings that were stored from start to end, both included."""
        return self.find(query().at_least("created_at", start).at_most("created_at", end).limit(limit))

    def _mark(self, id: Key, changes: Mapping[str, Any], among: Iterable[FilingStatus]) -> Filing:
        marked = self._update_one(id, changes, query().one_of("status", among))
        if marked is not None:
            return marked
        status = self.find_by_id_or_raise(id).status
        raise ConstraintViolationError(
            f"filings {id}: status {status} can't become {changes['status']}", table="filings", columns=("status",)
        )


_PROCESSING: Final = {"status": FilingStatus.PROCESSING, "error_message": None, "completed_at": None}
_UNFINISHED: Final = (FilingStatus.PENDING, FilingStatus.PROCESSING)
