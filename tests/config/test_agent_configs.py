"""Agent configurations: one per agent and environment, changed without a race, listed in one order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from cream_plugins.config import AGENT_TYPES, AgentConfig, AgentConfigsRepository
from cream_plugins.vocabulary import AgentType
from cream_store import (
    DuplicateKeyError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    NotFoundError,
    Store,
    clock_set_to,
)
from tests.races import at_once

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
PAPER, LIVE = Environment.PAPER, Environment.LIVE
TRADER, CRITIC, NEWS_ANALYST = AgentType.TRADER, AgentType.CRITIC, AgentType.NEWS_ANALYST


def agent(agent_type: AgentType = TRADER, environment: Environment = PAPER, **values: Any) -> AgentConfig:
    return AgentConfig(environment=environment, agent_type=agent_type, **values)


def settings(configs: list[AgentConfig]) -> list[tuple[AgentType, str | None, bool]]:
    return [(one.agent_type, one.system_prompt_override, one.enabled) for one in configs]


@pytest.fixture
def agents(store: Store) -> AgentConfigsRepository:
    return store[AgentConfigsRepository]


@pytest.fixture
def clock() -> Iterator[None]:
    """Each look at the clock is a second after the one before, the first at NOW."""
    seconds = iter(range(1000))
    with clock_set_to(lambda: NOW + timedelta(seconds=next(seconds))):
        yield


def test_the_agents_are_listed_as_agreed() -> None:
    assert AGENT_TYPES == (
        "grounding_agent",
        "news_analyst",
        "fundamentals_analyst",
        "bullish_researcher",
        "bearish_researcher",
        "trader",
        "risk_manager",
        "critic",
    )


def test_comes_back_as_it_was_stored(agents: AgentConfigsRepository) -> None:
    given = agent(system_prompt_override="", enabled=False)
    assert agents.create(given) == given
    assert agents.find_by_id(given.id) == agents.get(PAPER, TRADER) == agents.get_or_raise("paper", "trader") == given
    with pytest.raises(DuplicateKeyError):
        agents.create(agent())
    assert agents.create(agent(environment=LIVE)).environment is LIVE


def test_what_is_missing(agents: AgentConfigsRepository) -> None:
    agents.create(agent(environment=LIVE))
    assert agents.get(PAPER, TRADER) is None
    with pytest.raises(NotFoundError, match="PAPER has no configuration of trader; `cream-store db seed`"):
        agents.get_or_raise(PAPER, TRADER)
    with pytest.raises(InvalidDataError, match="'oracle' is not one of"):
        agents.get(PAPER, "oracle")
    with pytest.raises(InvalidDataError, match="say which"):
        agents.get(None, TRADER)
    with pytest.raises(NotFoundError):
        agents.update(uuid4(), {"enabled": True})
    assert agents.delete(uuid4()) is False


def test_lists_follow_the_agents_order(agents: AgentConfigsRepository) -> None:
    agents.create_many(agent(one, enabled=one != TRADER) for one in sorted(AGENT_TYPES))
    agents.create(agent(CRITIC, LIVE))
    assert [one.agent_type for one in agents.get_all(PAPER)] == list(AGENT_TYPES)
    assert [one.agent_type for one in agents.get_enabled(PAPER)] == [one for one in AGENT_TYPES if one != TRADER]
    assert [one.agent_type for one in agents.get_all(LIVE)] == [CRITIC]


class TestChanging:
    def test_what_is_left_out_stays(self, agents: AgentConfigsRepository, clock: None) -> None:
        stored = agents.create(agent(system_prompt_override="Be brief."))
        disabled = agents.set_enabled(stored.id, False)
        assert disabled == stored.replace(enabled=False, updated_at=disabled.updated_at)
        assert disabled.updated_at > stored.updated_at
        cleared = agents.update(stored.id, {"system_prompt_override": None})
        assert settings([cleared]) == [(TRADER, None, False)]
        assert agents.update(stored.id, {}) == cleared

    def test_the_agent_stays(self, agents: AgentConfigsRepository) -> None:
        changes: Any = {"agent_type": CRITIC}
        with pytest.raises(InvalidDataError, match=r"agent_configs\.agent_type can't be changed"):
            agents.update(agents.create(agent()).id, changes)
        with pytest.raises(InvalidDataError, match=r"agent_configs\.agent_type can't be changed"):
            agents.upsert(PAPER, TRADER, changes)

    def test_upsert_creates_with_defaults(self, agents: AgentConfigsRepository) -> None:
        assert settings([agents.upsert(PAPER, TRADER, {})]) == [(TRADER, None, True)]
        assert settings([agents.upsert(PAPER, "critic", {"enabled": False})]) == [(CRITIC, None, False)]
        with pytest.raises(InvalidDataError, match="'oracle' is not one of"):
            agents.upsert(PAPER, "oracle", {})

    def test_upsert_writes_what_is_given(self, agents: AgentConfigsRepository, clock: None) -> None:
        stored = agents.create(agent(system_prompt_override="Be brief."))
        elsewhere = agents.create(agent(environment=LIVE))

        changed = agents.upsert(PAPER, TRADER, {"enabled": False})
        assert changed == stored.replace(enabled=False, updated_at=changed.updated_at)
        assert changed.updated_at > stored.updated_at
        assert agents.upsert(PAPER, TRADER, {}) == changed
        cleared = agents.upsert(PAPER, TRADER, {"system_prompt_override": None})
        assert settings([cleared]) == [(TRADER, None, False)]
        assert agents.get(LIVE, TRADER) == elsewhere

    def test_reset_keeps_the_row(self, agents: AgentConfigsRepository) -> None:
        stored = agents.create(agent(system_prompt_override="Be brief.", enabled=False))
        reset = agents.reset_to_defaults(PAPER, TRADER)
        assert (reset.id, reset.created_at) == (stored.id, stored.created_at)
        assert settings([reset]) == [(TRADER, None, True)]
        assert settings([agents.reset_to_defaults(PAPER, CRITIC)]) == [(CRITIC, None, True)]

    def test_first_calls_at_once_lose_nothing(self, postgresql_store: Store) -> None:
        agents = postgresql_store[AgentConfigsRepository]
        results = at_once(
            *[partial(agents.upsert, PAPER, TRADER, {"enabled": False})] * 8,
            *[partial(agents.upsert, PAPER, TRADER, {"system_prompt_override": "Be brief."})] * 8,
        )
        assert {result.id for result in results if isinstance(result, AgentConfig)} == {
            agents.get_or_raise(PAPER, TRADER).id
        }
        assert len(results) == 16
        assert settings(agents.get_all(PAPER)) == [(TRADER, "Be brief.", False)]


class TestDeleting:
    def test_all_of_an_environment(self, agents: AgentConfigsRepository) -> None:
        agents.create_many([agent(), agent(CRITIC), agent(environment=LIVE)])
        with pytest.raises(InvalidDataError, match="say which"):
            agents.delete_all()
        assert agents.delete_all(PAPER) == 2
        assert agents.delete_all(PAPER) == 0
        assert settings(agents.get_all(LIVE)) == [(TRADER, None, True)]

    def test_not_in_another_environment(self, paper_store: Store) -> None:
        with pytest.raises(EnvironmentMismatchError):
            paper_store[AgentConfigsRepository].delete_all(LIVE)
        assert paper_store[AgentConfigsRepository].delete_all() == 0


class TestCloning:
    def test_copies_what_can_be_set(self, agents: AgentConfigsRepository) -> None:
        agents.create_many([agent(CRITIC, enabled=False), agent(NEWS_ANALYST, system_prompt_override="Be brief.")])
        existing = agents.create(agent(CRITIC, LIVE, system_prompt_override="Be kind."))
        other = agents.create(agent(TRADER, LIVE))

        cloned = agents.clone_to_environment(PAPER, LIVE)

        assert settings(cloned) == [(NEWS_ANALYST, "Be brief.", True), (CRITIC, None, False)]
        assert (cloned[1].id, cloned[1].created_at) == (existing.id, existing.created_at)
        assert agents.get_all(LIVE) == [cloned[0], other, cloned[1]]
        assert len(agents.get_all(PAPER)) == 2

    def test_can_delete_the_others(self, agents: AgentConfigsRepository) -> None:
        agents.create_many([agent(CRITIC), agent(TRADER, LIVE), agent(NEWS_ANALYST, LIVE)])
        cloned = agents.clone_to_environment("paper", "live", delete_others=True)
        assert agents.get_all(LIVE) == cloned
        assert settings(cloned) == [(CRITIC, None, True)]
        assert settings(agents.get_all(PAPER)) == [(CRITIC, None, True)]

    def test_of_nothing_does_nothing(self, agents: AgentConfigsRepository) -> None:
        agents.create(agent(environment=LIVE))
        assert agents.clone_to_environment(PAPER, LIVE, delete_others=True) == []
        assert len(agents.get_all(LIVE)) == 1

    def test_needs_two_environments(self, agents: AgentConfigsRepository) -> None:
        with pytest.raises(InvalidDataError, match="PAPER can't be cloned to itself"):
            agents.clone_to_environment(PAPER, "paper")

    def test_reaches_another_database(self, paper_store: Store, live_store: Store) -> None:
        on_paper, in_live = paper_store[AgentConfigsRepository], live_store[AgentConfigsRepository]
        on_paper.create(agent(system_prompt_override="Be brief."))
        with pytest.raises(EnvironmentMismatchError):
            on_paper.clone_to_environment(PAPER, LIVE)
        cloned = on_paper.clone_to_environment(PAPER, LIVE, in_live)
        assert in_live.get_all() == cloned
        assert settings(cloned) == [(TRADER, "Be brief.", True)]
        assert on_paper.count({"environment": LIVE}) == 0
