"""Schemas made up by hypothesis: what they declare, the rows of the models that declare it, and changes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from cream_store import (
    BigIntegerField,
    BooleanField,
    ChoiceField,
    EnumField,
    ForeignKey,
    IntegerField,
    JSONField,
    NumericField,
    Row,
    SerialField,
    TextField,
    TimestampField,
    UUIDField,
    UUIDv7Field,
    check,
    index,
    unique,
)
from cream_store.clock import utc_now
from cream_store.fields import Column

TABLES: Final = ("alpha", "user", "gamma")
COLUMNS: Final = ("a", "b", "order", "d")
ENUMS: Final = ("colour", "shade")
LABELS: Final = ("red", "it's", "50%", "Blue")
NO_ACTION: Final = ""


@dataclass(frozen=True)
class ColumnSpec:
    """A column: its kind, whether it may be NULL, and which of the kind's values is its default."""

    kind: str
    null: bool = True
    default: int | None = None


@dataclass(frozen=True)
class IndexSpec:
    """An index over some columns; where one of them is not NULL, if it is partial."""

    columns: tuple[str, ...]
    unique: bool = False
    is_partial: bool = False


@dataclass(frozen=True)
class TableSpec:
    """A table. Constraints and indexes are named by their position, so that they change under the same name."""

    key: str = "uuid"
    columns: tuple[tuple[str, ColumnSpec], ...] = ()
    checked: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[IndexSpec, ...] = ()
    parent: tuple[str, str] | None = None
    """The table that it refers to, and what happens when a row of that is deleted."""


@dataclass(frozen=True)
class SchemaSpec:
    """Tables by name, and the values of the enum types."""

    tables: tuple[tuple[str, TableSpec], ...]
    enums: tuple[tuple[str, tuple[str, ...]], ...]

    def values_of(self, kind: str) -> list[Any]:
        """Two values of a kind of column."""
        labels = dict(self.enums).get(kind)
        return [labels[0], labels[-1]] if labels else VALUES[kind]


VALUES: Final[dict[str, list[Any]]] = {
    "text": ["1", "it's 100%"],
    "choice": ["red", "Blue"],
    "boolean": [True, False],
    "integer": [0, 7],
    "bigint": [0, 5_000_000_000],
    "numeric_6_2": [Decimal("0.50"), Decimal("12.00")],
    "numeric_10_4": [Decimal("0.1250"), Decimal("123456.0000")],
    "numeric_12_0": [3, 4_000_000_000],
    "uuid": [UUID(int=1), UUID(int=2)],
    "timestamp": [None, None],
    "list": [[], ["a"]],
    "dict": [{}, {"a": "it's"}],
}


# Rows


def rows_of(schema: SchemaSpec) -> list[type[Row]]:
    """The models that declare the schema, referenced tables first."""
    enums = {name: _enum(name, labels) for name, labels in schema.enums}
    rows: dict[str, type[Row]] = {}
    for name, table in schema.tables:
        rows[name] = _row(name, table, schema, enums, rows)
    return list(rows.values())


def _enum(name: str, labels: Sequence[str]) -> type[StrEnum]:
    make: Any = StrEnum
    enum: type[StrEnum] = make(name, [(f"V{number}", label) for number, label in enumerate(labels)])
    return enum


def _row(
    name: str, table: TableSpec, schema: SchemaSpec, enums: dict[str, type[StrEnum]], rows: dict[str, type[Row]]
) -> type[Row]:
    body: dict[str, Any] = {"id": _KEYS[table.key]()}
    for column, spec in table.columns:
        body[column] = _field(spec, schema, enums)
    if table.parent is not None:
        parent, on_delete = table.parent
        body["parent"] = ForeignKey(rows[parent], null=True, on_delete=on_delete or None)
    specs = dict(table.columns)
    constraints = [
        check(f"{name}_check_{number}", _condition(column, specs[column], schema))
        for number, column in enumerate(table.checked)
    ]
    constraints += [unique(f"{name}_unique_{number}", *columns) for number, columns in enumerate(table.unique)]
    indexes = [
        index(
            f"idx_{name}_{number}",
            *spec.columns,
            unique=spec.unique,
            where=f'"{spec.columns[-1]}" IS NOT NULL' if spec.is_partial else None,
        )
        for number, spec in enumerate(table.indexes)
    ]
    indexes += [
        index(f"idx_{name}_gin_{column}", column, using="gin") for column, spec in table.columns if spec.kind == "dict"
    ]
    meta = type("Meta", (), {"table_name": name, "constraints": constraints, "indexes": indexes})
    return type(f"{name.title()}Row", (Row,), {"__module__": __name__, **body, "Meta": meta})


_KEYS: Final[dict[str, Callable[[], Column]]] = {
    "uuid": lambda: UUIDv7Field(primary_key=True),
    "serial": SerialField,
    "text": lambda: TextField(primary_key=True),
}


