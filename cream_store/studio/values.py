"""Between values and their text in a page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final

from cream_store.fields import ChoiceField, EnumField
from cream_store.row import StoredColumn
from cream_store.studio.catalogue import own

MASK: Final = "***"

_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def text_of(value: Any, *, indent: int | None = None) -> str:
    """The value as text: moments in UTC, numbers with all their digits, documents as JSON; nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return _moment(value)
        case Decimal():
            return f"{value:f}"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
        case Enum():
            return str(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return text_of(dataclasses.asdict(value), indent=indent)
    return str(value)


def _moment(value: datetime) -> str:
    """`2026-01-31 15:04:05Z`, with decimals only where there are some."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    return f"{value.replace(tzinfo=None).isoformat(' ')}Z"


def parse(column: StoredColumn, text: str) -> Any:
    """The value that a text means in a column. Raises InvalidDataError that names the column.

    A moment without an offset is in UTC.
    """
    kind = column.value_type
    if kind is bool:
        if (boolean := _BOOLEANS.get(text.strip().lower())) is None:
            column.refuse("is true or false")
        return boolean
    if kind is int:
        return _whole_number(column, text)
    if kind is Decimal:
        return _number(column, text)
    if kind is datetime:
        return _parse_moment(column, text)
    if kind in (dict, list):
        return _document(column, text)
    return text if kind is str else text.strip()


def parse_compared(column: StoredColumn, text: str) -> Any:
    """Like `parse`, for a comparison: a date without a time means the whole day."""
    if column.value_type is datetime:
        try:
            return date.fromisoformat(text.strip())
        except ValueError:
            return _parse_moment(column, text)
    return parse(column, text)


def choices(column: StoredColumn) -> list[str]:
    """The texts that a column can hold, if they are declared."""
    match own(column):
        case EnumField() as kind:
            return [member.value for member in kind.members]
        case ChoiceField() as kind:
            return [member.value for member in kind.enum]
    return ["true", "false"] if column.value_type is bool else []


def _whole_number(column: StoredColumn, text: str) -> int:
    digits = text.strip()
    if len(digits) > 40 or not digits.removeprefix("-").isdecimal():
        column.refuse("needs a whole number")
    return int(digits)


def _number(column: StoredColumn, text: str) -> Decimal:
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        column.refuse("needs a number")


def _parse_moment(column: StoredColumn, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        column.refuse("needs a date and time such as 2026-01-31 15:04:05, in UTC")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _document(column: StoredColumn, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        column.refuse(f"not JSON{where}")
