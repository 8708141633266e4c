"""Morning newspapers: what the macro watch noticed, compiled for a day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, TypedDict
from uuid import UUID

from cream_plugins.external.columns import DateTextField, SectionsField
from cream_store import (
    ConstraintViolationError,
    JSONField,
    Record,
    Repository,
    Row,
    TimestampField,
    UUIDv7Field,
    field,
    new_id,
    query,
    record,
    since,
    unique,
    until,
    utc_now,
)


class MorningNewspaperRow(Row):
    """Table `morning_newspapers`."""

    id = UUIDv7Field(primary_key=True)
    date = DateTextField()
    compiled_at = TimestampField()
    sections = SectionsField(dict)
    raw_entry_ids = JSONField(list)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "morning_newspapers"
        constraints = [unique("morning_newspapers_date_unique", "date")]


@record
class MorningNewspaper(Record):
    """The newspaper of a day. The properties read `sections`, whose keys other programs share."""

    id: UUID = field(default_factory=new_id)
    date: date
    compiled_at: datetime
    sections: dict[str, list[str]]  # macro, universe, predictionMarkets, economicCalendar; a missing one is empty
    raw_entry_ids: list[str] = field(default_factory=list)  # the macro watch entries that it was compiled from
    created_at: datetime = field(default_factory=utc_now)

    @property
    def macro(self) -> list[str]:
        """The section on the economy."""
        return self.sections.get("macro", [])

    @property
    def universe(self) -> list[str]:
        """The section on the instruments."""
        return self.sections.get("universe", [])

    @property
    def prediction_markets(self) -> list[str]:
        """The section on prediction markets."""
        return self.sections.get("predictionMarkets", [])

    @property
    def economic_calendar(self) -> list[str]:
        """The section on coming releases."""
        return self.sections.get("economicCalendar", [])


class MorningNewspaperFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `date`."""

    from_date: date | datetime | None
    to_date: date | datetime | None


class MorningNewspaperChanges(TypedDict, total=False):
    """What `update` can change. The day stays."""

    compiled_at: datetime
    sections: dict[str, list[str]]
    raw_entry_ids: list[str]


class MorningNewspapersRepository(Repository[MorningNewspaper, MorningNewspaperFilters, MorningNewspaperChanges]):
    """The newspapers, one a day, the latest first."""

    row = MorningNewspaperRow
    default_order = ("-date",)
    filter_rules = {"from_date": since("date"), "to_date": until("date")}
    conflict_target = ("date",)

    def replace_compiled(self, newspaper: MorningNewspaper, expected_compiled_at: datetime) -> MorningNewspaper:
        """Overwrites the day's newspaper if it was compiled at that moment; else raises ConstraintViolationError."""
        self._guard(newspaper)
        changes: dict[str, Any] = {
            name: getattr(newspaper, name) for name in ("compiled_at", "sections", "raw_entry_ids")
        }
        expected = query().exactly("date", newspaper.date).exactly("compiled_at", expected_compiled_at)
        replaced = self._update_where(expected, changes)
        if not replaced:
            raise ConstraintViolationError(
                f"morning_newspapers: that of {newspaper.date} was not compiled at {expected_compiled_at}",
                table="morning_newspapers",
                columns=("compiled_at",),
            )
        return replaced[0]