def _field(spec: ColumnSpec, schema: SchemaSpec, enums: dict[str, type[StrEnum]]) -> Any:
    options: dict[str, Any] = {"null": spec.null}
    if spec.kind == "timestamp":
        return TimestampField(default_now=spec.default is not None, **options)
    if spec.default is not None:
        options["server_default"] = schema.values_of(spec.kind)[spec.default]
    if spec.kind in enums:
        return EnumField(enums[spec.kind], **options)
    if spec.kind.startswith("numeric"):
        precision, scale = map(int, spec.kind.split("_")[1:])
        return NumericField(precision, scale, **options)
    if spec.kind == "choice":
        return ChoiceField(_enum("choice", ["red", "Blue"]), **options)
    if spec.kind in ("list", "dict"):
        return JSONField(list if spec.kind == "list" else dict, **options)
    kinds: dict[str, Any] = {
        "text": TextField,
        "boolean": BooleanField,
        "integer": IntegerField,
        "bigint": BigIntegerField,
        "uuid": UUIDField,
    }
    return kinds[spec.kind](**options)


def _condition(column: str, spec: ColumnSpec, schema: SchemaSpec) -> str:
    if spec.kind in dict(schema.enums):
        label = schema.values_of(spec.kind)[0].replace("'", "''")
        return f'"{column}" IS NULL OR "{column}" IN (\'{label}\')'
    if spec.kind in ("integer", "bigint") or spec.kind.startswith("numeric"):
        return f'"{column}" >= 0 AND "{column}" <> 13'
    if spec.kind in ("text", "choice"):
        return f'length("{column}") > 0 OR "{column}" <> \'100%\''
    return f'"{column}" IS NOT NULL OR 1 = 1'


def values_for(table: TableSpec, schema: SchemaSpec, number: int) -> dict[str, Any]:
    """The values of one of a table's rows, by attribute."""
    values: dict[str, Any] = {}
    if table.key == "text":
        values["id"] = f"key {number}"
    for column, spec in table.columns:
        value = schema.values_of(spec.kind)[number % 2] if number or not spec.null else None
        values[column] = utc_now() if spec.kind == "timestamp" and value is None and not spec.null else value
    return values


# Strategies


@st.composite
def schemas(draw: DrawFn) -> SchemaSpec:
    """Any schema of one to three tables."""
    names = draw(st.lists(st.sampled_from(TABLES), min_size=1, max_size=3, unique=True))
    return _schema(draw, {name: draw(tables()) for name in names}, draw(_enums()))


@st.composite
def changed(draw: DrawFn, old: SchemaSpec) -> SchemaSpec:
    """A schema that has something in common with another one."""
    found: dict[str, TableSpec] = {}
    for name in TABLES:
        before = dict(old.tables).get(name)
        if before is None:
            if draw(st.integers(0, 3)) == 0:
                found[name] = draw(tables())
        elif (what := draw(st.integers(0, 7))) == 0:
            found[name] = draw(tables())
        elif what > 1:
            found[name] = _changed_table(draw, before)
    return _schema(draw, found or {TABLES[0]: draw(tables())}, draw(st.one_of(st.just(dict(old.enums)), _enums())))


def _changed_table(draw: DrawFn, table: TableSpec) -> TableSpec:
    other = draw(tables())
    names = ("key", "columns", "checked", "unique", "indexes")
    taken = draw(st.sets(st.sampled_from(names), max_size=3))
    table = replace(table, **{name: getattr(other, name) for name in taken})
    if "columns" not in taken:
        columns = dict(table.columns)
        columns |= {name: spec for name, spec in other.columns if draw(st.booleans())}
        table = replace(table, columns=tuple(columns.items()))
    return table


def _schema(draw: DrawFn, found: dict[str, TableSpec], enums: dict[str, tuple[str, ...]]) -> SchemaSpec:
    """With references among the tables, and nothing that names a column that is not there."""
    complete: dict[str, TableSpec] = {}
    for name, table in found.items():
        parent = draw(st.one_of(st.none(), st.sampled_from(sorted(complete)))) if complete else None
        action = draw(st.sampled_from([NO_ACTION, "CASCADE", "SET NULL"]))
        complete[name] = replace(_consistent(table), parent=(parent, action) if parent else None)
    return SchemaSpec(tuple(complete.items()), tuple(enums.items()))


def _consistent(table: TableSpec) -> TableSpec:
    known = dict(table.columns)
    return replace(
        table,
        checked=tuple(column for column in table.checked if column in known),
        unique=tuple(columns for columns in table.unique if known.keys() >= set(columns)),
        indexes=tuple(one for one in table.indexes if known.keys() >= set(one.columns)),
    )


def tables() -> SearchStrategy[TableSpec]:
    """A table that refers to no other."""
    some = st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=2, unique=True).map(tuple)
    columns = st.dictionaries(st.sampled_from(COLUMNS), _columns(), min_size=1, max_size=4)
    return st.builds(
        TableSpec,
        key=st.sampled_from(["uuid", "uuid", "serial", "text"]),
        columns=columns.map(lambda found: tuple(found.items())),
        checked=st.lists(st.sampled_from(COLUMNS), max_size=2, unique=True).map(tuple),
        unique=st.lists(some, max_size=1).map(tuple),
        indexes=st.lists(st.builds(IndexSpec, some, st.booleans(), st.booleans()), max_size=2).map(tuple),
    )


def _columns() -> SearchStrategy[ColumnSpec]:
    kinds = st.sampled_from([*VALUES, *ENUMS, *ENUMS])
    return st.builds(ColumnSpec, kinds, st.booleans(), st.one_of(st.none(), st.integers(0, 1)))


def _enums() -> SearchStrategy[dict[str, tuple[str, ...]]]:
    labels = st.lists(st.sampled_from(LABELS), min_size=1, unique=True).map(tuple)
    return st.fixed_dictionaries(dict.fromkeys(ENUMS, labels))
