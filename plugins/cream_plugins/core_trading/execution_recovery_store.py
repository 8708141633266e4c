"""The execution engine's whole state, saved and loaded as one.

recovery = ExecutionRecoveryStore(database)
loaded = recovery.load_state("PAPER")
if loaded.state.needs_recovery:
    ...  # compare with the broker
    recovery.complete_recovery("PAPER", broker_positions, corrected_orders, passed=True)
...
recovery.save_state("PAPER", orders, positions, cycle_id)  # every minute, and at a clean shutdown
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from cream_plugins.core_trading.execution_orders import ExecutionOrderSnapshot, ExecutionOrderSnapshotsRepository
from cream_plugins.core_trading.execution_positions import (
    DEFAULT_PRICE_TOLERANCE,
    BrokerSync,
    ExecutionPositionSnapshot,
    ExecutionPositionSnapshotsRepository,
)
from cream_plugins.core_trading.execution_recovery import (
    ExecutionRecoveryState,
    ExecutionRecoveryStateRepository,
    ExecutionRecoveryStatus,
)
from cream_plugins.core_trading.execution_tables import named_environment
from cream_store import UNSET, Database, Environment, Unset, get_db, transactional


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedState:
    """What an engine finds when it starts."""

    state: ExecutionRecoveryState
    orders: list[ExecutionOrderSnapshot]  # active, in the order of their submission
    positions: dict[str, ExecutionPositionSnapshot]  # by symbol, none flat


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRecovery(BrokerSync):
    """How a recovery ended, and the positions that it changed."""

    state: ExecutionRecoveryState


class ExecutionRecoveryStore:
    """The operations over orders, positions and recovery state of an environment's engine.

    Each is all or nothing, and those of one environment wait for each other, so that two engines can't interleave.
    """

    def __init__(self, database: Database | None = None) -> None:
        """Works on the given database, or on the current environment's (`get_db()`) at each call."""
        self._database = database
        self.orders = ExecutionOrderSnapshotsRepository(database)
        self.positions = ExecutionPositionSnapshotsRepository(database)
        self.states = ExecutionRecoveryStateRepository(database)

    @property
    def database(self) -> Database:
        """The database that the next call uses."""
        return self._database if self._database is not None else get_db()

    @transactional
    def save_state(
        self,
        environment: Environment | str,
        orders: Iterable[ExecutionOrderSnapshot],
        positions: Iterable[ExecutionPositionSnapshot],
        cycle_id: UUID | str | Unset | None = UNSET,
        status: ExecutionRecoveryStatus | str = ExecutionRecoveryStatus.HEALTHY,
    ) -> ExecutionRecoveryState:
        """Saves what the engine knows, all or nothing. A clean shutdown is healthy, too.

        Give all orders, those that became terminal since the last time among them.
        """
        self._exclude_other_engines(environment)
        self.orders.save_all(orders, environment)
        self.positions.save_all(positions, environment)
        return self.states.update(environment, status, cycle_id)

    def load_state(self, environment: Environment | str) -> LoadedState:
        """What was saved last, all of one moment. Waits for an operation that is under way.

        Raises InvalidDataError, with the key, for an order or position that makes no sense.
        """
        with self.database.transaction():
            # A snapshot begins with its first statement, so one that waited for the lock itself would show what was
            # there before the wait.
            self._exclude_other_engines(environment)
        with self.database.transaction(snapshot=True):
            return LoadedState(
                state=self.states.get(environment),
                orders=self.orders.load_active(environment),
                positions=self.positions.load(environment),
            )

    @transactional
    def complete_recovery(
        self,
        environment: Environment | str,
        broker_positions: Iterable[ExecutionPositionSnapshot],
        orders: Iterable[ExecutionOrderSnapshot],
        passed: bool,
        price_tolerance: Decimal = DEFAULT_PRICE_TOLERANCE,
    ) -> CompletedRecovery:
        """Saves the broker's positions, the corrected orders and the outcome: healthy if it passed.

        Otherwise needs_attention. The last cycle's id is kept.
        """
        self._exclude_other_engines(environment)
        sync = self.positions.sync_from_broker(broker_positions, environment, price_tolerance)
        self.orders.save_all(orders, environment)
        state = self.states.log_reconciliation(environment, passed)
        return CompletedRecovery(state=state, saved=sync.saved, cleared=sync.cleared)

    @transactional
    def abort_recovery(
        self, environment: Environment | str, message: str = "Critical discrepancies during recovery"
    ) -> ExecutionRecoveryState:
        """Records that the engine can't go on: status error with the message. The last cycle's id is kept."""
        self._exclude_other_engines(environment)
        return self.states.update(environment, ExecutionRecoveryStatus.ERROR, error_message=message)

    def _exclude_other_engines(self, environment: Environment | str) -> None:
        self.database.advisory_lock(f"execution recovery {named_environment(environment)}")
