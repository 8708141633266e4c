from __future__ import annotations

from cream_plugins.audit import AuditLogRepository
from cream_plugins.audit.demo import tell
from cream_store import Environment, Store
from tests.stories import a_story


def test_the_trail_names_the_cycle_and_both_ends_of_each_trade(store: Store) -> None:
    story = a_story()

    [section] = tell(store, story)

    actions = [
        f"cycle.run {story.cycle_id}",
        "position.open 10 GOOG at 100",
        "position.close 10 GOOG at 112.5: TARGET_REACHED",
    ]
    stored = store[AuditLogRepository].find_recent_by_user("demo", environment=Environment.PAPER)
    assert [entry.action for entry in reversed(stored)] == actions
    assert [row[2] for row in section.rows] == actions


def test_a_cycle_without_trades_leaves_a_trace(store: Store) -> None:
    tell(store, a_story(trades=()))

    assert store[AuditLogRepository].count() == 1
