"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import datetime, timedelta

from cream_store.clock import utc_now


class FrozenClock:
    """The time that `utc_now` tells, and so the times of all new records. The server's own `now()` goes on."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or utc_now()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> datetime:
        """Moves the clock on, or back, and returns the new time."""
        self.now += by
        return self.now
