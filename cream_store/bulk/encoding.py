"""Columns at once: what the driver is given for many values of a column, and how COPY writes it.

The rules are those of `Column.encode`, which looks at one value. Going through a column as a whole is several times as
quick where its values are alike, as they nearly always are; where they are not, `encode` looks at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, Inexact, InvalidOperation
from decimal import Context as DecimalContext
from enum import StrEnum
from itertools import repeat
from operator import attrgetter
from typing import Any, Final, TypeGuard, TypeVar
from uuid import UUID

from cream_store.errors import InvalidDataError
from cream_store.fields import Column, IntegerField, NumericField, TextField, TimestampField, UUIDField
from cream_store.fields.moments import moment_text
from cream_store.row import StoredColumn
from cream_store.secret import Secret
from cream_store.url import Kind

C = TypeVar("C", bound=Column)

ColumnEncoder = Callable[[Sequence[Any], int], list[Any]]
"""Encodes values of a column; the first of them has that position among all records, counted from 1."""
_AlikeEncoder = Callable[[list[Any]], "list[Any] | None"]
"""Encodes values of one type, none of them None; gives None when each has to be looked at."""


def compile_encoder(column: StoredColumn, kind: Kind) -> ColumnEncoder:
    """A function that encodes many values of a column as `column.encoder(kind)` does each of them, and None as None.

    It raises the column's InvalidDataError, with the position of the record.
    """
    encode_one = _encoder_of_one(column, kind)
    encoders_of_alike = _encoders_of_alike(column.as_column(), kind)

    def encode(values: Sequence[Any], first: int) -> list[Any]:
        types = set(map(type, values))
        present = list(values)
        if type(None) in types:
            types.remove(type(None))
            present = [value for value in values if value is not None]
        if not present:
            return list(values)
        encoded = None
        if len(types) == 1:
            (of,) = types
            encoded = _encode_repeated(present, of, encode_one)
            if encoded is None and of in encoders_of_alike:
                encoded = encoders_of_alike[of](present)
        if encoded is None:
            encoded = _encode_each(values, encode_one, first)
        if len(encoded) == len(values):
            return encoded
        following = iter(encoded)
        return [None if value is None else next(following) for value in values]

    return encode


def _encoder_of_one(column: StoredColumn, kind: Kind) -> Callable[[Any], Any]:
    encode_one = column.encoder(kind)
    if kind == "postgresql" and isinstance(column.as_column(), UUIDField):
        # Whether given as a UUID or as text: the same keys have to look the same.
        return lambda value: encode_one(value).replace("-", "")
    return encode_one


def at_position(error: InvalidDataError, position: int) -> InvalidDataError:
    """The error, with the position of the record that it is about."""
    return type(error)(f"{error.message} (record {position})", table=error.table, columns=error.columns)


def _encode_each(values: Sequence[Any], encode_one: Callable[[Any], Any], first: int) -> list[Any]:
    encoded = []
    for position, value in enumerate(values, first):
        if value is not None:
            try:
                encoded.append(encode_one(value))
            except InvalidDataError as error:
                raise at_position(error, position) from None
    return encoded


def _encode_repeated(values: list[Any], of: type, encode_one: Callable[[Any], Any]) -> list[Any] | None:
    """Encodes values of one type of which few are different, and these once; None if there are many, or a bad one."""
    try:
        if of is str or of is bool or issubclass(of, StrEnum):
            different = set(values)
            if 2 * len(different) <= len(values) + 1:
                encoded = {value: encode_one(value) for value in different}
                return list(map(encoded.__getitem__, values))
        elif _is_one(values) or (of in (list, dict) and not any(values)):
            return [encode_one(values[0])] * len(values)
    except InvalidDataError:
        pass
    return None


def _is_one(values: list[Any]) -> bool:
    """Whether all are the same object. Equal ones are not enough: two times of a zone's doubled hour are equal."""
    return values[0] is values[-1] and len(set(map(id, values))) == 1


def _encoders_of_alike(column: Column, kind: Kind) -> dict[type, _AlikeEncoder]:
    """How values of some types are encoded together: nothing for a column type with rules of its own for a value."""
    if has_rules_of(column, NumericField):
        return {Decimal: _decimals(column, kind), int: _whole_numbers(column, kind)}
    if has_rules_of(column, IntegerField):
        lowest, highest = -(1 << column.bits - 1), (1 << column.bits - 1) - 1
        return {int: lambda values: values if lowest <= min(values) and max(values) <= highest else None}
    if has_rules_of(column, TimestampField):
        return {datetime: _moments}
    if has_rules_of(column, UUIDField):
        return {UUID: lambda values: list(map(column.encoder(kind), values))}
    return {str: _texts} if has_rules_of(column, TextField) else {}


