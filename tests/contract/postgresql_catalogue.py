"""What a PostgreSQL database has, read from its catalogue without the code under test."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from cream_store import Database
from tests.contract.facts import Column, Index, Table, meaning, names_in

_COLUMNS = """
    SELECT relname, attname, format_type(atttypid, atttypmod), NOT attnotnull, pg_get_expr(adbin, adrelid),
           pg_get_serial_sequence(quote_ident(relname), attname)
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
    ORDER BY relname, attnum
"""

# Of type 'n' are the names that PostgreSQL 18 gives to NOT NULL; the columns tell whether they are.
_CONSTRAINTS = """
    SELECT relname, contype, conname, pg_get_constraintdef(pg_constraint.oid)
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE relnamespace = 'public'::regnamespace AND contype <> 'n'
"""

_INDEXES = """
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND indexname NOT IN
        (SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'x'))
"""

_ENUMS = """
    SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder)
    FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid
    WHERE typnamespace = 'public'::regnamespace GROUP BY typname
"""

_OTHER_OBJECTS = """
    SELECT relkind::text, relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind NOT IN ('r', 'p', 'i', 'I', 'S')
    UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'policy', polname FROM pg_policy
    UNION ALL SELECT 'rule', rulename FROM pg_rules WHERE schemaname = 'public'
    UNION ALL SELECT 'schema', nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
    ORDER BY 1, 2
"""


def read_tables(database: Database) -> dict[str, Table]:
    """The tables of the schema `public` with everything that belongs to them."""
    columns: dict[str, list[Column]] = defaultdict(list)
    for table, *described in database.fetch_all(_COLUMNS):
        columns[table].append(_column(*described))
    constraints: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for table, kind, name, definition in database.fetch_all(_CONSTRAINTS):
        constraints[table, kind][name] = definition
    indexes: dict[str, dict[str, Index]] = defaultdict(dict)
    for table, name, definition in database.fetch_all(_INDEXES):
        indexes[table][name] = _index(definition)
    unexpected = {kind for _, kind in constraints} - {"p", "u", "c", "f"}
    assert not unexpected, f"constraints of types {unexpected}"
    return {
        table: Table(
            columns=columns[table],
            primary_key=names_in(constraints[table, "p"][f"{table}_pkey"].removeprefix("PRIMARY KEY ")),
            unique={n: names_in(text.removeprefix("UNIQUE ")) for n, text in constraints[table, "u"].items()},
            checks={n: meaning(text.removeprefix("CHECK ")) for n, text in constraints[table, "c"].items()},
            foreign_keys={
                n: text.removeprefix("FOREIGN KEY ").replace('"', "") for n, text in constraints[table, "f"].items()
            },
            indexes=indexes[table],
        )
        for table in columns
    }


def read_enums(database: Database) -> dict[str, tuple[str, ...]]:
    """The values of each enum type of the schema `public`, in order."""
    return {name: tuple(values) for name, values in database.fetch_all(_ENUMS)}


def read_other_objects(database: Database) -> list[tuple[str, str]]:
    """Views, functions, triggers and the like, and schemas besides `public`."""
    return [(kind, name) for kind, name in database.fetch_all(_OTHER_OBJECTS)]


def _column(name: str, type_name: str, nullable: bool, default: str | None, sequence: str | None) -> Column:
    type_name = type_name.replace("timestamp with time zone", "timestamptz")
    if sequence and type_name == "integer" and default == f"nextval('{sequence.removeprefix('public.')}'::regclass)":
        return Column(name, "serial", nullable, None)
    if default is not None and not default.endswith("::jsonb"):
        default = re.sub(r"::[a-z_ ]+$", "", default)
    return Column(name, type_name, nullable, default)


def _index(definition: str) -> Index:
    described: Any = re.fullmatch(
        r"CREATE (?P<unique>UNIQUE )?INDEX \S+ ON public\.\S+ USING (?P<method>\w+) (?P<columns>\(.+?\))"
        r"(?: WHERE (?P<where>.+))?",
        definition,
    )
    assert described, definition
    where = described["where"]
    return Index(
        columns=names_in(described["columns"]),
        unique=bool(described["unique"]),
        method=described["method"],
        where=meaning(where) if where else None,
    )
