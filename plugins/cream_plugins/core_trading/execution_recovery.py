"""How the execution engine of an environment stands, and when its state was last saved and reconciled."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from cream_plugins.core_trading.execution_tables import named_environment
from cream_store import (
    UNSET,
    EnumField,
    Environment,
    EnvironmentField,
    Record,
    Row,
    TableAccess,
    TextField,
    TimestampField,
    Unset,
    field,
    record,
    utc_now,
)


class ExecutionRecoveryStatus(StrEnum):
    """What is known of the engine's state."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    NEEDS_ATTENTION = "needs_attention"


class ExecutionRecoveryStateRow(Row):
    """Table `execution_recovery_state`."""

    environment = EnvironmentField(primary_key=True)
    last_snapshot_at = TimestampField(null=True)
    last_reconciliation_at = TimestampField(null=True)
    last_cycle_id = TextField(null=True)
    status = EnumField(ExecutionRecoveryStatus, server_default="unknown")
    error_message = TextField(null=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "execution_recovery_state"


@record
class ExecutionRecoveryState(Record):
    """How the engine of an environment stands."""

    environment: Environment
    last_snapshot_at: datetime | None = None
    last_reconciliation_at: datetime | None = None
    last_cycle_id: str | None = None
    status: ExecutionRecoveryStatus = ExecutionRecoveryStatus.UNKNOWN
    error_message: str | None = None
    updated_at: datetime = field(default_factory=utc_now)

    @property
    def is_healthy(self) -> bool:
        """Whether the engine stopped, or runs, in good order."""
        return self.status is ExecutionRecoveryStatus.HEALTHY

    @property
    def needs_recovery(self) -> bool:
        """Whether the engine must compare its state with the broker's before it trades.

        False for needs_attention: the comparison was made, and what it found is the operator's to solve.
        """
        return self.status in (
            ExecutionRecoveryStatus.ERROR,
            ExecutionRecoveryStatus.INTERRUPTED,
            ExecutionRecoveryStatus.UNKNOWN,
        )

    @property
    def requires_operator(self) -> bool:
        """Whether a person has to look into it."""
        return self.status in (ExecutionRecoveryStatus.NEEDS_ATTENTION, ExecutionRecoveryStatus.ERROR)


class ExecutionRecoveryStateRepository(TableAccess[ExecutionRecoveryState]):
    """The state of each environment's engine: one row each, made when it is first written."""

    row = ExecutionRecoveryStateRow

    def get(self, environment: Environment | str) -> ExecutionRecoveryState:
        """The environment's state; of one that was never written, a new one of status unknown, which is not stored."""
        named = named_environment(environment)
        return self._find_by_key(named) or ExecutionRecoveryState(environment=named)

    def update(
        self,
        environment: Environment | str,
        status: ExecutionRecoveryStatus | str,
        cycle_id: UUID | str | Unset | None = UNSET,
        error_message: str | None = None,
    ) -> ExecutionRecoveryState:
        """Records that the engine's state was saved now, with this status and error message (None clears it)."""
        changes: dict[str, Any] = {"status": status, "error_message": error_message, "last_snapshot_at": utc_now()}
        if cycle_id is not UNSET:
            changes["last_cycle_id"] = str(cycle_id) if isinstance(cycle_id, UUID) else cycle_id
        return self._change(environment, changes)

    def log_reconciliation(self, environment: Environment | str, passed: bool) -> ExecutionRecoveryState:
        """Records that the engine's state was compared with the broker's now: healthy if all agreed.

        Otherwise needs_attention, and the error message stays.
        """
        changes: dict[str, Any] = {"last_reconciliation_at": utc_now()}
        if passed:
            changes |= {"status": ExecutionRecoveryStatus.HEALTHY, "error_message": None}
        else:
            changes |= {"status": ExecutionRecoveryStatus.NEEDS_ATTENTION}
        return self._change(environment, changes)

    def mark_interrupted(
        self, environment: Environment | str, cycle_id: UUID | str | Unset | None = UNSET
    ) -> ExecutionRecoveryState:
        """Records that the engine stopped in the middle of its work."""
        return self.update(environment, ExecutionRecoveryStatus.INTERRUPTED, cycle_id)

    def _change(self, environment: Environment | str, changes: dict[str, Any]) -> ExecutionRecoveryState:
        return self._upsert_changes(ExecutionRecoveryState(environment=named_environment(environment)), changes)
