"""How a column's values become values of another type, and which of them can't.

Nothing is ever cut to fit. A value without a counterpart in the new type stands in the way; one that would be rounded
is counted, for the person who has to allow it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cream_store.fields import text_literal


@dataclass(frozen=True, slots=True)
class Conversion:
    """The expression of the new value, and conditions on the old one."""

    expression: str
    refuses: str | None = None
    """Met by values that have no counterpart in the new type."""
    alters: str | None = None
    """Met by values that become others."""
    keeps_everything: bool = False
    """Whether the new type has every value of the old one, unchanged."""


_WHOLE_DIGITS: Final = {"smallint": 5, "integer": 10, "bigint": 19}
_WHOLE_BITS: Final = {"smallint": 16, "integer": 32, "bigint": 64}
_INEXACT: Final = ("numeric", "real", "double precision")
_NUMBER: Final = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)$"
_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_EXACT_DIGITS: Final = 15
"""What a float of SQLite holds of a number's digits."""
_MOMENTS: Final = ("timestamp with time zone", "timestamp without time zone", "date")


def on_postgresql(column: str, before: str, after: str, enums: Mapping[str, Sequence[str]]) -> Conversion:
    """From one type to another, as PostgreSQL spells them; `enums` has the values of the enum types to be."""
    labels = enums.get(after.strip('"'))
    if labels is not None:
        listed = ", ".join(map(text_literal, labels))
        return Conversion(f"{column}::text::{after}", refuses=f"{column}::text NOT IN ({listed})")
    if after == "text":
        return Conversion(f"{column}::text", keeps_everything=True)
    if _numeric(after) or after in (*_WHOLE_DIGITS, "boolean"):
        return _to_number_on_postgresql(column, before, after)
    if before in _MOMENTS and after in _MOMENTS:
        return Conversion(f"{column}::{after}")
    refuses = f"{column}::text !~* '{_UUID}'" if after == "uuid" else None
    return Conversion(f"{column}::text::{after}", refuses)


def _to_number_on_postgresql(column: str, before: str, after: str) -> Conversion:
    old, new = _numeric(before), _numeric(after)
    is_number = old is not None or before in (*_WHOLE_DIGITS, *_INEXACT)
    if before == "boolean":
        return Conversion(f"{column}::integer::{after}", keeps_everything=True)
    if after == "boolean":
        if is_number:
            return Conversion(f"({column} <> 0)", alters=f"{column} NOT IN (0, 1)")
        return Conversion(f"{column}::text::boolean", f"lower({column}::text) NOT IN ('true', 'false', 't', 'f')")
    not_a_number = ""
    if not is_number:
        not_a_number = f"{column}::text !~ '{_NUMBER}' OR "
        column = f"(CASE WHEN {column}::text ~ '{_NUMBER}' THEN {column}::text::numeric END)"
    if new is None:
        limit = 1 << (_WHOLE_BITS[after] - 1)
        rounded = f"round({column}::numeric)"
        refuses = f"{rounded} NOT BETWEEN {-limit} AND {limit - 1}"
        keeps_everything = _WHOLE_DIGITS.get(before, 20) <= _WHOLE_DIGITS[after]
    else:
        precision, scale = new
        rounded = f"round({column}::numeric, {scale})"
        refuses = f"abs({rounded}) >= 1{'0' * (precision - scale)}"
        keeps_everything = _fits(old or (_WHOLE_DIGITS.get(before, 1000), 0), new)
    if keeps_everything:
        return Conversion(f"{column}::{after}", keeps_everything=True)
    return Conversion(f"{column}::{after}", f"{not_a_number}{refuses}", f"{rounded} <> {column}")


def are_comparable(before: str, after: str) -> bool:
    """Whether a foreign key of PostgreSQL can go from a column of one type to one of the other."""
    return all(one in _WHOLE_DIGITS or one == "numeric" or _numeric(one) for one in (before, after)) or all(
        one == "text" or one.startswith("character varying") for one in (before, after)
    )


def on_sqlite(column: str, before: str, after: str) -> Conversion:
    """From one type to another; SQLite knows them by their affinity, and stores what it is given."""
    source, target = _affinity(before), _affinity(after)
    if target == "TEXT":
        return Conversion(_as_text_on_sqlite(column, before), keeps_everything=True)
    if target == "INTEGER" and source == "TEXT":
        number = f"CAST({column} AS INTEGER)"
        return Conversion(number, refuses=f"CAST({number} AS TEXT) <> {column}")
    if target == "INTEGER":
        number = _unless_integer(column, f"CAST(round({column}) AS INTEGER)")
        return Conversion(number, alters=f"{column} <> round({column})", keeps_everything=source == "INTEGER")
    if new := _numeric(after):
        return _to_numeric_on_sqlite(column, before, new)
    return Conversion(column)


def _as_text_on_sqlite(column: str, before: str) -> str:
    old = _numeric(before)
    if _affinity(before) == "TEXT":
        return column
    if old is None or not old[1]:
        return f"CAST({column} AS TEXT)"
    return f"CASE WHEN {column} IS NOT NULL THEN printf('%.{old[1]}f', {column}) END"


def _to_numeric_on_sqlite(column: str, before: str, new: tuple[int, int]) -> Conversion:
    precision, scale = new
    source, number, refuses = _affinity(before), column, ""
    if source == "TEXT":
        number = f"CAST({column} AS NUMERIC)"
        digits = f"ltrim(replace(replace(replace({column}, '.', ''), '-', ''), '+', ''), '0')"
        refuses = (
            f"{column} GLOB '*[^0-9.+-]*' OR {column} NOT GLOB '*[0-9]*' OR substr({column}, 2) GLOB '*[+-]*'"
            f" OR {column} GLOB '*.*.*' OR length({digits}) > {_EXACT_DIGITS} OR "
        )
    rounded = _unless_integer(number, f"round({number}, {scale})")
    limit = f"1{'0' * (precision - scale)}.0"
    old = (_WHOLE_DIGITS["integer"], 0) if source == "INTEGER" else _numeric(before)
    keeps_everything = old is not None and _fits(old, new)
    return Conversion(
        number if keeps_everything else rounded,
        refuses=f"{refuses}{rounded} >= {limit} OR {rounded} <= -{limit}",
        alters=f"{rounded} <> {number}",
        keeps_everything=keeps_everything,
    )


def _unless_integer(number: str, expression: str) -> str:
    # SQLite's round() makes a float of what it is given, and a float holds fewer digits than an integer.
    return f"(CASE typeof({number}) WHEN 'integer' THEN {number} ELSE {expression} END)"


def _numeric(type_name: str) -> tuple[int, int] | None:
    """Precision and scale, if it is a numeric type that has them."""
    found = re.fullmatch(r"(?:numeric|decimal)\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)", type_name, re.IGNORECASE)
    return (int(found[1]), int(found[2])) if found else None


def _fits(old: tuple[int, int], new: tuple[int, int]) -> bool:
    return new[1] >= old[1] and new[0] - new[1] >= old[0] - old[1]


def _affinity(type_name: str) -> str:
    """https://www.sqlite.org/datatype3.html, section 3.1"""
    name = type_name.upper()
    if "INT" in name:
        return "INTEGER"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if not name or "BLOB" in name:
        return "BLOB"
    return "REAL" if any(part in name for part in ("REAL", "FLOA", "DOUB")) else "NUMERIC"
