"""The demo's part: an alert that somebody has seen, and how the system stands."""

from __future__ import annotations

from cream_plugins.dashboard.alerts import Alert, AlertSeverity, AlertsRepository, AlertType
from cream_plugins.dashboard.system_state import SystemStateRepository
from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import Section, Story
from cream_store import Store


def tell(store: Store, story: Story) -> list[Section]:
    """An alert about the worst trade, raised and acknowledged, and the state after the cycle."""
    return [_alert(store, story), _state(store, story)]


def _alert(store: Store, story: Story) -> Section:
    alerts = store[AlertsRepository]
    worst = min(story.trades, key=lambda trade: trade.profit, default=None)
    raised = alerts.create(
        Alert(
            severity=AlertSeverity.WARNING if worst and worst.profit < 0 else AlertSeverity.INFO,
            type=AlertType.POSITION,
            title=f"{story.symbol}: the worst trade made {worst.profit:,.2f}" if worst else f"{story.symbol}: no trade",
            message=f"Entered on {worst.entry_bar}, left on {worst.exit_bar}" if worst else "No position was closed",
            metadata={"cycle_id": str(story.cycle_id)},
            environment=story.environment,
        )
    )
    seen = alerts.acknowledge(raised.id, "demo")
    return Section(
        phase=CyclePhase.COMPLETE,
        title="an alert",
        rows=[
            (seen.severity, seen.title),
            ("", seen.message),
            ("acknowledged", f"by {seen.acknowledged_by} at {seen.acknowledged_at:%Y-%m-%d %H:%M:%S}"),
        ],
    )


def _state(store: Store, story: Story) -> Section:
    """Says which cycle ran last, and leaves alone whether the system trades."""
    state = store[SystemStateRepository].update_cycle(story.environment, story.cycle_id, CyclePhase.COMPLETE)
    return Section(
        phase=CyclePhase.COMPLETE,
        title="the system's state",
        rows=[("status", state.status), ("last cycle", state.last_cycle_id), ("complete at", state.last_cycle_time)],
    )
