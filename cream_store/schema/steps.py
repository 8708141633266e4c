"""The steps of a schema change: what each does, to what, how risky it is, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Risk(StrEnum):
    """What a step may cost."""

    SAFE = "safe"
    """Nothing stored is lost."""
    LOSSY = "lossy"
    """Something stored is lost: done only when it is allowed by name."""
    BLOCKED = "blocked"
    """Impossible while the stored rows are as they are, whatever is allowed."""


class Action(StrEnum):
    """What a step does. The order is the order of execution."""

    DROP_INDEX = "drop-index"
    DROP_CONSTRAINT = "drop-constraint"
    CREATE_TYPE = "create-type"
    ADD_ENUM_VALUE = "add-enum-value"
    REBUILD_TYPE = "rebuild-type"
    REMOVE_ENUM_VALUE = "remove-enum-value"
    CREATE_FUNCTION = "create-function"
    CREATE_TABLE = "create-table"
    ADD_COLUMN = "add-column"
    DROP_DEFAULT = "drop-default"
    CHANGE_TYPE = "change-type"
    SET_DEFAULT = "set-default"
    DROP_NOT_NULL = "drop-not-null"
    SET_NOT_NULL = "set-not-null"
    ADD_CONSTRAINT = "add-constraint"
    CREATE_INDEX = "create-index"
    DROP_COLUMN = "drop-column"
    DROP_TABLE = "drop-table"


@dataclass(frozen=True, slots=True)
class Step:
    """One change."""

    action: Action
    subject: str
    """`orders.note`: the table and the column, constraint or index; or the name of a table, type or function."""
    sql: tuple[str, ...]
    """The statements; none where another step's statements do it too (SQLite rebuilds a table once for all)."""
    risk: Risk = Risk.SAFE
    reason: str = ""
    """Why it is needed, and for a risky one what it would cost: counted rows, the keys of the first."""

    @property
    def name(self) -> str:
        """What `--allow` takes: `drop-column:orders.note`."""
        return f"{self.action}:{self.subject}"
