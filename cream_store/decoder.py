"""From a driver's row to a record, at the price of setting its slots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cream_store.errors import InvalidDataError
from cream_store.fields import Column, Decoder, ForeignKey
from cream_store.url import Kind

R = TypeVar("R")

RowDecoder = Callable[[Sequence[Any]], R]

_UNREADABLE = (ArithmeticError, LookupError, TypeError, ValueError)


def compile_decoder(record: type[R], columns: dict[str, Column | ForeignKey], kind: Kind) -> RowDecoder[R]:
    """A function that makes a record of a row with these columns, in their order.

    It raises InvalidDataError, which names the column and the row's key, for a stored value that the column can't mean.
    """
    decoders = {name: column.decoder(kind) for name, column in columns.items()}
    make = _write_maker(record, decoders)

    def decode_row(row: Sequence[Any]) -> R:
        try:
            return make(row)
        except _UNREADABLE as error:
            raise _unreadable(list(columns.values()), list(decoders.values()), row) from error

    return decode_row


def _write_maker(record: type[R], decoders: dict[str, Decoder | None]) -> RowDecoder[R]:
    """A function written for one record, as dataclasses write their methods:

        def make(row):
            (_id, _symbol, _action) = row
            twin = new(Twin)
            twin.id = _id
            twin.symbol = _symbol
            twin.action = decode_action(_action)
            twin.__class__ = Record
            return twin

    A frozen dataclass takes each value through `object.__setattr__`, at ten times the price. So a twin that is not
    frozen is filled, and becomes the record at the end.
    """
    twin = type(
        record.__name__, record.__bases__, {"__slots__": vars(record)["__slots__"], "__setattr__": object.__setattr__}
    )
    lines = [
        f"({', '.join(f'_{name}' for name in decoders)},) = row",
        "twin = new(Twin)",
        *(
            f"twin.{name} = " + (f"_{name}" if decode is None else f"decode_{name}(_{name})")
            for name, decode in decoders.items()
        ),
        "twin.__class__ = Record",
        "return twin",
    ]
    names: dict[str, Any] = {f"decode_{name}": decode for name, decode in decoders.items()}
    names |= {"new": object.__new__, "Twin": twin, "Record": record}
    exec("def make(row):\n    " + "\n    ".join(lines), names)
    make: RowDecoder[R] = names["make"]
    return make


def _unreadable(
    columns: Sequence[Column | ForeignKey], decoders: Sequence[Decoder | None], row: Sequence[Any]
) -> InvalidDataError:
    i = next(i for i, decode in enumerate(decoders) if decode is not None and not _can_decode(decode, row[i]))
    table, column = columns[i].model._meta.table_name, columns[i].column_name
    key = ", ".join(f"{one.column_name} {row[j]}" for j, one in enumerate(columns) if one.primary_key)
    return InvalidDataError(
        f"{table}.{column}: what is stored where {key} can't be read", table=table, columns=(column,)
    )


def _can_decode(decode: Decoder, value: Any) -> bool:
    try:
        decode(value)
    except _UNREADABLE:
        return False
    return True
