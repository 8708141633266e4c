"""Reading a PostgreSQL schema from `pg_catalog`.

Everything is printed with the schema alone in the search path, so that names in definitions come out unqualified and
a scratch schema reads like the real one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cream_store.backend import Database
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableInfo

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY(%s)
    ORDER BY c.relname, a.attnum
"""
_CONSTRAINTS = """
    SELECT c.relname, o.conname, pg_get_constraintdef(o.oid)
    FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
    WHERE c.relnamespace = %s::regnamespace AND c.relname = ANY(%s) AND o.contype IN ('p', 'u', 'f', 'c')
    ORDER BY c.relname, o.conname
"""
_INDEXES = """
    SELECT c.relname, i.relname, pg_get_indexdef(i.oid)
    FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE c.relnamespace = %s::regnamespace AND c.relname = ANY(%s)
      AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.oid AND o.contype IN ('p', 'u', 'x'))
    ORDER BY c.relname, i.relname
"""
_ENUMS = """
    SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
    FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
    WHERE t.typnamespace = %s::regnamespace AND t.typname = ANY(%s)
    GROUP BY t.typname
"""
_FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = %s::regnamespace AND proname = ANY(%s)"


def read_catalogue(
    database: Database, schema: str, *, tables: Collection[str], enums: Collection[str], functions: Collection[str]
) -> Catalogue:
    """What a schema holds of the named tables, enum types and functions. Runs in the caller's transaction."""
    [(previous,)] = database.fetch_all("SELECT current_setting('search_path')")
    _set_search_path(database, f'"{schema}"')
    quoted = f'"{schema}"'

    def rows(query: str, names: Collection[str]) -> list[tuple[Any, ...]]:
        return database.fetch_all(query, (quoted, list(names)))

    columns: dict[str, dict[str, ColumnInfo]] = {}
    for table, name, type_name, is_nullable, default in rows(_COLUMNS, tables):
        columns.setdefault(table, {})[name] = ColumnInfo(type_name, is_nullable, default)
    constraints: dict[str, dict[str, str]] = {}
    for table, name, definition in rows(_CONSTRAINTS, tables):
        constraints.setdefault(table, {})[name] = definition
    indexes: dict[str, dict[str, str]] = {}
    for table, name, definition in rows(_INDEXES, tables):
        # An index's definition names its table with the schema whatever the search path is.
        unqualified = definition.replace(f" ON {schema}.", " ON ", 1).replace(f" ON {quoted}.", " ON ", 1)
        indexes.setdefault(table, {})[name] = unqualified
    catalogue = Catalogue(
        tables={
            name: TableInfo(columns[name], constraints.get(name, {}), indexes.get(name, {}))
            for name in tables
            if name in columns
        },
        enums={name: tuple(values) for name, values in rows(_ENUMS, enums)},
        functions=frozenset(name for (name,) in rows(_FUNCTIONS, functions)),
    )
    _set_search_path(database, previous)
    return catalogue


def _set_search_path(database: Database, path: str) -> None:
    database.fetch_all("SELECT set_config('search_path', %s, true)", (path,))
