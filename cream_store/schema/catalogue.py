"""What a database's schema consists of, as far as it is ours: the same model for what is there and what should be.

Types, defaults and conditions are the database's own spelling of them, so that two catalogues of one kind of database
can be compared text by text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column."""

    type: str
    is_nullable: bool
    default: str | None
    """The default's expression, or what makes the column's values: `GENERATED ALWAYS AS IDENTITY`."""

    @property
    def is_generated(self) -> bool:
        """Whether the database makes the values itself and accepts no others."""
        return self.default is not None and self.default.startswith("GENERATED ")


@dataclass(frozen=True, slots=True)
class TableObject:
    """A constraint or an index of a table. Two are equal when they do the same."""

    definition: str
    """What follows a constraint's name, or an index's whole statement, less the name of the table's schema."""
    is_valid: bool = True
    """False for an index that a failed `CREATE INDEX CONCURRENTLY` left behind, which the server does not use."""
    columns: tuple[str, ...] = field(default=(), compare=False)
    """The table's columns that it uses; of a key, in order."""
    referenced_table: str | None = field(default=None, compare=False)
    referenced_columns: tuple[str, ...] = field(default=(), compare=False)
    has_expression: bool = field(default=False, compare=False)
    """Whether it says more of its columns than their names."""
    is_inline: bool = field(default=False, compare=False)
    """Whether it is written with its column (SQLite), and stays or goes with it."""

    @property
    def is_primary_key(self) -> bool:
        """Whether it is the table's primary key."""
        return self.definition.upper().startswith("PRIMARY KEY")

    @property
    def is_foreign_key(self) -> bool:
        """Whether it refers to another table's rows."""
        return self.referenced_table is not None

    def used_columns(self, table: str) -> Iterator[tuple[str, str]]:
        """The columns, with their tables, whose types it depends on."""
        yield from ((table, column) for column in self.columns)
        if self.referenced_table is not None:
            yield from ((self.referenced_table, column) for column in self.referenced_columns)


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table with its constraints and indexes, by name."""

    columns: Mapping[str, ColumnInfo]
    constraints: Mapping[str, TableObject] = field(default_factory=dict)
    """Primary key, unique, foreign key and check constraints."""
    indexes: Mapping[str, TableObject] = field(default_factory=dict)
    """Indexes that no constraint owns."""

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns."""
        return next((one.columns for one in self.constraints.values() if one.is_primary_key), ())


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Tables and enum types by name, and the names of functions."""

    tables: Mapping[str, TableInfo] = field(default_factory=dict)
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Enum types: their values in order."""
    functions: frozenset[str] = frozenset()
