"""How long it takes to get going: a fresh Python each time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Final

STARTS: Final[dict[str, Mapping[str, tuple[str, ...]]]] = {
    "import": {
        "bare Python": ("-c", "pass"),
        "cream-store": ("-c", "import cream_store"),
        "Peewee": ("-c", "import peewee"),
    },
    "help": {
        "bare Python": ("-c", "pass"),
        "cream-store": ("-m", "cream_store", "--help"),
    },
}
"""Arguments of Python, by operation and peer."""


def seconds_to_run(arguments: tuple[str, ...]) -> float:
    """How long a Python with these arguments takes from start to end."""
    started = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - started
