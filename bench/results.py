"""What was measured, what it shall be, and a whole run as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.imports import ImportCost
from bench.memory import MemoryCost

OURS: Final = "cream-store"
RAW: Final = ("sqlite3", "psycopg2")


@dataclass(frozen=True, slots=True)
class Result:
    """One operation of one peer."""

    section: str  # a back end, or "start"
    operation: str
    peer: str
    seconds: float  # of one call, the median over the repetitions
    ratio: float  # to the first peer of the section
    rows: int = 0  # in the table; 0 where there is none


@dataclass(frozen=True, slots=True)
class Target:
    """What cream-store may take at most: so many times the first peer's time, or so many seconds."""

    ratio: float | None = None
    seconds: float | None = None

    def is_met(self, result: Result) -> bool:
        """Whether a result keeps to it."""
        return (self.ratio is None or result.ratio <= self.ratio) and (
            self.seconds is None or result.seconds <= self.seconds
        )

    def __str__(self) -> str:
        limit = f"{self.ratio:.2f}" if self.ratio is not None else duration(self.seconds or 0)
        return f"<= {limit}"


_OF_ONE_ROW: Final = ("find_by_id", "create", "update", "find_many")
_BULK: Final = ("bulk_upsert_fresh", "bulk_upsert_stored", "bulk_upsert_arrow")
_OF_MANY_ROWS: Final = (*_BULK, "range_records")

TARGETS: Final[dict[str, dict[str, Target]]] = {
    "sqlite": {
        **dict.fromkeys(_OF_ONE_ROW, Target(ratio=1.8)),
        **dict.fromkeys(_OF_MANY_ROWS, Target(ratio=1.3)),
        "pool_1_thread": Target(seconds=10e-6),
    },
    "postgresql": {
        **dict.fromkeys(("find_by_id", "create", "update"), Target(ratio=1.0)),
        "find_many": Target(ratio=1.15),
        **dict.fromkeys(_BULK, Target(ratio=1.15)),
        "range_records": Target(ratio=1.3),
        "range_arrow": Target(ratio=0.2),
        "pool_1_thread": Target(seconds=10e-6),
    },
    "start": {"help": Target(seconds=1 / 3)},
}
"""By section and operation."""

UNPREPARED: Final = "unprepared"
UNPREPARED_TARGETS: Final = dict.fromkeys(_OF_ONE_ROW, Target(ratio=1.15))

OTHERS: Final = ("Peewee", "SQLAlchemy")
_TIMES_FASTER: Final = {("find_by_id", "Peewee"): 2.0, ("find_by_id", "SQLAlchemy"): 1.5}


def is_left_behind(other: Result, ours: Result) -> bool:
    """Whether cream-store is as much faster than another library as it shall be: faster, and at some things by far."""
    return other.seconds > ours.seconds * _TIMES_FASTER.get((other.operation, other.peer), 1.0)


def results_of(section: str, operation: str, medians: Mapping[str, float], rows: int = 0) -> list[Result]:
    """The results of one row; the first peer is what the others are compared to."""
    first = next(iter(medians.values()))
    return [Result(section, operation, peer, seconds, seconds / first, rows) for peer, seconds in medians.items()]


def as_json(
    results: Iterable[Result], imports: Iterable[ImportCost], memory: Iterable[MemoryCost], settings: Mapping[str, Any]
) -> str:
    """The whole run, for `--compare` and for other programs."""
    run = {
        "machine": machine(),
        "settings": settings,
        "results": [asdict(result) for result in results],
        "imports": [asdict(cost) for cost in imports],
        "memory": [asdict(cost) for cost in memory],
    }
    return json.dumps(run, indent=2)


def read_json(path: Path) -> list[Result]:
    """The results of an earlier run. Raises ValueError when the file holds none."""
    try:
        return [Result(**result) for result in json.loads(path.read_text())["results"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no output of scripts/bench --json: {error}") from error


def machine() -> str:
    """The machine in a few words."""
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two figures that shall be much the same."""

    title: str
    ratio: float
    limit: float

    @property
    def is_met(self) -> bool:
        """Whether the ratio keeps to its limit."""
        return self.ratio <= self.limit


def growth_comparisons(results: Sequence[Result]) -> list[Comparison]:
    """What shall not grow with the table, as far as it was measured on one back end."""
    ours = {(result.operation, result.rows): result.seconds for result in results if result.peer == OURS}
    largest = max(rows for _, rows in ours)
    pairs = [
        (("find_by_id", largest), ("find_by_id", largest // 100), 1.2),
        (("keyset_deep", largest), ("keyset_first", largest), 1.3),
    ]
    return [
        Comparison(f"{one[0]} at {one[1]:,} rows against {other[0]} at {other[1]:,}", ours[one] / ours[other], limit)
        for one, other, limit in pairs
        if one in ours and other in ours
    ]


def thread_comparisons(results: Sequence[Result]) -> list[Comparison]:
    """What threads lose by sharing connections, if it was measured: at most a tenth of the look-ups."""
    seconds = {(result.operation, result.peer): result.seconds for result in results}
    return [
        Comparison(
            f"{peer}: a look-up by 32 threads on 10 connections against one by 10 threads",
            seconds["lookups_32_threads", peer] / seconds["lookups_10_threads", peer],
            1 / 0.9,
        )
        for peer in (OURS, UNPREPARED)
        if {("lookups_10_threads", peer), ("lookups_32_threads", peer)} <= seconds.keys()
    ]


def duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"
