"""Agents' outputs: how each agent voted on a decision, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import SQL, Select, fn

from cream_plugins.core_trading.decisions import DecisionRow
from cream_plugins.vocabulary import AgentType
from cream_store import (
    EnumField,
    Environment,
    ForeignKey,
    IntegerField,
    NumericField,
    Param,
    Record,
    Repository,
    Row,
    Statement,
    TextField,
    TimestampField,
    UUIDv7Field,
    check,
    field,
    index,
    new_id,
    query,
    record,
    since,
    until,
    utc_now,
)
from cream_store.aggregates import ExactSum, ratio
from cream_store.queries import checked_limit
from cream_store.row import columns_of


class AgentVote(StrEnum):
    """What an agent makes of a decision."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"
    ABSTAIN = "ABSTAIN"


class AgentOutputRow(Row):
    """Table `agent_outputs`."""

    id = UUIDv7Field(primary_key=True)
    decision = ForeignKey(DecisionRow, on_delete="CASCADE")
    agent_type = EnumField(AgentType)
    vote = EnumField(AgentVote)
    confidence = NumericField(4, 3)
    reasoning_summary = TextField(null=True)
    full_reasoning = TextField(null=True)
    tokens_used = IntegerField(null=True)
    latency_ms = IntegerField(null=True)
    created_at = TimestampField(default_now=True)

    class Meta:
        table_name = "agent_outputs"
        constraints = [check("valid_confidence", "confidence >= 0 AND confidence <= 1")]
        indexes = [
            index("idx_agent_outputs_agent_type", "agent_type"),
            index("idx_agent_outputs_decision_agent", "decision_id", "agent_type"),
        ]


@record
class AgentOutput(Record):
    """One agent's vote on a decision. An agent that votes again adds another output; its latest one counts."""

    id: UUID = field(default_factory=new_id)
    decision_id: UUID
    agent_type: AgentType
    vote: AgentVote
    confidence: Decimal  # 0..1
    reasoning_summary: str | None = None
    full_reasoning: str | None = None
    tokens_used: int | None = None
    latency_ms: int | None = None
    created_at: datetime = field(default_factory=utc_now)


class AgentOutputFilters(TypedDict, total=False):
    """What `find_many` can be limited to. An empty list matches nothing."""

    decision_id: UUID | str | Sequence[UUID | str] | None
    agent_type: AgentType | str | Sequence[AgentType | str] | None
    vote: AgentVote | str | Sequence[AgentVote | str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class AgentOutputChanges(TypedDict, total=False):
    """What `update` can change. A vote stays as it was given."""

    reasoning_summary: str | None
    full_reasoning: str | None
    tokens_used: int | None
    latency_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteSummary:
    """How the agents voted on a decision: the latest vote of each. All figures are 0 when none has voted."""

    votes: int
    approvals: int
    rejections: int
    abstentions: int
    avg_confidence: Decimal  # 0..1, over the votes that count, unrounded
    total_tokens: int  # of all outputs: those of earlier votes were spent too
    total_latency_ms: int  # of all outputs


_Later: Final = AgentOutputRow.alias()
_COUNTS: Final = ~fn.EXISTS(
    _Later.select(SQL("1")).where(
        _Later.decision == AgentOutputRow.decision,
        _Later.agent_type == AgentOutputRow.agent_type,
        (_Later.created_at > AgentOutputRow.created_at)
        | ((_Later.created_at == AgentOutputRow.created_at) & (_Later.id > AgentOutputRow.id)),
    )
)
"""That an output is the latest of its agent on the decision."""


def _select_by_agent_and_environment() -> Any:
    order = (AgentOutputRow.created_at.desc(), AgentOutputRow.id.desc())
    by_agent = AgentOutputRow.agent_type == Param("agent_type", AgentOutputRow.agent_type)
    # OFFSET keeps PostgreSQL from joining all decisions first: in this order, few of them need to be looked up.
    newest = AgentOutputRow.select().where(by_agent).order_by(*order).offset(0).alias("newest")
    in_environment = DecisionRow.select(SQL("1")).where(
        DecisionRow.id == newest.c.decision_id,
        DecisionRow.environment == Param("environment", DecisionRow.environment),
    )
    return (
        Select([newest], [getattr(newest.c, column.column_name) for column in columns_of(AgentOutputRow).values()])
        .where(fn.EXISTS(in_environment))
        .order_by(newest.c.created_at.desc(), newest.c.id.desc())
        .limit(Param("limit"))
    )


_BY_AGENT_AND_ENVIRONMENT: Final = Statement(_select_by_agent_and_environment)


class AgentOutputsRepository(Repository[AgentOutput, AgentOutputFilters, AgentOutputChanges]):
    """The outputs of all agents. They go with their decision when that is deleted."""

    row = AgentOutputRow
    default_order = ("-created_at",)
    filter_rules = {"from_date": since("created_at"), "to_date": until("created_at")}

    def find_by_decision(self, decision_id: UUID | str) -> list[AgentOutput]:
        """All outputs on a decision, earlier votes of the same agent among them, oldest first."""
        return self.find(query().exactly("decision_id", decision_id).order_by("created_at"))

    def find_by_decision_and_agent(self, decision_id: UUID | str, agent_type: AgentType | str) -> AgentOutput | None:
        """An agent's latest output on a decision."""
        return self._first(query().exactly("decision_id", decision_id).exactly("agent_type", agent_type))

    def find_by_agent_type(
        self, agent_type: AgentType | str, limit: int = 50, environment: Environment | str | None = None
    ) -> list[AgentOutput]:
        """The newest outputs of an agent, on decisions of the environment."""
        decisions_environment = self.environment_of(environment)
        if decisions_environment is None:
            return self.find_all({"agent_type": agent_type}, limit=limit)
        values = {"agent_type": agent_type, "environment": decisions_environment, "limit": checked_limit(limit)}
        return self._fetch(_BY_AGENT_AND_ENVIRONMENT, values)

    def get_vote_summary(self, decision_id: UUID | str) -> VoteSummary:
        """How the agents voted on a decision, from one state of the table."""
        groups = self._aggregate(
            "votes",
            query().exactly("decision_id", decision_id),
            [
                fn.COUNT(SQL("*")).filter(_COUNTS),
                ExactSum(AgentOutputRow.confidence, only=_COUNTS),
                fn.SUM(AgentOutputRow.tokens_used),
                fn.SUM(AgentOutputRow.latency_ms),
            ],
            group_by=[AgentOutputRow.vote],
        )
        votes = {vote: int(count) for vote, count, *_ in groups}
        confidence, tokens, latency = (sum(group[i] or 0 for group in groups) for i in (2, 3, 4))
        return VoteSummary(
            votes=sum(votes.values()),
            approvals=votes.get(AgentVote.APPROVE, 0),
            rejections=votes.get(AgentVote.REJECT, 0),
            abstentions=votes.get(AgentVote.ABSTAIN, 0),
            avg_confidence=ratio(confidence, sum(votes.values())) or Decimal(0),
            total_tokens=tokens,
            total_latency_ms=latency,
        )

    def delete_by_decision(self, decision_id: UUID | str) -> int:
        """Deletes all outputs on a decision and returns how many they were."""
        return self.delete_many({"decision_id": decision_id})
