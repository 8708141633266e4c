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
    """Impossible while the database is as it is, whatever is allowed."""


class Action(StrEnum):
    """What a step does. The order is the order of execution: what goes makes room for what comes."""

    DROP_INDEX = "drop-index"
    DROP_FOREIGN_KEY = "drop-foreign-key"
    DROP_CONSTRAINT = "drop-constraint"
    DROP_TABLE = "drop-table"
    DROP_COLUMN = "drop-column"
    CREATE_TYPE = "create-type"
    REMOVE_ENUM_VALUE = "remove-enum-value"
    REORDER_ENUM_VALUES = "reorder-enum-values"
    ADD_ENUM_VALUE = "add-enum-value"
    CREATE_FUNCTION = "create-function"
    ADD_COLUMN = "add-column"
    DROP_DEFAULT = "drop-default"
    CHANGE_TYPE = "change-type"
    SET_DEFAULT = "set-default"
    DROP_NOT_NULL = "drop-not-null"
    SET_NOT_NULL = "set-not-null"
    ADD_CONSTRAINT = "add-constraint"
    CREATE_TABLE = "create-table"
    ADD_FOREIGN_KEY = "add-foreign-key"
    CREATE_INDEX = "create-index"
    DROP_TYPE = "drop-type"


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
    is_accepted: bool = True
    """Whether a push does it: it is safe, or allowed by name, and waits for nothing that is not."""
    table: str | None = None
    """The table that it changes."""

    @property
    def name(self) -> str:
        """What `--allow` takes: `drop-column:orders.note`."""
        return f"{self.action}:{self.subject}"
