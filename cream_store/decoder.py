"""From a driver's row to a record, at the price of setting its slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cream_store.fields import Column, ForeignKey
from cream_store.url import Kind

R = TypeVar("R")

RowDecoder = Callable[[Sequence[Any]], R]


def compile_decoder(record: type[R], columns: dict[str, Column | ForeignKey], kind: Kind) -> RowDecoder[R]:
    """A function that makes a record of a row with these columns, in their order."""
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
        for i, set_slot, decode in conversions:
            set_slot(record_made, decode(row[i]))
        return record_made

    return decode_row
