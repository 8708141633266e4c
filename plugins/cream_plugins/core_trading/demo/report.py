"""What the cycle left in core-trading's tables, read back from the database."""

from __future__ import annotations

from decimal import Decimal

from cream_plugins.core_trading.agent_outputs import AgentOutputsRepository
from cream_plugins.core_trading.cycles import Cycle, CyclesRepository
from cream_plugins.core_trading.decisions import DecisionsRepository
from cream_plugins.core_trading.orders import OrdersRepository
from cream_plugins.core_trading.portfolio_snapshots import PortfolioSnapshotsRepository
from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import Cell, Section, Story
from cream_store import Store


def tell(store: Store, story: Story) -> list[Section]:
    """The decisions, the orders, the cycle, and how all cycles' confidence was borne out."""
    cycle = store[CyclesRepository].find_by_id_or_raise(story.cycle_id)
    return [_decisions(store, cycle), _orders(store, cycle), _cycle(store, cycle), _calibration(store, cycle)]


def _decisions(store: Store, cycle: Cycle) -> Section:
    return Section(
        phase=CyclePhase.DECIDE,
        title="decisions",
        columns=("bar", "do", "size", "price", "stop", "target", "conf.", "votes", "status"),
        rows=[
            (
                str(decision.metadata.get("bar", ""))[:16],
                decision.action,
                decision.size,
                decision.entry_price,
                decision.stop_price,
                decision.target_price,
                decision.confidence_score,
                f"{votes.approvals}:{votes.rejections}",
                decision.status,
            )
            for decision in reversed(store[DecisionsRepository].find_by_cycle(cycle.id))
            for votes in [store[AgentOutputsRepository].get_vote_summary(decision.id)]
        ],
    )


def _orders(store: Store, cycle: Cycle) -> Section:
    orders = [store[OrdersRepository].find_by_id(summary.order_id) for summary in cycle.order_summaries]
    return Section(
        phase=CyclePhase.ACT,
        title="orders",
        columns=("side", "quantity", "filled", "price", "commission", "status", "filled at"),
        rows=[
            (
                order.side,
                order.quantity,
                order.filled_quantity,
                order.avg_fill_price,
                order.commission,
                order.status,
                order.filled_at,
            )
            for order in orders
            if order is not None
        ],
    )


def _cycle(store: Store, cycle: Cycle) -> Section:
    events = store[CyclesRepository].find_events(cycle.id)
    state = store[CyclesRepository].reconstruct_streaming_state(cycle.id)
    snapshot = store[PortfolioSnapshotsRepository].get_latest(cycle.environment)
    count = store[CyclesRepository].count({"environment": cycle.environment})
    rows: list[tuple[Cell, ...]] = [
        ("id", cycle.id),
        ("status", f"{cycle.status}, {cycle.progress_pct:.0f} %, {cycle.duration_ms} ms"),
        ("stored", f"{cycle.decisions_count} decisions, {cycle.orders_count} orders, {len(events)} events"),
        ("agents", len(state.agents)),
    ]
    if snapshot is not None:
        total_return = (snapshot.total_return_pct or Decimal(0)).normalize()
        rows.append(("portfolio", f"{snapshot.nav:,} (cash {snapshot.cash:,}), return {total_return:f} %"))
    note = f"{count} {'cycle' if count == 1 else 'cycles'} so far"
    return Section(phase=CyclePhase.COMPLETE, title="the cycle", rows=rows, note=note)


def _calibration(store: Store, cycle: Cycle) -> Section:
    return Section(
        phase=CyclePhase.COMPLETE,
        title="confidence calibration over all cycles",
        columns=("confidence %", "decisions", "carried out", "rate %"),
        rows=[
            (one.bin, one.total, one.executed, one.execution_rate)
            for one in store[DecisionsRepository].get_confidence_calibration({"environment": cycle.environment})
        ],
    )
