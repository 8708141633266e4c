"""Rows: the tables, as Peewee models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import peewee
from peewee import SQL

from cream_store.database import db
from cream_store.fields import Column, ForeignKey
from cream_store.unique_keys import declare_unique_keys

StoredColumn = Column | ForeignKey
IndexMethod = Literal["btree", "gin"]


def check(name: str, condition: str) -> peewee.Node:
    """A named check constraint, for `Meta.constraints`."""
    return SQL(f'CONSTRAINT "{name}" CHECK ({condition})')


class UniqueConstraint(SQL):
    """A unique constraint, as SQL that remembers what it is about."""

    def __init__(self, name: str, columns: tuple[str, ...]) -> None:
        super().__init__(f'CONSTRAINT "{name}" UNIQUE ({_column_list(columns)})')
        self.name = name
        self.columns = columns


def unique(name: str, *columns: str) -> peewee.Node:
    """A named unique constraint over columns of the table, for `Meta.constraints`."""
    return UniqueConstraint(name, columns)


def _column_list(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


@dataclass(frozen=True)
class index_declaration:
    """An index that waits for its table."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    where: str | None
    using: IndexMethod

    def on(self, row: type[Row]) -> peewee.Index:
        """The Peewee index on a table."""
        columns: list[Any] = [row._meta.columns[column] for column in self.columns]
        if self.using == "gin":
            columns = [peewee.NodeList((column, SQL("jsonb_path_ops"))) for column in columns]
        return peewee.ModelIndex(
            row,
            columns,
            unique=self.unique,
            where=SQL(self.where) if self.where else None,
            using=None if self.using == "btree" else self.using,
            name=self.name,
        )


def index(
    name: str, *columns: str, unique: bool = False, where: str | None = None, using: IndexMethod = "btree"
) -> index_declaration:
    """A named index over columns of the table, for `Meta.indexes`; `where` makes it partial.

    `gin` is for conditions on a JSON array's elements (`QueryBuilder.has`); SQLite has no such index.
    """
    return index_declaration(name, columns, unique, where, using)


def _unique_keys_of(row: type[Row], indexes: Sequence[index_declaration]) -> dict[str, tuple[str, ...]]:
    meta: Any = row._meta
    keys = {f"{meta.table_name}_pkey": tuple(column.column_name for column in meta.get_primary_keys())}
    for constraint in meta.constraints or ():
        if isinstance(constraint, UniqueConstraint):
            keys[constraint.name] = constraint.columns
    return keys | {index.name: index.columns for index in indexes if index.unique}


class Row(peewee.Model):
    """Base of all tables. Columns are attributes; constraints and indexes stand in `class Meta`, by exact name.

    Direct Peewee queries run on `db`, the current environment's database, or on the one that
    `query.execute(database)` names.
    """

    class Meta:
        database = db
        legacy_table_names = False

    @classmethod
    def validate_model(cls) -> None:
        """Called by Peewee when the class is complete: turns the declared indexes into Peewee's."""
        super().validate_model()
        declared = tuple(index for index in cls._meta.indexes if isinstance(index, index_declaration))
        cls._meta.indexes = [index for index in cls._meta.indexes if not isinstance(index, index_declaration)]
        for declaration in declared:
            cls.add_index(declaration.on(cls))
        declare_unique_keys(cls._meta.table_name, _unique_keys_of(cls, declared))


def table_of(row: type[Row]) -> str:
    """The table's name."""
    return cast(str, row._meta.table_name)


def columns_of(row: type[Row]) -> dict[str, StoredColumn]:
    """The table's columns in order, by the names that records give them."""
    return {column.record_name: column for column in cast(Any, row._meta.sorted_fields)}


def key_of(row: type[Row]) -> StoredColumn:
    """The primary key's column."""
    return cast(StoredColumn, row._meta.primary_key)
