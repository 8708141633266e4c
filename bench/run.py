"""A run: the chosen operations, measured for everyone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from bench.agreement import check_agreement
from bench.backends import opened
from bench.measuring import interleaved
from bench.operations import OPERATIONS, WITHOUT
from bench.progress import progressing
from bench.results import OTHERS, Result, results_of
from bench.startup import STARTS, seconds_to_run
from bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rows: int  # in the table at the beginning
    repetitions: int  # of each operation and peer
    calls: int  # in each repetition; fewer of the dear operations
    candles: int  # in bulk writes and in the range that is read
    budget: float  # seconds after which three repetitions of an operation are enough, and one by other libraries


FULL = Size(rows=20_000, repetitions=31, calls=50, candles=100_000, budget=6)
QUICK = Size(rows=1_000, repetitions=5, calls=20, candles=2_000, budget=2)


def measure_backend(
    backend: str, server_url: str | None, names: Sequence[str], size: Size, progress: Console
) -> tuple[str, list[Result]]:
    """The back end's name with its version, and the results of the operations on it."""
    results: list[Result] = []
    with opened(backend, server_url) as open_backend:
        workload = Workload(open_backend.store, size.rows, size.candles)
        check_agreement(open_backend.peers, workload)
        for name in progressing(names, backend, progress):
            peers = [peer for peer in open_backend.peers if peer.name not in WITHOUT.get(name, ())]
            batches = {peer.name: partial(OPERATIONS[name], peer, workload, size.calls) for peer in peers}
            results += results_of(backend, name, interleaved(batches, size.repetitions, size.budget, briefly=OTHERS))
        return open_backend.title, results


def measure_starts(names: Sequence[str], size: Size, progress: Console) -> list[Result]:
    """The results of starting programs."""
    results: list[Result] = []
    for name in progressing(names, "start", progress):
        batches = {peer: partial(seconds_to_run, arguments) for peer, arguments in STARTS[name].items()}
        results += results_of("start", name, interleaved(batches, size.repetitions, size.budget))
    return results
