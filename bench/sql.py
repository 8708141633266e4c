"""The SQL of the raw peers: what cream-store sends, written by hand. `?` stands for the driver's placeholder."""

from __future__ import annotations

import dataclasses
from typing import Final

from cream_plugins.core_trading import Decision
from cream_plugins.market_data import Candle
from cream_store.url import Kind

COLUMN_NAMES: Final = tuple(field.name for field in dataclasses.fields(Decision))
COLUMNS: Final = ", ".join(COLUMN_NAMES)
PLACEHOLDERS: Final = "(" + ", ".join("?" * len(COLUMN_NAMES)) + ")"

FIND_BY_ID: Final = f"SELECT {COLUMNS} FROM decisions WHERE id = ?"
FIND_MANY: Final = f"""
    SELECT (SELECT COUNT(*) FROM decisions WHERE environment = ? AND symbol = ?), {COLUMNS}
    FROM decisions WHERE environment = ? AND symbol = ?
    ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?
"""
FIRST_PAGE: Final = f"SELECT {COLUMNS} FROM decisions WHERE environment = ? ORDER BY created_at DESC, id DESC LIMIT ?"
LATER_PAGE: Final = f"""
    SELECT {COLUMNS} FROM decisions WHERE environment = ? AND (created_at, id) < (?, ?)
    ORDER BY created_at DESC, id DESC LIMIT ?
"""
CREATE: Final = f"INSERT INTO decisions ({COLUMNS}) VALUES {PLACEHOLDERS} RETURNING {COLUMNS}"
APPROVE: Final = f"""
    UPDATE decisions SET status = ?, updated_at = ? WHERE id = ? AND status = ? AND environment = ?
    RETURNING {COLUMNS}
"""

CANDLE_COLUMN_NAMES: Final = tuple(field.name for field in dataclasses.fields(Candle))
CANDLE_COLUMNS: Final = ", ".join(CANDLE_COLUMN_NAMES)
NEW_CANDLE_COLUMN_NAMES: Final = CANDLE_COLUMN_NAMES[1:]  # the database numbers them
NEW_CANDLE_COLUMNS: Final = ", ".join(NEW_CANDLE_COLUMN_NAMES)
OVER_STORED_CANDLES: Final = "ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}"
    for name in NEW_CANDLE_COLUMN_NAMES
    if name not in ("symbol", "timeframe", "timestamp", "created_at")
)
READ_RANGE: Final = f"""
    SELECT {CANDLE_COLUMNS} FROM candles WHERE symbol = ? AND timeframe = ? AND timestamp BETWEEN ? AND ?
    ORDER BY timestamp, id
"""


def create_many(count: int) -> str:
    """Stores so many rows at once."""
    rows = ", ".join([PLACEHOLDERS] * count)
    return f"INSERT INTO decisions ({COLUMNS}) VALUES {rows} RETURNING {COLUMNS}"


def copy_decisions(kind: Kind, minutes: int, copies: int) -> str:
    """Copies the decisions from before a moment so many times, each so many minutes later, about other symbols."""
    later = {
        "postgresql": f"{{0}} + copy.number * interval '{minutes} minutes'",
        # Whole minutes leave the seconds as they are, whose fractions strftime would cut.
        "sqlite": f"strftime('%Y-%m-%dT%H:%M:', {{0}}, (copy.number * {minutes}) || ' minutes') || substr({{0}}, 18)",
    }[kind]
    values = {name: name for name in COLUMN_NAMES if name != "id"}  # whose default makes new ones
    values |= {name: later.format(name) for name in ("created_at", "updated_at", "executed_at")}
    values["symbol"] = "symbol || '-' || copy.number"
    return f"""
        WITH RECURSIVE copy(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copy WHERE number < {copies})
        INSERT INTO decisions ({", ".join(values)}) SELECT {", ".join(values.values())} FROM decisions, copy
        WHERE created_at < {"%s" if kind == "postgresql" else "?"}
    """
