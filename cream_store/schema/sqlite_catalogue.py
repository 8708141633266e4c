"""Reading an SQLite schema, from the CREATE statements that it keeps.

`PRAGMA table_info` knows neither checks nor the names of constraints; the statements have all of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from cream_store.backend import Database
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableInfo

_TOKEN = re.compile(r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | [\w.]+ | \( | \) | , | [^\s\w(),'"]+""", re.VERBOSE)
_CLAUSES = {"NOT", "NULL", "PRIMARY", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "CONSTRAINT"}


def read_catalogue(database: Database, *, tables: Collection[str]) -> Catalogue:
    """What the database holds of the named tables. Their enum types are checks of the columns here."""
    statements = database.fetch_all("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return parse_catalogue(statements, tables)


def parse_catalogue(statements: Sequence[Sequence[str]], tables: Collection[str]) -> Catalogue:
    """What CREATE statements (kind, name, table, text) say about the named tables."""
    indexes: dict[str, dict[str, str]] = {}
    for kind, name, table, sql in statements:
        if kind == "index":
            indexes.setdefault(table, {})[name] = _spelled(_tokens(sql))
    texts = {name: sql for kind, name, _, sql in statements if kind == "table"}
    return Catalogue({name: _table(texts[name], indexes.get(name, {})) for name in tables if name in texts})


def _table(statement: str, indexes: dict[str, str]) -> TableInfo:
    columns: dict[str, ColumnInfo] = {}
    constraints: dict[str, str] = {}
    tokens = _tokens(statement)
    for item in _split(tokens[tokens.index("(") + 1 : _closing(tokens, tokens.index("("))]):
        word = item[0].upper()
        if word == "CONSTRAINT":
            constraints[_unquoted(item[1])] = _spelled(item[2:])
        elif word in ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN"):
            constraints[_spelled(item)] = _spelled(item)
        else:
            name = _unquoted(item[0])
            columns[name], own = _column(name, item[1:])
            constraints |= own
    return TableInfo(columns, constraints, indexes)


def _column(name: str, tokens: list[str]) -> tuple[ColumnInfo, dict[str, str]]:
    """A column, and the constraints that are written with it, under names made of the column's."""
    clauses = list(_clauses(tokens))
    type_name = _spelled(clauses.pop(0)) if clauses and clauses[0][0].upper() not in _CLAUSES else ""
    is_nullable, default = True, None
    constraints: dict[str, str] = {}
    for clause in clauses:
        match clause[0].upper():
            case "NOT":
                is_nullable = False
            case "NULL":
                pass
            case "DEFAULT":
                default = _spelled(clause[1:])
            case word:
                constraints[f"{name} {word.lower()}"] = _spelled(clause)
    return ColumnInfo(type_name, is_nullable, default), constraints


def _clauses(tokens: list[str]) -> Iterator[list[str]]:
    """A column definition's parts: the type, then each clause with all that belongs to it."""
    clause: list[str] = []
    depth = 0
    for token in tokens:
        starts = depth == 0 and token.upper() in _CLAUSES and not (clause and clause[-1].upper() in ("NOT", "DEFAULT"))
        if starts and clause:
            yield clause
            clause = []
        clause.append(token)
        depth += (token == "(") - (token == ")")
    if clause:
        yield clause


def _split(tokens: list[str]) -> Iterator[list[str]]:
    """The parts between the commas of the outermost level."""
    item: list[str] = []
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "," and depth == 0:
            yield item
            item = []
        else:
            item.append(token)
    if item:
        yield item


def _closing(tokens: list[str], opening: int) -> int:
    """Where the parenthesis that opens at a position closes."""
    depth = 0
    for position in range(opening, len(tokens)):
        depth += (tokens[position] == "(") - (tokens[position] == ")")
        if depth == 0:
            return position
    raise ValueError("a parenthesis is never closed")


def _tokens(statement: str) -> list[str]:
    return _TOKEN.findall(statement)


def _spelled(tokens: list[str]) -> str:
    """Tokens as one text, spelled the same whatever the white space was."""
    return " ".join(tokens)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
