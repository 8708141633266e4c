"""The macro watch: what was noticed while the market was closed, and the newspapers that are compiled from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_plugins.external.columns import symbols_in
from cream_plugins.external.newspapers import MorningNewspaper, MorningNewspaperRow, MorningNewspapersRepository
from cream_plugins.external.retention import days_ago
from cream_store import (
    EnumField,
    Given,
    JSONField,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SymbolsField,
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
    until,
    utc_now,
)
from cream_store.aggregates import Extreme
from cream_store.repository import Key

_since, _until = since, until  # some methods have parameters of these names


class MacroWatchSession(StrEnum):
    """When something was noticed."""

    OVERNIGHT = "OVERNIGHT"
    PRE_MARKET = "PRE_MARKET"
    AFTER_HOURS = "AFTER_HOURS"


class MacroWatchCategory(StrEnum):
    """What was noticed."""

    NEWS = "NEWS"
    PREDICTION = "PREDICTION"
    ECONOMIC = "ECONOMIC"
    MOVER = "MOVER"
    EARNINGS = "EARNINGS"


class MacroWatchEntryRow(Row):
    """Table `macro_watch_entries`."""

    id = UUIDv7Field(primary_key=True)
    timestamp = TimestampField()
    session = EnumField(MacroWatchSession)
    category = EnumField(MacroWatchCategory)
    headline = TextField()
    symbols = SymbolsField()
    source = TextField()
    metadata = JSONField(dict, null=True, null_as=None)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "macro_watch_entries"
        indexes = [
            index("idx_macro_watch_category", "category"),
            index("idx_macro_watch_session", "session"),
            index("idx_macro_watch_timestamp", "timestamp"),
            index("idx_macro_watch_symbols", "symbols", using="gin"),
        ]


@record
class MacroWatchEntry(Record):
    """Something that was noticed."""

    id: UUID = field(default_factory=new_id)
    timestamp: datetime
    session: MacroWatchSession
    category: MacroWatchCategory
    headline: str
    symbols: list[str] = field(default_factory=list)
    source: str
    metadata: dict[str, Any] | None = None
    created_at: datetime = field(default_factory=utc_now)


class MacroWatchFilters(TypedDict, total=False):
    """What `find_entries` can be limited to; the times are about `timestamp`. `symbols`: any of them."""

    session: MacroWatchSession | str | Sequence[MacroWatchSession | str] | None
    category: MacroWatchCategory | str | Sequence[MacroWatchCategory | str] | None
    from_time: date | datetime | None
    to_time: date | datetime | None
    symbols: Sequence[str] | None


class MacroWatchChanges(TypedDict, total=False):
    """What `update` can change."""

    session: MacroWatchSession
    category: MacroWatchCategory
    headline: str
    symbols: list[str]
    metadata: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroWatchStats:
    """How much is stored, and since when; None when there is nothing."""

    entry_count: int
    newspaper_count: int
    oldest_entry: datetime | None
    newest_entry: datetime | None
    latest_newspaper_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedMacroWatch:
    """How many rows were deleted."""

    entries: int
    newspapers: int


def _about(builder: QueryBuilder, symbols: Sequence[str]) -> QueryBuilder:
    return builder.has("symbols", *symbols_in(MacroWatchEntryRow.symbols, symbols))


class MacroWatchRepository(Repository[MacroWatchEntry, MacroWatchFilters, MacroWatchChanges]):
    """The entries of the macro watch, the newest first, and the newspapers.

    What all repositories have, such as `find_many`, is about entries; `newspapers` has it too.
    """

    row = MacroWatchEntryRow
    default_order = ("-timestamp",)
    default_limit = 100
    filter_rules = {"from_time": _since("timestamp"), "to_time": _until("timestamp"), "symbols": _about}

    @property
    def newspapers(self) -> MorningNewspapersRepository:
        """The newspapers, on the same database."""
        return MorningNewspapersRepository(self._database)

    def save_entry(self, entry: MacroWatchEntry) -> MacroWatchEntry:
        """Stores an entry. Raises DuplicateKeyError when its id is taken."""
        return self.create(entry)

    def save_entries(self, entries: Given[MacroWatchEntry]) -> int:
        """Stores all entries or none, and returns how many they were."""
        return len(self.create_many(entries))

    def find_entry_by_id(self, id: Key) -> MacroWatchEntry | None:
        """The entry with that key, or None."""
        return self.find_by_id(id)

    def get_entries(
        self, start: date | datetime, end: date | datetime, limit: int | None = None
    ) -> list[MacroWatchEntry]:
        """The entries from start to end, both included, newest first: every one, unless there is a limit."""
        return self.find(query().at_least("timestamp", start).at_most("timestamp", end).limit(limit))

    def find_entries(self, filters: MacroWatchFilters | None = None, limit: int = 100) -> list[MacroWatchEntry]:
        """The newest entries that match all filters."""
        return self.find_all(filters, limit=limit)

    def get_entries_since_close(
        self, previous_close: datetime, until: datetime | None = None, limit: int | None = None
    ) -> list[MacroWatchEntry]:
        """The entries from a moment on, up to now or to another moment, oldest first."""
        within = query().at_least("timestamp", previous_close).at_most("timestamp", until or utc_now())
        return self.find(within.order_by("timestamp").limit(limit))

    def find_by_created_at_range(
        self, start: date | datetime, end: date | datetime, limit: int = 100
    ) -> list[MacroWatchEntry]:
        """The newest entries of those that were stored from start to end, both included."""
        return self.find(query().at_least("created_at", start).at_most("created_at", end).limit(limit))

    def count_by_category(self, since: date | datetime) -> dict[MacroWatchCategory, int]:
        """How many entries each category has from a moment on; every category is listed."""
        return self._count_by("category", within=query().at_least("timestamp", since))

    def save_newspaper(self, newspaper: MorningNewspaper) -> MorningNewspaper:
        """Stores a newspaper. Raises DuplicateKeyError when its day has one."""
        return self.newspapers.create(newspaper)

    def upsert_newspaper(
        self, newspaper: MorningNewspaper, expected_compiled_at: datetime | None = None
    ) -> MorningNewspaper:
        """Stores a newspaper, over that of the same day if there is one, whose id stays.

        `expected_compiled_at`: only over one that was compiled at that moment. Raises ConstraintViolationError when
        there is none such: somebody else has compiled it meanwhile.
        """
        if expected_compiled_at is None:
            return self.newspapers.upsert(newspaper)
        return self.newspapers.replace_compiled(newspaper, expected_compiled_at)

    def find_newspaper_by_id(self, id: Key) -> MorningNewspaper | None:
        """The newspaper with that key, or None."""
        return self.newspapers.find_by_id(id)

    def get_newspaper_by_date(self, date: date | str) -> MorningNewspaper | None:
        """The newspaper of a day, or None."""
        return self.newspapers._first(query().exactly("date", date))

    def get_newspapers(
        self, start_date: date | str, end_date: date | str, limit: int | None = None
    ) -> list[MorningNewspaper]:
        """The newspapers of the days from start to end, both included, latest first."""
        return self.newspapers.find(query().at_least("date", start_date).at_most("date", end_date).limit(limit))

    def get_latest_newspaper(self) -> MorningNewspaper | None:
        """The newspaper of the latest day, or None."""
        return self.newspapers.first()

    def get_newspaper_by_compiled_at_range(
        self, start: date | datetime, end: date | datetime
    ) -> MorningNewspaper | None:
        """The newspaper that was compiled last, from start to end, both included; or None."""
        within = query().at_least("compiled_at", start).at_most("compiled_at", end)
        return self.newspapers._first(within.order_by("-compiled_at"))

    @transactional
    def prune_old_data(self, retention_days: int) -> PrunedMacroWatch:
        """Deletes what is older than so many times 24 hours, at least 1: entries by when they were stored, newspapers
        by their day. Entries that a newspaper names which stays, stay too.
        """
        cutoff = days_ago(retention_days)
        newspapers = self.newspapers._delete_older_than("date", cutoff.date(), query())
        named = sorted({id for newspaper in self.newspapers.find(query()) for id in newspaper.raw_entry_ids})
        old = query().below("created_at", cutoff)
        kept: list[UUID] = []
        for start in range(0, len(named), _IDS_AT_ONCE):
            kept += [entry.id for entry in self.find(old.one_of("id", named[start : start + _IDS_AT_ONCE]))]
        return PrunedMacroWatch(entries=self._delete_in_batches(old.none_of("id", kept)), newspapers=newspapers)

    def get_stats(self) -> MacroWatchStats:
        """How much is stored, and since when."""
        [(entries, oldest, newest, newspapers, latest)] = self._aggregate(
            "stats",
            query(),
            [
                fn.COUNT(SQL("*")),
                Extreme("MIN", MacroWatchEntryRow.timestamp),
                Extreme("MAX", MacroWatchEntryRow.timestamp),
                MorningNewspaperRow.select(fn.COUNT(SQL("*"))),
                MorningNewspaperRow.select(fn.MAX(MorningNewspaperRow.date)),
            ],
        )
        return MacroWatchStats(
            entry_count=entries,
            newspaper_count=newspapers,
            oldest_entry=oldest,
            newest_entry=newest,
            latest_newspaper_date=latest and date.fromisoformat(latest),
        )


_IDS_AT_ONCE = 1_000
