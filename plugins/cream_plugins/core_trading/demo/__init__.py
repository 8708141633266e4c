"""`cream-store demo`: one cycle of the OODA loop on real prices, from observation to filled orders."""

from __future__ import annotations

from pathlib import Path

import click

from cream_store.cli.options import environment_option, open_store
from cream_store.environment import Environment

_NEXT = """\
What to try next:
  cream-store demo --prices FILE         another CSV file with Open, High, Low, Close, Volume
  cream-store db health                  does the database answer?
  cream-store plugins list               what is installed
  DATABASE_URL_PAPER=postgresql://...    the same on PostgreSQL"""


@click.command(
    epilog="""\b
Examples:
  cream-store demo
  cream-store demo --prices my-prices.csv --symbol MYX
  DATABASE_URL_PAPER=postgresql://localhost/cream_paper cream-store demo
"""
)
@environment_option
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file of OHLCV bars; by default 420 days of GOOG.",
)
@click.option("--symbol", help="The instrument; by default, the first word of the file's name.")
def demo(environment: Environment | None, prices: Path | None, symbol: str | None) -> None:
    """Run one trading cycle on real prices and show what it stored.

    A worker reads prices, follows a simple rule (moving averages, a stop by volatility), has agents vote on each
    decision, and sends the approved ones as orders, which are filled at the next price. Nothing leaves this machine:
    there is no broker. Each run adds a cycle. LIVE is refused.
    """
    from rich.console import Console

    from cream_plugins.core_trading.demo.prices import SAMPLE, read_bars
    from cream_plugins.core_trading.demo.report import show
    from cream_plugins.core_trading.demo.worker import Worker

    if (environment or Environment.current()) is Environment.LIVE:
        raise click.UsageError("the demo makes up trades, so it never runs on LIVE; use --env PAPER")
    path = prices or SAMPLE
    bars = read_bars(path)
    with open_store(environment) as store:
        store.push()
        worker = Worker(store, Environment.PAPER, (symbol or path.stem.split("_")[0]).upper(), bars)
        cycle = worker.run()
        show(store, cycle, Console())
    click.echo(f"\n{_NEXT}")
