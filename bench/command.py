"""The command line of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from bench import report, startup
from bench.agreement import check_agreement
from bench.backends import BACKENDS, opened
from bench.measuring import interleaved
from bench.operations import OPERATIONS
from bench.report import Result, print_table, results_of
from bench.workload import Workload

ROWS = 20_000
REPETITIONS, CALLS = 31, 50
QUICK_ROWS, QUICK_REPETITIONS, QUICK_CALLS = 1_000, 5, 20

_EPILOG = """\b
Examples:
  scripts/bench                              all of it, some minutes
  scripts/bench --quick                      a first impression in seconds
  scripts/bench --only find_by_id --only create --backend postgresql
  scripts/bench --json >before.json          keep a run,
  scripts/bench --compare before.json        and see what a change brought

\b
The first column of a table is the time that one call of the raw driver takes; the others say how many times as long
the same work takes elsewhere. All are medians over repetitions in which everyone has a turn, so that whatever else
the machine does disturbs all alike: compare ratios, not times.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help=f"Few repetitions, and {QUICK_ROWS:,} rows unless --rows says otherwise.")
@click.option("--rows", type=click.IntRange(min=100), help=f"Rows in the table.  [default: {ROWS:,}]")
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice([*OPERATIONS, *startup.STARTS]),
    help="Measure this operation; may be given again.",
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(BACKENDS),
    help="Measure on this database; may be given again.  [default: both]",
)
@click.option(
    "--database-url",
    help="A PostgreSQL server to use instead of a private one; the benchmark makes a database there and drops it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--compare",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show the ratios of an earlier --json run beside this one's.",
)
def main(
    quick: bool,
    rows: int | None,
    names: Sequence[str],
    backends: Sequence[str],
    database_url: str | None,
    as_json: bool,
    compare: Path | None,
) -> None:
    """Measure cream-store beside the raw drivers and Peewee's models: the same work on the same rows, in one run."""
    try:
        earlier = report.read_json(compare) if compare else []
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    rows = rows or (QUICK_ROWS if quick else ROWS)
    repetitions, calls = (QUICK_REPETITIONS, QUICK_CALLS) if quick else (REPETITIONS, CALLS)
    console, progress = Console(), Console(stderr=True)
    results: list[Result] = []

    if wanted := [name for name in OPERATIONS if not names or name in names]:
        for backend in backends or BACKENDS:
            title, found = _measure_backend(backend, database_url, wanted, rows, repetitions, calls, progress)
            results += found
            if not as_json:
                print_table(console, f"{title}, {rows:,} rows", found, earlier)
    if wanted := [name for name in startup.STARTS if not names or name in names]:
        found = _measure_starts(wanted, repetitions, progress)
        results += found
        if not as_json:
            print_table(console, "Start", found, earlier)

    if as_json:
        click.echo(report.as_json(results, {"rows": rows, "repetitions": repetitions, "calls": calls}))
    else:
        console.print(f"{report.machine()}; medians of {repetitions} repetitions")


def _measure_backend(
    backend: str,
    server_url: str | None,
    names: Sequence[str],
    rows: int,
    repetitions: int,
    calls: int,
    progress: Console,
) -> tuple[str, list[Result]]:
    results: list[Result] = []
    with opened(backend, server_url) as open_backend:
        workload = Workload(open_backend.store, rows)
        check_agreement(open_backend.peers, workload)
        for name in track(names, backend, console=progress, transient=True):
            batches = {peer.name: partial(OPERATIONS[name], peer, workload, calls) for peer in open_backend.peers}
            results += results_of(backend, name, interleaved(batches, repetitions))
        return open_backend.title, results


def _measure_starts(names: Sequence[str], repetitions: int, progress: Console) -> list[Result]:
    results: list[Result] = []
    for name in track(names, "start", console=progress, transient=True):
        batches = {peer: partial(startup.seconds_to_run, arguments) for peer, arguments in startup.STARTS[name].items()}
        results += results_of("start", name, interleaved(batches, repetitions))
    return results
