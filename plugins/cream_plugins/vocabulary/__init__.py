"""Words that several modules share. Each is one enum type in the database; no plugin owns it."""

from enum import StrEnum


class AgentType(StrEnum):
    """The agents that deliberate on a decision, in the order in which they are listed everywhere."""

    GROUNDING_AGENT = "grounding_agent"
    NEWS_ANALYST = "news_analyst"
    FUNDAMENTALS_ANALYST = "fundamentals_analyst"
    BULLISH_RESEARCHER = "bullish_researcher"
    BEARISH_RESEARCHER = "bearish_researcher"
    TRADER = "trader"
    RISK_MANAGER = "risk_manager"
    CRITIC = "critic"


class CyclePhase(StrEnum):
    """What a cycle is doing."""

    OBSERVE = "observe"
    ORIENT = "orient"
    DECIDE = "decide"
    ACT = "act"
    COMPLETE = "complete"


class SyncRunStatus(StrEnum):
    """How a run that fetches data stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


__all__ = ["AgentType", "CyclePhase", "SyncRunStatus"]
