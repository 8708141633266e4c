"""Statements that one PostgreSQL connection keeps parsed and planned."""

from __future__ import annotations

import itertools
import secrets
from typing import Any, Final

KEPT: Final = 200
"""Statements of a connection at most: those that were used last."""


class PreparedStatements:
    """The statements of one connection, each prepared when it is used for the second time.

    PREPARE belongs to the session, not to a transaction: what is rolled back stays prepared.
    """

    def __init__(self) -> None:
        # By SQL text, the longest unused first; None for one used once.
        self._executions: dict[str, str | None] = {}
        self._numbers = itertools.count(1)
        self._has_left_overs = False
        # A pooler may lead one program's EXECUTE to a session where another program prepared: no name means two things.
        self._prefix = f"cream_store_{secrets.token_hex(8)}"

    def execution_of(self, sql: str, count: int, cursor: Any) -> str | None:
        """The text that executes a statement with so many parameters by its name; None at its first use."""
        try:
            execution = self._executions.pop(sql)
        except KeyError:
            self._executions[sql] = None
            self._drop_oldest(cursor)
            return None
        execution = self._executions[sql] = execution or self._prepare(sql, count, cursor)
        return execution

    def forget(self) -> None:
        """Forgets all names, which the session may know still or not any more."""
        self._executions.clear()
        self._has_left_overs = True

    def _prepare(self, sql: str, count: int, cursor: Any) -> str:
        if self._has_left_overs:
            cursor.execute("DEALLOCATE ALL")
            self._has_left_overs = False
        name = f"{self._prefix}_{next(self._numbers)}"
        numbered = sql % tuple(f"${number}" for number in range(1, count + 1))
        cursor.execute(f"PREPARE {name} AS {numbered}")
        return f"EXECUTE {name} ({', '.join(['%s'] * count)})"

    def _drop_oldest(self, cursor: Any) -> None:
        if len(self._executions) > KEPT:
            execution = self._executions.pop(next(iter(self._executions)))
            if execution is not None:
                cursor.execute(f"DEALLOCATE {execution.split()[1]}")
