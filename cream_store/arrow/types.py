"""Which Arrow type a column's values have: the one mapping, for reading tables and for writing them.

Importing this module needs pyarrow, which the extra `arrow` brings.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from cream_store.errors import ConfigurationError
from cream_store.fields import (
    BooleanField,
    EnumField,
    ForeignKey,
    IntegerField,
    JSONField,
    NumericField,
    SecretField,
    TextField,
    TimestampField,
    UUIDField,
)
from cream_store.row import StoredColumn

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise ConfigurationError("Arrow tables need pyarrow; install it: pip install cream-store[arrow]") from error

__all__ = ["arrow_type", "pa", "pc"]

_DIGITS_OF_64_BITS: Final = 18
"""Whole numbers of so many digits fit into 64 bits."""
_CODES_OF_8_BITS: Final = 128


def arrow_type(column: StoredColumn, *, floats: bool = False) -> pa.DataType:
    """The type of the column's values: exact, or with `floats` 64-bit floats for numbers with decimals.

    | column | type |
    |---|---|
    | numbers with decimals | `decimal128(precision, scale)`; with `floats`, `float64` |
    | whole numbers | `int32`, `int64`; beyond 18 digits `decimal128(precision, 0)` |
    | moments, and days that are stored as their first moment | `timestamp[us, UTC]` |
    | days | `date32` |
    | enums | `dictionary<int8, string>`, with all values in their declared order |
    | text, UUIDs, JSON documents | `string` |

    Raises InvalidDataError for a secret, which has no place in a table, and for a column type of unknown values.
    """
    if isinstance(column, ForeignKey):
        return arrow_type(column.rel_field, floats=floats)
    match column:
        case SecretField():
            return column.refuse("a secret has no place in an Arrow table")
        case BooleanField() | IntegerField() if column.value_type is bool:
            return pa.bool_()
        case IntegerField():
            return pa.int32() if column.bits <= 32 else pa.int64()
        case NumericField(scale=0) if column.precision <= _DIGITS_OF_64_BITS:
            return pa.int64()
        case NumericField() if floats and column.scale:
            return pa.float64()
        case NumericField():
            return pa.decimal128(column.precision, column.scale)
        case TimestampField():
            return pa.timestamp("us", tz="UTC")
        case EnumField():
            return pa.dictionary(pa.int8() if len(column.members) <= _CODES_OF_8_BITS else pa.int16(), pa.string())
        case TextField() | UUIDField() | JSONField():
            return pa.string()
        case _ if column.value_type is date:
            return pa.date32()
        case _:
            return column.refuse("has no Arrow type")
