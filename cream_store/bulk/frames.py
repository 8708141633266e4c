"""Tables of Arrow, pandas and polars: read through Arrow's C stream interface, checked and encoded by column.

Importing this module needs pyarrow, which the extra `arrow` brings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cream_store.arrow.types import pa, pc
from cream_store.bulk.encoding import ColumnEncoder, has_rules_of, rounded_values
from cream_store.bulk.given import Batch
from cream_store.errors import InvalidDataError
from cream_store.fields import BooleanField, Column, IntegerField, JSONField, NumericField, TextField, TimestampField
from cream_store.row import StoredColumn
from cream_store.secret import Secret
from cream_store.url import Kind

ROWS_AT_ONCE: Final = 50_000
_INDEX_OF_PANDAS: Final = "__index_level_"
_MOMENT: Final = pa.timestamp("us", tz="UTC")
_FIRST_MOMENT: Final = pa.scalar(datetime.min.replace(tzinfo=UTC), _MOMENT)
_LAST_MOMENT: Final = pa.scalar(datetime.max.replace(tzinfo=UTC), _MOMENT)


def record_batches(table: Any) -> Iterator[pa.RecordBatch]:
    """The table's rows, many at a time, without the nameless index of a pandas frame."""
    try:
        for batch in pa.RecordBatchReader.from_stream(table):
            indices = [name for name in batch.schema.names if name.startswith(_INDEX_OF_PANDAS)]
            named = batch.drop_columns(indices) if indices else batch
            for start in range(0, named.num_rows, ROWS_AT_ONCE):
                yield named.slice(start, ROWS_AT_ONCE)
    except pa.ArrowException as error:
        raise InvalidDataError(f"the table can't be read: {error}") from error


def python_columns(part: pa.RecordBatch, columns: Mapping[str, StoredColumn]) -> dict[str, list[Any]]:
    """The values of some rows by column, as records have them."""
    return {name: _python_values(columns[name].as_column(), part.column(name)) for name in part.schema.names}


def encoded_array(
    column: StoredColumn, kind: Kind, encoder: ColumnEncoder, values: pa.Array, first: int, rounds: bool
) -> pa.Array:
    """A column's values as the database reads them, by the rules that `encoder` has for Python's values."""
    stored = column.as_column()
    encoded = _converted(stored, kind, values, rounds)
    if encoded is None:
        encoded = _encoded_once(stored, encoder, values, first)
    if encoded is None:
        given = _python_values(stored, values)
        encoded = array_of(encoder(rounded_values(column, given) if rounds else given, first))
    return encoded


def array_of(encoded: list[Any]) -> pa.Array:
    """Encoded values as an array."""
    return pa.array([value.reveal() if isinstance(value, Secret) else value for value in encoded])


class ArrowBatch(Batch):
    """A batch whose values are in arrays."""

    def __init__(self, arrays: list[pa.Array]) -> None:
        self._arrays = arrays
        self.count = len(arrays[0])

    def columns(self) -> list[list[Any]]:
        return [_spelt_out(array).to_pylist() for array in self._arrays]

    def copy_data(self) -> bytes:
        texts = map(_copy_texts, self._arrays)
        rows = pc.binary_join_element_wise(*texts, "\t", null_handling="replace", null_replacement="\\N")
        lines = pc.binary_join_element_wise(rows, "", "\n")
        length = pc.sum(pc.binary_length(lines)).as_py()
        text: bytes = lines.buffers()[2].slice(0, length).to_pybytes()
        return text


def _spelt_out(array: pa.Array) -> pa.Array:
    """What both drivers are given: decimals and moments as text, as `Column.encode` spells it."""
    if pa.types.is_timestamp(array.type):  # spelling out the offset of each would take several times as long
        texts = array.cast(pa.timestamp("us")).cast(pa.string())
        return pc.binary_join_element_wise(pc.replace_substring(texts, " ", "T"), "Z", "")
    return array.cast(pa.string()) if pa.types.is_decimal(array.type) else array


