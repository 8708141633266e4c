"""How what a database gives for a column becomes an Arrow array of the column's type, with the values of records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, cast

from cream_store.arrow.types import arrow_type, pa, pc
from cream_store.errors import InvalidDataError
from cream_store.fields import BooleanField, EnumField, ForeignKey, JSONField, TimestampTextField
from cream_store.row import StoredColumn
from cream_store.url import Kind

_UNREADABLE: Final = (ArithmeticError, LookupError, TypeError, ValueError)  # Arrow's own errors are of these kinds
_EXACT_UNITS: Final = 1e15
"""A decimal of no more units of its last place comes out of a 64-bit float exactly."""


class ArrowColumn:
    """A column of a result."""

    def __init__(self, name: str, column: StoredColumn, *, floats: bool = False) -> None:
        """Raises InvalidDataError for a column that has no Arrow type, such as a secret."""
        self.name = name
        self.type = arrow_type(column, floats=floats)
        self._column = column
        self._field = cast(Any, column.rel_field if isinstance(column, ForeignKey) else column)
        self._is_flag = pa.types.is_boolean(self.type) and not isinstance(self._field, BooleanField)
        self._is_enum = isinstance(self._field, EnumField)
        self._members = pa.array([str(member) for member in self._field.members]) if self._is_enum else None
        self._null_as = self._read_for_null()

    @property
    def csv_type(self) -> pa.DataType:
        """What the column's text in PostgreSQL's CSV is parsed as."""
        if self._is_flag:
            return pa.int32()
        is_other_text = isinstance(self._field, TimestampTextField) or pa.types.is_date(self.type)
        return pa.string() if self._is_enum or is_other_text else self.type

    def from_csv(self, parsed: pa.Array) -> pa.Array:
        """The array of what was parsed as `csv_type`. Raises InvalidDataError for what the column can't mean."""
        try:
            return self._converted(parsed)
        except _UNREADABLE:
            return self._decoded(parsed.to_pylist(), "postgresql")

    def from_values(self, values: Sequence[Any]) -> pa.Array:
        """The array of SQLite's values. Raises InvalidDataError for what the column can't mean."""
        try:
            return self._converted(_collected(values, self._type_on_sqlite()))
        except _UNREADABLE:
            return self._decoded(values, "sqlite")

    def unreadable(self) -> InvalidDataError:
        """The error for a stored value that the column can't mean."""
        table, name = self._column.model._meta.table_name, self._column.column_name
        return InvalidDataError(f"{table}.{name}: something stored there can't be read", table=table, columns=(name,))

    def _type_on_sqlite(self) -> pa.DataType:
        """What SQLite's values are collected as."""
        if pa.types.is_integer(self.type):
            return self.type
        if pa.types.is_boolean(self.type):
            return pa.int64()
        if pa.types.is_decimal(self.type):
            return pa.float64() if self.type.scale else self.type
        return pa.float64() if pa.types.is_floating(self.type) else pa.string()

    def _converted(self, array: pa.Array) -> pa.Array:
        """The quick way, which raises one of _UNREADABLE for anything out of the ordinary."""
        if self._is_enum:
            return self._encoded(array)
        if array.null_count == len(array):
            array = pa.nulls(len(array), self.type)
        elif self._is_flag:
            array = pc.equal(array, 1)
        elif pa.types.is_decimal(self.type) and pa.types.is_floating(array.type):
            array = self._scaled(array)
        elif array.type != self.type:
            array = array.cast(self.type)
        return self._filled(array)

    def _encoded(self, texts: pa.Array) -> pa.DictionaryArray:
        texts = self._filled(texts)
        places = pc.index_in(texts, self._members)
        if places.null_count > texts.null_count:
            raise ValueError("not a member")
        return pa.DictionaryArray.from_arrays(places.cast(self.type.index_type), self._members)

    def _scaled(self, floats: pa.Array) -> pa.Array:
        """The decimals that were stored as these floats."""
        units = pc.multiply(floats, float(10**self.type.scale))
        whole = pc.round(units)
        largest = pc.max(pc.abs(whole)).as_py()
        if (
            largest > min(_EXACT_UNITS, 10**self.type.precision - 1)
            or pc.max(pc.abs(pc.subtract(units, whole))).as_py() > 0.25
        ):
            raise ValueError("more digits than the column has")
        # A decimal128 is its number of units in 16 bytes, whatever its scale.
        wide = whole.cast(pa.int64()).cast(pa.decimal128(19, 0))
        return pa.Array.from_buffers(self.type, len(wide), wide.buffers(), wide.null_count, wide.offset)

    def _decoded(self, values: Sequence[Any], kind: Kind) -> pa.Array:
        """The slow way, by what makes the values of records."""
        decode = self._field.decoder(kind) or (lambda value: value)
        try:
            decoded = [None if value is None else decode(value) for value in values]
            return self._filled(_collected(decoded, self.type))
        except _UNREADABLE as error:
            raise self.unreadable() from error

    def _filled(self, array: pa.Array) -> pa.Array:
        return array if self._null_as is None else array.fill_null(self._null_as)

    def _read_for_null(self) -> pa.Scalar | None:
        """What a stored NULL reads as, if not as null."""
        value = getattr(self._column, "null_as", None)
        if value is None:
            return None
        if callable(value):
            value = value()
        if isinstance(self._field, JSONField):
            return pa.scalar(json.dumps(value))
        if isinstance(value, Decimal) and pa.types.is_floating(self.type):
            value = float(value)
        return pa.scalar(value, pa.string() if self._is_enum else self.type)


def _collected(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    if pa.types.is_integer(type):
        return pa.array(values).cast(type)  # given the type at once, it would cut fractions off
    return pa.array(values, type)
