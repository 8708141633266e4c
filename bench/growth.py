"""What grows with the table and what does not: the same operations on tables of several sizes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.backends import Backend, opened
from bench.measuring import interleaved
from bench.operations import OPERATIONS
from bench.progress import progressing
from bench.results import RAW, Result, results_of
from bench.run import Size
from bench.workload import Workload

GROWING: Final = ("find_by_id", "find_many", "keyset_first", "keyset_deep", "create")
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES: Final = (100, 1_000, 10_000)
_WRITTEN_ONE_BY_ONE: Final = 10_000


def measure_growth(
    backend: str, server_url: str | None, names: Sequence[str], sizes: Sequence[int], size: Size, progress: Console
) -> tuple[str, list[Result]]:
    """The back end's name with its version, and the results of the operations at each size, ascending."""
    results: list[Result] = []
    with ExitStack() as stack:
        tables: dict[int, tuple[Backend, Workload]] = {}
        for rows in progressing(sizes, f"{backend}, filling", progress, "{:,} rows".format):
            open_backend = stack.enter_context(opened(backend, server_url))
            workload = Workload(open_backend.store, min(rows, _WRITTEN_ONE_BY_ONE), size.candles)
            workload.grow(rows)
            tables[workload.rows] = open_backend, workload
        # All sizes and operations in turn, because they are compared with each other.
        batches = {
            (name, rows, peer.name): partial(OPERATIONS[name], peer, workload, size.calls)
            for rows, (open_backend, workload) in tables.items()
            for peer in open_backend.peers
            for name in names
        }
        progress.print(f"{backend}: measuring", highlight=False)
        medians = interleaved(batches, size.repetitions, size.budget * len(names) * len(sizes))
        for rows, (open_backend, _) in tables.items():
            for name in names:
                of_peers = {peer.name: medians[name, rows, peer.name] for peer in open_backend.peers}
                results += results_of(backend, name, of_peers, rows)
    return open_backend.title, results


def plot(path: Path, titles: Sequence[str], results: Sequence[Result]) -> None:
    """Draws what a call costs against the rows of the table: a back end a row, an operation a column."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # A peer has the same colour everywhere; the raw drivers share one.
    peers = list(dict.fromkeys(result.peer for result in results if result.peer not in RAW))
    colours = {peer: f"C{place}" for place, peer in enumerate(peers, 1)} | dict.fromkeys(RAW, "C0")
    sections = list(dict.fromkeys(result.section for result in results))
    operations = list(dict.fromkeys(result.operation for result in results))
    figure, panels = pyplot.subplots(
        len(sections),
        len(operations),
        figsize=(3.2 * len(operations), 3 * len(sections)),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    for section, title, row in zip(sections, titles, panels, strict=True):
        for operation, panel in zip(operations, row, strict=True):
            here = [result for result in results if (result.section, result.operation) == (section, operation)]
            for peer in dict.fromkeys(result.peer for result in here):
                line = [(result.rows, result.seconds * 1e6) for result in here if result.peer == peer]
                panel.plot(*zip(*line, strict=True), marker="o", markersize=3, label=peer, color=colours[peer])
            panel.set(xscale="log", yscale="log", title=operation)
            panel.grid(visible=True, alpha=0.3)
        row[0].set_ylabel(f"{title}\nmicroseconds a call")
        row[0].legend(fontsize="small")
    for panel in panels[-1]:
        panel.set_xlabel("rows in the table")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
