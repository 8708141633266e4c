"""The statements that create what the models declare, from nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import peewee

from cream_store.backend import Database
from cream_store.fields import EnumField, UUIDv7Field, text_literal
from cream_store.row import Row, columns_of, table_of

ObjectKind = Literal["type", "function", "table", "index"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One object of the schema and the statement that creates it."""

    kind: ObjectKind
    name: str
    sql: str
    table: str = ""
    """The table that an index is on."""


def definitions(database: Database, rows: Iterable[type[Row]]) -> list[Definition]:
    """What the tables need, in the order in which it can be created: types, functions, tables, indexes."""
    rows = list(rows)
    described = list(_tables(database, rows))
    if database.kind == "postgresql":
        return [*_enum_types(rows), *_functions(database, rows), *described]
    return described


def _enum_types(rows: Iterable[type[Row]]) -> Iterator[Definition]:
    """One type per name, shared by all columns that use it."""
    seen: set[str] = set()
    for row in rows:
        for column in columns_of(row).values():
            if isinstance(column, EnumField) and column.type_name not in seen:
                seen.add(column.type_name)
                values = ", ".join(map(text_literal, column.members))
                yield Definition("type", column.type_name, f'CREATE TYPE "{column.type_name}" AS ENUM ({values})')


# Milliseconds since 1970 in the first 48 bits of a random UUID, then the version (RFC 9562, version 7).
_UUIDV7_FUNCTION = """
CREATE FUNCTION uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid
$$
""".strip()
_UUIDV7_OVER_EXTENSION = (
    "CREATE FUNCTION uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT uuid_generate_v7()'"
)
_FIRST_VERSION_WITH_UUIDV7 = 180000


def _functions(database: Database, rows: Iterable[type[Row]]) -> Iterator[Definition]:
    """`uuidv7()`, for servers that don't have it built in."""
    if not any(isinstance(column, UUIDv7Field) for row in rows for column in columns_of(row).values()):
        return
    [(version, has_extension)] = database.fetch_all(
        "SELECT current_setting('server_version_num')::int, to_regprocedure('uuid_generate_v7()') IS NOT NULL"
    )
    if version < _FIRST_VERSION_WITH_UUIDV7:
        yield Definition("function", "uuidv7", _UUIDV7_OVER_EXTENSION if has_extension else _UUIDV7_FUNCTION)


def _tables(database: Database, rows: Iterable[type[Row]]) -> Iterator[Definition]:
    indexes: list[Definition] = []
    for row in rows:
        manager: Any = peewee.SchemaManager(row, database=database)
        yield Definition("table", table_of(row), _text(manager._create_table(safe=False)))
        for index, statement in zip(row._meta.fields_to_index(), manager._create_indexes(safe=False), strict=True):
            if database.kind == "postgresql" or index._using is None:
                indexes.append(Definition("index", index._name, _text(statement), table_of(row)))
    yield from indexes


def _text(context: peewee.Context) -> str:
    sql, values = context.query()
    if values:
        raise AssertionError(f"a schema statement has parameters: {sql}")
    return str(sql)


def column_definition(database: Database, row: type[Row], column_name: str) -> str:
    """What a CREATE TABLE statement says about one column."""
    column = row._meta.columns[column_name]
    context: Any = database.get_sql_context(scope=peewee.SCOPE_VALUES)
    return _text(context.sql(column.ddl(context)))
