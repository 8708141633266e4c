"""The command line of the benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click
from rich.console import Console

from bench.backends import BACKENDS, postgresql_store, version_of
from bench.operations import OPERATIONS
from bench.report import Result, as_json, machine, print_table, read_json
from bench.run import FULL, QUICK, measure_backend, measure_starts
from bench.startup import STARTS

_EPILOG = """\b
Examples:
  scripts/bench                              all of it, some minutes
  scripts/bench --quick                      a first impression in half a minute
  scripts/bench --only find_by_id --only create --backend postgresql
  scripts/bench --json >before.json          keep a run,
  scripts/bench --compare before.json        and see what a change brought
  scripts/bench --explain                    which reads go through whole tables

\b
The first column of a table is the time that one call of the raw driver takes;
the others say how many times as long the same work takes elsewhere. All are
medians over repetitions in which everyone has a turn, so that whatever else the
machine does disturbs all alike: compare the ratios, not the times.
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Fewer rows, repetitions and calls.")
@click.option(
    "--rows",
    type=click.IntRange(min=100),
    help=f"Rows in the table.  [default: {FULL.rows:,}; with --quick {QUICK.rows:,}]",
)
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="NAME",
    type=click.Choice([*OPERATIONS, *STARTS]),
    help=f"Measure this operation; may be given again. One of {', '.join([*OPERATIONS, *STARTS])}.",
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
    metavar="URL",
    help="A PostgreSQL server to use instead of a private one; the benchmark makes a database there and drops it.",
)
@click.option(
    "--explain",
    "wants_plans",
    is_flag=True,
    help="Measure nothing: look whether the reads of all repositories use indexes on PostgreSQL, with a million rows.",
)
@click.option("--json", "wants_json", is_flag=True, help="Print JSON instead of tables.")
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
    wants_plans: bool,
    wants_json: bool,
    compare: Path | None,
) -> None:
    """Measure cream-store beside the raw drivers and Peewee's models: the same work on the same rows, in one run."""
    if wants_plans:
        _explain(database_url, wants_json)
        return
    try:
        earlier = read_json(compare) if compare else []
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    size = QUICK if quick else FULL
    size = replace(size, rows=rows or size.rows)
    console, progress = Console(), Console(stderr=True)
    results: list[Result] = []

    def show(title: str, found: list[Result]) -> None:
        results.extend(found)
        if not wants_json:
            print_table(console, title, found, earlier)

    if operations := [name for name in OPERATIONS if not names or name in names]:
        for backend in backends or BACKENDS:
            title, found = measure_backend(backend, database_url, operations, size, progress)
            show(f"{title}, {size.rows:,} rows", found)
    if starts := [name for name in STARTS if not names or name in names]:
        show("Start", measure_starts(starts, size, progress))

    if wants_json:
        click.echo(as_json(results, asdict(size)))
    else:
        console.print(f"{machine()}; medians of {size.repetitions} repetitions")


def _explain(database_url: str | None, wants_json: bool) -> None:
    from bench.explain.check import check
    from bench.explain.filling import fill
    from bench.explain.report import as_dict, print_findings

    console, progress = Console(), Console(stderr=True)
    with postgresql_store(database_url, plugins=None) as store:
        findings = check(store, fill(store, 1, progress), progress)
        version = version_of(store.database)
    if wants_json:
        click.echo(json.dumps(as_dict(findings), indent=2))
    else:
        print_findings(console, f"PostgreSQL {version}", findings)
    if not findings.is_as_expected:
        raise click.exceptions.Exit(1)
