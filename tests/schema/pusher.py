"""Pushes the changed shop in a process of its own: `python -m tests.schema.pusher URL [STATEMENT]`.

Prints how many steps it took. With the number of a statement, the process is killed before it executes that one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any

from cream_store import Database, Environment, open_database
from tests.schema.samples import changed_shop, push_everything

change, numbers = Database.change, count()


def change_or_die(self: Database, sql: str, parameters: Sequence[Any] | None = None) -> int:
    """Executes a statement, unless it is the last one's turn."""
    if len(sys.argv) > 2 and next(numbers) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return change(self, sql, parameters)


if __name__ == "__main__":
    Database.change = change_or_die  # type: ignore[method-assign]  # the point of this program
    made = push_everything(open_database(sys.argv[1], Environment.TEST), changed_shop())
    print(len(made.accepted))  # noqa: T201  # what its parent reads
