from __future__ import annotations

from decimal import Decimal

from cream_plugins.dashboard import AlertSeverity, AlertsRepository, SystemStateRepository, SystemStatus
from cream_plugins.dashboard.demo import tell
from cream_store import Environment, Store
from tests.stories import a_round_trip, a_story


def test_the_worst_trade_raises_an_alert_that_is_seen(store: Store) -> None:
    loss = a_round_trip(exit_price=Decimal("90.5000"), entry_bar="2023-05-05")

    tell(store, a_story(trades=(a_round_trip(), loss, a_round_trip())))

    [alert] = store[AlertsRepository].find_recent(Environment.PAPER)
    assert alert.severity is AlertSeverity.WARNING
    assert alert.title == "GOOG: the worst trade made -95.00"
    assert alert.message == "Entered on 2023-05-05, left on 2024-01-03"
    assert (alert.acknowledged, alert.acknowledged_by) == (True, "demo")


def test_a_profit_and_no_trade_at_all_are_no_reason_to_worry(store: Store) -> None:
    tell(store, a_story())
    tell(store, a_story(trades=()))

    assert {alert.severity for alert in store[AlertsRepository].find_all()} == {AlertSeverity.INFO}


def test_the_state_names_the_cycle_and_leaves_alone_whether_the_system_trades(store: Store) -> None:
    store[SystemStateRepository].set_status(Environment.PAPER, SystemStatus.PAUSED)
    story = a_story()

    tell(store, story)

    state = store[SystemStateRepository].get_or_create(Environment.PAPER)
    assert (state.status, state.last_cycle_id) == (SystemStatus.PAUSED, story.cycle_id)
    assert state.last_cycle_time is not None
