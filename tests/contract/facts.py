"""What `schema.json` agrees on, in a form that can be compared with what a database has.

Names are compared to the letter; conditions by their meaning, since every server has its own way with parentheses,
quotes and casts.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    nullable: bool
    default: str | None


@dataclass(frozen=True)
class Index:
    """An index that no constraint brought with it."""

    columns: tuple[str, ...]  # each with its operator class, if it isn't the usual one
    unique: bool = False
    method: str = "btree"
    where: str | None = None


@dataclass(frozen=True)
class Table:
    """A table with everything that belongs to it."""

    columns: list[Column]
    primary_key: tuple[str, ...]
    unique: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    foreign_keys: Mapping[str, str] = field(default_factory=dict)
    indexes: Mapping[str, Index] = field(default_factory=dict)


def meaning(condition: str) -> str:
    """A condition in canonical form: two spellings of one condition give the same text."""
    python = re.sub(r"::[a-z_ ]+", "", condition.replace('"', ""))
    python = re.sub(r"'(-?\d+(?:\.\d+)?)'", r"\1", python)
    python = python.replace("<>", "!=")
    python = re.sub(r"(?<![<>!])=", "==", python)
    python = python.replace("IS NOT NULL", "is not None").replace("IS NULL", "is None")
    python = re.sub(r"\b(AND|OR|NOT|IN)\b", lambda word: word[0].lower(), python)
    python = re.sub(r"\b(true|false)\b", lambda word: word[0].title(), python)
    return ast.unparse(ast.parse(python.strip(), mode="eval"))


def names_in(text: str) -> tuple[str, ...]:
    """The names in a list such as `(symbol, "timestamp")`."""
    return tuple(name.strip().replace('"', "") for name in text.strip("() ").split(","))


def _column(name: str, text: str) -> Column:
    described = re.fullmatch(r"(?P<type>.+?)(?P<required> not null)?(?: default (?P<default>.+))?", text)
    assert described, text
    return Column(name, described["type"], not described["required"], described["default"])


def _index(text: str) -> Index:
    described = re.fullmatch(
        r"(?P<unique>unique )?(?:(?P<method>gin) )?(?P<columns>\(.+?\))(?: where (?P<where>.+))?", text
    )
    assert described, text
    where = described["where"]
    return Index(
        columns=names_in(described["columns"]),
        unique=bool(described["unique"]),
        method=described["method"] or "btree",
        where=meaning(where) if where else None,
    )


def _table(facts: Mapping[str, Any]) -> Table:
    return Table(
        columns=[_column(name, text) for name, text in facts["columns"].items()],
        primary_key=tuple(facts["primary_key"]),
        unique={name: tuple(columns) for name, columns in facts.get("unique", {}).items()},
        checks={name: meaning(text) for name, text in facts.get("checks", {}).items()},
        foreign_keys={name: text.replace('"', "") for name, text in facts.get("foreign_keys", {}).items()},
        indexes={name: _index(text) for name, text in facts.get("indexes", {}).items()},
    )


_AGREED: Final = json.loads((Path(__file__).parent / "schema.json").read_text(encoding="utf-8"))

MODULES: Final[dict[str, dict[str, Table]]] = {
    module: {name: _table(facts) for name, facts in described["tables"].items()}
    for module, described in _AGREED["modules"].items()
}
"""The tables of each schema module, by the name of the plugin that brings it."""

TABLES: Final[dict[str, Table]] = {name: table for tables in MODULES.values() for name, table in tables.items()}

ENUMS: Final[dict[str, tuple[str, ...]]] = {name: tuple(enum["values"]) for name, enum in _AGREED["enums"].items()}
"""The values of each enum type, in order."""
