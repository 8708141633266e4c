from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cream_plugins.core_trading import (
    AgentOutputsRepository,
    CyclesRepository,
    CycleStatus,
    DecisionsRepository,
    DecisionStatus,
    OrdersRepository,
    OrderStatus,
    PortfolioSnapshotsRepository,
)
from cream_plugins.core_trading.demo import strategy
from cream_plugins.core_trading.demo.prices import SAMPLE, Bar, read_bars
from cream_plugins.core_trading.demo.worker import Worker
from cream_store import Environment, InvalidDataError, Store
from cream_store.cli import cli

HEADER = "Date,Open,High,Low,Close,Volume\n"


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, ["demo", *arguments], env=variables, catch_exceptions=False)


def test_a_cycle_over_the_sample_is_stored_whole(store: Store) -> None:
    cycle = Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)).run()

    decisions = store[DecisionsRepository].find_by_cycle(cycle.id)
    executed = [decision for decision in decisions if decision.status is DecisionStatus.EXECUTED]
    orders = [order for decision in decisions for order in store[OrdersRepository].find_by_decision(decision.id)]
    assert cycle.status is CycleStatus.COMPLETED
    assert cycle.decisions_count == len(decisions) > 10
    assert cycle.orders_count == len(orders) == len(executed)
    assert {decision.status for decision in decisions} == {DecisionStatus.EXECUTED, DecisionStatus.REJECTED}
    assert {order.status for order in orders} == {OrderStatus.FILLED}
    assert all(order.commission is not None and order.filled_quantity == order.quantity for order in orders)
    assert all(store[AgentOutputsRepository].find_by_decision(decision.id) for decision in decisions)


def test_the_snapshot_is_what_the_orders_left(store: Store) -> None:
    cycle = Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)).run()

    cash = strategy.STARTING_EQUITY
    for summary in cycle.order_summaries:
        order = store[OrdersRepository].find_by_id_or_raise(summary.order_id)
        assert order.avg_fill_price is not None
        assert order.commission is not None
        cash += order.quantity * order.avg_fill_price * (1 if order.side == "sell" else -1) - order.commission
    snapshot = store[PortfolioSnapshotsRepository].get_latest(Environment.PAPER)
    assert snapshot is not None
    assert snapshot.open_positions == 0
    assert snapshot.cash == snapshot.nav == cash.quantize(Decimal("0.01"))


def test_the_agents_stream_their_reasons(store: Store) -> None:
    cycle = Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)).run()

    state = store[CyclesRepository].reconstruct_streaming_state(cycle.id)

    assert {agent.status for agent in state.agents.values()} == {"complete"}
    assert all(agent.text_output for agent in state.agents.values())


def test_a_cycle_that_fails_half_way_is_stored_as_failed_with_its_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the broker hung up")

    monkeypatch.setattr(OrdersRepository, "update_fill", fail)

    with pytest.raises(RuntimeError, match="hung up"):
        Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)).run()

    [cycle] = store[CyclesRepository].find_recent(Environment.PAPER)
    assert cycle.status is CycleStatus.FAILED
    assert cycle.error_message == "RuntimeError: the broker hung up"
    assert "update_fill" in (cycle.error_stack or "")


def test_too_few_prices_fail_the_cycle(store: Store) -> None:
    with pytest.raises(InvalidDataError, match="30 prices are too few"):
        Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)[:30]).run()

    [cycle] = store[CyclesRepository].find_recent(Environment.PAPER)
    assert cycle.status is CycleStatus.FAILED


def test_the_command_shows_what_it_stored_and_adds_a_cycle_each_time() -> None:
    first, second = run(), run()

    for shown in ("Cycle", "Decisions", "Orders", "Confidence calibration", "paper.db", "Pool:", "What to try next"):
        assert shown in first.output
    assert "1 cycle so far" in first.output
    assert "2 cycles so far" in second.output


def test_the_command_reads_any_price_file(tmp_path: Path) -> None:
    lines = (f"2024-01-01 {hour:03d},{p},{p + 1},{p - 1},{p}.12345,10" for hour, p in enumerate([50, 51, 49, 52] * 20))
    path = tmp_path / "abc_1h.csv"
    path.write_text(HEADER + "\n".join(lines))

    result = run("--prices", str(path))

    assert result.exit_code == 0
    with Store.open(["core-trading"]) as store:
        assert {decision.symbol for decision in store[DecisionsRepository].find_all()} == {"ABC"}


def test_the_command_never_runs_on_live() -> None:
    result = run("--env", "LIVE", DATABASE_URL="sqlite:///live.db")

    assert result.exit_code == 2
    assert "never runs on LIVE" in result.output
    assert not Path("live.db").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column open, high, low, close, volume"),
        ("Date,Open,High,Low,Close\n", "no column volume"),
        (HEADER, "no prices"),
        (HEADER + "2024-01-02,1,2,1,x,10\n", "line 2: not a line of prices"),
        (HEADER + "2024-01-02,1,2\n", "line 2: not a line of prices"),
        (HEADER + "2024-01-02,1,2,1,NaN,10\n", "line 2: prices are finite"),
        (HEADER + "2024-01-02,1,2,-1,1,10\n", "line 2: prices are finite"),
    ],
)
def test_a_file_that_holds_no_prices_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text)

    result = run("--prices", str(path))

    assert result.exit_code == 1
    assert reason in result.output


def bars(*closes: int) -> list[Bar]:
    prices = [Decimal(close) for close in closes]
    return [Bar(str(i), price, price, price, price, volume=Decimal(1)) for i, price in enumerate(prices)]


def test_the_rule_buys_when_the_averages_cross_and_sells_at_the_stop() -> None:
    rising = bars(*[100] * 30, 90, 110, 130)
    crossings = [strategy.signal(rising[i], before, now, None) for i, before, now in strategy.walk(rising)]
    assert crossings == [None, None, strategy.Signal.CROSSED_UP]

    trade = strategy.Trade(entry=Decimal(100), stop=Decimal(90), target=Decimal(130))
    _, before, now = next(iter(strategy.walk(rising)))
    assert strategy.signal(rising[30], before, now, trade) is strategy.Signal.STOPPED


def test_a_trade_risks_one_percent_and_never_more_than_the_cash() -> None:
    trade = strategy.Trade(entry=Decimal(100), stop=Decimal(90), target=Decimal(130))
    assert strategy.size(trade, equity=Decimal(100_000), cash=Decimal(100_000)) == 100
    assert strategy.size(trade, equity=Decimal(100_000), cash=Decimal(550)) == 5
    assert strategy.size(trade, equity=Decimal(100_000), cash=Decimal(99)) == 0
