"""The command line of the benchmark."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from bench.backends import BACKENDS, postgresql_store, version_of
from bench.growth import GROWING, QUICK_SIZES, SIZES, measure_growth, plot
from bench.imports import ImportCost, measure_imports
from bench.memory import QUICK_ROWS, ROWS, MemoryCost, measure_memory
from bench.operations import OPERATIONS
from bench.report import comparison_grids, growth_grids, imports_grid, memory_grid, operations_grid, print_grids
from bench.results import Result, as_json, machine, read_json, thread_comparisons
from bench.run import FULL, QUICK, measure_backend, measure_starts
from bench.startup import STARTS
from cream_store.plugins import discover

_EPILOG = """\b
Examples:
  scripts/bench                              all of it, some minutes
  scripts/bench --quick                      a first impression in half a minute
  scripts/bench --only find_by_id --only create --backend postgresql
  scripts/bench --markdown >last.md          the tables for a document
  scripts/bench --json >before.json          keep a run,
  scripts/bench --compare before.json        and see what a change brought
  scripts/bench --plot growth.png            what grows with the table: up to a million rows
  scripts/bench --sizes 10000,1000000 --only find_by_id
  scripts/bench --only imports               time and memory of the core and of each plugin
  scripts/bench --memory                     what a file and streams of 5 million candles take
  scripts/bench --explain                    which reads go through whole tables

\b
The first column of a table is the time that one call of the raw driver takes;
the others say how many times as long the same work takes elsewhere. All are
medians over repetitions in which everyone has a turn, so that whatever else the
machine does disturbs all alike: compare the ratios, not the times.
"""


IMPORTS: Final = "imports"
_NAMES: Final = [*OPERATIONS, *STARTS, IMPORTS]


def _parsed_sizes(context: click.Context, option: click.Parameter, text: str | None) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of whole numbers such as 10000,1000000") from None
    steps = list(pairwise(sizes))
    if any(size < 100 for size in sizes) or any(larger <= smaller or larger % smaller for smaller, larger in steps):
        raise click.BadParameter("at least 100 rows, and each size a multiple of the one before")
    return sizes


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Fewer rows, repetitions and calls.")
@click.option(
    "--rows",
    type=click.IntRange(min=100),
    help=f"Rows in the table.  [default: {FULL.rows:,}, or {ROWS:,} with --memory; fewer with --quick]",
)
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="NAME",
    type=click.Choice(_NAMES),
    help=f"Measure this alone; may be given again. One of {', '.join(_NAMES)}.",
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
    "--sizes",
    metavar="ROWS,ROWS...",
    callback=_parsed_sizes,
    help="Measure the operations on single rows and pages at each of these sizes of the table, each a multiple of the"
    f" one before.  [with --plot: {','.join(map(str, SIZES))}]",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Draw what a call costs against the size of the table (PNG, SVG or PDF).",
)
@click.option(
    "--memory",
    "wants_memory",
    is_flag=True,
    help="Measure the memory and time of jobs larger than memory instead: the import of a CSV file of candles, and"
    " streams of them all.",
)
@click.option(
    "--explain",
    "wants_plans",
    is_flag=True,
    help="Measure nothing: look whether the reads of all repositories use indexes on PostgreSQL, with a million rows."
    " Exits with 1 when one goes through a whole table without a reason.",
)
@click.option("--json", "wants_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--markdown", "wants_markdown", is_flag=True, help="Print the tables as Markdown, for a document.")
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
    sizes: Sequence[int],
    plot_file: Path | None,
    wants_memory: bool,
    wants_plans: bool,
    wants_json: bool,
    wants_markdown: bool,
    compare: Path | None,
) -> None:
    """Measure cream-store beside the raw drivers, Peewee and SQLAlchemy: the same work on the same rows, in one run."""
    if (wants_plans or wants_memory) and (names or sizes or plot_file or compare):
        alone = "--explain" if wants_plans else "--memory"
        raise click.UsageError(f"{alone} measures nothing else: leave out --only, --sizes, --plot and --compare")
    if wants_plans:
        _explain(database_url, wants_json)
        return
    try:
        earlier = read_json(compare) if compare else []
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    size = QUICK if quick else FULL
    jobs_rows = rows or (QUICK_ROWS if quick else ROWS)
    size = replace(size, rows=rows or size.rows)
    backends = backends or BACKENDS
    if plot_file is not None and not sizes:
        sizes = QUICK_SIZES if quick else SIZES
    console, progress = Console(quiet=wants_json, width=_width()), Console(stderr=True)
    show = partial(print_grids, console, as_markdown=wants_markdown)

    def chosen(known: Iterable[str]) -> list[str]:
        return [name for name in known if not names or name in names]

    results: list[Result] = []
    imports: list[ImportCost] = []
    memory: list[MemoryCost] = []
    if wants_memory:
        for backend in backends:
            title, costs = measure_memory(backend, database_url, jobs_rows, progress)
            show([memory_grid(f"{title}, {jobs_rows:,} candles", costs)])
            memory += costs
    elif sizes:
        if not chosen(GROWING):
            raise click.UsageError(f"at several sizes there are only {', '.join(GROWING)}")
        titles = []
        for backend in backends:
            title, found = measure_growth(backend, database_url, chosen(GROWING), sizes, size, progress)
            show(growth_grids(title, found))
            titles.append(title)
            results += found
        if plot_file is not None:
            plot(plot_file, titles, results)
            progress.print(f"drawn: {plot_file}")
    else:
        if operations := chosen(OPERATIONS):
            for backend in backends:
                title, found = measure_backend(backend, database_url, operations, size, progress)
                show([operations_grid(f"{title}, {size.rows:,} rows", found, earlier)])
                show(comparison_grids(f"{title}: what threads lose by sharing", thread_comparisons(found)))
                results += found
        if starts := chosen(STARTS):
            found = measure_starts(starts, size, progress)
            show([operations_grid("Start", found, earlier)])
            results += found
        if chosen([IMPORTS]):
            imports = measure_imports(discover(), size.repetitions, size.budget, progress)
            show([imports_grid(imports)])

    how = "each job once" if wants_memory else f"medians of at most {size.repetitions} repetitions"
    console.print(f"{machine()}; {how}", highlight=False)
    if wants_json:
        click.echo(as_json(results, imports, memory, asdict(size)))


def _width() -> int | None:
    """Room for the whole tables in a file, and what there is on a terminal."""
    return None if sys.stdout.isatty() else 120


def _explain(database_url: str | None, wants_json: bool) -> None:
    from bench.explain.check import check
    from bench.explain.filling import fill
    from bench.explain.report import as_dict, print_findings

    console, progress = Console(width=_width()), Console(stderr=True)
    with postgresql_store(database_url, plugins=None) as store:
        findings = check(store, fill(store, 1, progress), progress)
        version = version_of(store.database)
    if wants_json:
        click.echo(json.dumps(as_dict(findings), indent=2))
    else:
        print_findings(console, f"PostgreSQL {version}", findings)
    if not findings.is_as_expected:
        raise click.exceptions.Exit(1)
