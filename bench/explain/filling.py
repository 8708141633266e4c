"""Fills the tables of all plugins on the server: rows by the hundred thousand within seconds.

Row `n` of a table is made by SQL expressions over `n`. Time runs with `n`, and ends now; what is not a series is spread
by a hash of `n`, so that no two columns go together.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from bench.progress import progressing
from cream_store import Database, Environment, Store
from cream_store.fields import (
    BooleanField,
    ChoiceField,
    DayField,
    EnumField,
    ForeignKey,
    IntegerField,
    JSONField,
    NumericField,
    SerialField,
    SymbolField,
    SymbolsField,
    TimestampField,
    TimestampTextField,
    UUIDField,
    text_literal,
)
from cream_store.row import Row, StoredColumn, table_of

SYMBOLS: Final = 200
_YEARS: Final = "730 days"

ROWS: Final[Mapping[str, int]] = {"candles": 1_000_000, "features": 1_000_000, "decisions": 200_000}
OTHER_ROWS: Final = 50_000
BOUNDED_ROWS: Final[Mapping[str, int]] = {
    "agent_configs": 16,
    "system_state": 2,
    "execution_recovery_state": 2,
}
"""Tables whose keys leave room for no more: one row for each environment, or for each of its agents."""


def fill(store: Store, scale: float, progress: Console) -> dict[str, int]:
    """Stores rows in every table, so many times the usual number, and gives the planner its statistics.

    Returns the number of rows by table.
    """
    rows = {table_of(row): _rows_of(table_of(row), scale) for row in store.rows}
    for row in progressing(store.rows, "filling", progress, table_of):
        with _indexes_made_afterwards(store.database, table_of(row)):
            _fill(store.database, row, rows)
        # VACUUM too, as autovacuum would: it lets indexes answer without looking into the table.
        store.database.change(f'VACUUM ANALYZE "{table_of(row)}"')
    return rows


@contextmanager
def _indexes_made_afterwards(database: Database, table: str) -> Iterator[None]:
    """Leaves out the indexes that are no constraints: to sort once is quicker than to insert a million times."""
    indexes = database.fetch_all(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        (f'"{table}"',),
    )
    for name, _ in indexes:
        database.change(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        database.change(definition)


def _rows_of(table: str, scale: float) -> int:
    return BOUNDED_ROWS.get(table) or max(1, round(ROWS.get(table, OTHER_ROWS) * scale))


def _fill(database: Database, row: type[Row], rows: Mapping[str, int]) -> None:
    table = table_of(row)
    columns: list[StoredColumn] = [column for column in row._meta.sorted_fields if not isinstance(column, SerialField)]
    expressions = [_expression(table, column, rows) for column in columns]
    names = ", ".join(f'"{column.column_name}"' for column in columns)
    numbers = f"generate_series(1::bigint, {rows[table]}) n"
    database.change(f'INSERT INTO "{table}" ({names}) SELECT {", ".join(expressions)} FROM {numbers}')


def _expression(table: str, column: StoredColumn, rows: Mapping[str, int]) -> str:
    salt = f"{table}.{column.column_name}"
    expression = _SPECIAL.get(salt) or _typical(column, rows, salt)
    return expression.replace("{rows}", str(rows[table]))


def _typical(column: StoredColumn, rows: Mapping[str, int], salt: str) -> str:
    """A value of the column's type."""
    name = column.column_name
    match column:
        case ForeignKey():
            return uuid(f"1 + {spread(salt, rows[table_of(column.rel_model)])}")
        case EnumField() if column.enum is Environment:
            return mostly("PAPER", "LIVE", salt=salt, cast="environment")
        case EnumField():
            return one_of(column.members, salt, column.type_name)
        case ChoiceField():
            return one_of(column.enum, salt)
        case UUIDField():
            return uuid("n")
        case SymbolField():
            return symbol("n")
        case SymbolsField():
            return f"jsonb_build_array({symbol(spread(salt, SYMBOLS))})"
        case JSONField():
            return "'[]'::jsonb" if column.of is list else "'{}'::jsonb"
        case DayField():
            return _DAY
        case TimestampTextField():
            return f"""to_char({_MOMENT}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        case TimestampField():
            return _MOMENT
        case BooleanField():
            return f"{spread(salt, 2)} = 0"
        case NumericField() if column.scale < 2:
            return f"1000 + {spread(salt, 1000)}"
        case NumericField():
            return f"(1 + {spread(salt, 99)}) / 100.0"  # a share, which is also a price and a quantity
        case IntegerField():
            return f"1 + {spread(salt, 10)}"
    if name in _TEXTS:
        return one_of(_TEXTS[name], salt)
    return f"'{name} ' || n"


def spread(salt: str, count: int) -> str:
    """A whole number from 0 to below `count`, by `n` and the salt."""
    return f"(hashint8extended(n, {zlib.crc32(salt.encode())}) & 2147483647) % {count}"


def one_of(values: Iterable[str], salt: str, cast: str = "text") -> str:
    """One of the values, all of them as often."""
    listed = [text_literal(str(value)) for value in values]
    return f'(ARRAY[{", ".join(listed)}])[1 + {spread(salt, len(listed))}]::"{cast}"'


def mostly(usual: str, *others: str, salt: str, cast: str = "text", percent: float = 90) -> str:
    """The usual value, or in some rows one of the others."""
    other = one_of(others, f"{salt} otherwise", cast)
    return f"CASE WHEN {spread(salt, 10_000)} < {percent * 100} THEN '{usual}'::\"{cast}\" ELSE {other} END"


def unless(condition: str, expression: str) -> str:
    """The expression, or NULL where the condition holds."""
    return f"CASE WHEN {condition} THEN NULL ELSE {expression} END"


def seldom(salt: str, percent: float = 1) -> str:
    """A condition that holds for some rows."""
    return f"{spread(salt, 10_000)} < {percent * 100}"


def uuid(number: str) -> str:
    """The key that belongs to a row's number. Ascending, as version 7 keys are."""
    return f"lpad(to_hex({number}), 32, '0')::uuid"


