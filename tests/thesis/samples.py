"""Theses for tests, in any state, and a way to write what only other programs write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from cream_plugins.thesis import CloseReason, Thesis, ThesisState, ThesisStateRepository
from cream_store import Environment, Store, clock_set_to

PAPER, LIVE = Environment.PAPER, Environment.LIVE
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENTRY, STOP, TARGET = Decimal(100), Decimal(95), Decimal(120)


def hours(number: float) -> datetime:
    """So many hours after noon."""
    return NOON + timedelta(hours=number)


def a_thesis(**values: Any) -> Thesis:
    """A new thesis on NVDA, from noon."""
    usual: dict[str, Any] = {
        "instrument_id": "NVDA",
        "environment": PAPER,
        "created_at": NOON,
        "last_updated": NOON,
    }
    return Thesis(**usual | values)


def stored(theses: ThesisStateRepository, state: ThesisState = ThesisState.WATCHING, **values: Any) -> Thesis:
    """A stored thesis that came to a state at noon, the shortest way; a closed one had a position."""
    with clock_set_to(NOON):
        thesis = theses.create(a_thesis(**values))
        if state is ThesisState.WATCHING:
            return thesis
        thesis = theses.enter_position(thesis.thesis_id, ENTRY, STOP)
        if state is ThesisState.ENTERED:
            return thesis
        if state is ThesisState.CLOSED:
            return theses.close(thesis.thesis_id, CloseReason.MANUAL, cooldown_hours=0)
        return theses.transition_state(thesis.thesis_id, state)


def write(store: Store, thesis_id: UUID, **columns: Any) -> None:
    """Writes columns as another program does that follows none of our rules."""
    names = ", ".join(f'"{name}" = {store.database.param}' for name in columns)
    store.database.change(
        f"UPDATE thesis_state SET {names} WHERE thesis_id = {store.database.param}",
        [*columns.values(), str(thesis_id)],
    )
