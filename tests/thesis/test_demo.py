from __future__ import annotations

from decimal import Decimal

import pytest

from cream_plugins.thesis import CloseReason, ThesisState, ThesisStateRepository
from cream_plugins.thesis.demo import tell
from cream_store import Store
from tests.stories import a_round_trip, a_story


def test_the_last_trade_goes_from_watching_to_closed(store: Store) -> None:
    [section] = tell(store, a_story(trades=(a_round_trip(entry_bar="2023-01-01"), a_round_trip())))

    [thesis] = store[ThesisStateRepository].find_all()
    assert thesis.state is ThesisState.CLOSED
    assert thesis.close_reason is CloseReason.TARGET_HIT
    assert (thesis.realized_pnl, thesis.realized_pnl_pct) == (Decimal(125), Decimal("12.5"))
    assert section.title == "the thesis on the trade of 2024-01-01"
    assert [row[:2] for row in section.rows] == [
        ("WATCHING", "ENTERED"),
        ("ENTERED", "MANAGING"),
        ("MANAGING", "CLOSED"),
    ]
    assert section.note == "Profit: 125.00 (12.50 %), before commissions."


def test_every_entry_of_the_history_names_the_cycle(store: Store) -> None:
    story = a_story()

    tell(store, story)

    [thesis] = store[ThesisStateRepository].find_all()
    assert {entry.cycle_id for entry in store[ThesisStateRepository].get_history(thesis.thesis_id)} == {story.cycle_id}


@pytest.mark.parametrize(
    ("signal", "reason"), [("STOPPED", CloseReason.STOP_HIT), ("CROSSED_DOWN", CloseReason.INVALIDATED)]
)
def test_the_signal_says_why_a_thesis_was_closed(store: Store, signal: str, reason: CloseReason) -> None:
    tell(store, a_story(trades=(a_round_trip(exit_signal=signal),)))

    [thesis] = store[ThesisStateRepository].find_all()
    assert thesis.close_reason is reason


def test_it_can_be_told_again_at_once(store: Store) -> None:
    tell(store, a_story())
    tell(store, a_story())

    assert store[ThesisStateRepository].count() == 2


def test_without_a_trade_there_is_no_thesis(store: Store) -> None:
    [section] = tell(store, a_story(trades=()))

    assert section.note.startswith("No trade is over")
    assert store[ThesisStateRepository].count() == 0
