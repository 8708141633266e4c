"""What callers give to bulk writes - records, dicts, tables of Arrow, pandas, polars - checked, encoded, in batches."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from cream_store.bulk.encoding import ColumnEncoder, at_position, compile_encoder, copy_lines, rounded_values
from cream_store.clock import utc_now
from cream_store.environment import Environment
from cream_store.errors import InvalidDataError
from cream_store.records import Record
from cream_store.row import table_of
from cream_store.table_access.inserting import Inserting
from cream_store.url import Kind

R = TypeVar("R", bound=Record)
R_co = TypeVar("R_co", covariant=True)

BATCH: Final = 5_000
"""Records that are encoded together: any number of records costs the memory of so many."""


class ArrowStream(Protocol):
    """A table of pyarrow, polars, pandas or any other library that speaks Arrow's C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


@dataclass(frozen=True, slots=True)
class Rounded(Generic[R_co]):
    """Records whose numbers are rounded; see `rounded`."""

    records: Any


Given = Iterable[R | Mapping[str, Any]] | ArrowStream | Rounded[R]
"""Records, dicts with the fields of the record, or a table with a column for each field.

Fields that have a default may be left out.
"""


def rounded(records: Any) -> Rounded[Any]:
    """Records, dicts or a table, for a bulk write that rounds: `candles.bulk_upsert(rounded(frame))`.

    Numbers with more decimals than their column, and floats, are refused otherwise. Here they are rounded half-even to
    what the column holds. A float counts as the number that it shows: 1.00005 lies in the middle, not just above it.
    """
    return records if isinstance(records, Rounded) else Rounded(records)


class Columns(dict[str, list[Any]]):
    """Some records as lists of values by field, for programs that have them so: an iterable may give such parts."""


class Batch(ABC):
    """Some of the records, encoded."""

    count: int

    @abstractmethod
    def columns(self) -> list[list[Any]]:
        """What the driver takes, by column, in the order of the table's columns."""

    @abstractmethod
    def copy_data(self) -> bytes:
        """The rows as COPY reads them."""


class ListsBatch(Batch):
    """A batch whose values are in lists."""

    def __init__(self, columns: list[list[Any]]) -> None:
        self._columns = columns
        self.count = len(columns[0])

    def columns(self) -> list[list[Any]]:
        return self._columns

    def copy_data(self) -> bytes:
        return copy_lines(self._columns)


