"""Medians over interleaved repetitions: whatever disturbs the machine disturbs everyone alike."""

from __future__ import annotations

import gc
import statistics
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final, TypeVar

T = TypeVar("T")
N = TypeVar("N")

Batch = Callable[[], float]
"""Does some work and returns the seconds that one call of it took."""


_LEAST_REPETITIONS: Final = 3
_DEAR: Final = 0.1


def interleaved(
    batches: Mapping[N, Batch], repetitions: int, budget: float, briefly: Collection[N] = ()
) -> dict[N, float]:
    """The median seconds of a call, by name. Each repetition runs every batch once, each time another one first.

    When `budget` seconds have passed, three repetitions are enough, and one of what is measured `briefly`.
    """
    names = list(batches)
    started = perf_counter()
    # To compile statements and fill caches, which makes no difference to a dear call.
    warming = {name: batches[name]() for name in names}
    is_dear = min(warming.values()) > _DEAR
    seconds = {name: [warming[name]] if is_dear else [] for name in names}
    gc.freeze()  # what is there already stays, and need not be searched for garbage again and again
    for repetition in range(int(is_dear), repetitions):
        if repetition > 0 and perf_counter() - started > budget:
            if repetition >= _LEAST_REPETITIONS:
                break
            names = [name for name in names if name not in briefly]
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
