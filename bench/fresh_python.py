"""Programs in a fresh Python each: how long they take, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final, NamedTuple

_PROGRAM: Final = """
import json, pathlib, resource, sys, time
started = time.perf_counter()
{statements}
seconds = time.perf_counter() - started
# Where there is none, the figure that includes what the parent had in memory when it made this process.
status = pathlib.Path("/proc/self/status")
if status.exists():
    peak = int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
json.dump([seconds, peak], sys.stdout)
"""


class Cost(NamedTuple):
    """What a program took."""

    seconds: float  # from its first statement to its last
    peak_bytes: int  # the most memory that the process had resident


def cost_of(statements: str) -> Cost:
    """Runs statements, which print nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "CREAM_PLUGINS"}
    program = _PROGRAM.format(statements=statements)
    output = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, env=environment)
    return Cost(*json.loads(output.stdout))
