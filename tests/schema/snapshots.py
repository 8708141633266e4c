"""What a database holds, read without the code under test: schema and rows, ours and others'."""

from __future__ import annotations

import re
from typing import Any

from cream_store import Database

Snapshot = dict[str, Any]

_POSTGRESQL = {
    "column": """
        SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraint": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(o.oid)
        FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE contype <> 'n'
    """,
    "index": """
        SELECT c.oid::regclass::text, pg_get_indexdef(c.oid), x.indisvalid
        FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
    """,
    "enum": """
        SELECT t.oid::regtype::text, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
        FROM pg_type c JOIN pg_type t ON t.oid = c.oid JOIN pg_enum e ON e.enumtypid = t.oid
    """,
    "view": "SELECT c.oid::regclass::text, pg_get_viewdef(c.oid) FROM pg_class c WHERE relkind IN ('v', 'm')",
    "trigger": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT tgisinternal
    """,
    # uuidv7() stays once it is there: it belongs to no table, and other programs may use it.
    "function": "SELECT c.oid::regprocedure::text, prosrc FROM pg_proc c WHERE proname <> 'uuidv7'",
    "sequence": "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'S'",
    "grant": "SELECT c.oid::regclass::text, relacl::text FROM pg_class c WHERE relacl IS NOT NULL",
    "schema": "SELECT nspname, 0 FROM pg_namespace c",
}
_SCHEMA_OF = {"enum": "c.typnamespace", "function": "c.pronamespace", "schema": "c.oid"}


def schema_of(database: Database) -> Snapshot:
    """The schema: two databases with the same one serve every program alike."""
    if database.kind == "sqlite":
        return {
            "schema": sorted(
                (kind, name, table, _in_any_order(sql) if kind == "table" else _plain(sql))
                for kind, name, table, sql in database.fetch_all("SELECT type, name, tbl_name, sql FROM sqlite_schema")
            )
        }
    found: Snapshot = {}
    for what, query in _POSTGRESQL.items():
        own = (
            f"{_SCHEMA_OF.get(what, 'c.relnamespace')} IN (SELECT oid FROM pg_namespace"
            " WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema')"
        )
        group = " GROUP BY t.oid" if what == "enum" else ""
        link = "AND" if "WHERE" in query else "WHERE"
        found[what] = sorted(map(str, database.fetch_all(f"{query} {link} {own}{group}")))
    return found


def rows_of(database: Database) -> Snapshot:
    """The rows of every table, row ids included where they are stable."""
    if database.kind == "sqlite":
        tables = [name for (name,) in database.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: database.fetch_all(f'SELECT rowid, * FROM "{table}" ORDER BY rowid') for table in tables}
    tables = [
        name
        for (name,) in database.fetch_all(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace IN (SELECT oid FROM"
            " pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema')"
        )
    ]
    return {table: sorted(map(str, database.fetch_all(f"SELECT * FROM {table}"))) for table in tables}


def everything_in(database: Database) -> tuple[Snapshot, Snapshot]:
    """Schema and rows: equal before and after when nothing was changed."""
    return schema_of(database), rows_of(database)


def _plain(sql: str | None) -> str:
    """A statement without its white space, but for that in quotes."""
    return " ".join(re.findall(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|[^\s\w]""", sql or ""))


def _in_any_order(sql: str) -> list[str]:
    """A CREATE TABLE statement's items, without the order of columns, constraints and clauses."""
    depth, items, item = 0, [], ""
    for piece in _plain(sql).partition("(")[2].rpartition(")")[0].split(" "):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "," and depth == 0:
            items.append(item)
            item = ""
        else:
            item += f" {piece}"
    return sorted(" ".join(sorted(one.split())) for one in [*items, item])
