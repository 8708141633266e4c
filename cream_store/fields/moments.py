"""Moments in time, and days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from peewee import SQL

from cream_store.clock import utc_now
from cream_store.fields.column import ByKind, Column, Decoder
from cream_store.url import Kind

_FIRST_MOMENT: Final = datetime.min.replace(tzinfo=UTC)
_NOW = ByKind("DEFAULT now()", "DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))")


class TimestampField(Column):
    """A moment: timezone-aware, stored and returned in UTC with microseconds.

    SQLite holds it as text of fixed width, so that the order of text is the order of time.
    """

    field_type = "TIMESTAMPTZ"
    python_type = datetime

    def __init__(self, *, default_now: bool = False, **options: Any) -> None:
        self.default_now = default_now
        super().__init__(constraints=[_NOW] if default_now else None, **options)

    def sample(self, number: int) -> datetime:
        return utc_now() + timedelta(microseconds=number)

    def ddl_datatype(self, context: Any) -> SQL:
        return ByKind("TIMESTAMPTZ", "TEXT")

    def encode(self, value: Any) -> str:
        if not isinstance(value, datetime):
            self.refuse(f"needs a datetime, got {type(value).__name__}")
        if value.tzinfo is UTC:
            return moment_text(value)
        if value.utcoffset() is None:
            self.refuse("needs a timezone-aware datetime, got a naive one; add tzinfo=UTC if it is UTC")
        try:
            return moment_text(value.astimezone(UTC))
        except OverflowError:
            self.refuse(f"{value} is outside the years 1 to 9999")

    def _decoder(self, kind: Kind) -> Decoder | None:
        return datetime.fromisoformat if kind == "sqlite" else None


def moment_text(utc: datetime) -> str:
    """A moment of time zone UTC as text: `2025-01-31T14:30:00.000000Z`."""
    # What `isoformat` makes of it, in half the time: it asks the time zone for its offset.
    passed = utc - _FIRST_MOMENT
    return f"{_DAYS[passed.days]}T{_CLOCK[passed.seconds]}.{passed.microseconds:06}Z"


class _Days(dict[int, str]):
    """Days, by how many there were before them, as text."""

    def __missing__(self, number: int) -> str:
        text = self[number] = date.fromordinal(number + 1).isoformat()
        return text


class _Clock(dict[int, str]):
    """Times of day, by the seconds before them, as text."""

    def __missing__(self, seconds: int) -> str:
        text = self[seconds] = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return text


_DAYS, _CLOCK = _Days(), _Clock()


class _DayOrMomentField(TimestampField):
    """A moment, for which a `date` stands as its first one in UTC."""

    def encode(self, value: Any) -> str:
        is_date = isinstance(value, date) and not isinstance(value, datetime)
        return super().encode(datetime.combine(value, time.min, UTC) if is_date else value)


class DayField(_DayOrMomentField):
    """A calendar day: stored and returned as its first moment in UTC. A `date` is accepted.

    Another time of day is refused: a key would hold it for another day.
    """

    def sample(self, number: int) -> datetime:
        return datetime.combine(utc_now(), time.min, UTC) - timedelta(days=number)

    def encode(self, value: Any) -> str:
        moment = super().encode(value)
        if not moment.endswith("T00:00:00.000000Z"):
            self.refuse(f"needs a day, or its first moment in UTC; got {value}")
        return moment

    @property
    def compared(self) -> Column:
        bound = _DayOrMomentField()
        bound.model, bound.column_name = self.model, self.column_name
        return bound


class TimestampTextField(TimestampField):
    """A moment in a text column: ISO 8601 in UTC with microseconds and a Z, so that text sorts by time.

    What other programs wrote with another offset or precision reads as the moment it means.
    """

    field_type = "TEXT"

    def ddl_datatype(self, context: Any) -> SQL:
        return SQL("TEXT")

    def _decoder(self, kind: Kind) -> Decoder | None:
        return _moment_in_text


def _moment_in_text(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset from UTC")
    return moment.astimezone(UTC)
