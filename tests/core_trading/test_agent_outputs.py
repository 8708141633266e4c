"""Agents' outputs: how each agent voted on a decision, and why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.core_trading import (
    AgentOutput,
    AgentOutputsRepository,
    AgentVote,
    Cycle,
    CycleRow,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionRow,
    DecisionsRepository,
    VoteSummary,
)
from cream_plugins.vocabulary import AgentType
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    Environment,
    InvalidDataError,
    NotFoundError,
    Record,
    Row,
    Store,
    clock_set_to,
    new_id,
)
from tests.races import at_once

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)

NOBODY_VOTED = VoteSummary(
    votes=0,
    approvals=0,
    rejections=0,
    abstentions=0,
    avg_confidence=Decimal(0),
    total_tokens=0,
    total_latency_ms=0,
)


@pytest.fixture
def outputs(store: Store) -> AgentOutputsRepository:
    return store[AgentOutputsRepository]


@pytest.fixture
def decision_id(store: Store) -> UUID:
    return a_decision_id(store)


def a_cycle(environment: Environment = Environment.PAPER) -> Cycle:
    return Cycle(environment=environment)


def a_decision(cycle: Cycle) -> Decision:
    return Decision(
        cycle_id=cycle.id,
        symbol="AAPL",
        action=DecisionAction.BUY,
        direction=DecisionDirection.LONG,
        size=Decimal(100),
        environment=cycle.environment,
    )


def a_decision_id(store: Store, environment: Environment = Environment.PAPER) -> UUID:
    cycle = store[CyclesRepository].create(a_cycle(environment))
    return store[DecisionsRepository].create(a_decision(cycle)).id


def a_vote(decision_id: UUID, agent_type: AgentType, vote: AgentVote, confidence: str, **values: Any) -> AgentOutput:
    return AgentOutput(
        decision_id=decision_id, agent_type=agent_type, vote=vote, confidence=Decimal(confidence), **values
    )


def an_approval(decision_id: UUID, agent_type: AgentType = AgentType.TRADER, **values: Any) -> AgentOutput:
    return a_vote(decision_id, agent_type, AgentVote.APPROVE, "0.8", **values)


# Storing


def test_an_output_is_stored_as_it_was_given(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    given = an_approval(
        decision_id,
        reasoning_summary="",
        full_reasoning="Margins widen: 3 % → 5 %.",
        tokens_used=0,
        latency_ms=2**31 - 1,
        created_at=NOON,
    )

    assert outputs.create(given) == given
    assert outputs.find_by_id(given.id) == given
    assert outputs.find_by_id_or_raise(str(given.id)) == given


def test_what_an_agent_does_not_tell_is_none(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    with clock_set_to(NOON):
        output = outputs.create(an_approval(decision_id))

    assert (output.reasoning_summary, output.full_reasoning, output.tokens_used, output.latency_ms) == (None,) * 4
    assert output.created_at == NOON


def test_impossible_outputs_are_refused(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    approval = an_approval(decision_id)
    for confidence in ("-0.001", "1.001", "9.999"):
        with pytest.raises(ConstraintViolationError) as caught:
            outputs.create(approval.replace(confidence=Decimal(confidence)))
        assert caught.value.constraint == "valid_confidence"
    with pytest.raises(ConstraintViolationError):
        outputs.create(an_approval(new_id()))
    for changes in (
        {"agent_type": "janitor"},
        {"vote": "MAYBE"},
        {"confidence": Decimal("0.1234")},
        {"confidence": 0.5},
        {"tokens_used": 2**31},
    ):
        with pytest.raises(InvalidDataError):
            outputs.create(approval.replace(**changes))

    assert outputs.create(approval.replace(confidence=Decimal(1))).confidence == 1
    with pytest.raises(DuplicateKeyError):
        outputs.create(approval)
    assert outputs.create(an_approval(decision_id).replace(confidence=Decimal(0))).confidence == Decimal(0)


def test_a_batch_comes_back_in_its_order(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    assert outputs.create_many([]) == []
    with clock_set_to(NOON):
        given = [an_approval(decision_id, agent_type) for agent_type in AgentType]

    assert outputs.create_many(reversed(given)) == given[::-1]
    assert outputs.find_by_decision(decision_id) == given


def test_a_batch_is_stored_whole_or_not_at_all(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    batch = [an_approval(decision_id) for _ in range(250)]

    for bad in (batch[-1].replace(decision_id=new_id()), batch[0], batch[-1].replace(confidence=Decimal(2))):
        with pytest.raises((ConstraintViolationError, DuplicateKeyError)):
            outputs.create_many([*batch[:-1], bad])
        assert outputs.count() == 0
    assert outputs.create_many(batch) == batch


def test_a_vote_stays_but_its_reasons_and_costs_can_be_added(
    outputs: AgentOutputsRepository, decision_id: UUID
) -> None:
    output = outputs.create(an_approval(decision_id, full_reasoning="..."))

    changed = outputs.update(output.id, {"reasoning_summary": "Cheap.", "full_reasoning": None, "tokens_used": 5})

    assert changed == output.replace(reasoning_summary="Cheap.", full_reasoning=None, tokens_used=5)
    for name in ("vote", "confidence", "agent_type", "decision_id", "created_at"):
        with pytest.raises(InvalidDataError, match=f"agent_outputs.{name} can't be changed"):
            outputs.update(output.id, {name: AgentVote.REJECT})  # type: ignore[misc]  # what a checker refuses too
    with pytest.raises(NotFoundError):
        outputs.update(new_id(), {"tokens_used": 1})


def test_outputs_go_with_their_decision(store: Store, outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    outputs.create(an_approval(decision_id))
    other = outputs.create(an_approval(a_decision_id(store)))

    assert store[DecisionsRepository].delete(decision_id) is True
    assert outputs.find_many().data == [other]


def test_the_outputs_of_a_decision_are_deleted_and_counted(
    store: Store, outputs: AgentOutputsRepository, decision_id: UUID
) -> None:
    outputs.create_many([an_approval(decision_id), an_approval(decision_id)])
    other = outputs.create(an_approval(a_decision_id(store)))

    assert outputs.delete_by_decision(decision_id) == 2
    assert outputs.delete_by_decision(str(decision_id)) == 0
    assert outputs.delete_by_decision("decision-1") == 0
    assert outputs.find_many().data == [other]
    assert (outputs.delete(other.id), outputs.delete(other.id)) == (True, False)


# Finding


def test_the_outputs_of_a_decision_come_oldest_first_and_ties_go_by_id(
    store: Store, outputs: AgentOutputsRepository, decision_id: UUID
) -> None:
    late = outputs.create(an_approval(decision_id, created_at=LATER))
    tied = outputs.create_many([an_approval(decision_id, created_at=NOON) for _ in range(3)])
    outputs.create(an_approval(a_decision_id(store)))

    assert outputs.find_by_decision(decision_id) == [*sorted(tied, key=lambda output: output.id), late]
    assert outputs.find_by_decision(new_id()) == []
    assert outputs.find_by_decision("decision-1") == []


def test_an_agents_latest_output_counts_and_ties_go_by_id(
    store: Store, outputs: AgentOutputsRepository, decision_id: UUID
) -> None:
    latest = outputs.create(an_approval(decision_id, created_at=LATER))
    outputs.create(an_approval(decision_id, created_at=NOON))
    outputs.create(an_approval(decision_id, AgentType.CRITIC, created_at=LATER))
    outputs.create(an_approval(a_decision_id(store), created_at=LATER))
    assert outputs.find_by_decision_and_agent(decision_id, AgentType.TRADER) == latest

    tied = outputs.create(an_approval(decision_id, created_at=LATER))
    assert outputs.find_by_decision_and_agent(str(decision_id), "trader") == tied

    assert outputs.find_by_decision_and_agent(decision_id, AgentType.RISK_MANAGER) is None
    assert outputs.find_by_decision_and_agent("decision-1", AgentType.TRADER) is None
    with pytest.raises(InvalidDataError):
        outputs.find_by_decision_and_agent(decision_id, "janitor")


def test_the_outputs_of_an_agent_come_newest_first(
    store: Store, outputs: AgentOutputsRepository, decision_id: UUID
) -> None:
    with clock_set_to(NOON):
        stored = outputs.create_many([an_approval(decision_id) for _ in range(51)])
        live = outputs.create(an_approval(a_decision_id(store, Environment.LIVE)))
    outputs.create(an_approval(decision_id, AgentType.CRITIC))

    newest_first = stored[::-1]
    assert outputs.find_by_agent_type("trader") == [live, *newest_first[:49]]
    assert outputs.find_by_agent_type(AgentType.TRADER, environment="PAPER") == newest_first[:50]
    assert outputs.find_by_agent_type(AgentType.TRADER, 2, Environment.PAPER) == newest_first[:2]
    assert outputs.find_by_agent_type(AgentType.TRADER, environment=Environment.LIVE) == [live]
    assert outputs.find_by_agent_type(AgentType.RISK_MANAGER) == []

    for environment in (None, Environment.PAPER):
        for limit in (0, 10_001):
            with pytest.raises(InvalidDataError):
                outputs.find_by_agent_type(AgentType.TRADER, limit, environment)
        with pytest.raises(InvalidDataError):
            outputs.find_by_agent_type("janitor", environment=environment)


def test_a_paper_database_shows_the_outputs_on_its_own_decisions(paper_store: Store) -> None:
    outputs = paper_store[AgentOutputsRepository]
    own = outputs.create(an_approval(a_decision_id(paper_store)))
    live_cycle = a_cycle(Environment.LIVE)
    live_decision = a_decision(live_cycle)
    write_as_another_program(paper_store, CycleRow, live_cycle)
    write_as_another_program(paper_store, DecisionRow, live_decision)
    live = outputs.create(an_approval(live_decision.id))

    assert outputs.find_by_agent_type(AgentType.TRADER) == [own]
    assert outputs.find_by_agent_type(AgentType.TRADER, environment="LIVE") == [live]


def write_as_another_program(store: Store, row: type[Row], record: Record) -> None:
    row.insert({row._meta.combined[name]: value for name, value in record.as_dict().items()}).execute(store.database)


def test_outputs_are_found_by_what_they_are(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    other = outputs.create(an_approval(decision_id, created_at=NOON - timedelta(days=1)))
    wanted = outputs.create(a_vote(decision_id, AgentType.CRITIC, AgentVote.REJECT, "0.5", created_at=NOON))

    filters: list[Any] = [
        {"agent_type": "critic"},
        {"agent_type": [AgentType.CRITIC, AgentType.NEWS_ANALYST]},
        {"vote": AgentVote.REJECT},
        {"decision_id": decision_id, "from_date": NOON},
        {"from_date": date(2026, 3, 2), "to_date": date(2026, 3, 2)},
    ]
    for one in filters:
        assert outputs.find_many(one).data == [wanted], one
    assert outputs.find_many({"decision_id": [decision_id]}).data == [wanted, other]
    assert outputs.find_many({"vote": []}).total == 0


# Votes


def test_the_summary_counts_each_vote(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    outputs.create_many(
        [
            a_vote(decision_id, AgentType.NEWS_ANALYST, AgentVote.APPROVE, "0.1", tokens_used=100, latency_ms=10),
            a_vote(decision_id, AgentType.TRADER, AgentVote.APPROVE, "0.2", tokens_used=20),
            a_vote(decision_id, AgentType.RISK_MANAGER, AgentVote.REJECT, "0.7", latency_ms=5),
            a_vote(decision_id, AgentType.CRITIC, AgentVote.ABSTAIN, "0"),
        ]
    )

    assert outputs.get_vote_summary(decision_id) == VoteSummary(
        votes=4,
        approvals=2,
        rejections=1,
        abstentions=1,
        avg_confidence=Decimal("0.25"),
        total_tokens=120,
        total_latency_ms=15,
    )


def test_only_the_latest_vote_of_an_agent_counts_but_all_costs_do(
    store: Store, outputs: AgentOutputsRepository, decision_id: UUID
) -> None:
    outputs.create_many(
        [
            a_vote(decision_id, AgentType.TRADER, AgentVote.APPROVE, "1", created_at=LATER, tokens_used=1),
            a_vote(decision_id, AgentType.TRADER, AgentVote.REJECT, "0.9", created_at=NOON, tokens_used=10),
            a_vote(decision_id, AgentType.CRITIC, AgentVote.APPROVE, "0.9", created_at=NOON, tokens_used=100),
            a_vote(decision_id, AgentType.CRITIC, AgentVote.ABSTAIN, "0.5", created_at=NOON, latency_ms=7),
        ]
    )
    outputs.create(a_vote(a_decision_id(store), AgentType.TRADER, AgentVote.REJECT, "0.3", created_at=LATER))

    assert outputs.get_vote_summary(str(decision_id)) == VoteSummary(
        votes=2,
        approvals=1,
        rejections=0,
        abstentions=1,
        avg_confidence=Decimal("0.75"),
        total_tokens=111,
        total_latency_ms=7,
    )


def test_without_votes_all_figures_are_zero(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    assert outputs.get_vote_summary(decision_id) == NOBODY_VOTED
    assert outputs.get_vote_summary(new_id()) == NOBODY_VOTED
    assert outputs.get_vote_summary("decision-1") == NOBODY_VOTED

    outputs.create(a_vote(decision_id, AgentType.TRADER, AgentVote.ABSTAIN, "0"))
    summary = outputs.get_vote_summary(decision_id)
    assert (summary.votes, summary.avg_confidence) == (1, Decimal(0))


def test_the_average_is_exact_and_totals_outgrow_32_bits(outputs: AgentOutputsRepository, decision_id: UUID) -> None:
    most = 2**31 - 1
    outputs.create_many(
        a_vote(decision_id, agent_type, AgentVote.APPROVE, "0.1", tokens_used=most, latency_ms=most)
        for agent_type in AgentType
    )

    summary = outputs.get_vote_summary(decision_id)

    assert summary.avg_confidence == Decimal("0.1")
    assert (summary.total_tokens, summary.total_latency_ms) == (8 * most, 8 * most)


def test_votes_that_arrive_at_once_all_count(postgresql_store: Store) -> None:
    outputs = postgresql_store[AgentOutputsRepository]
    decision_id = a_decision_id(postgresql_store)
    votes: list[Callable[[], AgentOutput]] = [
        partial(outputs.create, an_approval(decision_id, agent_type)) for agent_type in AgentType
    ]

    at_once(*votes)

    assert outputs.get_vote_summary(decision_id).approvals == len(AgentType)
