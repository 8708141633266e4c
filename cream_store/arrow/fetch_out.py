"""The rows of an SQLite query, column by column, a part at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cream_store.backend import Database
from cream_store.held_connection import HeldConnection, unfinished

_ROWS_AT_A_TIME: Final = 10_000
Columns = list[tuple[Any, ...]]


class FetchOut:
    """The values of each column, for some rows after the other.

    They are read on the connection of the caller's transaction, or on one from the pool, which goes back at the end.
    """

    def __init__(self, database: Database, sql: str, parameters: Sequence[Any]) -> None:
        self._database = database
        self._process = os.getpid()
        self._held: HeldConnection | None = None
        held = HeldConnection(database, self.close)
        try:
            self._cursor = held.execute(sql, parameters)
        except BaseException:
            held.end()
            raise
        self._held = held

    def __iter__(self) -> Iterator[Columns]:
        """Raises RepositoryError when the query fails, perhaps after some rows."""
        try:
            while rows := self._fetch():
                yield list(zip(*rows, strict=True))
        finally:
            self.close()

    def _fetch(self) -> list[tuple[Any, ...]]:
        if self._held is None:
            raise unfinished()
        try:
            rows: list[tuple[Any, ...]] = self._cursor.fetchmany(_ROWS_AT_A_TIME)
            return rows
        except self._database.driver_errors as error:
            translated = self._held.translated(error)
        raise translated from translated.cause  # out here, for the reason that `Database._run_on` has

    def close(self) -> None:
        """Ends the query and gives the connection back. Safe to call again."""
        held, self._held = self._held, None
        if held is None or os.getpid() != self._process:  # a forked child must not touch the parent's connection
            return
        self._cursor.close()
        held.end()

    def __del__(self) -> None:
        self.close()
