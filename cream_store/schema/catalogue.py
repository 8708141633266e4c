"""What a database's schema consists of, as far as it is ours: the same model for what is there and what should be.

Types, defaults and conditions are the database's own spelling of them, so that two catalogues of one kind of database
can be compared text by text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column."""

    type: str
    is_nullable: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table with its constraints and indexes, by name."""

    columns: Mapping[str, ColumnInfo]
    constraints: Mapping[str, str] = field(default_factory=dict)
    """Primary key, unique, foreign key and check constraints: their definitions."""
    indexes: Mapping[str, str] = field(default_factory=dict)
    """Indexes that no constraint owns: their definitions, less the schema's name."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Tables and enum types by name, and the names of functions."""

    tables: Mapping[str, TableInfo] = field(default_factory=dict)
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Enum types: their values in order."""
    functions: frozenset[str] = frozenset()
