"""Databases that a test left open, and where it opened them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cream_store import backend
from cream_store.backend import Database

_PACKAGE = str(Path(backend.__file__).parent)


class OpenedDatabases:
    """The databases that were opened during a block."""

    def __init__(self) -> None:
        self._where: dict[Database, str] = {}

    def add(self, database: Database) -> None:
        """Remembers a database with the line of the program that opened it."""
        callers = (frame for frame in reversed(traceback.extract_stack()) if not frame.filename.startswith(_PACKAGE))
        caller = next(callers, None)
        self._where[database] = f"{caller.filename}:{caller.lineno}" if caller else "an unknown place"

    def left_open(self) -> dict[Database, str]:
        """Those that still hold connections, each with the place where it was opened."""
        return {database: where for database, where in self._where.items() if database.pool_stats().total}


@contextmanager
def watched_databases() -> Iterator[OpenedDatabases]:
    """`with watched_databases() as opened: ...`"""
    opened = OpenedDatabases()
    backend.watchers.append(opened.add)
    try:
        yield opened
    finally:
        backend.watchers.remove(opened.add)