def _copy_texts(array: pa.Array) -> pa.Array:
    array = _spelt_out(array)
    if not pa.types.is_string(array.type):
        return array.cast(pa.string())
    if pc.any(pc.match_substring_regex(array, r"[\\\t\n\r]")).as_py():
        for character, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
            array = pc.replace_substring(array, character, escape)
    return array


def _converted(column: Column, kind: Kind, values: pa.Array, rounds: bool) -> pa.Array | None:
    """The values in the Arrow type that holds what the column holds; None if that takes a look at each value."""
    try:
        if has_rules_of(column, NumericField):
            return _numbers(column, kind, values, rounds)
        if has_rules_of(column, IntegerField) and pa.types.is_integer(values.type):
            return values.cast(pa.int32() if column.bits <= 32 else pa.int64())
        if has_rules_of(column, TimestampField) and pa.types.is_timestamp(values.type) and values.type.tz:
            moments = values.cast(_MOMENT)
            in_calendar = pc.and_(pc.less_equal(_FIRST_MOMENT, moments), pc.less_equal(moments, _LAST_MOMENT))
            return None if pc.all(in_calendar).as_py() is False else moments
        if has_rules_of(column, BooleanField) and pa.types.is_boolean(values.type):
            return values
        if has_rules_of(column, TextField) and _is_text(values.type):
            texts = values.cast(pa.string())
            return None if pc.any(pc.match_substring(texts, "\x00")).as_py() else texts
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a value does not fit: found where each is looked at
        pass
    return None


def _numbers(column: NumericField, kind: Kind, values: pa.Array, rounds: bool) -> pa.Array | None:
    if pa.types.is_integer(values.type):
        values = values.cast(pa.decimal128(20, 0))
    elif pa.types.is_floating(values.type) and rounds:
        values = values.cast(pa.string()).cast(pa.decimal256(76, 38))
    elif not pa.types.is_decimal(values.type):
        return None
    if rounds:
        values = pc.round(values, ndigits=column.scale, round_mode="half_to_even")
    numbers = values.cast(pa.decimal128(column.precision, column.scale))
    if kind == "sqlite" and (too_large := column.too_large_for_sqlite) is not None:
        least, most = pc.min_max(numbers).as_py().values()
        if least is not None and max(abs(least), most) >= too_large:  # perhaps with few digits, after all
            return None
    return numbers


def _encoded_once(column: Column, encoder: ColumnEncoder, values: pa.Array, first: int) -> pa.Array | None:
    """Texts of which few are different, and these encoded once; None if there are many, or a bad one."""
    if not (_is_text(values.type) or pa.types.is_dictionary(values.type)):
        return None
    repeated = values if pa.types.is_dictionary(values.type) else values.cast(pa.string()).dictionary_encode()
    if 2 * len(repeated.dictionary) > len(repeated) + 1:
        return None
    try:
        encoded = array_of(encoder(_python_values(column, repeated.dictionary), first))
    except InvalidDataError:
        return None
    return encoded.take(repeated.indices)


def _is_text(type_: pa.DataType) -> bool:
    is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_one(type_) for is_one in is_text)


def _python_values(column: Column, values: pa.Array) -> list[Any]:
    """The values as records have them."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_timestamp(values.type):
        try:
            values = values.cast(pa.timestamp("us", values.type.tz))
        except pa.ArrowInvalid:
            column.refuse("has times finer than microseconds")
    elif pa.types.is_float16(values.type) or pa.types.is_float32(values.type):
        values = values.cast(pa.string()).cast(pa.float64())  # the number that it shows
    python_values: list[Any] = values.to_pylist()
    if isinstance(column, JSONField) and _is_text(values.type):
        return [_document(column, text) for text in python_values]
    return python_values


def _document(column: JSONField, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        column.refuse("not a JSON document")
