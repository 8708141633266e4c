"""What is taken from a driver's cursor when a statement was executed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cream_store.collection import MANY, collection_paused

Cursor = Any


def read_all(cursor: Cursor) -> list[tuple[Any, ...]]:
    """A statement's rows."""
    if cursor.rowcount < MANY:  # SQLite does not know
        return _read_few(cursor)
    with collection_paused():
        return _read_few(cursor)


def _read_few(cursor: Cursor) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def read_count(cursor: Cursor) -> int:
    """How many rows a statement changed."""
    count: int = cursor.rowcount
    return count


class FetchedCursor:
    """A cursor whose rows were read already, so that its connection may go on to other work."""

    def __init__(self, cursor: Cursor) -> None:
        self.description: Any = cursor.description
        self._rows: Iterator[tuple[Any, ...]] = iter(cursor.fetchall() if cursor.description else ())
        self.rowcount: int = cursor.rowcount  # known to SQLite only after the rows
        self.lastrowid: int | None = cursor.lastrowid

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def close(self) -> None:
        """Nothing is left to close."""
