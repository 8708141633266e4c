"""The demo's part: the last trade as a thesis, from watching to closing."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from cream_plugins.thesis.theses import CloseReason, Thesis, ThesisState
from cream_plugins.thesis.thesis_state import ThesisStateRepository
from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import RoundTrip, Section, Story
from cream_store import Store

_REASONS: Final = {"STOPPED": CloseReason.STOP_HIT, "TARGET_REACHED": CloseReason.TARGET_HIT}


def tell(store: Store, story: Story) -> list[Section]:
    """A thesis on the last trade, and the history of its states."""
    if not story.trades:
        return [Section(phase=CyclePhase.ACT, title="a thesis", note="No trade is over, so there is none to follow.")]
    trade = story.trades[-1]
    theses = store[ThesisStateRepository]
    thesis = _followed(theses, story, trade)
    return [
        Section(
            phase=CyclePhase.ACT,
            title=f"the thesis on the trade of {trade.entry_bar[:16]}",
            columns=("from", "to", "price", "because"),
            rows=[
                (entry.from_state, entry.to_state, entry.price_at_transition, entry.trigger_reason)
                for entry in theses.get_history(thesis.thesis_id)
            ],
            note=f"Profit: {thesis.realized_pnl:,} ({thesis.realized_pnl_pct:.2f} %), before commissions.",
        )
    ]


def _followed(theses: ThesisStateRepository, story: Story, trade: RoundTrip) -> Thesis:
    """The thesis after it went through all that the trade did."""
    thesis = theses.create(
        Thesis(
            instrument_id=story.symbol,
            environment=story.environment,
            entry_thesis="The price keeps rising after the fast average crossed the slow one",
            invalidation_conditions="The fast average falls below the slow one",
            conviction=trade.confidence,
            current_target=trade.target,
        )
    )
    id = thesis.thesis_id
    theses.enter_position(id, trade.entry_price, trade.stop, cycle_id=story.cycle_id)
    theses.transition_state(id, ThesisState.MANAGING, "Stop and target are set", story.cycle_id, trade.entry_price)
    return theses.close(
        id,
        _REASONS.get(trade.exit_signal, CloseReason.INVALIDATED),
        trade.exit_price,
        trade.profit.quantize(Decimal("0.01")),
        story.cycle_id,
        cooldown_hours=0,  # so that the demo's next run finds none
        quantity=trade.quantity,
    )
