"""A thesis: its states and which of them may follow which, its table, its record."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from cream_plugins.thesis.columns import FlagField, JSONTextField
from cream_store import (
    ChoiceField,
    EnumField,
    Environment,
    EnvironmentField,
    IntegerField,
    NumericField,
    Record,
    Row,
    SymbolField,
    TextField,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    record,
    utc_now,
)
from cream_store.states import StateMachine


class ThesisState(StrEnum):
    """How far a thesis has come: watched, in a position that is entered, added to, managed or left, closed."""

    WATCHING = "WATCHING"
    ENTERED = "ENTERED"
    ADDING = "ADDING"
    MANAGING = "MANAGING"
    EXITING = "EXITING"
    CLOSED = "CLOSED"


class CloseReason(StrEnum):
    """Why a thesis was closed."""

    STOP_HIT = "STOP_HIT"
    TARGET_HIT = "TARGET_HIT"
    INVALIDATED = "INVALIDATED"
    MANUAL = "MANUAL"
    TIME_DECAY = "TIME_DECAY"
    CORRELATION = "CORRELATION"
    REBALANCE = "REBALANCE"


THESIS_STATES: Final = StateMachine(
    {
        ThesisState.WATCHING: [ThesisState.ENTERED, ThesisState.CLOSED],
        ThesisState.ENTERED: [ThesisState.ADDING, ThesisState.MANAGING, ThesisState.EXITING, ThesisState.CLOSED],
        ThesisState.ADDING: [ThesisState.MANAGING, ThesisState.EXITING, ThesisState.CLOSED],
        ThesisState.MANAGING: [ThesisState.ADDING, ThesisState.EXITING, ThesisState.CLOSED],
        ThesisState.EXITING: [ThesisState.MANAGING, ThesisState.CLOSED],
        ThesisState.CLOSED: [],
    },
    column="state",
)
"""The moves that are made: the result of a trade is never overwritten, so a closed thesis stays closed."""

OPEN_STATES: Final = tuple(state for state in ThesisState if state is not ThesisState.CLOSED)
POSITION_STATES: Final = tuple(state for state in OPEN_STATES if state is not ThesisState.WATCHING)
"""The states of a thesis that holds a position."""

_REOPENING: Final = (ThesisState.CLOSED, ThesisState.WATCHING)


def is_valid_transition(from_state: ThesisState | str, to_state: ThesisState | str) -> bool:
    """Whether the published table has the move. False for the same state, and for a state that does not exist.

    The table is shared with other programs. It has one move that this package never makes, CLOSED to WATCHING; see
    `THESIS_STATES`.
    """
    try:
        before, after = ThesisState(from_state), ThesisState(to_state)
    except ValueError:
        return False
    return THESIS_STATES.allows(before, after) or (before, after) == _REOPENING


class ThesisRow(Row):
    """Table `thesis_state`."""

    thesis_id = UUIDv7Field(primary_key=True)
    instrument_id = SymbolField()
    state = EnumField(ThesisState, type_name="thesis_state_value")
    entry_price = NumericField(12, 4, null=True)
    entry_date = TimestampField(null=True)
    current_stop = NumericField(12, 4, null=True)
    current_target = NumericField(12, 4, null=True)
    conviction = NumericField(4, 3, null=True)
    entry_thesis = TextField(null=True)
    invalidation_conditions = TextField(null=True)
    add_count = IntegerField(server_default=0)
    max_position_reached = FlagField(server_default=0)
    peak_unrealized_pnl = NumericField(14, 2, null=True)
    close_reason = ChoiceField(CloseReason, null=True)
    exit_price = NumericField(12, 4, null=True)
    realized_pnl = NumericField(14, 2, null=True)
    realized_pnl_pct = NumericField(8, 4, null=True)
    environment = EnvironmentField()
    notes = JSONTextField(dict, null=True)
    last_updated = TimestampField(default_now=True)
    created_at = TimestampField(default_now=True)
    closed_at = TimestampField(null=True)
    cooldown_until = TimestampField(null=True)

    class Meta:
        table_name = "thesis_state"
        constraints = [
            check("positive_entry_price", "entry_price IS NULL OR entry_price > 0"),
            check("positive_exit_price", "exit_price IS NULL OR exit_price > 0"),
            check("valid_conviction", "conviction IS NULL OR (conviction >= 0 AND conviction <= 1)"),
        ]
        indexes = [
            index("idx_thesis_state_active", "environment", "state", where="state <> 'CLOSED'"),
            index("idx_thesis_state_closed_at", "closed_at"),
            index("idx_thesis_state_created_at", "created_at"),
            index("idx_thesis_state_environment", "environment"),
            index("idx_thesis_state_instrument", "instrument_id"),
            index("idx_thesis_state_instrument_active", "instrument_id", "environment", where="state <> 'CLOSED'"),
            index("idx_thesis_state_state", "state"),
        ]


@record
class Thesis(Record):
    """Why to trade an instrument, and the trade itself. A new one is WATCHING: it has a plan, but no position.

    Prices and profits are in dollars, prices per unit.
    """

    thesis_id: UUID = field(default_factory=new_id)
    instrument_id: str
    state: ThesisState = ThesisState.WATCHING
    entry_price: Decimal | None = None  # > 0
    entry_date: datetime | None = None
    current_stop: Decimal | None = None
    current_target: Decimal | None = None
    conviction: Decimal | None = None  # 0..1
    entry_thesis: str | None = None
    invalidation_conditions: str | None = None
    add_count: int = 0  # how often the position was added to
    max_position_reached: bool = False
    peak_unrealized_pnl: Decimal | None = None
    close_reason: CloseReason | str | None = None  # text when another program wrote an unknown one
    exit_price: Decimal | None = None  # > 0
    realized_pnl: Decimal | None = None  # of the whole position
    realized_pnl_pct: Decimal | None = None  # of what the position cost
    environment: Environment
    notes: dict[str, Any] = field(default_factory=dict)
    last_updated: datetime = field(default_factory=utc_now)
    created_at: datetime = field(default_factory=utc_now)
    closed_at: datetime | None = None
    cooldown_until: datetime | None = None
