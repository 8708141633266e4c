"""What the demo stored, read back from the database as tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cream_plugins.core_trading.agent_outputs import AgentOutputsRepository
from cream_plugins.core_trading.cycles import Cycle, CyclesRepository
from cream_plugins.core_trading.decisions import DecisionsRepository
from cream_plugins.core_trading.orders import OrdersRepository
from cream_plugins.core_trading.portfolio_snapshots import PortfolioSnapshotsRepository
from cream_store import Store

MOST_ROWS: Final = 20
"""Rows of a table at most."""


def show(store: Store, cycle: Cycle, console: Console) -> None:
    """Prints the cycle, its decisions and orders, the calibration over all cycles, and the pool."""
    cycle = store[CyclesRepository].find_by_id_or_raise(cycle.id)
    _show_cycle(store, cycle, console)
    _show_decisions(store, cycle, console)
    _show_orders(store, cycle, console)
    _show_calibration(store, cycle, console)
    _show_store(store, cycle, console)


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def _show_cycle(store: Store, cycle: Cycle, console: Console) -> None:
    events = store[CyclesRepository].find_events(cycle.id)
    state = store[CyclesRepository].reconstruct_streaming_state(cycle.id)
    snapshot = store[PortfolioSnapshotsRepository].get_latest(cycle.environment)
    table = _table("Cycle", "", "")
    table.show_header = False
    table.add_row("id", str(cycle.id))
    table.add_row("environment", cycle.environment)
    table.add_row("status", f"{cycle.status}, {cycle.progress_pct:f} %, {cycle.duration_ms} ms")
    table.add_row("decisions / orders", f"{cycle.decisions_count} / {cycle.orders_count}")
    table.add_row("events", f"{len(events)}, from {len(state.agents)} agents")
    if snapshot is not None:
        table.add_row("portfolio", f"{snapshot.nav:,} (cash {snapshot.cash:,}), return {snapshot.total_return_pct} %")
    console.print(table)


def _show_decisions(store: Store, cycle: Cycle, console: Console) -> None:
    numbers = ("size", "price", "stop", "target", "conf.", "votes")
    decisions = store[DecisionsRepository].find_by_cycle(cycle.id)
    table = _table(f"Decisions{_shown_of(len(decisions))}", "bar", "do", *numbers, "status", right=numbers)
    for decision in reversed(decisions[:MOST_ROWS]):
        votes = store[AgentOutputsRepository].get_vote_summary(decision.id)
        table.add_row(
            str(decision.metadata.get("bar", ""))[:16],
            decision.action,
            _number(decision.size),
            _price(decision.entry_price),
            _price(decision.stop_price),
            _price(decision.target_price),
            str(decision.confidence_score),
            f"{votes.approvals}:{votes.rejections}",
            decision.status,
        )
    console.print(table)


def _show_orders(store: Store, cycle: Cycle, console: Console) -> None:
    numbers = ("quantity", "filled", "price", "commission")
    orders = [
        order for summary in cycle.order_summaries for order in [store[OrdersRepository].find_by_id(summary.order_id)]
    ]
    table = _table(f"Orders{_shown_of(len(orders))}", "side", *numbers, "status", "filled at", right=numbers)
    for order in orders[-MOST_ROWS:]:
        if order is not None:
            table.add_row(
                order.side,
                _number(order.quantity),
                _number(order.filled_quantity),
                _price(order.avg_fill_price),
                _number(order.commission),
                order.status,
                f"{order.filled_at:%Y-%m-%d %H:%M:%S}",
            )
    console.print(table)


def _show_calibration(store: Store, cycle: Cycle, console: Console) -> None:
    numbers = ("decisions", "carried out", "rate")
    table = _table("Confidence calibration, all cycles", "confidence %", *numbers, right=numbers)
    for one in store[DecisionsRepository].get_confidence_calibration({"environment": cycle.environment}):
        table.add_row(one.bin, str(one.total), str(one.executed), f"{one.execution_rate:.1f} %")
    console.print(table)


def _show_store(store: Store, cycle: Cycle, console: Console) -> None:
    pool = store.pool_stats()
    cycles = store[CyclesRepository].count({"environment": cycle.environment})
    console.print(
        f"\nStored in {store.database.url.display}: {cycles} {'cycle' if cycles == 1 else 'cycles'} so far.\n"
        f"Pool: {pool.total} of {pool.size} connections, {pool.idle} idle, {pool.waiting} waiting.",
        highlight=False,
        soft_wrap=True,
    )


def _shown_of(count: int) -> str:
    return f", the last {MOST_ROWS} of {count}" if count > MOST_ROWS else ""


def _price(value: Decimal | None) -> str:
    """A price with as many decimals as its size asks for."""
    if value is None:
        return ""
    return f"{value:,.2f}" if value >= 10 else f"{value:.4f}"


def _number(value: Decimal | None) -> Any:
    """A number without the zeros behind its last digit."""
    if value is None:
        return ""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
