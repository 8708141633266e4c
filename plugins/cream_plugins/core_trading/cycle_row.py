"""The table of cycles, apart from the rest of the aggregate because decisions and events refer to it."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from cream_plugins.vocabulary import CyclePhase
from cream_store import (
    BooleanField,
    EnumField,
    EnvironmentField,
    IntegerField,
    JSONField,
    NumericField,
    Row,
    TextField,
    TimestampField,
    UUIDv7Field,
    index,
)

__all__ = ["CyclePhase", "CycleRow", "CycleStatus"]


class CycleStatus(StrEnum):
    """How a cycle stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


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