class Reader(Generic[R]):
    """Reads what is given to a repository, checks it, and encodes it for the repository's database.

    Every InvalidDataError tells the position of the record, counted from 1.
    """

    def __init__(self, table: Inserting[R], stamped: Sequence[str] = ()) -> None:
        """`stamped` columns get the current time, whatever is given for them."""
        self._table, self._stamped, self._kind = table, stamped, table.database.kind
        self._name = table_of(table.row)
        self._fields = _fields_of(table.record)
        self._encoders = _encoders_of(table)
        # A rule about whole records has to see them.
        has_rules = type(table)._guard is not Inserting._guard or bool(table.beginning)
        self._has_rules = has_rules or hasattr(table.record, "__post_init__")

    def batches(self, given: Given[R]) -> Iterator[Batch]:
        """The given records, checked and encoded."""
        given, rounds = (given.records, True) if isinstance(given, Rounded) else (given, False)
        first = 1
        if is_frame(given) and not self._has_rules:
            from cream_store.bulk.frames import record_batches

            for part in record_batches(given):
                yield self._encoded_part(part, first, rounds)
                first += part.num_rows
            return
        for chunk in self._chunks(given, rounds):
            if self._has_rules:
                columns = self._columns_of(self._checked(chunk, first))
            elif isinstance(chunk, _Columns):
                columns = chunk
            elif set(map(type, chunk)) == {self._table.record}:
                columns = self._columns_of(chunk)
            else:
                columns = self._columns_of(self._checked(chunk, first))
            yield self._encoded(columns, first)
            first += len(columns[0])

    def records(self, given: Given[R]) -> Iterator[R]:
        """The given records as such, checked as far as records can be."""
        given, rounds = (given.records, True) if isinstance(given, Rounded) else (given, False)
        first = 1
        for chunk in self._chunks(given, rounds):
            records = self._checked(chunk, first)
            yield from records
            first += len(records)

    def encoded(self, records: Sequence[R]) -> Iterator[Batch]:
        """What `records` gave, encoded."""
        for start in range(0, len(records), BATCH):
            yield self._encoded(self._columns_of(records[start : start + BATCH]), start + 1)

    # From what is given to records, or to the values of each field

    def _chunks(self, given: Any, rounds: bool) -> Iterator[list[R] | _Columns]:
        first = 1
        for part in self._parts(given):
            if isinstance(part, Mapping):
                self._refuse_unknown(part)
                columns = self._completed(part, len(next(iter(part.values()), ())), first)
            elif rounds or any(issubclass(of, Mapping) for of in set(map(type, part))):
                columns = self._columns_of_dicts(part, first)
            else:
                yield part
                first += len(part)
                continue
            if rounds:
                columns = _Columns(map(rounded_values, self._table._columns.values(), columns))
            yield columns
            first += len(columns[0])

    def _parts(self, given: Any) -> Iterator[list[Any] | dict[str, list[Any]]]:
        """Batches of records and dicts, or of a table's columns."""
        if is_frame(given):
            from cream_store.bulk.frames import python_columns, record_batches

            for part in record_batches(given):
                self._refuse_unknown(part.schema.names)  # before their values are read by the columns' rules
                yield python_columns(part, self._table._columns)
            return
        items = iter(given)
        for item in items:
            if isinstance(item, Columns):
                yield item
            else:
                yield [item, *islice(items, BATCH - 1)]

    def _columns_of(self, records: Sequence[R]) -> _Columns:
        return _Columns(list(map(attrgetter(name), records)) for name in self._fields)

    def _columns_of_dicts(self, rows: Sequence[Any], first: int) -> _Columns:
        dicts = [
            row if isinstance(row, Mapping) else self._checked([row], position)[0].as_dict()
            for position, row in enumerate(rows, first)
        ]
        names = set().union(*dicts)
        if not names <= self._fields.keys():
            for position, row in enumerate(dicts, first):
                self._refuse_unknown(row, position)
        given: dict[str, list[Any]] = {}
        for name in names:
            try:
                given[name] = [row[name] for row in dicts]
            except KeyError:
                given[name] = [
                    row[name] if name in row else self._defaults(name, 1, position)[0]
                    for position, row in enumerate(dicts, first)
                ]
        return self._completed(given, len(dicts), first)

    def _completed(self, given: Mapping[str, list[Any]], count: int, first: int) -> _Columns:
        """The values of all fields: those that are not given have their defaults."""
        return _Columns(given.get(name) or self._defaults(name, count, first) for name in self._fields)

    def _defaults(self, name: str, count: int, position: int) -> list[Any]:
        """The values of a field that is not given, for some records from that position on."""
        make = self._fields[name]
        if make is None:
            raise at_position(
                InvalidDataError(f"{self._name}: {name} is missing", table=self._name, columns=(name,)), position
            )
        return make(count)

    def _refuse_unknown(self, names: Iterable[Any], position: int | None = None) -> None:
        unknown = [name for name in names if name not in self._fields]
        if unknown:
            error = InvalidDataError(
                f"{self._name} has no field {', '.join(map(repr, unknown))}; it has: {', '.join(self._fields)}",
                table=self._name,
            )
            raise error if position is None else at_position(error, position)

    def _checked(self, chunk: list[R] | _Columns, first: int) -> list[R]:
        """The chunk as records, each of which may be stored as far as the repository's rules for records go."""
        records = list[R]()
        given: Iterable[Any] = zip(*chunk, strict=True) if isinstance(chunk, _Columns) else chunk
        for position, one in enumerate(given, first):
            try:
                if isinstance(chunk, _Columns):
                    one = self._table.record(**dict(zip(self._fields, one, strict=True)))  # noqa: PLW2901
                self._table._guard(one)
            except InvalidDataError as error:
                raise at_position(error, position) from None
            records.append(one)
        return records

    # Encoding

    def _encoded(self, columns: _Columns, first: int) -> Batch:
        encoded = []
        for name, values in zip(self._fields, columns, strict=True):
            if name in self._stamped:
                values = [utc_now()] * len(values)  # noqa: PLW2901
            encoded.append(self._encoders[name](values, first))
            if name == "environment":
                self._guard_environments(encoded[-1], first)
        return ListsBatch(encoded)

    def _encoded_part(self, part: Any, first: int, rounds: bool) -> Batch:
        """A part of an Arrow table, encoded without a look at each value where that is possible."""
        from cream_store.bulk.frames import ArrowBatch, array_of, encoded_array

        self._refuse_unknown(part.schema.names)
        arrays = []
        for name, column in self._table._columns.items():
            encoder, is_stamped = self._encoders[name], name in self._stamped
            if name in part.schema.names and not is_stamped:
                arrays.append(encoded_array(column, self._kind, encoder, part.column(name), first, rounds))
            else:
                count = part.num_rows
                values = [utc_now()] * count if is_stamped else self._defaults(name, count, first)
                arrays.append(array_of(encoder(values, first)))
            if name == "environment":
                self._guard_environments(arrays[-1].to_pylist(), first)
        return ArrowBatch(arrays)

    def _guard_environments(self, environments: Sequence[str | None], first: int) -> None:
        for environment in dict.fromkeys(environments):
            if environment is not None:
                try:
                    self._table._guard_environment(Environment(environment))
                except InvalidDataError as error:
                    raise at_position(error, first + environments.index(environment)) from None


class _Columns(list[list[Any]]):
    """The values of some records by field."""


def is_frame(given: object) -> bool:
    """Whether it is a table of columns rather than rows."""
    return hasattr(given, "__arrow_c_stream__")


_Defaults = Callable[[int], list[Any]]
"""Makes so many defaults."""


def _fields_of(record: type) -> dict[str, _Defaults | None]:
    """The fields of a record, in order, and what makes their defaults; None where a value has to be given."""
    return {one.name: _defaults_of(one) for one in dataclasses.fields(record)}


def _defaults_of(one: dataclasses.Field[Any]) -> _Defaults | None:
    make = one.default_factory
    if make is not dataclasses.MISSING:
        return lambda count: [make() for _ in range(count)]
    return None if one.default is dataclasses.MISSING else lambda count: [one.default] * count


def _encoders_of(table: Inserting[Any]) -> dict[str, ColumnEncoder]:
    kind = table.database.kind
    encoders = _compiled.get((type(table), kind))
    if encoders is None:
        encoders = {name: compile_encoder(column, kind) for name, column in table._columns.items()}
        _compiled[type(table), kind] = encoders
    return encoders


_compiled: dict[tuple[type, Kind], dict[str, ColumnEncoder]] = {}
