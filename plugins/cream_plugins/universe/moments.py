"""Points in time as callers give them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from cream_store import InvalidDataError, first_moment


def moment_of(as_of: date | datetime) -> datetime:
    """The moment as of which something is asked; a `date` means its first one in UTC, so nothing of that day is seen.

    Raises InvalidDataError for anything else: None would mean no limit.
    """
    moment = first_moment(as_of)
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise InvalidDataError(f"as of when? needs a date or a timezone-aware datetime, got {as_of!r}")
    return moment.astimezone(UTC)


def end_of(end: date | datetime) -> datetime:
    """The last moment of a range; a `date` includes its whole day in UTC."""
    is_day = isinstance(end, date) and not isinstance(end, datetime)
    return moment_of(datetime.combine(end, time.max, UTC) if is_day else end)
