"""The history of theses: every change of a state, with what was known at that moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from cream_plugins.thesis.theses import ThesisRow, ThesisState
from cream_store import (
    EnumField,
    ForeignKey,
    NumericField,
    Record,
    Repository,
    Row,
    SerialField,
    TextField,
    TimestampField,
    UUIDField,
    check,
    field,
    index,
    query,
    record,
    since,
    until,
    utc_now,
)


class ThesisStateHistoryRow(Row):
    """Table `thesis_state_history`."""

    id = SerialField()
    thesis = ForeignKey(ThesisRow, on_delete="CASCADE")
    from_state = EnumField(ThesisState, type_name="thesis_state_value")
    to_state = EnumField(ThesisState, type_name="thesis_state_value")
    trigger_reason = TextField(null=True)
    cycle_id = UUIDField(null=True)
    price_at_transition = NumericField(12, 4, null=True)
    conviction_at_transition = NumericField(4, 3, null=True)
    notes = TextField(null=True)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "thesis_state_history"
        constraints = [
            check("positive_price", "price_at_transition IS NULL OR price_at_transition > 0"),
            check(
                "valid_conviction",
                "conviction_at_transition IS NULL OR (conviction_at_transition >= 0 AND conviction_at_transition <= 1)",
            ),
        ]
        indexes = [
            index("idx_thesis_history_created_at", "created_at"),
            index("idx_thesis_history_thesis_created", "thesis_id", "created_at"),
        ]


@record
class ThesisStateHistoryEntry(Record):
    """A change of a thesis's state."""

    id: int | None = None  # given by the database
    thesis_id: UUID
    from_state: ThesisState
    to_state: ThesisState
    trigger_reason: str | None = None
    cycle_id: UUID | None = None  # the cycle that decided it
    price_at_transition: Decimal | None = None  # > 0
    conviction_at_transition: Decimal | None = None  # 0..1
    notes: str | None = None
    created_at: datetime = field(default_factory=utc_now)


class ThesisStateHistoryFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `created_at`. An empty list matches nothing."""

    thesis_id: UUID | str | None
    from_state: ThesisState | str | Sequence[ThesisState | str] | None
    to_state: ThesisState | str | Sequence[ThesisState | str] | None
    cycle_id: UUID | str | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class ThesisStateHistoryChanges(TypedDict, total=False):
    """What `update` can change. What happened stays on record."""

    notes: str | None


class ThesisStateHistoryRepository(
    Repository[ThesisStateHistoryEntry, ThesisStateHistoryFilters, ThesisStateHistoryChanges]
):
    """The changes of all theses' states, in the order in which they happened.

    `ThesisStateRepository` writes them, each together with the change itself.
    """

    row = ThesisStateHistoryRow
    default_order = ("created_at",)
    default_limit = 50
    filter_rules = {"from_date": since("created_at"), "to_date": until("created_at")}

    def find_by_thesis(self, thesis_id: UUID | str, limit: int | None = None) -> list[ThesisStateHistoryEntry]:
        """The changes of a thesis's state, oldest first: every one, unless there is a limit."""
        return self.find(query().equals("thesis_id", thesis_id).limit(limit))
