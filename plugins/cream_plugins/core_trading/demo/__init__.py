"""`cream-store demo`: one cycle of the OODA loop on real prices, from observation to filled orders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cream_store.cli.options import environment_option, open_store, plugin_option, refuse_lives_database
from cream_store.environment import Environment
from cream_store.errors import PluginError

if TYPE_CHECKING:
    from cream_store.store import Store

STUDIO_COMMAND: Final = "CREAM_STUDIO_COMMAND"
"""The variable by which `scripts/demo` says how the studio is run there: with an installation of what it needs."""

_NEXT = """\
What to try next:
  cream-store demo --prices FILE           other prices, from a CSV file
  cream-store demo --plugin core-trading   the cycle alone
  cream-store plugins list                 what is installed
  cream-store doctor                       is everything as it should be?
  DATABASE_URL_PAPER=postgresql://...      the same on PostgreSQL"""


@click.command(
    epilog="""\b
Examples:
  cream-store demo
  cream-store demo --prices my-prices.csv --symbol MYX
  cream-store demo --plugin thesis --plugin audit
  DATABASE_URL_PAPER=postgresql://localhost/cream_paper cream-store demo
"""
)
@environment_option
@plugin_option
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file of OHLCV bars; by default 420 days of GOOG.",
)
@click.option("--symbol", help="The instrument; by default, the first word of the file's name.")
def demo(environment: Environment | None, plugins: tuple[str, ...], prices: Path | None, symbol: str | None) -> None:
    """Run one trading cycle on real prices and show what it stored.

    A worker reads prices, follows a simple rule (moving averages, a stop by volatility), has agents vote on each
    decision, and sends the approved ones as orders, which are filled at the next price. Nothing leaves this machine:
    there is no broker. Each run adds a cycle. LIVE is refused.

    Each other plugin that is loaded adds its part: market-data stores the prices as candles, thesis follows the last
    trade through its states, dashboard raises an alert, audit keeps the trail, and a plugin of your own does what its
    hook cream_store_demo says. A part that fails is undone and named at the end, and the exit code is 1.
    """
    from rich.console import Console

    from cream_plugins.core_trading.demo.parts import tell_all
    from cream_plugins.core_trading.demo.prices import SAMPLE, read_bars
    from cream_plugins.core_trading.demo.rendering import show
    from cream_plugins.core_trading.demo.worker import Worker
    from cream_store.plugins import selected_names

    if (environment or Environment.current()) is Environment.LIVE:
        raise click.UsageError("the demo makes up trades, so it never runs on LIVE; use --env PAPER")
    path = prices or SAMPLE
    bars = read_bars(path)
    selected = selected_names(plugins or None)
    with open_store(environment, (*selected, "core-trading") if selected else ()) as store:
        refuse_lives_database(store, unless="")
        store.push()
        worker = Worker(store, Environment.PAPER, (symbol or path.stem.split("_")[0]).upper(), bars)
        console = Console()
        with console.status(f"A cycle runs over {len(bars):,} prices ..."):
            parts = tell_all(store, worker.run())
        show(parts.sections, console)
        studio = os.environ.get(STUDIO_COMMAND, "cream-store studio") + (f" --env {environment}" if environment else "")
        click.echo(f"\n{_described(store)}\n\nSee the cycle in a browser:\n  {studio}\n\n{_NEXT}")
    if parts.failures:
        failed = "\n".join(f"  {name}: {type(error).__name__}: {error}" for name, error in parts.failures)
        raise PluginError(f"the parts of these plugins failed and were undone:\n{failed}") from parts.failures[0][1]


def _described(store: Store) -> str:
    pool = store.pool_stats()
    return (
        f"Stored in {store.database.url.display}.\n"
        f"Pool: {pool.total} of {pool.size} connections, {pool.idle} idle, {pool.waiting} waiting."
    )
