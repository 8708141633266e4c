"""Statements: Peewee queries that are compiled once per kind of database and executed many times.

A query is built with `Param` nodes where values belong. Compiling it gives the SQL text and, in the order of the
placeholders, what encodes each value; executing it costs no more than the driver does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import peewee

from cream_store.backend import Database
from cream_store.cursors import read_all, read_count
from cream_store.fields import Column, ForeignKey, is_sqlite
from cream_store.url import Kind

Encoder = Callable[[Any], Any]
Values = Mapping[Any, Any] | Sequence[Any]
"""Values by the name of their parameter, or by its position."""


class Param(peewee.ColumnBase):
    """A value that is given at execution, by name or position, and encoded as the column demands."""

    def __init__(self, name: Hashable, column: Column | ForeignKey | None = None) -> None:
        self.name = name
        self.column = column

    def __sql__(self, context: Any) -> Any:
        context.literal(context.state.param or "?")
        context._values.append(self)
        return context

    def encoder(self, kind: Kind) -> Encoder:
        """What turns a value that is not None into the driver's."""
        return _as_it_is if self.column is None else self.column.encoder(kind)


def _as_it_is(value: Any) -> Any:
    return value


class _ForUpdate(peewee.ColumnBase):
    """Nothing on SQLite, where a writing transaction excludes every other one already."""

    def __init__(self, skip_locked: bool) -> None:
        self._skip_locked = skip_locked

    def __sql__(self, context: Any) -> Any:
        if is_sqlite(context):
            return context
        return context.literal("FOR UPDATE SKIP LOCKED" if self._skip_locked else "FOR UPDATE")


def for_update(select: peewee.Node, *, skip_locked: bool = False) -> peewee.Node:
    """A SELECT that locks the rows it reads until the transaction ends, or leaves out those that others hold."""
    return peewee.NodeList((select, _ForUpdate(skip_locked)))


class Compiled:
    """SQL text for one kind of database, and how its parameters are made of given values."""

    __slots__ = ("_slots", "sql")

    def __init__(self, query: peewee.Node, database: Database) -> None:
        context: Any = database.get_sql_context()
        self.sql, values = context.sql(query).query()
        self._slots: list[tuple[Any, Any]] = [
            (value.name, value.encoder(database.kind)) if isinstance(value, Param) else (None, value)
            for value in values
        ]

    def parameters(self, values: Values) -> list[Any]:
        """The driver's parameters, in order. Raises InvalidDataError for a value that its column can't hold."""
        # NULL is a value of a comparison or a default even where the column itself refuses it.
        return [
            encode if name is None else None if (value := values[name]) is None else encode(value)
            for name, encode in self._slots
        ]


class Statement:
    """A query that is built when it is first needed, and compiled once for each kind of database.

    One `by_key` stores a single row, or finds it by a unique key. Whatever the values, one plan is the best: PostgreSQL
    keeps it prepared.
    """

    def __init__(self, build: Callable[[], peewee.Node], *, by_key: bool = False) -> None:
        self._build = build
        self._by_key = by_key
        self._compiled: dict[Kind, Compiled] = {}

    def on(self, database: Database) -> Compiled:
        """The compiled statement for a database's kind."""
        compiled = self._compiled.get(database.kind)
        if compiled is None:
            compiled = self._compiled[database.kind] = Compiled(self._build(), database)
        return compiled

    def bound(self, database: Database, values: Values) -> tuple[str, list[Any]]:
        """The SQL text and the driver's parameters."""
        compiled = self.on(database)
        return compiled.sql, compiled.parameters(values)

    def fetch_all(self, database: Database, values: Values) -> list[tuple[Any, ...]]:
        """The rows that the statement gives."""
        compiled = self.on(database)
        return database.run(compiled.sql, compiled.parameters(values), read_all, by_key=self._by_key)

    def change(self, database: Database, values: Values) -> int:
        """How many rows the statement changed."""
        compiled = self.on(database)
        return database.run(compiled.sql, compiled.parameters(values), read_count, by_key=self._by_key)


def sql(text: str, *parameters: Any) -> peewee.SQL:
    """A piece of SQL for direct Peewee queries, with `?` (SQLite) or `%s` (PostgreSQL) where the parameters belong."""
    return peewee.SQL(text, parameters or None)


def params(columns: Sequence[tuple[str, Column | ForeignKey]]) -> dict[Any, Param]:
    """A parameter for each column, named as the record names the column."""
    return {column: Param(name, column) for name, column in columns}