def has_rules_of(column: Column, of: type[C]) -> TypeGuard[C]:
    """Whether a column accepts and encodes values as that type of column does, without rules of its own."""
    return isinstance(column, of) and type(column).encode is of.encode and type(column).encoder is of.encoder


def _decimals(column: NumericField, kind: Kind) -> _AlikeEncoder:
    exact = exact_numbers(column)
    too_large = column.too_large_for_sqlite if kind == "sqlite" else None

    def encode(values: list[Any]) -> list[Any] | None:
        numbers = exact(values)
        if numbers is None or (too_large is not None and max(map(Decimal.copy_abs, numbers)) >= too_large):
            return None
        return list(map(str, numbers))

    return encode


def exact_numbers(column: NumericField) -> Callable[[list[Decimal]], list[Decimal] | None]:
    """A function that gives decimals with all decimals of the column, as `column.exact` does each of them.

    It gives None when the column can't hold one of them.
    """
    context = DecimalContext(prec=column.precision, traps=[Inexact, InvalidOperation])
    step = Decimal(1).scaleb(-column.scale)

    def exact(values: list[Decimal]) -> list[Decimal] | None:
        if not all(map(Decimal.is_finite, values)):
            return None
        try:
            return list(map(context.quantize, values, repeat(step)))
        except (Inexact, InvalidOperation):
            return None

    return exact


def _whole_numbers(column: NumericField, kind: Kind) -> _AlikeEncoder:
    largest = 10**column.precision - 1
    if kind == "sqlite":
        largest = min(largest, (1 << 63) - 1)

    def encode(values: list[Any]) -> list[Any] | None:
        if column.scale or max(values) > largest or min(values) < -largest:
            return None
        return list(map(str, values))

    return encode


def _moments(values: list[Any]) -> list[Any] | None:
    return list(map(moment_text, values)) if set(map(_TIME_ZONE, values)) == {UTC} else None


def _texts(values: list[Any]) -> list[Any] | None:
    together = "".join(values)
    if "\x00" in together:
        return None
    if not together.isascii():
        try:
            together.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            return None
    return values


_TIME_ZONE: Final = attrgetter("tzinfo")


def rounded_values(column: StoredColumn, values: Iterable[Any]) -> list[Any]:
    """The values, with the numbers of a numeric column rounded half-even to what it holds; floats as they show."""
    stored = column.as_column()
    if isinstance(stored, NumericField):
        step = Decimal(1).scaleb(-stored.scale)
    elif isinstance(stored, IntegerField):
        step = Decimal(1)
    else:
        return list(values)
    return [_rounded(value, step, whole=isinstance(stored, IntegerField)) for value in values]


def _rounded(value: Any, step: Decimal, *, whole: bool) -> Any:
    if not isinstance(value, float | Decimal):
        return value
    number = Decimal(repr(float(value))) if isinstance(value, float) else value
    try:
        number = number.quantize(step, ROUND_HALF_EVEN, _WIDE)
    except InvalidOperation:  # infinite, or too large for any column: the column says so
        return number
    return int(number) if whole and number.is_finite() else number


_WIDE: Final = DecimalContext(prec=400, traps=[InvalidOperation])


def copy_lines(columns: Iterable[list[Any]]) -> bytes:
    """Encoded values as the text that COPY reads: a line for each row."""
    lines = map("\t".join, zip(*map(_copy_texts, columns), strict=True))
    return ("\n".join(lines) + "\n").encode()


def _copy_texts(values: list[Any]) -> list[str]:
    types = set(map(type, values))
    if types == {int}:
        return list(map(str, values))
    if types <= {bool, type(None)}:
        return list(map(_COPY_BOOLEANS.__getitem__, values))
    if types != {str}:
        return [_copy_text(value) for value in values]
    together = "".join(values)
    if any(special in together for special in _COPY_ESCAPES):
        return [_copy_text(value) for value in values]
    return values


def _copy_text(value: Any) -> str:
    match value:
        case None:
            return "\\N"
        case str():
            return value.translate(_COPY_TABLE)
        case Secret():
            return value.reveal().translate(_COPY_TABLE)
        case _:
            return str(value)


_COPY_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_COPY_TABLE: Final = str.maketrans(_COPY_ESCAPES)
_COPY_BOOLEANS: Final = {True: "t", False: "f", None: "\\N"}
