"""The statements that create what the models declare, from nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import peewee

from cream_store.backend import Database
from cream_store.errors import SchemaError
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
    """What the tables need, in the order in which it can be created: types, functions, tables, indexes.

    Raises SchemaError when two tables declare one name: an index, or an enum type with other values.
    """
    rows = list(rows)
    enum_types = _enum_types(rows)
    described = list(_tables(database, rows))
    _refuse_shared_names(described)
    if database.kind == "postgresql":
        return [*enum_types, *_functions(database, rows), *described]
    return described


def _enum_types(rows: Iterable[type[Row]]) -> list[Definition]:
    """One type per name, shared by all columns that use it."""
    declared: dict[str, tuple[tuple[str, ...], str]] = {}
    for row in rows:
        for column in columns_of(row).values():
            if isinstance(column, EnumField):
                values = tuple(member.value for member in column.members)
                known, table = declared.setdefault(column.type_name, (values, table_of(row)))
                if known != values:
                    raise SchemaError(
                        f"tables {table!r} and {table_of(row)!r} declare enum type {column.type_name!r} with different"
                        f" values: {', '.join(known)}; {', '.join(values)}. Give one of them a type_name of its own"
                    )
    return [Definition("type", name, enum_creation(name, values)) for name, (values, _) in declared.items()]


def enum_creation(name: str, values: Iterable[str]) -> str:
    """The statement that creates an enum type."""
    return f'CREATE TYPE "{name}" AS ENUM ({", ".join(map(text_literal, values))})'


def _refuse_shared_names(described: Iterable[Definition]) -> None:
    """Tables and indexes share one set of names, in both databases."""
    owners: dict[str, str] = {}
    for definition in described:
        table = definition.table or definition.name
        if definition.name in owners:
            other = owners[definition.name]
            raise SchemaError(f"tables {other!r} and {table!r} both declare {definition.kind} {definition.name!r}")
        owners[definition.name] = table


# Milliseconds since 1970 in the first 48 bits of a random UUID, then the version (RFC 9562, version 7).
_UUIDV7_BODY = """
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid
""".strip()
_FIRST_VERSION_WITH_UUIDV7 = 180000


def _functions(database: Database, rows: Iterable[type[Row]]) -> Iterator[Definition]:
    """`uuidv7()`, for servers that don't have it built in: over pg_uuidv7's function where that is installed."""
    if not any(isinstance(column, UUIDv7Field) for row in rows for column in columns_of(row).values()):
        return
    [(version, extension_function)] = database.fetch_all(
        "SELECT current_setting('server_version_num')::int, (SELECT quote_ident(nspname) || '.uuid_generate_v7()'"
        " FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace"
        " WHERE pg_proc.oid = to_regprocedure('uuid_generate_v7()'))"
    )
    if version < _FIRST_VERSION_WITH_UUIDV7:
        body = f"SELECT {extension_function}" if extension_function else _UUIDV7_BODY
        yield Definition(
            "function",
            "uuidv7",
            f"CREATE FUNCTION uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ {body} $$",
        )


def _tables(database: Database, rows: Iterable[type[Row]]) -> Iterator[Definition]:
    indexes: list[Definition] = []
    for row in rows:
        manager: Any = peewee.SchemaManager(row, database=database)
        yield Definition("table", table_of(row), _text(manager._create_table(safe=False)))
        for index, statement in zip(row._meta.fields_to_index(), manager._create_indexes(safe=False), strict=True):
            if index._using is None or database.kind == "postgresql":
                indexes.append(Definition("index", index._name, _text(statement), table_of(row)))
    yield from indexes


def _text(context: peewee.Context) -> str:
    sql, values = context.query()
    if values:
        raise AssertionError(f"a schema statement has parameters: {sql}")
    return str(sql)
