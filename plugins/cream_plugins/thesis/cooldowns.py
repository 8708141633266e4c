"""Cooldowns: after a trade, its instrument is not entered again for a while."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from cream_plugins.thesis.theses import CloseReason
from cream_store import Environment, InvalidDataError, QueryBuilder, query

DEFAULT_COOLDOWN_HOURS: Final = 4
LONGEST_COOLDOWN_HOURS: Final = 24 * 366


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownStatus:
    """Whether an instrument is on cooldown, and the latest cooldown that it had, be it over; None if it had none."""

    on_cooldown: bool
    cooldown_until: datetime | None = None
    close_reason: CloseReason | str | None = None  # of the thesis that the cooldown follows
    hours_since_close: Decimal | None = None  # rounded to one decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolOnCooldown:
    """An instrument that is not to be entered yet, and the closing that its cooldown follows."""

    instrument_id: str
    cooldown_until: datetime
    close_reason: CloseReason | str | None
    closed_at: datetime | None


def cooldowns_in(environment: Environment) -> QueryBuilder:
    """The theses that a cooldown followed, be it over; the one whose cooldown ends last comes first."""
    cooldowns = query().equals("environment", environment).is_null("cooldown_until", False)
    return cooldowns.order_by("-cooldown_until")


def running_cooldowns_in(environment: Environment, now: datetime) -> QueryBuilder:
    """The theses whose cooldown is not over. At the moment of its end, it is."""
    return cooldowns_in(environment).above("cooldown_until", now)


def length_of_cooldown(hours: float | Decimal) -> timedelta:
    """So many hours, 0 to 8,784. Raises InvalidDataError otherwise."""
    number = float(hours)
    if not (math.isfinite(number) and 0 <= number <= LONGEST_COOLDOWN_HOURS):
        raise InvalidDataError(f"cooldown_hours is 0 to {LONGEST_COOLDOWN_HOURS:,}, got {hours}")
    return timedelta(hours=number)


def in_hours(elapsed: timedelta) -> Decimal:
    """A time in hours, rounded to one decimal."""
    hours = Decimal(elapsed // timedelta(microseconds=1)) / 3_600_000_000
    return hours.quantize(Decimal("0.1"), ROUND_HALF_EVEN)
