"""System state: how each environment's trading system stands, and where in a cycle it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, TypedDict
from uuid import UUID

from peewee import EXCLUDED, Case, fn

from cream_plugins.vocabulary import CyclePhase
from cream_store import (
    ChoiceField,
    EnumField,
    Environment,
    EnvironmentField,
    Record,
    Repository,
    Row,
    TextField,
    TimestampField,
    UUIDField,
    field,
    record,
    utc_now,
)


class SystemStatus(StrEnum):
    """Whether the system trades."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    ERROR = "error"


class SystemStateRow(Row):
    """Table `system_state`."""

    environment = EnvironmentField(primary_key=True)
    status = EnumField(SystemStatus, server_default="stopped")
    last_cycle_id = UUIDField(null=True)
    last_cycle_time = TimestampField(null=True)
    current_phase = ChoiceField(CyclePhase, null=True)
    phase_started_at = TimestampField(null=True)
    next_cycle_at = TimestampField(null=True)
    error_message = TextField(null=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "system_state"


@record
class SystemState(Record):
    """How the system of an environment stands."""

    environment: Environment
    status: SystemStatus = SystemStatus.STOPPED
    last_cycle_id: UUID | None = None  # the cycle that runs, or ran last
    last_cycle_time: datetime | None = None  # when a cycle was last complete
    current_phase: CyclePhase | str | None = None
    phase_started_at: datetime | None = None
    next_cycle_at: datetime | None = None
    error_message: str | None = None
    updated_at: datetime = field(default_factory=utc_now)


class SystemStateFilters(TypedDict, total=False):
    """What `find_many` can be limited to. An empty list matches nothing."""

    environment: Environment | str | None
    status: SystemStatus | str | Sequence[SystemStatus | str] | None


class SystemStateChanges(TypedDict, total=False):
    """What `update` can change. None clears a value; the status always has one."""

    status: SystemStatus
    last_cycle_id: UUID | str | None
    last_cycle_time: datetime | None
    current_phase: CyclePhase | str | None
    phase_started_at: datetime | None
    next_cycle_at: datetime | None
    error_message: str | None


_IS_THE_SAME_PHASE: Final = (SystemStateRow.last_cycle_id == EXCLUDED.last_cycle_id) & (
    SystemStateRow.current_phase == EXCLUDED.current_phase
)
_OF_A_PHASE: Final = {
    "phase_started_at": Case(
        None,
        [(_IS_THE_SAME_PHASE, fn.COALESCE(SystemStateRow.phase_started_at, EXCLUDED.phase_started_at))],
        EXCLUDED.phase_started_at,
    ),
    "last_cycle_time": fn.COALESCE(EXCLUDED.last_cycle_time, SystemStateRow.last_cycle_time),
}
_OF_NO_ERROR: Final = {
    "status": Case(None, [(SystemStateRow.status == SystemStatus.ERROR, EXCLUDED.status)], SystemStateRow.status)
}


class SystemStateRepository(Repository[SystemState, SystemStateFilters, SystemStateChanges]):
    """The state of each environment's system: one row each, made when it is first needed.

    Every change is one statement, so that a worker and the dashboard can write at once.
    """

    row = SystemStateRow
    default_order = ("environment",)
    stamped_on_upsert = ("updated_at",)

    def get_or_create(self, environment: Environment | str | None = None) -> SystemState:
        """The environment's state; a stopped system if there was none."""
        return self.find_by_environment(environment) or self.update(environment, {})

    def find_by_environment(self, environment: Environment | str | None = None) -> SystemState | None:
        """The environment's state, or None."""
        return self.find_by_id(self.one_environment_of(environment))

    def update(  # type: ignore[override]  # by environment
        self, environment: Environment | str | None, changes: SystemStateChanges
    ) -> SystemState:
        """Writes the given changes, over the state of a stopped system if there was none, and returns the state."""
        new = SystemState(environment=self.one_environment_of(environment))
        return self._upsert_changes(new, self._checked_changes(changes))

    def set_status(self, environment: Environment | str | None, status: SystemStatus | str) -> SystemState:
        """Changes the status and nothing else: an error message stays until `clear_error`."""
        return self.update(environment, {"status": SystemStatus(SystemStateRow.status.encode(status))})

    def update_cycle(
        self, environment: Environment | str | None, cycle_id: UUID | str, phase: CyclePhase | str
    ) -> SystemState:
        """Records that a cycle is in a phase: since now, unless it was already.

        With the phase `complete`, now is the time of the last cycle, too.
        """
        now = utc_now()
        new = SystemState(
            environment=self.one_environment_of(environment),
            last_cycle_time=now if phase == CyclePhase.COMPLETE else None,
            phase_started_at=now,
        )
        # Encoded here, because a report has both: None is none.
        changes = {
            "last_cycle_id": SystemStateRow.last_cycle_id.encode(cycle_id),
            "current_phase": SystemStateRow.current_phase.encode(phase),
        }
        return self._upsert_changes(new, changes, _OF_A_PHASE)

    def clear_cycle(self, environment: Environment | str | None = None) -> SystemState:
        """Records that no cycle runs. What is known of the last and the next one stays."""
        return self.update(environment, {"current_phase": None, "phase_started_at": None})

    def set_error(self, environment: Environment | str | None, error_message: str) -> SystemState:
        """Records that the system stands still because of an error."""
        return self.update(environment, {"status": SystemStatus.ERROR, "error_message": error_message})

    def clear_error(self, environment: Environment | str | None = None) -> SystemState:
        """Clears the error message. The system is stopped then, unless somebody has given it another status already."""
        new = SystemState(environment=self.one_environment_of(environment))
        return self._upsert_changes(new, {"error_message": None}, _OF_NO_ERROR)