def symbol(number: str) -> str:
    """One of the symbols."""
    return f"'SYM' || lpad((({number}) % {SYMBOLS})::text, 4, '0')"


# The last row's moment is now; days are a grid, on which every symbol has a row.
_MOMENT: Final = f"now() - interval '{_YEARS}' * (1 - n / {{rows}}::float8)"
_DAY: Final = f"current_date - (({{rows}} - n) / {SYMBOLS})::int"


def _bar(series: int) -> str:
    """The moment of a bar when `series` of them go on at the same time."""
    return f"date_trunc('minute', now()) - interval '15 minutes' * (({{rows}} - n) / {series})"


_CONFIGURATIONS: Final = ("trading_config", "universe_configs", "constraints_config")

_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "action": ("login", "update", "delete", "promote"),
    "country": ("US", "EU", "JP", "GB"),
    "currency": ("USD", "EUR"),
    "indicator_name": tuple(f"indicator {number}" for number in range(50)),
    "industry": tuple(f"industry {number}" for number in range(60)),
    "model_name": ("hmm_regime",),
    "model_version": ("1", "2"),
    "provider": ("alpaca", "polygon"),
    "provider_id": ("credential", "google", "github"),
    "quiet_hours_end": ("07:00",),
    "quiet_hours_start": ("22:00",),
    "release_time": ("08:30", "14:00"),
    "sector": tuple(f"sector {number}" for number in range(11)),
    "source_version": ("1", "2"),
    "split_ratio": ("2:1", "3:1"),
    "strategy_family": ("MOMENTUM", "MEAN_REVERSION", "EVENT"),
    "time_horizon": ("INTRADAY", "SWING", "POSITION"),
    "user_id": tuple(f"user {number}" for number in range(50)),
}
"""The few values that a text column has; in others every row has a text of its own."""

