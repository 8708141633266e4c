from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from cream_plugins.core_trading import (
    AgentOutputsRepository,
    Cycle,
    CyclesRepository,
    CycleStatus,
    DecisionsRepository,
    DecisionStatus,
    OrdersRepository,
    OrderStatus,
    PortfolioSnapshotsRepository,
)
from cream_plugins.core_trading.demo import strategy
from cream_plugins.core_trading.demo.parts import tell_all
from cream_plugins.core_trading.demo.prices import SAMPLE, read_bars
from cream_plugins.core_trading.demo.rendering import show
from cream_plugins.core_trading.demo.worker import Worker
from cream_plugins.vocabulary import CyclePhase
from cream_plugins.vocabulary.demo import Bar, Section, Story
from cream_store import Environment, InvalidDataError, Plugin, Store
from cream_store.cli import cli

HEADER = "Date,Open,High,Low,Close,Volume\n"


@pytest.fixture
def plugins() -> None:
    """All: most of them have a part in the demonstration."""


def run(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(cli, ["demo", *arguments], env=variables, catch_exceptions=False)


def run_cycle(store: Store) -> Cycle:
    """A cycle over the whole sample."""
    story = Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)).run()
    return store[CyclesRepository].find_by_id_or_raise(story.cycle_id)


def short_story(store: Store) -> Story:
    """A cycle with two trades."""
    return Worker(store, Environment.PAPER, "GOOG", read_bars(SAMPLE)[:120]).run()


def titles(result: Result) -> list[tuple[str, str]]:
    """The sections that the command showed, each with its plugin."""
    return re.findall(r"^(?:Observe|Orient|Decide|Act|Complete): (.+) \((.+)\)$", result.output, re.MULTILINE)


def with_part(store: Store, tell: Callable[..., Any]) -> Store:
    """The store with one more plugin, which adds a part to the demo."""
    stranger = Plugin("stranger", "stranger-dist", "1.0", requires=(), rows=(), repositories=(), demo=tell)
    return Store(store.database, [stranger, *store.plugins])


def test_a_cycle_over_the_sample_is_stored_whole(store: Store) -> None:
    cycle = run_cycle(store)

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
    cycle = run_cycle(store)

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
    cycle = run_cycle(store)

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

    assert first.exit_code == second.exit_code == 0
    for shown in ("paper.db", "Pool:", "What to try next"):
        assert shown in first.output
    assert "1 cycle so far" in first.output
    assert "2 cycles so far" in second.output


def test_every_plugin_adds_its_part_in_the_order_of_the_phases() -> None:
    result = run()

    assert titles(result) == [
        ("GOOG 1d candles", "market-data"),
        ("decisions", "core-trading"),
        ("orders", "core-trading"),
        ("the thesis on the trade of 2012-12-03", "thesis"),
        ("the audit trail", "audit"),
        ("the cycle", "core-trading"),
        ("confidence calibration over all cycles", "core-trading"),
        ("an alert", "dashboard"),
        ("the system's state", "dashboard"),
    ]


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--plugin", "thesis"], {}),
        (["--plugin", "thesis", "--plugin", "core-trading"], {}),
        ([], {"CREAM_PLUGINS": "thesis"}),
        (["--plugin", "thesis"], {"CREAM_PLUGINS": "audit"}),
    ],
)
def test_fewer_plugins_tell_fewer_parts(arguments: list[str], variables: dict[str, str]) -> None:
    assert {plugin for _, plugin in titles(run(*arguments, **variables))} == {"core-trading", "thesis"}


def test_with_core_trading_alone_no_other_plugin_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from cream_store.cli import cli; cli(['demo', '--plugin', 'core-trading'], standalone_mode=False);"
        "print({name.split('.')[1] for name in sys.modules if name.startswith('cream_plugins.')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] in ("{'core_trading', 'vocabulary'}", "{'vocabulary', 'core_trading'}")


def test_all_parts_work_on_every_database_and_again(store: Store) -> None:
    for _ in range(2):
        story = short_story(store)
        parts = tell_all(store, story)
        assert parts.failures == []
        assert len(parts.sections) == 9


