"""The trading parameters: deliberation, conviction, sizing, intervals, the language model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import fn

from cream_plugins.config.workflow import ConfigFilters, ConfigStatus, Configuration, WorkflowRepository
from cream_store import (
    DuplicateKeyError,
    EnumField,
    Environment,
    EnvironmentField,
    IntegerField,
    InvalidDataError,
    NumericField,
    Row,
    TextField,
    TimestampField,
    UUIDField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    query,
    record,
    utc_now,
)

DEFAULT_MODEL: Final = "gemini-3-flash-preview"

NEXT_VERSION: Final = 0
"""The version of a new configuration that `create` numbers."""


def configured_model() -> str:
    """The language model that the variable `LLM_MODEL_ID` names, else the default one."""
    return os.environ.get("LLM_MODEL_ID", "").strip() or DEFAULT_MODEL


def _integer(default: int) -> IntegerField:
    return IntegerField(null=True, server_default=default, null_as=default)


def _numeric(precision: int, scale: int, default: str) -> NumericField:
    return NumericField(precision, scale, null=True, server_default=default, null_as=Decimal(default))


class TradingConfigRow(Row):
    """Table `trading_config`."""

    id = UUIDv7Field(primary_key=True)
    environment = EnvironmentField()
    version = IntegerField()
    max_consensus_iterations = _integer(3)
    agent_timeout_ms = _integer(30_000)
    total_consensus_timeout_ms = _integer(300_000)
    conviction_delta_hold = _numeric(4, 3, "0.2")
    conviction_delta_action = _numeric(4, 3, "0.3")
    high_conviction_pct = _numeric(4, 3, "0.7")
    medium_conviction_pct = _numeric(4, 3, "0.5")
    low_conviction_pct = _numeric(4, 3, "0.25")
    min_risk_reward_ratio = _numeric(4, 2, "1.5")
    kelly_fraction = _numeric(4, 3, "0.5")
    trading_cycle_interval_ms = _integer(3_600_000)
    prediction_markets_interval_ms = _integer(900_000)
    global_model = TextField(server_default=DEFAULT_MODEL)
    status = EnumField(ConfigStatus, server_default="draft")
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)
    # No foreign key: the promoted configuration lives in another environment's database.
    promoted_from = UUIDField(null=True)

    class Meta:
        table_name = "trading_config"
        constraints = [check("valid_kelly", "kelly_fraction > 0 AND kelly_fraction <= 1")]
        indexes = [
            index("idx_trading_config_created_at", "created_at"),
            index("idx_trading_config_env_active", "environment", unique=True, where="status = 'active'"),
            index("idx_trading_config_env_status", "environment", "status"),
            index("idx_trading_config_status", "status"),
        ]


@record
class TradingConfig(Configuration):
    """The trading parameters of an environment, in one version."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    version: int = NEXT_VERSION  # from 1; unique in the environment
    max_consensus_iterations: int = 3  # from 1
    agent_timeout_ms: int = 30_000  # more than 0, at most total_consensus_timeout_ms
    total_consensus_timeout_ms: int = 300_000
    conviction_delta_hold: Decimal = Decimal("0.2")  # 0..1
    conviction_delta_action: Decimal = Decimal("0.3")  # 0..1
    high_conviction_pct: Decimal = Decimal("0.7")  # 1 >= high > medium > low >= 0
    medium_conviction_pct: Decimal = Decimal("0.5")
    low_conviction_pct: Decimal = Decimal("0.25")
    min_risk_reward_ratio: Decimal = Decimal("1.5")  # more than 0
    kelly_fraction: Decimal = Decimal("0.5")  # more than 0, at most 1
    trading_cycle_interval_ms: int = 3_600_000  # more than 0
    prediction_markets_interval_ms: int = 900_000  # more than 0
    global_model: str = field(default_factory=configured_model)
    status: ConfigStatus = ConfigStatus.DRAFT
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)
    promoted_from: UUID | None = None  # the PAPER configuration whose values these were at first

    def _requirements(self) -> dict[str, bool]:
        return {
            "max_consensus_iterations >= 1": self.max_consensus_iterations >= 1,
            "0 < agent_timeout_ms <= total_consensus_timeout_ms": (
                0 < self.agent_timeout_ms <= self.total_consensus_timeout_ms
            ),
            "0 <= conviction_delta_hold <= 1": 0 <= self.conviction_delta_hold <= 1,
            "0 <= conviction_delta_action <= 1": 0 <= self.conviction_delta_action <= 1,
            "1 >= high_conviction_pct > medium_conviction_pct > low_conviction_pct >= 0": (
                1 >= self.high_conviction_pct > self.medium_conviction_pct > self.low_conviction_pct >= 0
            ),
            "min_risk_reward_ratio > 0": self.min_risk_reward_ratio > 0,
            "0 < kelly_fraction <= 1": 0 < self.kelly_fraction <= 1,
            "trading_cycle_interval_ms > 0": self.trading_cycle_interval_ms > 0,
            "prediction_markets_interval_ms > 0": self.prediction_markets_interval_ms > 0,
            "a global_model": bool(self.global_model.strip()),
        }


class TradingConfigFilters(ConfigFilters, total=False):
    """What `find_many` can be limited to."""

    version: int | Sequence[int] | None


class TradingConfigChanges(TypedDict, total=False):
    """The values of a draft."""

    max_consensus_iterations: int
    agent_timeout_ms: int
    total_consensus_timeout_ms: int
    conviction_delta_hold: Decimal
    conviction_delta_action: Decimal
    high_conviction_pct: Decimal
    medium_conviction_pct: Decimal
    low_conviction_pct: Decimal
    min_risk_reward_ratio: Decimal
    kelly_fraction: Decimal
    trading_cycle_interval_ms: int
    prediction_markets_interval_ms: int
    global_model: str


class TradingConfigRepository(WorkflowRepository[TradingConfig, TradingConfigFilters, TradingConfigChanges]):
    """The trading parameters. Each new configuration has the highest version of its environment + 1."""

    row = TradingConfigRow
    default_order = ("-version", "-created_at")

    def get_next_version(self, environment: Environment | str | None = None) -> int:
        """The version that a configuration created now would have: the highest of any status + 1; the first is 1."""
        builder = query().equals("environment", self.one_environment_of(environment))
        [(highest,)] = self._aggregate("highest version", builder, [fn.MAX(TradingConfigRow.version)])
        return (highest or 0) + 1

    def _completed(self, record: TradingConfig) -> TradingConfig:
        if record.version == NEXT_VERSION:
            return record.replace(version=self.get_next_version(record.environment))
        if TradingConfigRow.version.encode(record.version) < 1:
            raise InvalidDataError(f"trading_config: versions count from 1, got {record.version}", columns=("version",))
        if self.exists({"environment": record.environment, "version": record.version}):
            raise DuplicateKeyError(
                f"trading_config: {record.environment} has a version {record.version} already",
                table="trading_config",
                columns=("environment", "version"),
            )
        return record

    def _provenance(self, source: TradingConfig) -> Mapping[str, Any]:
        return {"promoted_from": source.id}
