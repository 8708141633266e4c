"""The demo's part: who did what in the cycle."""

from __future__ import annotations

from cream_plugins.audit.audit_log import AuditLogEntry, AuditLogRepository
from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import Section, Story
from cream_store import Store


def tell(store: Store, story: Story) -> list[Section]:
    """An entry for the cycle, and one for each position that it opened or closed."""
    actions = [f"cycle.run {story.cycle_id}"]
    for trade in story.trades:
        what = f"{trade.quantity.normalize():f} {story.symbol} at"
        actions.append(f"position.open {what} {trade.entry_price.normalize():f}")
        actions.append(f"position.close {what} {trade.exit_price.normalize():f}: {trade.exit_signal}")
    entries = store[AuditLogRepository].create_many(
        [
            AuditLogEntry(user_id="demo", user_email="demo@localhost", action=action, environment=story.environment)
            for action in actions
        ]
    )
    return [
        Section(
            phase=CyclePhase.COMPLETE,
            title="the audit trail",
            columns=("when", "who", "what"),
            rows=[(entry.timestamp, entry.user_id, entry.action) for entry in entries],
        )
    ]
