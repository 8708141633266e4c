"""What a SQLite file has, read from its own records; and what of the contract SQLite can have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cream_store import Database
from tests.contract.facts import ENUMS, Column, Index, Table, meaning, names_in

_AFFINITIES: Final = {
    "uuid": "TEXT",
    "text": "TEXT",
    "timestamptz": "TEXT",
    "jsonb": "TEXT",
    "integer": "INTEGER",
    "bigint": "INTEGER",
    "serial": "INTEGER",
    "boolean": "INTEGER",
}


def as_on_sqlite(agreed: Table) -> Table:
    """What the contract means on SQLite: its few types, enum types as checks, no GIN indexes."""
    return replace(
        agreed,
        columns=[_column_on_sqlite(column) for column in agreed.columns],
        indexes={name: index for name, index in agreed.indexes.items() if index.method != "gin"},
    )


def _column_on_sqlite(column: Column) -> Column:
    default = {"true": "1", "false": "0"}.get(column.default or "", column.default)
    if default is not None and default.endswith("::jsonb"):
        default = _as_json(default.removesuffix("::jsonb"))
    if column.type in ENUMS:
        type_name = f"TEXT, one of {', '.join(ENUMS[column.type])}"
    else:
        type_name = "NUMERIC" if column.type.startswith("numeric") else _AFFINITIES[column.type]
    return replace(column, type=type_name, default=default)


def _as_json(literal: str) -> str:
    return f"JSON {json.dumps(json.loads(literal.strip(chr(39))), sort_keys=True)}"


def read_tables(database: Database) -> dict[str, Table]:
    """The tables with everything that belongs to them, less those that SQLite and the store keep for themselves."""
    schema = database.fetch_all("SELECT type, tbl_name, name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")
    unexpected = {kind for kind, *_ in schema} - {"table", "index"}
    assert not unexpected, f"the schema has {unexpected}"
    return {
        table: _table(database, table, sql, {name: text for _, of, name, text in schema if of == table != name})
        for kind, table, _, sql in schema
        if kind == "table" and not table.startswith(("sqlite_", "cream_store_"))
    }


def _table(database: Database, table: str, sql: str, indexes: dict[str, str]) -> Table:
    values: dict[str, str] = {}
    unique: dict[str, tuple[str, ...]] = {}
    checks: dict[str, str] = {}
    foreign_keys: dict[str, str] = {}
    for item in _items(sql):
        kind, name, text = _constraint(item)
        if kind == "CHECK":
            checks[name] = meaning(text)
        elif kind == "UNIQUE":
            unique[name] = names_in(text)
        elif kind == "FOREIGN KEY":
            foreign_keys[name] = re.sub(r"(\w) \(", r"\1(", text.replace('"', ""))
        elif listed := re.fullmatch(r'"(\w+)" TEXT.* CHECK \("(\w+)" IN \((.+)\)\)', item):
            assert listed[1] == listed[2], item
            values[listed[1]] = listed[3].replace("'", "")
        else:
            assert "CHECK" not in item, item
            assert "UNIQUE" not in item, item
    described = database.fetch_all('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,))
    kinds = dict(database.fetch_all("SELECT name, origin FROM pragma_index_list(?)", (table,)))
    assert sum(origin == "u" for origin in kinds.values()) == len(unique), kinds
    return Table(
        columns=[
            Column(name, _type(declared, values.get(name)), not required, _default(default))
            for name, declared, required, default, _ in described
        ],
        primary_key=tuple(name for name, *_, position in sorted(described, key=lambda row: row[4]) if position),
        unique=unique,
        checks=checks,
        foreign_keys=foreign_keys,
        indexes={name: _index(indexes[name]) for name, origin in kinds.items() if origin == "c"},
    )


def _items(create_table: str) -> Iterator[str]:
    """The column definitions and constraints of a CREATE TABLE statement."""
    body = create_table[create_table.index("(") + 1 : create_table.rindex(")")]
    depth, item = 0, ""
    for piece in re.findall(r"'(?:[^']|'')*'|\"[^\"]*\"|.", body, re.DOTALL):
        if piece == "," and depth == 0:
            yield item.strip()
            item = ""
            continue
        depth += {"(": 1, ")": -1}.get(piece, 0)
        item += piece
    yield item.strip()


def _constraint(item: str) -> tuple[str, str, str]:
    named = re.fullmatch(r'CONSTRAINT "(\w+)" (CHECK|UNIQUE|FOREIGN KEY) (.+)', item, re.DOTALL)
    return (named[2], named[1], named[3]) if named else ("", "", "")


def _type(declared: str, values: str | None) -> str:
    """The affinity that SQLite gives to a declared type, and the values that the column is limited to."""
    affinity = "NUMERIC" if declared.startswith("DECIMAL") else declared
    return affinity if values is None else f"{affinity}, one of {values}"


def _default(text: str | None) -> str | None:
    if text is None:
        return None
    if text == "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')":
        return "now()"
    if "randomblob" in text:
        return "uuidv7()"
    return _as_json(text) if text.startswith(("'[", "'{")) else text


def _index(sql: str) -> Index:
    described = re.fullmatch(
        r'CREATE (?P<unique>UNIQUE )?INDEX "?\w+"? ON "?\w+"? (?P<columns>\(.+?\))(?: WHERE (?P<where>.+))?',
        sql,
        re.DOTALL,
    )
    assert described, sql
    where = described["where"]
    return Index(
        columns=names_in(described["columns"]),
        unique=bool(described["unique"]),
        where=meaning(where) if where else None,
    )
