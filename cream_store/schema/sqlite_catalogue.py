"""Reading an SQLite schema, from the CREATE statements that it keeps.

`PRAGMA table_info` knows neither checks nor the names of constraints; the statements have all of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from cream_store.backend import Database
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableInfo, TableObject

_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?(?:\*/|$) )
    | (?P<token> [xX]?'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\]
      | \d[\d.]*(?:[eE][+-]?\d+)? | \.\d+(?:[eE][+-]?\d+)? | [\w$]+ | \|\| | <> | [<>=!]= | [^\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLAUSES = {"NOT", "NULL", "PRIMARY", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}


def read_catalogue(database: Database, *, tables: Collection[str]) -> Catalogue:
    """What the database holds of the named tables. Their enum types are checks of the columns here."""
    statements = database.fetch_all("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return parse_catalogue(statements, tables)


def parse_catalogue(statements: Sequence[Sequence[str]], tables: Collection[str]) -> Catalogue:
    """What CREATE statements (kind, name, table, text) say about the named tables."""
    texts = {name: sql for kind, name, _, sql in statements if kind == "table"}
    found = {name: _table(texts[name]) for name in tables if name in texts}
    for kind, name, table, sql in statements:
        if kind == "index" and table in found:
            tokens = _tokens(sql)
            used = _mentioned(tokens[tokens.index("(") :], found[table].columns)
            found[table].indexes[name] = TableObject(_spelled(tokens), columns=used)
    return Catalogue({name: TableInfo(one.columns, one.constraints, one.indexes) for name, one in found.items()})


class _Table:
    """A table while its statement is read."""

    def __init__(self) -> None:
        self.columns: dict[str, ColumnInfo] = {}
        self.constraints: dict[str, TableObject] = {}
        self.indexes: dict[str, TableObject] = {}


def _table(statement: str) -> _Table:
    table = _Table()
    tokens = _tokens(statement)
    opening = tokens.index("(")
    table_constraints: list[tuple[str, list[str]]] = []
    for item in _split(tokens[opening + 1 : _closing(tokens, opening)]):
        word = item[0].upper()
        if word == "CONSTRAINT":
            table_constraints.append((_unquoted(item[1]), item[2:]))
        elif word in ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN"):
            table_constraints.append((_spelled(item), item))
        else:
            _add_column(table, _unquoted(item[0]), item[1:])
    # They come last in the statement, but may come before a column in one that is put together here.
    for name, definition in table_constraints:
        table.constraints[name] = _constraint(definition, table.columns)
    return table


def _add_column(table: _Table, name: str, tokens: list[str]) -> None:
    """Reads a column, and the constraints that are written with it under names made of the column's."""
    clauses = list(_clauses(tokens))
    type_name = ""
    if clauses and clauses[0][0].upper() not in (*_CLAUSES, "CONSTRAINT"):
        type_name = _spelled(clauses.pop(0))
    is_nullable, default = True, None
    for clause in clauses:
        if clause[0].upper() == "CONSTRAINT":  # its name; names of columns' constraints serve no purpose
            clause = clause[2:]  # noqa: PLW2901  # the rest is like a clause without a name
        match clause[0].upper():
            case "NOT":
                is_nullable = False
            case "NULL":
                pass
            case "DEFAULT":
                default = _spelled(clause[1:])
            case "GENERATED" | "AS":
                as_ = next(position for position, token in enumerate(clause) if token.upper() == "AS")
                default = f"GENERATED ALWAYS {_spelled(clause[as_:])}"
            case word:
                key = f"{name} {word.lower()}"
                while key in table.constraints:
                    key += "'"
                table.constraints[key] = _inline_constraint(name, clause)
    table.columns[name] = ColumnInfo(type_name, is_nullable, default)


def _clauses(tokens: list[str]) -> Iterator[list[str]]:
    """A column definition's parts: the type, then each clause with all that belongs to it."""
    clause: list[str] = []
    depth = 0
    for token in tokens:
        word = token.upper()
        starts = depth == 0 and (word in _CLAUSES or word == "CONSTRAINT") and not _goes_on(clause, word)
        if starts and clause:
            yield clause
            clause = []
        clause.append(token)
        depth += (token == "(") - (token == ")")
    if clause:
        yield clause


def _goes_on(clause: list[str], word: str) -> bool:
    """Whether a word that could begin a clause belongs to the one before it."""
    words = [token.upper() for token in clause]
    if len(words) == 2 and words[0] == "CONSTRAINT":
        return True  # CONSTRAINT name CHECK ...
    if not words:
        return False
    if word == "AS":
        return words[0] == "GENERATED"  # GENERATED ALWAYS AS
    return words[-1] in ("NOT", "DEFAULT", "SET")  # NOT NULL, DEFAULT NULL, ON DELETE SET NULL


def _constraint(tokens: list[str], columns: Collection[str]) -> TableObject:
    opening = tokens.index("(")
    end = _closing(tokens, opening) + 1
    used = _mentioned(tokens[opening:end], columns)
    if tokens[0].upper() == "FOREIGN":
        return _foreign_key(_spelled(tokens), used, tokens[end + 1 :])
    return TableObject(_spelled(tokens), columns=used)


def _inline_constraint(column: str, tokens: list[str]) -> TableObject:
    if tokens[0].upper() != "REFERENCES":
        return TableObject(_spelled(tokens), columns=(column,), is_inline=True)
    return _foreign_key(_spelled(tokens), (column,), tokens[1:], is_inline=True)


def _foreign_key(
    definition: str, columns: tuple[str, ...], target: list[str], *, is_inline: bool = False
) -> TableObject:
    referenced: tuple[str, ...] = ()
    if len(target) > 1 and target[1] == "(":
        referenced = tuple(_unquoted(token) for token in target[2 : _closing(target, 1)] if token != ",")
    return TableObject(
        definition,
        columns=columns,
        referenced_table=_unquoted(target[0]),
        referenced_columns=referenced,
        is_inline=is_inline,
    )


def _mentioned(tokens: list[str], columns: Collection[str]) -> tuple[str, ...]:
    """The columns that a text names, in that order."""
    by_name = {column.lower(): column for column in columns}
    names = (by_name.get(_unquoted(token).lower()) for token in tokens if not token.startswith("'"))
    return tuple(dict.fromkeys(name for name in names if name is not None))


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


def has_row_ids(statement: str) -> bool:
    """Whether the rows of the table that a statement created are numbered."""
    tokens = [token.upper() for token in _tokens(statement)]
    return "WITHOUT" not in tokens[_closing(tokens, tokens.index("(")) :]


def _tokens(statement: str) -> list[str]:
    return [found["token"] for found in _TOKEN.finditer(statement) if found["token"]]


def _spelled(tokens: list[str]) -> str:
    """Tokens as one text, spelled the same whatever the white space was."""
    return " ".join(tokens)


def _unquoted(name: str) -> str:
    match name[0]:
        case '"' | "`" as quote:
            return name[1:-1].replace(quote * 2, quote)
        case "[":
            return name[1:-1]
    return name
