"""The trading parameters: versions, defaults, what an active configuration needs."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.config import (
    DEFAULT_MODEL,
    ConfigStatus,
    TradingConfig,
    TradingConfigRepository,
)
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    InvalidDataError,
    Store,
)
from tests.races import at_once

PAPER, LIVE = Environment.PAPER, Environment.LIVE
DRAFT, TESTING, ACTIVE, ARCHIVED = ConfigStatus


def parameters(status: ConfigStatus = TESTING, environment: Environment = PAPER, **values: Any) -> TradingConfig:
    return TradingConfig(environment=environment, status=status, **values)


@pytest.fixture
def trading(store: Store) -> TradingConfigRepository:
    return store[TradingConfigRepository]


@pytest.fixture(autouse=True)
def no_configured_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_MODEL_ID", raising=False)


class TestVersions:
    def test_count_from_1_in_each_environment(self, trading: TradingConfigRepository) -> None:
        assert trading.get_next_version(PAPER) == 1
        assert [one.version for one in trading.create_many([parameters(), parameters(), parameters()])] == [1, 2, 3]
        assert trading.create(parameters(environment=LIVE)).version == 1
        assert (trading.get_next_version(PAPER), trading.get_next_version("live")) == (4, 2)

    def test_follow_the_highest_of_any_status(self, trading: TradingConfigRepository) -> None:
        trading.create_many([parameters(ARCHIVED, version=7), parameters(ACTIVE, version=2)])
        draft = trading.save_draft(PAPER, {})
        assert draft.version == 8
        assert trading.save_draft(PAPER, {"agent_timeout_ms": 1}).version == 8

    def test_are_given_once(self, trading: TradingConfigRepository) -> None:
        trading.create_many([parameters(version=3), parameters(environment=LIVE, version=4)])
        assert trading.create(parameters(version=4)).version == 4
        with pytest.raises(DuplicateKeyError, match="PAPER has a version 3 already"):
            trading.create(parameters(version=3))

    def test_are_whole_numbers_from_1(self, trading: TradingConfigRepository) -> None:
        for version in (-1, "2", None, 2**31):
            with pytest.raises(InvalidDataError, match="version"):
                trading.create(parameters(version=version))

    def test_of_a_promoted_draft_are_the_targets(self, trading: TradingConfigRepository) -> None:
        source = trading.create(parameters(ACTIVE, version=12, promoted_from=None))
        trading.create(parameters(ARCHIVED, LIVE, version=5))
        assert trading.promote(source.id, trading).version == 6
        assert trading.promote(source.id, trading).version == 6

    def test_created_at_once_have_no_gaps(self, postgresql_store: Store) -> None:
        trading = postgresql_store[TradingConfigRepository]
        results = at_once(*[partial(trading.create, parameters()) for _ in range(20)])
        versions = [result.version for result in results if isinstance(result, TradingConfig)]
        assert sorted(versions) == list(range(1, 21))


class TestPromotedFrom:
    def test_names_the_source(self, trading: TradingConfigRepository) -> None:
        first = trading.create(parameters(ACTIVE))
        assert trading.promote(first.id, trading).promoted_from == first.id
        second = trading.create(parameters())
        trading.set_status(second.id, ACTIVE)
        assert trading.promote(second.id, trading).promoted_from == second.id
        assert trading.save_draft(LIVE, {"agent_timeout_ms": 1}).promoted_from == second.id

    def test_is_not_inherited(self, trading: TradingConfigRepository) -> None:
        source = trading.create(parameters(ACTIVE))
        promoted = trading.promote(source.id, trading)
        trading.set_status(promoted.id, TESTING)
        trading.set_status(promoted.id, ACTIVE)
        assert trading.save_draft(LIVE, {}).promoted_from is None


def test_a_new_configuration_has_the_defaults(trading: TradingConfigRepository) -> None:
    stored = trading.create(TradingConfig(environment=PAPER))
    assert stored == TradingConfig(
        id=stored.id,
        environment=PAPER,
        version=1,
        max_consensus_iterations=3,
        agent_timeout_ms=30_000,
        total_consensus_timeout_ms=300_000,
        conviction_delta_hold=Decimal("0.2"),
        conviction_delta_action=Decimal("0.3"),
        high_conviction_pct=Decimal("0.7"),
        medium_conviction_pct=Decimal("0.5"),
        low_conviction_pct=Decimal("0.25"),
        min_risk_reward_ratio=Decimal("1.5"),
        kelly_fraction=Decimal("0.5"),
        trading_cycle_interval_ms=3_600_000,
        prediction_markets_interval_ms=900_000,
        global_model=DEFAULT_MODEL,
        status=DRAFT,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
        promoted_from=None,
    )
    assert stored.problems == []


def test_values_that_another_program_left_out_read_as_the_defaults(trading: TradingConfigRepository) -> None:
    stored = trading.create(parameters())
    trading.database.change(
        "UPDATE trading_config SET max_consensus_iterations = NULL, kelly_fraction = NULL, low_conviction_pct = NULL"
    )
    assert trading.find_by_id(stored.id) == stored


def test_the_model_is_the_configured_one(trading: TradingConfigRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MODEL_ID", "large-1")
    active = trading.create(parameters(ACTIVE))
    assert active.global_model == "large-1"
    monkeypatch.setenv("LLM_MODEL_ID", " ")
    assert trading.create(parameters()).global_model == DEFAULT_MODEL
    assert trading.save_draft(PAPER, {}).global_model == "large-1"


def test_kelly_is_checked_by_the_database_too(trading: TradingConfigRepository) -> None:
    for kelly in ("0", "1.001", "-0.5"):
        with pytest.raises(ConstraintViolationError) as refused:
            trading.create(parameters(kelly_fraction=Decimal(kelly)))
        assert refused.value.constraint == "valid_kelly"
    assert trading.create(parameters(kelly_fraction=Decimal(1))).kelly_fraction == 1


def test_history_is_by_version(trading: TradingConfigRepository) -> None:
    trading.create_many([parameters(version=version) for version in (2, 9, 5)])
    trading.create(parameters(environment=LIVE))
    assert [one.version for one in trading.get_history(PAPER)] == [9, 5, 2]
    assert [one.version for one in trading.get_history(PAPER, limit=1)] == [9]
    assert [one.version for one in trading.find_many({"version": [2, 5], "status": TESTING}).data] == [5, 2]


def test_comparison_covers_the_values_alone(trading: TradingConfigRepository) -> None:
    one, other = trading.create_many(
        [
            parameters(ACTIVE, global_model="a", kelly_fraction=Decimal("0.500")),
            parameters(ARCHIVED, LIVE, version=8, global_model="b", max_consensus_iterations=1),
        ]
    )
    found = trading.compare(one.id, other.id).differences
    assert [(difference.path, difference.value1, difference.value2) for difference in found] == [
        ("max_consensus_iterations", 3, 1),
        ("global_model", "a", "b"),
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"max_consensus_iterations": 0}, "max_consensus_iterations >= 1"),
        ({"agent_timeout_ms": 300_001}, "0 < agent_timeout_ms <= total_consensus_timeout_ms"),
        ({"agent_timeout_ms": 0}, "0 < agent_timeout_ms <= total_consensus_timeout_ms"),
        ({"conviction_delta_hold": Decimal("-0.001")}, "0 <= conviction_delta_hold <= 1"),
        ({"conviction_delta_action": Decimal("1.001")}, "0 <= conviction_delta_action <= 1"),
        *[
            (dict(zip(("high_conviction_pct", "medium_conviction_pct", "low_conviction_pct"), pcts, strict=True)), text)
            for text in ["1 >= high_conviction_pct > medium_conviction_pct > low_conviction_pct >= 0"]
            for pcts in [
                (Decimal("0.5"), Decimal("0.5"), Decimal("0.2")),
                (Decimal("0.7"), Decimal("0.2"), Decimal("0.2")),
                (Decimal("1.001"), Decimal("0.5"), Decimal("0.2")),
                (Decimal("0.7"), Decimal("0.5"), Decimal("-0.1")),
            ]
        ],
        ({"min_risk_reward_ratio": Decimal(0)}, "min_risk_reward_ratio > 0"),
        ({"trading_cycle_interval_ms": 0}, "trading_cycle_interval_ms > 0"),
        ({"prediction_markets_interval_ms": -1}, "prediction_markets_interval_ms > 0"),
        ({"global_model": " "}, "a global_model"),
    ],
)
def test_what_an_active_configuration_needs(values: dict[str, Any], problem: str) -> None:
    assert parameters(**values).problems == [problem]


def test_the_bounds_themselves_are_fit() -> None:
    at_the_bounds = parameters(
        max_consensus_iterations=1,
        agent_timeout_ms=1,
        total_consensus_timeout_ms=1,
        conviction_delta_hold=Decimal(0),
        conviction_delta_action=Decimal(1),
        high_conviction_pct=Decimal(1),
        low_conviction_pct=Decimal(0),
        kelly_fraction=Decimal(1),
        trading_cycle_interval_ms=1,
        prediction_markets_interval_ms=1,
    )
    assert at_the_bounds.problems == []


def test_an_unfit_configuration_can_be_drafted_but_not_activated(trading: TradingConfigRepository) -> None:
    draft = trading.save_draft(PAPER, {"low_conviction_pct": Decimal("0.6")})
    trading.set_status(draft.id, TESTING)
    with pytest.raises(InvalidDataError, match="medium_conviction_pct > low_conviction_pct"):
        trading.set_status(draft.id, ACTIVE)
    assert trading.get_active(PAPER) is None
