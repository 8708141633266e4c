"""The plugin `core-trading`: the tables of the OODA loop and of the execution engine's recovery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cream_plugins import core_trading
from cream_store import Row, Store, TableAccess, hookimpl

if TYPE_CHECKING:
    from cream_plugins.vocabulary.demo import Section, Story
    from cream_store.studio.views import StudioView


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        core_trading.ConfigVersionRow,
        core_trading.CycleRow,
        core_trading.CycleEventRow,
        core_trading.DecisionRow,
        core_trading.AgentOutputRow,
        core_trading.OrderRow,
        core_trading.PortfolioSnapshotRow,
        core_trading.ExecutionOrderSnapshotRow,
        core_trading.ExecutionPositionSnapshotRow,
        core_trading.ExecutionRecoveryStateRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[TableAccess[Any]]]:
    return [
        core_trading.ConfigVersionsRepository,
        core_trading.CyclesRepository,
        core_trading.CycleEventsRepository,
        core_trading.DecisionsRepository,
        core_trading.AgentOutputsRepository,
        core_trading.OrdersRepository,
        core_trading.PortfolioSnapshotsRepository,
        core_trading.ExecutionOrderSnapshotsRepository,
        core_trading.ExecutionPositionSnapshotsRepository,
        core_trading.ExecutionRecoveryStateRepository,
    ]


@hookimpl
def cream_store_demo(store: Store, story: Story) -> list[Section]:
    from cream_plugins.core_trading.demo.report import tell

    return tell(store, story)


@hookimpl
def cream_store_studio_views() -> Sequence[StudioView]:
    from cream_plugins.core_trading.studio import STUDIO_VIEWS

    return STUDIO_VIEWS
