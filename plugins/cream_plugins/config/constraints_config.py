"""The risk limits, per instrument, for the portfolio and for options."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypedDict, TypeVar
from uuid import UUID

from cream_plugins.config.workflow import ConfigFilters, ConfigStatus, Configuration, WorkflowRepository
from cream_store import (
    EnumField,
    Environment,
    EnvironmentField,
    IntegerField,
    NumericField,
    Row,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    record,
    utc_now,
)

G = TypeVar("G")


class ConstraintsConfigRow(Row):
    """Table `constraints_config`."""

    id = UUIDv7Field(primary_key=True)
    environment = EnvironmentField()
    max_shares = IntegerField(server_default=1000)
    max_contracts = IntegerField(server_default=10)
    max_notional = NumericField(14, 2, server_default="50000")
    max_pct_equity = NumericField(4, 3, server_default="0.1")
    max_gross_exposure = NumericField(4, 2, server_default="2.0")
    max_net_exposure = NumericField(4, 2, server_default="1.0")
    max_concentration = NumericField(4, 3, server_default="0.25")
    max_correlation = NumericField(4, 3, server_default="0.7")
    max_drawdown = NumericField(4, 3, server_default="0.15")
    max_risk_per_trade = NumericField(4, 3, server_default="0.02")
    max_sector_exposure = NumericField(4, 3, server_default="0.30")
    max_positions = IntegerField(server_default=10)
    max_delta = NumericField(8, 2, server_default="100")
    max_gamma = NumericField(8, 2, server_default="50")
    max_vega = NumericField(10, 2, server_default="1000")
    max_theta = NumericField(10, 2, server_default="500")
    status = EnumField(ConfigStatus, server_default="draft")
    created_at = TimestampField(default_now=True)
    updated_at = TimestampField(default_now=True)

    class Meta:
        table_name = "constraints_config"
        constraints = [check("valid_exposure", "max_gross_exposure > 0")]
        indexes = [
            index("idx_constraints_config_env_active", "environment", unique=True, where="status = 'active'"),
            index("idx_constraints_config_env_status", "environment", "status"),
            index("idx_constraints_config_status", "status"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentLimits:
    """What a position in one instrument may be at most."""

    max_shares: int
    max_contracts: int
    max_notional: Decimal  # US dollars
    max_pct_equity: Decimal  # fraction of the equity


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioLimits:
    """What the portfolio may be at most."""

    max_gross_exposure: Decimal  # multiple of the equity
    max_net_exposure: Decimal  # multiple of the equity
    max_concentration: Decimal  # fraction of the portfolio in one position
    max_correlation: Decimal  # between two positions, 0..1
    max_drawdown: Decimal  # fraction of the equity's peak
    max_risk_per_trade: Decimal  # fraction of the equity
    max_sector_exposure: Decimal  # fraction of the portfolio in one sector
    max_positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsLimits:
    """What the portfolio's greeks may be at most, in absolute value."""

    max_delta: Decimal
    max_gamma: Decimal
    max_vega: Decimal
    max_theta: Decimal


_FRACTIONS = (
    "max_pct_equity",
    "max_concentration",
    "max_correlation",
    "max_drawdown",
    "max_risk_per_trade",
    "max_sector_exposure",
)


@record
class ConstraintsConfig(Configuration):
    """The risk limits of an environment: none below zero; zero allows nothing."""

    id: UUID = field(default_factory=new_id)
    environment: Environment
    max_shares: int = 1000
    max_contracts: int = 10
    max_notional: Decimal = Decimal(50_000)  # US dollars
    max_pct_equity: Decimal = Decimal("0.1")  # 0..1
    max_gross_exposure: Decimal = Decimal("2.0")  # multiple of the equity, more than 0
    max_net_exposure: Decimal = Decimal("1.0")  # multiple of the equity, at most the gross exposure
    max_concentration: Decimal = Decimal("0.25")  # 0..1
    max_correlation: Decimal = Decimal("0.7")  # 0..1
    max_drawdown: Decimal = Decimal("0.15")  # 0..1
    max_risk_per_trade: Decimal = Decimal("0.02")  # 0..1
    max_sector_exposure: Decimal = Decimal("0.30")  # 0..1
    max_positions: int = 10
    max_delta: Decimal = Decimal(100)
    max_gamma: Decimal = Decimal(50)
    max_vega: Decimal = Decimal(1000)
    max_theta: Decimal = Decimal(500)
    status: ConfigStatus = ConfigStatus.DRAFT
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    @property
    def per_instrument(self) -> InstrumentLimits:
        """The limits of a position in one instrument."""
        return self._group(InstrumentLimits)

    @property
    def portfolio(self) -> PortfolioLimits:
        """The limits of the portfolio."""
        return self._group(PortfolioLimits)

    @property
    def options(self) -> OptionsLimits:
        """The limits of the portfolio's greeks."""
        return self._group(OptionsLimits)

    def _group(self, group: type[G]) -> G:
        return group(**{name: getattr(self, name) for name in _names(group)})

    def _requirements(self) -> dict[str, bool]:
        limits = [name for group in (InstrumentLimits, PortfolioLimits, OptionsLimits) for name in _names(group)]
        return {
            **{f"{name} >= 0": getattr(self, name) >= 0 for name in limits},
            **{f"{name} <= 1": getattr(self, name) <= 1 for name in _FRACTIONS},
            "max_gross_exposure > 0": self.max_gross_exposure > 0,
            "max_net_exposure <= max_gross_exposure": self.max_net_exposure <= self.max_gross_exposure,
        }


def _names(group: type) -> list[str]:
    return [limit.name for limit in dataclasses.fields(group)]


class ConstraintsConfigChanges(TypedDict, total=False):
    """The limits of a draft."""

    max_shares: int
    max_contracts: int
    max_notional: Decimal
    max_pct_equity: Decimal
    max_gross_exposure: Decimal
    max_net_exposure: Decimal
    max_concentration: Decimal
    max_correlation: Decimal
    max_drawdown: Decimal
    max_risk_per_trade: Decimal
    max_sector_exposure: Decimal
    max_positions: int
    max_delta: Decimal
    max_gamma: Decimal
    max_vega: Decimal
    max_theta: Decimal


class ConstraintsConfigRepository(WorkflowRepository[ConstraintsConfig, ConfigFilters, ConstraintsConfigChanges]):
    """The risk limits."""

    row = ConstraintsConfigRow
    default_order = ("-created_at",)
