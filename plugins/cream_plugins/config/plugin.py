"""The plugin `config`: the configurations that the trading system runs with."""

from __future__ import annotations

from typing import Any

from cream_plugins import config
from cream_store import Repository, Row, SeedStep, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        config.TradingConfigRow,
        config.AgentConfigRow,
        config.UniverseConfigRow,
        config.ConstraintsConfigRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        config.TradingConfigRepository,
        config.AgentConfigsRepository,
        config.UniverseConfigsRepository,
        config.ConstraintsConfigRepository,
    ]


@hookimpl
def cream_store_seed_steps() -> list[SeedStep]:
    return config.seed_steps()
