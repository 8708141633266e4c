"""Seeding: only what is missing, unless forced; never a user's draft."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from cream_plugins.config import (
    AGENT_TYPES,
    DEFAULT_MODEL,
    DEFAULT_SYMBOLS,
    AgentConfigsRepository,
    ConfigStatus,
    ConstraintsConfig,
    ConstraintsConfigRepository,
    TradingConfig,
    TradingConfigRepository,
    UniverseConfigsRepository,
    UniverseSource,
)
from cream_plugins.vocabulary import AgentType
from cream_store import Environment, InvalidDataError, SeedOutcome, Store, query
from tests.races import at_once

PAPER, LIVE = Environment.PAPER, Environment.LIVE
CREATED, SKIPPED, REPLACED = SeedOutcome
SECTIONS = ["trading_config", "agent_configs", "universe_configs", "constraints_config"]
TABLES = (TradingConfigRepository, AgentConfigsRepository, UniverseConfigsRepository, ConstraintsConfigRepository)


def seed(store: Store, *, force: bool = False, only: str | None = None) -> dict[str, SeedOutcome]:
    """What our sections come to."""
    return {section: outcome for section, outcome in store.seed(force=force, only=only) if section in SECTIONS}


def everything(store: Store) -> list[object]:
    return [row for repository in TABLES for row in store[repository].find(query().order_by("id"))]


@pytest.fixture(autouse=True)
def no_configured_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLM_MODEL_ID", raising=False)


def test_an_empty_database_gets_everything(store: Store) -> None:
    assert seed(store) == dict.fromkeys(SECTIONS, CREATED)

    trading = store[TradingConfigRepository].get_active_or_raise(PAPER)
    assert (trading.version, trading.global_model, trading.kelly_fraction) == (1, DEFAULT_MODEL, Decimal("0.5"))
    assert trading.agent_timeout_ms == trading.total_consensus_timeout_ms == 1_800_000
    agents = store[AgentConfigsRepository].get_enabled(PAPER)
    assert [agent.agent_type for agent in agents] == list(AGENT_TYPES)
    assert {agent.system_prompt_override for agent in agents} == {None}
    universe = store[UniverseConfigsRepository].get_active_or_raise(PAPER)
    assert universe.source is UniverseSource.STATIC
    assert universe.static_symbols == ["SPY", "QQQ", "IWM", "DIA", "AAPL", "MSFT", "GOOGL", "AMZN", "NVDA"]
    assert (universe.static_symbols, universe.include_list, universe.exclude_list) == (list(DEFAULT_SYMBOLS), [], [])
    constraints = store[ConstraintsConfigRepository].get_active_or_raise(PAPER)
    assert constraints.per_instrument == ConstraintsConfig(environment=PAPER).per_instrument
    assert store[TradingConfigRepository].get_active(LIVE) is None


def test_each_database_is_seeded_as_its_environment(paper_store: Store, live_store: Store) -> None:
    for store in (paper_store, live_store):
        seed(store)
        assert len(store[AgentConfigsRepository].get_all()) == 8
        assert store[ConstraintsConfigRepository].get_active_or_raise().environment is store.environment


def test_again_writes_nothing(store: Store) -> None:
    seed(store)
    before = everything(store)
    assert seed(store) == dict.fromkeys(SECTIONS, SKIPPED)
    assert everything(store) == before


def test_forced_replaces_and_archives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(store)
    trading, agents = store[TradingConfigRepository], store[AgentConfigsRepository]
    first = trading.get_active_or_raise(PAPER)
    trader = agents.upsert(PAPER, AgentType.TRADER, {"enabled": False, "system_prompt_override": "Be brief."})
    monkeypatch.setenv("LLM_MODEL_ID", "large-1")

    assert seed(store, force=True) == dict.fromkeys(SECTIONS, REPLACED)

    second = trading.get_active_or_raise(PAPER)
    assert (second.version, second.global_model) == (2, "large-1")
    assert trading.find_by_id_or_raise(first.id).status is ConfigStatus.ARCHIVED
    reset = agents.get_or_raise(PAPER, AgentType.TRADER)
    assert (reset.id, reset.enabled, reset.system_prompt_override) == (trader.id, True, None)
    assert [one.status for one in store[UniverseConfigsRepository].get_history(PAPER)] == [
        ConfigStatus.ACTIVE,
        ConfigStatus.ARCHIVED,
    ]


def test_one_section_can_be_replaced(store: Store) -> None:
    seed(store)
    trading, universes = store[TradingConfigRepository], store[UniverseConfigsRepository]
    before = trading.get_active(PAPER)
    universe = universes.get_active_or_raise(PAPER)
    assert seed(store, only="universe_configs") == {"universe_configs": REPLACED}
    assert trading.get_active(PAPER) == before
    assert universes.find_by_id_or_raise(universe.id).status is ConfigStatus.ARCHIVED


def test_forced_on_an_empty_database_creates(store: Store) -> None:
    assert seed(store, force=True) == dict.fromkeys(SECTIONS, CREATED)


def test_only_missing_agents_are_created(store: Store) -> None:
    agents = store[AgentConfigsRepository]
    seed(store)
    trader = agents.upsert(PAPER, AgentType.TRADER, {"enabled": False, "system_prompt_override": "Be brief."})
    agents.delete(agents.get_or_raise(PAPER, AgentType.CRITIC).id)
    agents.upsert(LIVE, AgentType.CRITIC, {})

    assert seed(store)["agent_configs"] is CREATED

    assert agents.get(PAPER, AgentType.TRADER) == trader
    assert [agent.agent_type for agent in agents.get_all(PAPER)] == list(AGENT_TYPES)
    assert len(agents.get_all(LIVE)) == 1


def test_versions_go_on_after_archived_ones(store: Store) -> None:
    trading = store[TradingConfigRepository]
    trading.create(TradingConfig(environment=PAPER, version=4, status=ConfigStatus.ARCHIVED))
    assert seed(store)["trading_config"] is CREATED
    assert trading.get_active_or_raise(PAPER).version == 5


@pytest.mark.parametrize("force", [False, True])
def test_a_draft_is_left_alone(store: Store, force: bool) -> None:
    drafts = [
        store[TradingConfigRepository].save_draft(PAPER, {"agent_timeout_ms": 1}),
        store[UniverseConfigsRepository].save_draft(PAPER, {"static_symbols": ["GME"]}),
        store[ConstraintsConfigRepository].save_draft(PAPER, {"max_positions": 1}),
    ]
    seed(store, force=force)
    assert [
        store[TradingConfigRepository].get_draft(PAPER),
        store[UniverseConfigsRepository].get_draft(PAPER),
        store[ConstraintsConfigRepository].get_draft(PAPER),
    ] == drafts


def test_a_failure_leaves_what_was_active(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(store)
    before = everything(store)
    monkeypatch.setenv("LLM_MODEL_ID", "a\x7f\udcff")
    with pytest.raises(InvalidDataError, match="global_model"):
        seed(store, force=True)
    assert everything(store) == before


def test_two_at_once_seed_once(postgresql_store: Store) -> None:
    results = at_once(*[partial(seed, postgresql_store)] * 4)
    outcomes = [result for result in results if isinstance(result, dict)]
    assert len(outcomes) == 4
    assert [outcome["trading_config"] for outcome in outcomes].count(CREATED) == 1
    assert len(everything(postgresql_store)) == 3 + len(AGENT_TYPES)