# Real tables hold much that is over and little that is going on: that is what indexes on states live from.
_SPECIAL: Final[Mapping[str, str]] = {
    "alerts.acknowledged": f"NOT {seldom('alert', 2)}",
    "alerts.acknowledged_at": unless(seldom("alert", 2), _MOMENT),
    "alerts.expires_at": f"{_MOMENT} + interval '30 days'",
    "agent_configs.agent_type": "(enum_range(NULL::agent_type))[1 + (n - 1) % 8]",
    "agent_configs.environment": "(enum_range(NULL::environment))[1 + (n - 1) / 8]",
    "alert_settings.user_id": uuid("n"),
    "candles.close": "100.5",
    "candles.high": "101",
    "candles.low": "100",
    "candles.open": "100.25",
    "candles.provider": mostly("alpaca", "polygon", salt="candles.provider"),
    "candles.timeframe": f"(enum_range(NULL::timeframe))[1 + n / {SYMBOLS} % 5]",
    "candles.timestamp": _bar(5 * SYMBOLS),
    "config_versions.active": "n <= 2",
    "config_versions.environment": "CASE WHEN n = 2 THEN 'LIVE'::environment ELSE 'PAPER'::environment END",
    "corporate_actions.action_type": mostly("dividend", "split", salt="action", cast="corporate_action_type"),
    "cycle_events.cycle_id": uuid("1 + n / 20"),
    "cycles.status": mostly("completed", "failed", "running", salt="cycle", cast="cycle_status", percent=99),
    "decisions.cycle_id": uuid("1 + n / 20 % 10000"),
    "decisions.status": mostly("executed", "rejected", "expired", "pending", salt="decision", cast="decision_status"),
    "economic_calendar_cache.release_date": "to_char(current_date + 14 - (({rows} - n) / 70)::int, 'YYYY-MM-DD')",
    "economic_calendar_cache.release_id": "n % 70",
    "execution_order_snapshots.instrument_id": symbol("n"),
    "execution_order_snapshots.status": mostly("Filled", "New", "Canceled", salt="execution", percent=99),
    "execution_position_snapshots.quantity": f"CASE WHEN {seldom('position', 2)} THEN 5 ELSE 0 END",
    "execution_position_snapshots.symbol": "'SYM' || n",
    "execution_recovery_state.environment": "(enum_range(NULL::environment))[n]",
    "execution_recovery_state.last_cycle_id": "NULL",
    "features.indicator_name": f"'indicator ' || n / {SYMBOLS} % 50",
    "features.timeframe": "'1d'::timeframe",
    "features.timestamp": _bar(50 * SYMBOLS),
    "filings.status": mostly("complete", "failed", "pending", salt="filing", cast="filing_status", percent=99),
    "filing_sync_runs.status": mostly("completed", "failed", "running", salt="run", cast="sync_run_status", percent=99),
    "index_constituents.date_added": "current_date - (n % 3650)::int",
    "index_constituents.date_removed": unless("n % 10 = 0", "current_date - (n % 365)::int + 1"),
    "index_constituents.symbol": "'SYM' || n % 5000",
    "indicator_sync_runs.status": mostly(
        "completed", "failed", "running", salt="run", cast="sync_run_status", percent=99
    ),
    "morning_newspapers.date": "to_char(current_date - ({rows} - n)::int, 'YYYY-MM-DD')",
    "options_indicators_cache.expires_at": "now() + interval '1 hour' * (n % 100 - 5)",
    "options_indicators_cache.symbol": "'SYM' || n",
    "orders.status": mostly("filled", "cancelled", "submitted", salt="order", cast="order_status", percent=98),
    "prediction_market_arbitrage.resolved_at": unless(seldom("arbitrage"), _MOMENT),
    "prediction_market_snapshots.market_ticker": "'market ' || n % 500",
    "regime_labels.timeframe": f"(enum_range(NULL::timeframe))[1 + n / {SYMBOLS} % 5]",
    "regime_labels.timestamp": _bar(5 * SYMBOLS),
    "session.expires_at": "now() + interval '1 day' * (n % 100 - 50)",
    "system_state.environment": "(enum_range(NULL::environment))[n]",
    "thesis_state.cooldown_until": f"{_MOMENT} + interval '4 hours'",
    "thesis_state.notes": "'{}'",
    "thesis_state.state": mostly(
        "CLOSED", "WATCHING", "ENTERED", "MANAGING", salt="thesis", cast="thesis_state_value", percent=98
    ),
    "ticker_changes.change_date": "current_date - (n % 3650)::int",
    "ticker_changes.new_symbol": "'NEW' || n",
    "ticker_changes.old_symbol": "'OLD' || n",
    "two_factor.user_id": uuid("n"),
    "universe_snapshots.index_id": "(ARRAY['SP500', 'NASDAQ100', 'DOWJONES', 'RUSSELL2000'])[1 + n % 4]",
    "universe_snapshots.snapshot_date": "current_date - (({rows} - n) / 4)::int",
    "universe_snapshots.expires_at": "NULL",
    "user.email": "'user' || n || '@example.com'",
    "user_preferences.user_id": uuid("n"),
    "verification.expires_at": "now() + interval '1 minute' * (n % 100 - 50)",
    "verification.identifier": "'user' || n || '@example.com'",
} | {
    # One active row for each environment, the rest is history.
    f"{table}.{column}": expression
    for table in _CONFIGURATIONS
    for column, expression in {
        "environment": "CASE WHEN n = 2 THEN 'LIVE'::environment ELSE 'PAPER'::environment END",
        "status": "CASE WHEN n <= 2 THEN 'active' WHEN n = 3 THEN 'draft' ELSE 'archived' END::config_status",
    }.items()
}
