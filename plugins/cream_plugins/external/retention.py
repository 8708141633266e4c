"""How long data is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from cream_store import InvalidDataError, utc_now


def days_ago(days: int, name: str = "retention_days") -> datetime:
    """The moment that many times 24 hours ago. Raises InvalidDataError unless it is a whole number from 1."""
    if not isinstance(days, int) or isinstance(days, bool) or days < 1:
        raise InvalidDataError(f"{name} is a whole number from 1, got {days!r}")
    return _before(utc_now(), timedelta(days=min(days, timedelta.max.days)))


def hours_before(moment: datetime, hours: float, name: str = "hours") -> datetime:
    """The moment that many hours earlier. Raises InvalidDataError unless it is a number above 0."""
    if not isinstance(hours, int | float) or isinstance(hours, bool) or not hours > 0:
        raise InvalidDataError(f"{name} is a number above 0, got {hours!r}")
    return _before(moment, timedelta(hours=min(hours, timedelta.max.days)))


def _before(moment: datetime, span: timedelta) -> datetime:
    earliest = datetime.min.replace(tzinfo=moment.tzinfo)
    return moment - span if moment - earliest >= span else earliest
