"""The configurations that an environment begins with."""

from __future__ import annotations

from typing import Final

from cream_plugins.config.agent_configs import AgentConfigsRepository
from cream_plugins.config.constraints_config import ConstraintsConfig, ConstraintsConfigRepository
from cream_plugins.config.trading_config import TradingConfig, TradingConfigRepository
from cream_plugins.config.universe_configs import UniverseConfig, UniverseConfigsRepository, UniverseSource
from cream_store import Database, Environment, SeedOutcome, SeedStep

DEFAULT_SYMBOLS: Final = ("SPY", "QQQ", "IWM", "DIA", "AAPL", "MSFT", "GOOGL", "AMZN", "NVDA")
"""The funds on the large US indices and some of the largest US companies: all liquid, all with liquid options."""

DELIBERATION_TIMEOUT_MS: Final = 1_800_000
"""Half an hour, for one agent as for all: large models think longer than the columns' defaults allow."""


def seed_steps() -> list[SeedStep]:
    """One step per table. A TEST database is seeded as PAPER."""
    return [
        SeedStep("trading_config", _seed_trading_config),
        SeedStep("agent_configs", _seed_agent_configs),
        SeedStep("universe_configs", _seed_universe_configs),
        SeedStep("constraints_config", _seed_constraints_config),
    ]


def _seed_trading_config(database: Database, force: bool) -> SeedOutcome:
    config = TradingConfig(
        environment=_environment_of(database),
        agent_timeout_ms=DELIBERATION_TIMEOUT_MS,
        total_consensus_timeout_ms=DELIBERATION_TIMEOUT_MS,
    )
    return TradingConfigRepository(database).seed(config, force=force)


def _seed_agent_configs(database: Database, force: bool) -> SeedOutcome:
    return AgentConfigsRepository(database).seed(_environment_of(database), force=force)


def _seed_universe_configs(database: Database, force: bool) -> SeedOutcome:
    config = UniverseConfig(
        environment=_environment_of(database), source=UniverseSource.STATIC, static_symbols=list(DEFAULT_SYMBOLS)
    )
    return UniverseConfigsRepository(database).seed(config, force=force)


def _seed_constraints_config(database: Database, force: bool) -> SeedOutcome:
    config = ConstraintsConfig(environment=_environment_of(database))
    return ConstraintsConfigRepository(database).seed(config, force=force)


def _environment_of(database: Database) -> Environment:
    return Environment.PAPER if database.environment is Environment.TEST else database.environment
