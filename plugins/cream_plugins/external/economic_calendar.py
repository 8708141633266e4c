"""The economic calendar: releases of figures, expected and published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import ClassVar, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

from peewee import SQL, fn

from cream_plugins.external.columns import CLOCK_TIME, ClockTimeField, DateTextField
from cream_plugins.external.retention import hours_before
from cream_store import (
    ChoiceField,
    Given,
    IntegerField,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    Written,
    field,
    index,
    new_id,
    query,
    record,
    since,
    until,
    utc_now,
)
from cream_store.aggregates import Extreme


class ReleaseImpact(StrEnum):
    """How much a release may move the market."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class EconomicCalendarRow(Row):
    """Table `economic_calendar_cache`."""

    id = UUIDv7Field(primary_key=True)
    release_id = IntegerField()
    release_name = TextField()
    release_date = DateTextField()
    release_time = ClockTimeField()
    impact = ChoiceField(ReleaseImpact)
    country = TextField(server_default="US")
    actual = TextField(null=True)
    previous = TextField(null=True)
    forecast = TextField(null=True)
    unit = TextField(null=True)
    fetched_at = TimestampField()
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "economic_calendar_cache"
        indexes = [
            index("idx_econ_cal_fetched_at", "fetched_at"),
            index("idx_econ_cal_impact", "impact"),
            index("idx_econ_cal_release_date", "release_date"),
            index("idx_econ_cal_release_id", "release_id"),
            index("idx_econ_cal_release_date_unique", "release_id", "release_date", unique=True),
        ]


@record
class EconomicCalendarEvent(Record):
    """A release. Day and time are those of New York for the country US, else UTC."""

    id: UUID = field(default_factory=new_id)
    release_id: int
    release_name: str
    release_date: date
    release_time: str  # HH:MM; other texts only when another program stored them
    impact: ReleaseImpact | str  # plain text only when another program stored an undeclared value
    country: str = "US"
    actual: str | None = None
    previous: str | None = None
    forecast: str | None = None
    unit: str | None = None
    fetched_at: datetime = field(default_factory=utc_now)
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether the release is due from start to end, both included; its whole day counts if its time is unknown."""
        zone = ZoneInfo("America/New_York") if self.country == "US" else UTC
        if CLOCK_TIME.fullmatch(self.release_time):
            due = datetime.combine(self.release_date, time.fromisoformat(self.release_time), zone)
            return start <= due <= end
        midnight = datetime.combine(self.release_date, time.min, zone)
        return midnight <= end and start < midnight + timedelta(days=1)


class EconomicCalendarFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `release_date`. An empty list matches nothing."""

    release_id: int | Sequence[int] | None
    impact: ReleaseImpact | str | Sequence[ReleaseImpact | str] | None
    country: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class EconomicCalendarChanges(TypedDict, total=False):
    """What `update` can change."""

    release_name: str
    release_time: str
    impact: ReleaseImpact
    country: str
    actual: str | None
    previous: str | None
    forecast: str | None
    unit: str | None
    fetched_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EconomicCalendarStats:
    """How many releases are stored, and of when; None when there is none."""

    total_events: int
    oldest_event: date | None
    newest_event: date | None
    last_fetched_at: datetime | None
    high_impact_count: int
    medium_impact_count: int
    low_impact_count: int


