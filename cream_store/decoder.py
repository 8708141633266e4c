"""From a driver's row to a record, at the price of setting its slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cream_store.errors import InvalidDataError
from cream_store.fields import Column, ForeignKey
from cream_store.url import Kind

R = TypeVar("R")

RowDecoder = Callable[[Sequence[Any]], R]

_UNREADABLE = (ArithmeticError, LookupError, TypeError, ValueError)


def compile_decoder(record: type[R], columns: dict[str, Column | ForeignKey], kind: Kind) -> RowDecoder[R]:
    """A function that makes a record of a row with these columns, in their order.

    It raises InvalidDataError, which names the column and the row's key, for a stored value that the column can't mean.
    """
    new = object.__new__
    # A frozen dataclass refuses attributes, and its __init__ costs three times as much: its slots are set directly.
    setters = [getattr(record, name).__set__ for name in columns]
    decoders = [column.decoder(kind) for column in columns.values()]
    conversions = [(i, setters[i], decode) for i, decode in enumerate(decoders) if decode is not None]
    plain = [(i, setters[i]) for i, decode in enumerate(decoders) if decode is None]

    def decode_row(row: Sequence[Any]) -> R:
        record_made = new(record)
        for i, set_slot in plain:
            set_slot(record_made, row[i])
        i = 0
        try:
            for i, set_slot, decode in conversions:
                set_slot(record_made, decode(row[i]))
        except _UNREADABLE as error:
            raise _unreadable(list(columns.values()), row, i) from error
        return record_made

    return decode_row


def _unreadable(columns: Sequence[Column | ForeignKey], row: Sequence[Any], i: int) -> InvalidDataError:
    table, column = columns[i].model._meta.table_name, columns[i].column_name
    key = ", ".join(f"{one.column_name} {row[j]}" for j, one in enumerate(columns) if one.primary_key)
    return InvalidDataError(
        f"{table}.{column}: what is stored where {key} can't be read", table=table, columns=(column,)
    )
