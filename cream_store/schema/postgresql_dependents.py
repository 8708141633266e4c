"""What depends on a column, a table or an enum type, and would break or be dropped with it."""

from __future__ import annotations

from collections.abc import Collection

from cream_store.backend import Database

_DESCRIBED = """
    CASE WHEN d.classid = 'pg_rewrite'::regclass
         THEN (SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'a rule on ' END
                      || c.oid::regclass::text FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
               WHERE r.oid = d.objid)
         ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
"""
_DEPENDENTS = f"""
    SELECT DISTINCT {_DESCRIBED}
    FROM pg_depend d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s::regclass AND d.deptype = 'n'
      AND d.classid <> 'pg_constraint'::regclass
      AND (%s::text IS NULL
           OR d.refobjsubid = (SELECT attnum FROM pg_attribute WHERE attrelid = d.refobjid AND attname = %s))
    ORDER BY 1
"""
_FOREIGN_KEYS = """
    SELECT c.relname, o.conname, c.oid::regclass::text
    FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
    WHERE o.contype = 'f' AND o.confrelid = %s::regclass AND o.conrelid <> o.confrelid
      AND (%s::text IS NULL OR (SELECT attnum FROM pg_attribute WHERE attrelid = o.confrelid AND attname = %s)
                               = ANY(o.confkey))
    ORDER BY 1, 2
"""
# Of an enum type and the array type that comes with it. Columns, their defaults, constraints and indexes are moved.
_TYPE_DEPENDENTS = f"""
    SELECT DISTINCT {_DESCRIBED}
    FROM pg_type t JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
    WHERE t.typname = %s AND t.typnamespace = %s::regnamespace AND d.deptype = 'n'
      AND d.classid NOT IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass)
      AND NOT (d.classid = 'pg_class'::regclass AND (d.objsubid = 0 OR d.refobjid = t.oid))
    ORDER BY 1
"""


def dependents_of(database: Database, table: str, column: str | None) -> list[str]:
    """What uses a table (as SQL names it) or one column of it: views, triggers, policies."""
    return [name for (name,) in database.fetch_all(_DEPENDENTS, (table, column, column))]


def foreign_keys_to(database: Database, table: str, column: str | None, less: Collection[str]) -> list[str]:
    """The foreign keys of other tables that refer to a table or one column of it.

    `less`: tables, and foreign keys (`orders.orders_note_fk`), that don't count.
    """
    return [
        f"foreign key {name} of table {shown}"
        for referring, name, shown in database.fetch_all(_FOREIGN_KEYS, (table, column, column))
        if referring not in less and f"{referring}.{name}" not in less
    ]


def keeps_type(database: Database, schema: str, type_name: str) -> list[str]:
    """What uses an enum type beyond the columns that have it: functions, domains, views, columns of arrays."""
    return [name for (name,) in database.fetch_all(_TYPE_DEPENDENTS, (type_name, schema))]
