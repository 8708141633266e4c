"""The risk limits: groups, ranges, exact values. Their way from draft to active is in test_workflow.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.config import (
    ConfigStatus,
    ConstraintsConfig,
    ConstraintsConfigRepository,
    InstrumentLimits,
    OptionsLimits,
    PortfolioLimits,
)
from cream_store import ConstraintViolationError, Environment, InvalidDataError, Store

LIMITS = {
    "max_shares": 1000,
    "max_contracts": 10,
    "max_notional": Decimal(50_000),
    "max_pct_equity": Decimal("0.1"),
    "max_gross_exposure": Decimal(2),
    "max_net_exposure": Decimal(1),
    "max_concentration": Decimal("0.25"),
    "max_correlation": Decimal("0.7"),
    "max_drawdown": Decimal("0.15"),
    "max_risk_per_trade": Decimal("0.02"),
    "max_sector_exposure": Decimal("0.3"),
    "max_positions": 10,
    "max_delta": Decimal(100),
    "max_gamma": Decimal(50),
    "max_vega": Decimal(1000),
    "max_theta": Decimal(500),
}


def limits(**values: Any) -> ConstraintsConfig:
    return ConstraintsConfig(environment=Environment.PAPER, **values)


@pytest.fixture
def constraints(store: Store) -> ConstraintsConfigRepository:
    return store[ConstraintsConfigRepository]


def test_the_defaults_are_those_of_the_table(constraints: ConstraintsConfigRepository) -> None:
    stored = constraints.create(limits())
    constraints.database.change("DELETE FROM constraints_config")
    constraints.database.change("INSERT INTO constraints_config (environment) VALUES ('PAPER')")
    [by_another_program] = constraints.find_all()
    for config in (stored, by_another_program):
        assert {name: getattr(config, name) for name in LIMITS} == LIMITS
        assert config.status is ConfigStatus.DRAFT
    assert stored.problems == []


def test_the_limits_come_in_groups() -> None:
    config = limits()
    assert config.per_instrument == InstrumentLimits(
        max_shares=1000, max_contracts=10, max_notional=Decimal(50_000), max_pct_equity=Decimal("0.1")
    )
    assert config.portfolio == PortfolioLimits(
        max_gross_exposure=Decimal(2),
        max_net_exposure=Decimal(1),
        max_concentration=Decimal("0.25"),
        max_correlation=Decimal("0.7"),
        max_drawdown=Decimal("0.15"),
        max_risk_per_trade=Decimal("0.02"),
        max_sector_exposure=Decimal("0.3"),
        max_positions=10,
    )
    assert config.options == OptionsLimits(
        max_delta=Decimal(100), max_gamma=Decimal(50), max_vega=Decimal(1000), max_theta=Decimal(500)
    )


@pytest.mark.parametrize("name", LIMITS)
def test_no_limit_is_negative(name: str) -> None:
    assert f"{name} >= 0" in limits(**{name: -1}).problems


@pytest.mark.parametrize("name", sorted(LIMITS.keys() - {"max_gross_exposure"}))
def test_zero_allows_nothing_and_is_fit(name: str) -> None:
    assert limits(**{name: 0}).problems == []


@pytest.mark.parametrize(
    "name",
    [
        "max_pct_equity",
        "max_concentration",
        "max_correlation",
        "max_drawdown",
        "max_risk_per_trade",
        "max_sector_exposure",
    ],
)
def test_a_fraction_is_at_most_1(name: str) -> None:
    assert limits(**{name: Decimal(1)}).problems == []
    assert limits(**{name: Decimal("1.001")}).problems == [f"{name} <= 1"]


def test_the_net_exposure_is_within_the_gross_one() -> None:
    assert limits(max_net_exposure=Decimal(2)).problems == []
    assert limits(max_net_exposure=Decimal("2.01")).problems == ["max_net_exposure <= max_gross_exposure"]


def test_the_gross_exposure_is_checked_by_the_database_too(constraints: ConstraintsConfigRepository) -> None:
    for exposure in (Decimal(0), Decimal("-0.01")):
        with pytest.raises(ConstraintViolationError) as refused:
            constraints.create(limits(max_gross_exposure=exposure))
        assert refused.value.constraint == "valid_exposure"


def test_limits_are_exact_or_refused(constraints: ConstraintsConfigRepository) -> None:
    draft = constraints.save_draft("PAPER", {"max_notional": Decimal("999999999999.99")})
    assert draft.max_notional == Decimal("999999999999.99")
    for value in (Decimal("0.001"), Decimal(10) ** 12, Decimal("NaN"), 0.5):
        changes: Any = {"max_notional": value}
        with pytest.raises(InvalidDataError, match=r"constraints_config\.max_notional"):
            constraints.save_draft("PAPER", changes)
    assert constraints.get_draft("PAPER") == draft
