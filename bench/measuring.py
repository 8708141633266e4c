"""Medians over interleaved repetitions: whatever disturbs the machine disturbs everyone alike."""

from __future__ import annotations

import gc
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

Batch = Callable[[], float]
"""Does some work and returns the seconds that one call of it took."""


def interleaved(batches: Mapping[str, Batch], repetitions: int) -> dict[str, float]:
    """The median seconds of a call, by name. Each repetition runs every batch once, each time another one first."""
    names = list(batches)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        batches[name]()  # to compile statements and fill caches
    gc.freeze()  # what is there already stays, and need not be searched for garbage again and again
    for repetition in range(repetitions):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(batches[name]())
    gc.unfreeze()
    return {name: statistics.median(samples) for name, samples in seconds.items()}


def one_by_one(call: Callable[[T], object], arguments: Sequence[T]) -> float:
    """The seconds of a call, over one call for each argument."""
    with _no_collection():
        started = perf_counter()
        for argument in arguments:
            call(argument)
        return (perf_counter() - started) / len(arguments)


def in_threads(call: Callable[[], object], threads: int, calls: int) -> float:
    """The seconds that pass for a call, over at least so many calls that the threads share."""
    share = -(-calls // threads)
    together = threading.Barrier(threads)
    spans: list[tuple[float, float]] = []

    def work() -> None:
        together.wait()
        started = perf_counter()
        for _ in range(share):
            call()
        spans.append((started, perf_counter()))

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    with _no_collection():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return (max(ended for _, ended in spans) - min(started for started, _ in spans)) / (share * threads)


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect(1)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
