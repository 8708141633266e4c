"""A thesis as those who decide about it see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from cream_plugins.thesis.profits import profit_per_unit
from cream_plugins.thesis.theses import Thesis, ThesisState
from cream_store import utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class ThesisContext:
    """Where a thesis stands."""

    instrument_id: str
    current_state: ThesisState
    entry_price: Decimal | None
    entry_date: datetime | None
    current_pnl: Decimal | None  # per unit of a long position
    stop_loss: Decimal | None
    take_profit: Decimal | None
    add_count: int
    max_position_reached: bool
    days_held: int  # whole days of 24 hours from entry until now, or until it was closed; 0 before


def context_of(thesis: Thesis, current_price: Decimal | None) -> ThesisContext:
    """Where a thesis stands, and at which profit if there is a price."""
    return ThesisContext(
        instrument_id=thesis.instrument_id,
        current_state=thesis.state,
        entry_price=thesis.entry_price,
        entry_date=thesis.entry_date,
        current_pnl=profit_per_unit(thesis.entry_price, current_price),
        stop_loss=thesis.current_stop,
        take_profit=thesis.current_target,
        add_count=thesis.add_count,
        max_position_reached=thesis.max_position_reached,
        days_held=_days_held(thesis),
    )


def _days_held(thesis: Thesis) -> int:
    if thesis.entry_date is None:
        return 0
    return max(0, ((thesis.closed_at or utc_now()) - thesis.entry_date).days)
