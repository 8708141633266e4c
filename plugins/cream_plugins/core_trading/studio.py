"""What the studio's first page shows of trading: decisions, the equity curve, the latest cycle."""

from __future__ import annotations

from cream_plugins.core_trading.cycles import Cycle, CyclesRepository
from cream_plugins.core_trading.decisions import DecisionsRepository
from cream_plugins.core_trading.orders import OrdersRepository
from cream_plugins.core_trading.portfolio_snapshots import PortfolioSnapshotsRepository
from cream_store import Environment, Store
from cream_store.studio.views import Bar, BarChart, Block, Facts, LineChart, Link, Message, StudioView, Transcript


def latest_cycle(store: Store, environment: Environment) -> list[Block]:
    """The newest cycle, and what its agents said, as far as they have come."""
    cycles = store[CyclesRepository]
    found = cycles.find_recent(environment, 1)
    if not found:
        return [Facts({"cycles": "none yet; cream-store demo runs one"}, title="Latest cycle")]
    [cycle] = found
    agents = cycles.reconstruct_streaming_state(cycle.id).agents
    return [
        Facts(_facts(cycle), title="Latest cycle"),
        Transcript(
            "What its agents said",
            [
                Message(agent, state.text_output or state.reasoning_text or state.error or "(nothing)", state.status)
                for agent, state in agents.items()
            ],
            nothing="No agent has said anything in this cycle.",
        ),
    ]


def _facts(cycle: Cycle) -> dict[str, str | Link]:
    facts: dict[str, str | Link] = {
        "cycle": Link("cycles", cycle.id),
        "status": f"{cycle.status}, {cycle.progress_pct.normalize():f} %",
        "phase": str(cycle.current_phase or "none"),
        "started": f"{cycle.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "took": "not over" if cycle.duration_ms is None else f"{cycle.duration_ms:,} ms",
        "decisions": f"{cycle.decisions_count:,}",
        "orders": f"{cycle.orders_count:,}",
    }
    if cycle.error_message:
        facts["error"] = cycle.error_message
    return facts


def portfolio(store: Store, environment: Environment) -> list[Block]:
    """Net asset value over time."""
    curve = store[PortfolioSnapshotsRepository].get_equity_curve(environment)
    return [
        LineChart(
            "Equity curve: net asset value",
            [(point.timestamp, point.nav) for point in curve],
            nothing="No portfolio snapshot has been taken.",
        )
    ]


def decisions(store: Store, environment: Environment) -> list[Block]:
    """Counts, and decisions by status."""
    by_status = store[DecisionsRepository].count_by_status(environment)
    return [
        BarChart(
            "Decisions by status",
            [Bar(status, count) for status, count in by_status.items() if count],
            nothing="Nothing has been decided.",
        ),
        Facts(
            {
                "cycles": f"{store[CyclesRepository].count({'environment': environment}):,}",
                "decisions": f"{sum(by_status.values()):,}",
                "orders": f"{store[OrdersRepository].count({'environment': environment}):,}",
            },
            title="How many",
        ),
    ]


def calibration(store: Store, environment: Environment) -> list[Block]:
    """How the confidence of decisions fared."""
    bins = store[DecisionsRepository].get_confidence_calibration({"environment": environment})
    return [
        BarChart(
            "Confidence calibration: carried out, by confidence in percent",
            [Bar(one.bin, one.execution_rate, f"of {one.total:,}") for one in bins],
            unit=" %",
            top=100,
            nothing="No decision has a confidence.",
        )
    ]


STUDIO_VIEWS = (
    StudioView("Latest cycle", latest_cycle),
    StudioView("Portfolio", portfolio),
    StudioView("Confidence calibration", calibration),
    StudioView("Decisions", decisions),
)
