"""The one clock of the application: UTC, microseconds, replaceable in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


def _system_time() -> datetime:
    return datetime.now(UTC)


_clock: Callable[[], datetime] = _system_time


def utc_now() -> datetime:
    """The current time, timezone-aware UTC with microseconds."""
    return _clock()


@contextmanager
def clock_set_to(time: datetime | Callable[[], datetime]) -> Iterator[None]:
    """Replaces the clock, for every thread, until the block ends: by a fixed time or by a function that tells it."""
    global _clock  # noqa: PLW0603  # one clock for the process is the point
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError("the clock needs a timezone-aware time")
        fixed = time.astimezone(UTC)
        replacement: Callable[[], datetime] = lambda: fixed  # noqa: E731
    else:
        replacement = time
    previous, _clock = _clock, replacement
    try:
        yield
    finally:
        _clock = previous
