"""Schema changes on PostgreSQL.

The desired schema is created in a scratch schema and read back by the queries that read the real one, so that
PostgreSQL itself brings types, defaults and conditions into their normal form. The scratch schema is undone before
anybody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from cream_store.backend import Database
from cream_store.errors import QueryError, SchemaError, TransactionError
from cream_store.fields import EnumField
from cream_store.row import Row, columns_of
from cream_store.schema import conversions
from cream_store.schema.catalogue import Catalogue, ColumnInfo
from cream_store.schema.conversions import Conversion
from cream_store.schema.differences import Difference, detour
from cream_store.schema.planner import Planner, TypeUse
from cream_store.schema.postgresql_catalogue import read_catalogue, set_search_path
from cream_store.schema.postgresql_dependents import dependents_of, foreign_keys_to, keeps_type
from cream_store.schema.postgresql_enums import ENUM_CHANGES, EnumChange, enum_changes
from cream_store.schema.steps import Action, Step

_PUSH_LOCK: Final = "hashtextextended('cream_store schema push', 0)"


class PostgresqlPlanner(Planner):
    """Reads and changes the first schema of the search path."""

    row_number = "ctid"

    def __init__(self, database: Database, rows: Sequence[type[Row]]) -> None:
        super().__init__(database, rows)
        [(schema,)] = database.fetch_all("SELECT quote_ident(current_schema())")
        if schema is None:
            raise SchemaError("the search_path of this role names no schema that exists; create it, or name another")
        self.scope: str = schema

    @contextmanager
    def look(self, lock_timeout: float, push_timeout: float) -> Iterator[None]:
        with _undone(self.database):
            self._wait_for_push("pg_advisory_xact_lock_shared", push_timeout)
            self.database.limit_lock_waits(lock_timeout)
            yield

    @contextmanager
    def session(self, lock_timeout: float, push_timeout: float) -> Iterator[None]:
        with self.database.transaction():
            self._wait_for_push("pg_advisory_xact_lock", push_timeout)
            self.database.limit_lock_waits(lock_timeout)
            yield

    def _wait_for_push(self, lock: str, seconds: float) -> None:
        """Waits until no other process changes the schema."""
        self.database.limit_lock_waits(seconds)
        try:
            with self.database.transaction():
                self.database.fetch_all(f"SELECT {lock}({_PUSH_LOCK})")
        except TransactionError as error:
            holders = self.database.fetch_all(
                "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
                " WHERE l.locktype = 'advisory' AND l.granted AND l.database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
                f" AND (l.classid::bigint << 32) | l.objid::bigint = {_PUSH_LOCK}"
            )
            who = " or ".join(f"process {pid} (application {application!r})" for pid, application in holders)
            raise SchemaError(
                f"nothing was changed: another push was still under way after {seconds:g} s, by"
                f" {who or 'another process'}"
            ) from error

    # What there is

    def desired(self) -> Catalogue:
        [(process, may_create)] = self.database.fetch_all(
            "SELECT pg_backend_pid(), has_database_privilege(current_database(), 'CREATE')"
        )
        if not may_create:
            raise SchemaError(
                "to compare schemas, the role must be allowed to create one (it is gone again before anybody sees it):"
                " GRANT CREATE ON DATABASE ... TO ..."
            )
        scratch = f"cream_store_scratch_{process}"
        with _undone(self.database):
            self.database.change(f"CREATE SCHEMA {scratch}")
            set_search_path(self.database, scratch)
            for definition in self.definitions.values():
                try:
                    self.database.change(definition.sql)
                except QueryError as error:
                    raise SchemaError(
                        f"{definition.kind} {definition.name!r} can't be created: {error.message}"
                    ) from error
            self._desired = self._read(scratch, self.rows, ())
        return self._desired

    def current(self, tables: Collection[str], enums: Collection[str]) -> Catalogue:
        return self._read(self.scope, tables, enums)

    def _read(self, schema: str, tables: Collection[str], enums: Collection[str]) -> Catalogue:
        columns = [column for row in self.rows.values() for column in columns_of(row).values()]
        return read_catalogue(
            self.database,
            schema,
            tables=tables,
            enums={*enums, *(column.type_name for column in columns if isinstance(column, EnumField))},
            functions=[name for kind, name in self.definitions if kind == "function"],
        )

    def names_in_use(self, names: Collection[str]) -> dict[str, tuple[str, str | None]]:
        rows = self.database.fetch_all(
            """
            SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                   WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'composite type'
                   WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END, t.relname
            FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = x.indrelid
            WHERE c.relnamespace = %s::regnamespace AND c.relname = ANY(%s)
            """,
            (self.scope, list(names)),
        )
        return {name: (kind, table) for name, kind, table in rows}

    def uses_of_type(self, type_name: str) -> list[TypeUse]:
        rows = self.database.fetch_all(
            "SELECT c.oid::regclass::text, CASE WHEN c.relnamespace = t.typnamespace THEN c.relname ELSE '' END,"
            " a.attname FROM pg_type t JOIN pg_attribute a ON a.atttypid = t.oid JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE t.typname = %s AND t.typnamespace = %s::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT a.attisdropped ORDER BY 1, 2, 3",
            (type_name, self.scope),
        )
        return [TypeUse(source, (table, column)) for source, table, column in rows]

    def is_disposable(self, type_name: str, found: Sequence[Difference]) -> bool:
        uses = [use.column for use in self.uses_of_type(type_name)]
        changed = {(d.table, d.name) for d in found if d.action in (Action.CHANGE_TYPE, Action.DROP_COLUMN)}
        dropped = {d.name for d in found if d.action is Action.DROP_TABLE}
        goes = all(column in changed or column[0] in dropped for column in uses)
        return goes and not keeps_type(self.database, self.scope, type_name)

    def dependents(self, difference: Difference, along_with: Sequence[Difference]) -> list[str]:
        if difference.type_name is not None:
            if not enum_changes(along_with, self._desired)[difference.type_name].needs_new_type:
                return []
            found = keeps_type(self.database, self.scope, difference.type_name)
            for use in self.uses_of_type(difference.type_name):
                found += dependents_of(self.database, use.table, use.column[1])
            return sorted(set(found))
        table = f'{self.scope}."{difference.table}"'
        column = None if difference.action is Action.DROP_TABLE else difference.name
        found = dependents_of(self.database, table, column)
        going = [one.subject for one in along_with if one.action in (Action.DROP_TABLE, Action.DROP_FOREIGN_KEY)]
        if difference.action is Action.CHANGE_TYPE:
            if conversions.are_comparable(difference.before.type, difference.after.type):
                return found
            going += self.rows  # their columns change along
        return found + foreign_keys_to(self.database, table, column, going)

    def references_to(self, tables: Sequence[str]) -> list[str]:
        return [
            one for table in tables for one in foreign_keys_to(self.database, f'{self.scope}."{table}"', None, tables)
        ]

    def conversion(self, difference: Difference) -> Conversion:
        return conversions.on_postgresql(
            f'"{difference.name}"', difference.before.type, difference.after.type, self._desired.enums
        )

    # What it takes

    def hold(self, steps: Sequence[Step]) -> None:
        changed = {step.table for step in steps}
        # Reading may go on while an index is built.
        altered = {step.table for step in steps if step.action is not Action.CREATE_INDEX}
        for tables, mode in ((altered, "ACCESS EXCLUSIVE"), (changed - altered, "SHARE")):
            if listed := ", ".join(f'"{table}"' for table in sorted(filter(None, tables))):
                try:
                    self.database.change(f"LOCK TABLE {listed} IN {mode} MODE")
                except QueryError as error:
                    raise SchemaError(f"nothing was changed: {error.message}") from error

    def detours(self, accepted: Sequence[Difference], current: Catalogue) -> list[Difference]:
        changed = {(d.table or "", d.name) for d in accepted if d.action is Action.CHANGE_TYPE}
        for change in enum_changes(accepted, self._desired).values():
            if change.needs_new_type:
                changed |= {use.column for use in self.uses_of_type(change.name)}
        dropped_keys = [
            (d.table, set(d.before.columns))
            for d in accepted
            if d.action in (Action.DROP_CONSTRAINT, Action.DROP_INDEX) and d.table is not None
        ]
        handled = {(d.action, d.table, d.name) for d in accepted}
        dropped_tables = {d.name for d in accepted if d.action is Action.DROP_TABLE}
        dropped_columns = {(d.table, d.name) for d in accepted if d.action is Action.DROP_COLUMN}
        found: list[Difference] = []
        for table, info in current.tables.items():
            objects = [(name, one, False) for name, one in info.constraints.items()]
            objects += [(name, one, True) for name, one in info.indexes.items() if one.is_valid]
            for name, one, is_index in objects:
                is_in_the_way = (
                    (one.has_expression or one.is_foreign_key) and not changed.isdisjoint(one.used_columns(table))
                ) or (one.is_foreign_key and (one.referenced_table, set(one.referenced_columns)) in dropped_keys)
                pair = detour(table, name, one, is_index=is_index)
                goes_anyway = (
                    table in dropped_tables
                    or (pair[0].action, table, name) in handled
                    or any((table, column) in dropped_columns for column in one.columns)
                )
                if is_in_the_way and not goes_anyway:
                    found += pair
        return found

    def statements(self, accepted: Sequence[Difference]) -> list[tuple[str, ...]]:
        enums = enum_changes(accepted, self._desired)
        # In one statement, as they may refer to each other.
        dropped_tables = [f'"{d.name}"' for d in accepted if d.action is Action.DROP_TABLE]
        statements: list[tuple[str, ...]] = []
        for difference in accepted:
            if difference.action is Action.DROP_TABLE:
                statements.append((f"DROP TABLE {', '.join(dropped_tables)}",) if dropped_tables else ())
                dropped_tables = []
            elif difference.action in ENUM_CHANGES:
                change = enums.pop(difference.type_name or "", None)
                statements.append(self._enum_statements(change, accepted) if change else ())
            else:
                statements.append(self._statements(difference))
        return statements

    def _enum_statements(self, change: EnumChange, accepted: Sequence[Difference]) -> tuple[str, ...]:
        if not change.needs_new_type:
            return tuple(change.additions())
        gone = {(d.table, d.name) for d in accepted if d.action is Action.DROP_COLUMN}
        gone_tables = {d.name for d in accepted if d.action is Action.DROP_TABLE}
        new_defaults = {(d.table, d.name) for d in accepted if d.action in (Action.SET_DEFAULT, Action.DROP_DEFAULT)}
        moves = [
            (use, None if use.column in new_defaults else self._default_of(use))
            for use in self.uses_of_type(change.name)
            if use.column not in gone and use.column[0] not in gone_tables
        ]
        return tuple(change.replacement(moves))

    def _default_of(self, use: TypeUse) -> str | None:
        rows = self.database.fetch_all(
            "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid"
            " AND a.attnum = d.adnum WHERE d.adrelid = %s::regclass AND a.attname = %s",
            (use.table, use.column[1]),
        )
        return rows[0][0] if rows else None

    def _statements(self, difference: Difference) -> tuple[str, ...]:
        name, before, after = difference.name, difference.before, difference.after
        table = f'"{difference.table}"'
        column = f'ALTER TABLE {table} ALTER COLUMN "{name}"'
        match difference.action:
            case Action.CREATE_TYPE:
                return (self.definitions["type", name].sql,)
            case Action.CREATE_FUNCTION:
                return (self.definitions["function", name].sql,)
            case Action.CREATE_TABLE:
                return (self.definitions["table", name].sql,)
            case Action.CREATE_INDEX:
                return (after.definition,)
            case Action.ADD_COLUMN:
                return self._add_column(difference.table or "", name, after)
            case Action.DROP_COLUMN:
                return (f'ALTER TABLE {table} DROP COLUMN "{name}"',)
            case Action.CHANGE_TYPE:
                return self._change_type(difference, column)
            case Action.SET_DEFAULT | Action.DROP_DEFAULT:
                return self._change_default(difference, column)
            case Action.DROP_NOT_NULL:
                return (f"{column} DROP NOT NULL",)
            case Action.SET_NOT_NULL:
                return (f"{column} SET NOT NULL",)
            case Action.ADD_CONSTRAINT | Action.ADD_FOREIGN_KEY:
                return (f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {after.definition}',)
            case Action.DROP_CONSTRAINT | Action.DROP_FOREIGN_KEY:
                return (f'ALTER TABLE {table} DROP CONSTRAINT "{name}"',)
            case Action.DROP_INDEX:
                return (f'DROP INDEX "{name}"',)
            case Action.DROP_TYPE:
                return (f'DROP TYPE "{name}"',)
        raise AssertionError(f"no statement for {difference.action}: {before} {after}")

    def _add_column(self, table: str, name: str, column: ColumnInfo) -> tuple[str, ...]:
        addition = f'ALTER TABLE "{table}" ADD COLUMN "{name}" {column.type}'
        required = "" if column.is_nullable else " NOT NULL"
        if sequence := _sequence_of(column):
            return (
                f"CREATE SEQUENCE {sequence} AS {column.type}",
                f"{addition} DEFAULT {column.default}{required}",
                f'ALTER SEQUENCE {sequence} OWNED BY "{table}"."{name}"',
            )
        default = "" if column.default is None else f" DEFAULT {column.default}"
        return (f"{addition}{default}{required}",)

    def _change_type(self, difference: Difference, column: str) -> tuple[str, ...]:
        before, after = difference.before, difference.after
        change = f"{column} TYPE {after.type} USING {self.conversion(difference).expression}"
        if before.default is None or before.is_generated:
            return (change,)
        # The default may have no cast to the new type: it goes, and comes back unless another step sets a new one.
        kept = (f"{column} SET DEFAULT {after.default}",) if after.default == before.default else ()
        return (f"{column} DROP DEFAULT", change, *kept)

    def _change_default(self, difference: Difference, column: str) -> tuple[str, ...]:
        table, name, before, after = difference.table, difference.name, difference.before, difference.after
        statements: list[str] = []
        if before.is_generated:
            statements.append(f"{column} DROP {'IDENTITY' if 'IDENTITY' in before.default else 'EXPRESSION'}")
        elif after.default is None:
            statements.append(f"{column} DROP DEFAULT")
        if sequence := _sequence_of(after):
            # Numbers go on after the highest that is stored.
            statements += [
                f"CREATE SEQUENCE IF NOT EXISTS {sequence} AS {after.type}",
                f'ALTER SEQUENCE {sequence} OWNED BY "{table}"."{name}"',
                f'SELECT setval(\'{sequence}\', (SELECT coalesce(max("{name}"), 0) FROM "{table}") + 1, false)',
            ]
        if after.default is not None:
            statements.append(f"{column} SET DEFAULT {after.default}")
        if _sequence_of(before):
            [(own,)] = self.database.fetch_all("SELECT pg_get_serial_sequence(%s, %s)", (f'"{table}"', name))
            statements += [f"DROP SEQUENCE {own}"] if own else []
        return tuple(statements)


@contextmanager
def _undone(database: Database) -> Iterator[None]:
    """A transaction, or a part of one, whose changes are undone."""
    with suppress(_Done), database.transaction():
        yield
        raise _Done


class _Done(Exception):
    """Ends what is to be undone."""


def _sequence_of(column: ColumnInfo) -> str | None:
    """The sequence, quoted if need be, that a serial column takes its numbers from."""
    found = re.fullmatch(r"nextval\('(.+)'::regclass\)", column.default or "")
    return found[1] if found else None
