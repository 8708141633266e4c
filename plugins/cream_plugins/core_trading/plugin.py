"""The plugin `core-trading`: the tables of the OODA loop and of the execution engine's recovery."""

from __future__ import annotations

from typing import Any

from cream_plugins import core_trading
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        core_trading.CycleRow,
        core_trading.DecisionRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        core_trading.CyclesRepository,
        core_trading.DecisionsRepository,
    ]