class EconomicCalendarRepository(Repository[EconomicCalendarEvent, EconomicCalendarFilters, EconomicCalendarChanges]):
    """The calendar, in the order of release days and times; each release has one row a day.

    It holds the latest revision of each figure, not what was known at a time: it is no source for backtests. An upsert
    never replaces a known `actual`, `previous`, `forecast` or `unit` by nothing; `upsert_events` can.
    """

    row = EconomicCalendarRow
    default_order = ("release_date", "release_time")
    default_limit = 100
    filter_rules = {"from_date": since("release_date"), "to_date": until("release_date")}
    conflict_target = ("release_id", "release_date")
    stamped_on_upsert = ("updated_at",)
    filled_on_conflict: ClassVar[tuple[str, ...]] = ("actual", "previous", "forecast", "unit")

    def get_events(
        self,
        start_date: date | str,
        end_date: date | str,
        impact: Sequence[ReleaseImpact | str] | None = None,
        country: str | None = None,
        limit: int | None = None,
    ) -> list[EconomicCalendarEvent]:
        """The releases of the days from start to end, both included: every one, unless there is a limit.

        Of no impact, there are none.
        """
        within = query().at_least("release_date", start_date).at_most("release_date", end_date)
        return self.find(within.one_of("impact", impact).equals("country", country).limit(limit))

    def upsert_events(self, events: Given[EconomicCalendarEvent], *, overwrite_nulls: bool = False) -> Written:
        """Stores all releases or none, over those with the same id and day; of several such, the last wins.

        What the new one does not know of `actual`, `previous`, `forecast` and `unit` stays, unless `overwrite_nulls`.
        Returns how many were given.
        """
        repository = _OverwritingRepository(self._database) if overwrite_nulls else self
        return repository.upsert_many(events)

    def get_last_fetch_time(
        self, start_date: date | str | None = None, end_date: date | str | None = None
    ) -> datetime | None:
        """When releases, perhaps only of some days, were last fetched; None when there are none."""
        within = query().at_least("release_date", start_date).at_most("release_date", end_date)
        [(newest,)] = self._aggregate("last fetch", within, [Extreme("MAX", EconomicCalendarRow.fetched_at)])
        moment: datetime | None = newest
        return moment

    def is_cache_stale(
        self, max_age_hours: float, start_date: date | str | None = None, end_date: date | str | None = None
    ) -> bool:
        """Whether the last fetch, perhaps of releases of some days, is more than so many hours ago. True for none."""
        newest = self.get_last_fetch_time(start_date, end_date)
        return newest is None or newest < hours_before(utc_now(), max_age_hours, "max_age_hours")

    def clear_old_events(self, before_date: date | str) -> int:
        """Deletes the releases of the days before one, in batches, and returns how many they were."""
        day = date.fromisoformat(EconomicCalendarRow.release_date.encode(before_date))
        return self._delete_older_than("release_date", day, query())

    def get_upcoming_high_impact_events(self, hours_ahead: float = 24) -> list[EconomicCalendarEvent]:
        """The releases of high impact that are due from now on, within so many hours.

        A release without a readable time is due all day.
        """
        now = utc_now()
        end = now + (now - hours_before(now, hours_ahead, "hours_ahead"))
        day = timedelta(days=1)  # a release's day is not always that of UTC
        around = query().at_least("release_date", (now - day).date()).at_most("release_date", (end + day).date())
        high = self.find(around.equals("impact", ReleaseImpact.HIGH))
        return [event for event in high if event.overlaps(now, end)]

    def get_stats(self) -> EconomicCalendarStats:
        """How many releases are stored, and of when."""
        row = EconomicCalendarRow
        [(total, oldest, newest, fetched, high, medium, low)] = self._aggregate(
            "stats",
            query(),
            [
                fn.COUNT(SQL("*")),
                Extreme("MIN", row.release_date),
                Extreme("MAX", row.release_date),
                Extreme("MAX", row.fetched_at),
                *(fn.COUNT(SQL("*")).filter(row.impact == impact) for impact in ReleaseImpact),
            ],
        )
        return EconomicCalendarStats(
            total_events=total,
            oldest_event=oldest,
            newest_event=newest,
            last_fetched_at=fetched,
            high_impact_count=high,
            medium_impact_count=medium,
            low_impact_count=low,
        )


class _OverwritingRepository(EconomicCalendarRepository):
    """The calendar, for upserts that may replace what is known by nothing."""

    row = EconomicCalendarRow
    filled_on_conflict = ()