def test_a_part_that_fails_is_undone_and_the_others_stand(store: Store) -> None:
    def write_and_fail(store: Store, story: Story) -> list[Section]:
        store[CyclesRepository].start(story.environment)
        raise KeyError("price")

    story = short_story(store)
    parts = tell_all(with_part(store, write_and_fail), story)

    [(name, error)] = parts.failures
    assert (name, repr(error)) == ("stranger", "KeyError('price')")
    assert store[CyclesRepository].count() == 1
    assert len(parts.sections) == 9


@pytest.mark.parametrize("returned", ["text", 5, [None]])
def test_a_part_that_returns_no_sections_has_failed(store: Store, returned: object) -> None:
    story = short_story(store)

    [(_, error)] = tell_all(with_part(store, lambda store, story: returned), story).failures

    assert isinstance(error, TypeError)


def test_a_part_that_has_nothing_to_show_shows_nothing(store: Store) -> None:
    story = short_story(store)

    parts = tell_all(with_part(store, lambda store, story: None), story)

    assert (len(parts.sections), parts.failures) == (9, [])


def test_the_command_names_the_part_that_failed_after_it_showed_the_others(tmp_path: Path) -> None:
    path = tmp_path / "abc.csv"
    path.write_text(HEADER + "\n".join(f"{number},50,51,49,50,10" for number in range(40)))

    result = run("--prices", str(path))

    assert result.exit_code == 1
    assert "market-data: InvalidDataError: '0' is not a time" in result.output
    assert {"core-trading", "thesis", "audit", "dashboard"} == {plugin for _, plugin in titles(result)}
    assert "What to try next" in result.output


def test_the_command_reads_any_price_file(tmp_path: Path) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    lines = (
        f"{start + timedelta(hours=hour)},{p},{p + 1},{p - 1},{p}.12345,10"
        for hour, p in enumerate([50, 51, 49, 52] * 20)
    )
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


def test_the_command_never_runs_in_lives_database_under_another_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'live.db'}"
    with Store.open(["core-trading"], environment=Environment.LIVE, url=url) as live:
        live.push()

    result = run(DATABASE_URL=url)

    assert result.exit_code == 2
    assert "PAPER has no database of its own" in result.output
    assert "--env LIVE" not in result.output  # where the demo does not run either


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


def shown(section: Section, width: int = 80) -> list[str]:
    """The lines of a section on a terminal."""
    console = Console(width=width, file=StringIO())
    with console.capture() as capture:
        show([("some-plugin", section)], console)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_numbers_have_the_decimals_that_their_column_needs() -> None:
    rows = [("a", Decimal("1234.5000"), Decimal("0.125"), 7), ("b", None, Decimal("0.1"), None)]
    section = Section(phase=CyclePhase.ACT, title="[x]", columns=("text", "large", "small", "count"), rows=rows)

    assert shown(section) == [
        "",
        "Act: [x] (some-plugin)",
        "text    large  small  count",
        "────────────────────────────",
        "a     1,234.5  0.125      7",
        "b              0.100",
    ]


def test_of_many_rows_the_last_are_shown() -> None:
    section = Section(phase=CyclePhase.ACT, title="many", rows=[("number", number) for number in range(1_000)])

    lines = shown(section)

    assert [line.split()[-1] for line in lines[2:-1]] == ["994", "995", "996", "997", "998", "999"]
    assert lines[-1] == "the last 6 of 1,000"


@pytest.mark.parametrize("columns", [(), ("one",), ("one", "two", "three")])
def test_a_section_has_as_many_cells_as_columns(columns: tuple[str, ...]) -> None:
    with pytest.raises(InvalidDataError, match="the section 'bad' has a row of"):
        Section(phase=CyclePhase.ACT, title="bad", columns=columns, rows=[("a", 1), ("a", 1, 2), ("b",)])


@pytest.mark.parametrize("width", [80, 120])
def test_every_section_of_the_demo_fits_the_terminal(paper_store: Store, width: int) -> None:
    story = short_story(paper_store)

    for _, section in tell_all(paper_store, story).sections:
        lines = shown(section, width)
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)
