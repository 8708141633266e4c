"""Cycles of the OODA loop: observe, orient, decide, act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_store import (
    BooleanField,
    EnumField,
    Environment,
    EnvironmentField,
    IntegerField,
    InvalidDataError,
    JSONField,
    NumericField,
    Page,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    field,
    index,
    new_id,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)
from cream_store.aggregates import percentage, ratio
from cream_store.repository import Key
from cream_store.states import StateMachine


class CycleStatus(StrEnum):
    """How a cycle stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class CyclePhase(StrEnum):
    """What a cycle is doing."""

    OBSERVE = "observe"
    ORIENT = "orient"
    DECIDE = "decide"
    ACT = "act"
    COMPLETE = "complete"


CYCLE_STATES: Final = StateMachine(
    {
        CycleStatus.RUNNING: [CycleStatus.COMPLETED, CycleStatus.FAILED],
        CycleStatus.COMPLETED: [],
        CycleStatus.FAILED: [],
    }
)

ORPHANED_MESSAGE: Final = "Server restarted - cycle orphaned"


class CycleRow(Row):
    """Table `cycles`."""

    id = UUIDv7Field(primary_key=True)
    environment = EnvironmentField()
    status = EnumField(CycleStatus, server_default="running")
    started_at = TimestampField()
    completed_at = TimestampField(null=True)
    duration_ms = IntegerField(null=True)
    current_phase = EnumField(CyclePhase, null=True)
    phase_started_at = TimestampField(null=True)
    total_symbols = IntegerField(null=True, server_default=0, null_as=0)
    completed_symbols = IntegerField(null=True, server_default=0, null_as=0)
    progress_pct = NumericField(5, 2, null=True, server_default=0, null_as=Decimal(0))
    approved = BooleanField(null=True)
    iterations = IntegerField(null=True)
    decisions_count = IntegerField(null=True, server_default=0, null_as=0)
    orders_count = IntegerField(null=True, server_default=0, null_as=0)
    decisions = JSONField(list, null=True, column_name="decisions_json")
    orders = JSONField(list, null=True, column_name="orders_json")
    error_message = TextField(null=True)
    error_stack = TextField(null=True)
    config_version = TextField(null=True)
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "cycles"
        indexes = [
            index("idx_cycles_env_started", "environment", "started_at"),
            index("idx_cycles_env_status", "environment", "status"),
            index("idx_cycles_started_at", "started_at"),
            index("idx_cycles_status", "status"),
        ]


@record
class Cycle(Record):
    """One run of the OODA loop. A new one is running since now."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    status: CycleStatus = CycleStatus.RUNNING
    started_at: datetime = field(default_factory=utc_now)
    completed_at: datetime | None = None
    duration_ms: int | None = None
    current_phase: CyclePhase | None = None
    phase_started_at: datetime | None = None
    total_symbols: int = 0
    completed_symbols: int = 0
    progress_pct: Decimal = Decimal(0)  # 0..100
    approved: bool | None = None
    iterations: int | None = None
    decisions_count: int = 0
    orders_count: int = 0
    decisions: list[Any] = field(default_factory=list)  # see DecisionSummary
    orders: list[Any] = field(default_factory=list)  # see OrderSummary
    error_message: str | None = None
    error_stack: str | None = None
    config_version: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)


class CycleFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    environment: Environment | str | None
    status: CycleStatus | str | Sequence[CycleStatus | str] | None


class CycleChanges(TypedDict, total=False):
    """What `update` can change."""

    status: CycleStatus


class CyclesRepository(Repository[Cycle, CycleFilters, CycleChanges]):
    """The cycles."""

    row = CycleRow
    default_order = ("-started_at",)
    default_limit = 50
