"""`cream-store candles`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cream_plugins.market_data.timeframe import Timeframe
from cream_store.cli.options import echo_json, environment_option, json_option, open_store, refuse_unnamed_live
from cream_store.environment import Environment

if TYPE_CHECKING:
    from cream_plugins.market_data.candle_import import CandleImport, Progress


@click.group()
def candles() -> None:
    """Prices of instruments: from files, and to files."""


def _series_options(command: Any) -> Any:
    """`--symbol` and `--timeframe`"""
    lengths = click.Choice([timeframe.value for timeframe in Timeframe])
    timeframe_option = click.option("--timeframe", required=True, type=lengths, help="How long each bar lasts.")
    return click.option("--symbol", required=True, help="The instrument.")(timeframe_option(command))


def _time_zone(context: click.Context, parameter: click.Parameter, name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise click.BadParameter(f"{name!r} is no time zone such as Europe/Berlin") from None


def _bound(context: click.Context, parameter: click.Parameter, text: str | None) -> date | datetime | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time such as 2024-01-31 or 2024-01-31T15:30") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@candles.command(
    "import",
    epilog="""\b
Examples:
  cream-store candles import goog.csv --symbol GOOG --timeframe 1d
  cream-store candles import eurusd.csv --symbol EURUSD --timeframe 1h --round
  cream-store candles import es.csv --symbol ES --timeframe 1m --timezone America/Chicago
  cream-store candles import goog.csv --symbol GOOG --timeframe 1d --partial rejects.csv
  cream-store candles import goog.parquet --symbol GOOG --timeframe 1d --json
""",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_series_options
@click.option(
    "--timezone",
    "zone",
    default="UTC",
    show_default=True,
    callback=_time_zone,
    help="Where times without an offset from UTC are at home.",
)
@click.option("--round", "rounds", is_flag=True, help="Round prices to 4 decimals and volumes to none, half-even.")
@click.option(
    "--partial",
    "rejects",
    metavar="REJECTS",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Store the good lines, and write the bad ones to this CSV file, with the reason.",
)
@click.option("--provider", default="file", show_default=True, help="Where the prices are from, if no column says so.")
@environment_option
@json_option
def import_(
    file: Path,
    symbol: str,
    timeframe: str,
    zone: tzinfo,
    rounds: bool,
    rejects: Path | None,
    provider: str,
    environment: Environment | None,
    as_json: bool,
) -> None:
    """Store the candles of a CSV or Parquet file: all of them, or none if one line is bad.

    The first line of a CSV file names the columns, in any case: open, high, low, close, and optionally volume and the
    other columns of a candle. The time stands in the column timestamp, datetime, date or time, else in the first one.

    A candle that is there already is replaced, so a file can be imported again. Of several lines with the same time,
    the last one counts. Files ending in .parquet need pyarrow.
    """
    from cream_plugins.market_data.candle_import import import_candles

    refuse_unnamed_live(environment)
    if rejects is not None and rejects.exists() and rejects.samefile(file):
        raise click.UsageError("the rejects can't be written to the file that is imported")
    with open_store(environment, ("market-data",)) as store, _progress_bar(file.name) as progress:
        done = import_candles(
            store.database,
            file,
            symbol,
            Timeframe(timeframe),
            zone=zone,
            rounds=rounds,
            provider=provider,
            rejects=rejects,
            progress=progress,
        )
    if as_json:
        echo_json(_described(file, rejects, done))
    else:
        _show(file, rejects, done)


@candles.command(
    "export",
    epilog="""\b
Examples:
  cream-store candles export --symbol GOOG --timeframe 1d
  cream-store candles export --symbol GOOG --timeframe 1d --from 2012-01-01 --to 2012-12-31 -o goog.csv
  cream-store candles export --symbol GOOG --timeframe 1d -o goog.parquet
""",
)
@_series_options
@click.option("--from", "start", metavar="TIME", callback=_bound, help="The first bar: a date or a time, UTC.")
@click.option(
    "--to", "end", metavar="TIME", callback=_bound, help="The last bar; a date includes its whole day. By default all."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file, Parquet if it ends in .parquet (needs pyarrow); by default CSV goes to the standard output.",
)
@environment_option
def export(
    symbol: str,
    timeframe: str,
    start: date | datetime | None,
    end: date | datetime | None,
    output: Path | None,
    environment: Environment | None,
) -> None:
    """Write stored candles as CSV or Parquet, oldest first. `import` reads them back exactly as they are."""
    from cream_plugins.market_data.candle_export import export_candles

    with open_store(environment, ("market-data",)) as store:
        count = export_candles(store.database, symbol, Timeframe(timeframe), start, end, output or sys.stdout)
    click.echo(f"{count:,} candles written", err=True)


@contextmanager
def _progress_bar(name: str) -> Iterator[Progress]:
    """Shows how far a file is read, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress as ProgressBar

    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description=name if done < total else f"{name}: storing"
        )


def _described(file: Path, rejects: Path | None, done: CandleImport) -> dict[str, Any]:
    """What was done as programs read it. Keys are only ever added."""
    return {
        "file": str(file),
        "symbol": done.symbol,
        "timeframe": done.timeframe,
        "lines": done.lines,
        "inserted": done.inserted,
        "replaced": done.replaced,
        "rejected": done.rejected,
        "rejects": str(rejects) if rejects else None,
        "bad_lines": list(done.bad_lines),
        "first": done.first.isoformat() if done.first else None,
        "last": done.last.isoformat() if done.last else None,
        "seconds": round(done.seconds, 3),
    }


def _show(file: Path, rejects: Path | None, done: CandleImport) -> None:
    span = f", {done.first:%Y-%m-%d %H:%M} to {done.last:%Y-%m-%d %H:%M} UTC" if done.first else ""
    click.echo(f"{done.symbol} {done.timeframe} from {file}{span}")
    speed = f"{done.lines / done.seconds:,.0f} lines a second"
    click.echo(f"{done.inserted:,} inserted, {done.replaced:,} replaced, in {done.seconds:.2f} s ({speed})")
    if done.rejected:
        click.echo(f"{done.rejected:,} of {done.lines:,} lines are bad; they are in {rejects}:")
        for named in done.bad_lines:
            click.echo(f"  {named}")
