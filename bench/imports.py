"""What it costs to load the core and the plugins: time and memory, in a fresh Python each time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console

from bench.fresh_python import cost_of
from bench.measuring import interleaved

# A store that is open has imported what a service with these plugins imports; it does not connect.
_OPEN: Final = "from cream_store import Store; Store.open({plugins}, url={url!r})"
_SQLITE: Final = "sqlite:///never-connected.db"
_POSTGRESQL: Final = "postgresql://localhost/never-connected"

BARE: Final = "bare Python"


@dataclass(frozen=True, slots=True)
class ImportCost:
    """What one selection of plugins costs."""

    name: str
    seconds: float  # from the first import to the open store, the median
    peak_bytes: int  # the most memory that the process had resident, the median


@dataclass(slots=True)
class _Loading:
    """Python programs that load the same."""

    statement: str
    peaks: list[int] = field(default_factory=list)

    def run(self) -> float:
        cost = cost_of(self.statement)
        self.peaks.append(cost.peak_bytes)
        return cost.seconds


def measure_imports(plugins: Iterable[str], repetitions: int, budget: float, progress: Console) -> list[ImportCost]:
    """Bare Python, the core alone, with each of the plugins and what that requires, and with all that are installed."""
    loadings = {
        BARE: _Loading("pass"),
        "import cream_store": _Loading("import cream_store"),
        "core": _opening([]),
        "core on PostgreSQL": _opening([], _POSTGRESQL),
        **{f"core + {name}": _opening([name]) for name in plugins},
        "all plugins": _opening(None),
    }
    with progress.status("imports"):
        seconds = interleaved({name: loading.run for name, loading in loadings.items()}, repetitions, budget)
    return [
        ImportCost(name, seconds[name], round(statistics.median(loading.peaks))) for name, loading in loadings.items()
    ]


def _opening(plugins: Sequence[str] | None, url: str = _SQLITE) -> _Loading:
    return _Loading(_OPEN.format(plugins=plugins, url=url))
