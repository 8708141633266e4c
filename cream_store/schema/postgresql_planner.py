"""Schema changes on PostgreSQL.

The desired schema is created in a scratch schema and read back by the queries that read the real one, so that
PostgreSQL itself brings types, defaults and conditions into their normal form. The scratch schema never outlives the
transaction.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Final

from cream_store.fields import EnumField
from cream_store.row import columns_of
from cream_store.schema.catalogue import Catalogue, ColumnInfo
from cream_store.schema.definition import ObjectKind, column_definition
from cream_store.schema.differences import Difference
from cream_store.schema.planner import Planner
from cream_store.schema.postgresql_catalogue import read_catalogue
from cream_store.schema.steps import Action, Step

_SCRATCH: Final = "cream_store_scratch"


class PostgresqlPlanner(Planner):
    """Reads and changes the first schema of the search path."""

    def desired(self) -> Catalogue:
        [(path,)] = self.database.fetch_all("SELECT current_setting('search_path')")
        self.database.change(f"CREATE SCHEMA {_SCRATCH}")
        self.database.change(f"SET LOCAL search_path = {_SCRATCH}")
        for definition in self.definitions.values():
            self.database.change(definition.sql)
        self._desired = self._read(_SCRATCH, self.rows)
        self.database.fetch_all("SELECT set_config('search_path', %s, true)", (path,))
        self.database.change(f"DROP SCHEMA {_SCRATCH} CASCADE")
        return self._desired

    def current(self, tables: Collection[str]) -> Catalogue:
        [(schema,)] = self.database.fetch_all("SELECT current_schema()")
        return self._read(schema, tables)

    def _read(self, schema: str, tables: Collection[str]) -> Catalogue:
        columns = [column for row in self.rows.values() for column in columns_of(row).values()]
        return read_catalogue(
            self.database,
            schema,
            tables=tables,
            enums={column.type_name for column in columns if isinstance(column, EnumField)},
            functions=[name for kind, name in self.definitions if kind == "function"],
        )

    def session(self, steps: Sequence[Step]) -> AbstractContextManager[object]:
        return self.database.transaction()

    def statements(self, accepted: Sequence[Difference], refused: Sequence[Difference]) -> list[tuple[str, ...]]:
        new_tables = {difference.name for difference in accepted if difference.action is Action.CREATE_TABLE}
        return [
            () if self._comes_with_table(difference, new_tables) else self._statements(difference)
            for difference in accepted
        ]

    @staticmethod
    def _comes_with_table(difference: Difference, new_tables: Collection[str]) -> bool:
        return difference.action is Action.ADD_CONSTRAINT and difference.table in new_tables

    def _statements(self, difference: Difference) -> tuple[str, ...]:
        name, before, after = difference.name, difference.before, difference.after
        table = difference.table or ""
        column = f'ALTER TABLE "{table}" ALTER COLUMN "{name}"'
        match difference.action:
            case Action.CREATE_TYPE:
                return self._creation("type", name)
            case Action.CREATE_FUNCTION:
                return self._creation("function", name)
            case Action.CREATE_TABLE:
                return self._creation("table", name)
            case Action.CREATE_INDEX:
                return self._creation("index", name)
            case Action.ADD_ENUM_VALUE:
                return self._addition_of_value(table, name, after)
            case Action.REMOVE_ENUM_VALUE:
                return self._new_type(table, after)
            case Action.REBUILD_TYPE:
                return self._new_type(name, after)
            case Action.ADD_COLUMN:
                definition = column_definition(self.database, self.rows[table], name)
                return (f'ALTER TABLE "{table}" ADD COLUMN {definition}',)
            case Action.DROP_COLUMN:
                return (f'ALTER TABLE "{table}" DROP COLUMN "{name}"',)
            case Action.CHANGE_TYPE:
                return self._change_of_type(column, name, before, after)
            case Action.SET_DEFAULT:
                return (*self._sequence(table, name, after), f"{column} SET DEFAULT {after.default}")
            case Action.DROP_DEFAULT:
                return (f"{column} DROP DEFAULT",)
            case Action.DROP_NOT_NULL:
                return (f"{column} DROP NOT NULL",)
            case Action.SET_NOT_NULL:
                return (f"{column} SET NOT NULL",)
            case Action.ADD_CONSTRAINT:
                return (f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" {after}',)
            case Action.DROP_CONSTRAINT:
                return (f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"',)
            case Action.DROP_INDEX:
                return (f'DROP INDEX "{name}"',)
            case Action.DROP_TABLE:
                return (f'DROP TABLE "{name}"',)
        raise AssertionError(f"no statement for {difference.action}")

    def _creation(self, kind: ObjectKind, name: str) -> tuple[str]:
        return (self.definitions[kind, name].sql,)

    def _change_of_type(self, column: str, name: str, before: ColumnInfo, after: ColumnInfo) -> tuple[str, ...]:
        # Between an enum type and another there is no cast but by way of text.
        change = f'{column} TYPE {after.type} USING "{name}"::text::{after.type}'
        if before.default is None:
            return (change,)
        # A default has no cast either: it goes, and comes back unless another step sets a new one.
        kept = (f"{column} SET DEFAULT {after.default}",) if after.default == before.default else ()
        return (f"{column} DROP DEFAULT", change, *kept)

    def _sequence(self, table: str, name: str, column: ColumnInfo) -> tuple[str, ...]:
        """For a column that becomes serial: its sequence, which goes on after the highest stored number."""
        sequence = re.match(r"nextval\('(\w+)'::regclass\)", column.default or "")
        if sequence is None:
            return ()
        highest = f'(SELECT coalesce(max("{name}"), 0) FROM "{table}")'
        return (
            f'CREATE SEQUENCE IF NOT EXISTS "{sequence[1]}" OWNED BY "{table}"."{name}"',
            f"SELECT setval('{sequence[1]}', {highest} + 1, false)",
        )

    # Enum types

    def _addition_of_value(self, type_name: str, value: str, values: Sequence[str]) -> tuple[str, ...]:
        if self._mentions(f"'{value}'::{type_name}"):
            # A value that a transaction adds can't be used before it ends, unless the whole type is new.
            return self._new_type(type_name, values)
        position = values.index(value)
        place = f"AFTER '{values[position - 1]}'" if position else f"BEFORE '{values[1]}'"
        return (f"ALTER TYPE \"{type_name}\" ADD VALUE IF NOT EXISTS '{value}' {place}",)

    def _mentions(self, literal: str) -> bool:
        """Whether a default, a condition or an index of the desired schema uses a value."""
        return any(
            literal in text
            for table in self._desired.tables.values()
            for texts in (
                (column.default or "" for column in table.columns.values()),
                table.constraints.values(),
                table.indexes.values(),
            )
            for text in texts
        )

    def _new_type(self, name: str, values: Sequence[str]) -> tuple[str, ...]:
        """A new type of the name, and every column that has the old one moved over to it."""
        listed = ", ".join(f"'{value}'" for value in values)
        moves: list[str] = []
        for table, column in self.columns_of_type(name):
            target = f'ALTER TABLE "{table}" ALTER COLUMN "{column}"'
            default = self._default_of(table, column)
            moves += [f"{target} DROP DEFAULT"] if default else []
            moves.append(f'{target} TYPE "{name}" USING "{column}"::text::"{name}"')
            moves += [f"{target} SET DEFAULT {default}"] if default else []
        return (
            f'ALTER TYPE "{name}" RENAME TO "{name}_replaced"',
            f'CREATE TYPE "{name}" AS ENUM ({listed})',
            *moves,
            f'DROP TYPE "{name}_replaced"',
        )

    def columns_of_type(self, type_name: str) -> list[tuple[str, str]]:
        rows = self.database.fetch_all(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE a.atttypid = to_regtype(%s) AND c.relkind IN ('r', 'p') AND NOT a.attisdropped ORDER BY 1, 2",
            (f'"{type_name}"',),
        )
        return [(table, column) for table, column in rows]

    def _default_of(self, table: str, column: str) -> str | None:
        rows = self.database.fetch_all(
            "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid"
            " AND a.attnum = d.adnum WHERE d.adrelid = %s::regclass AND a.attname = %s",
            (f'"{table}"', column),
        )
        return rows[0][0] if rows else None
