"""Schema changes on SQLite, which can alter next to nothing: a table that changes is built anew.

The new table is filled from the old one, row ids included, takes its name, and gets back the indexes and triggers, also
those that are not ours (https://www.sqlite.org/lang_altertable.html, section 7).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from cream_store.errors import RepositoryError, SchemaError
from cream_store.schema import conversions
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableInfo, TableObject
from cream_store.schema.conversions import Conversion
from cream_store.schema.differences import Difference
from cream_store.schema.planner import Planner
from cream_store.schema.sqlite_catalogue import has_row_ids, parse_catalogue, read_catalogue
from cream_store.schema.steps import Action, Step

_NEW: Final = "cream_store_new_"
_DROPS: Final = (Action.DROP_CONSTRAINT, Action.DROP_FOREIGN_KEY)
_ADDS: Final = (Action.ADD_CONSTRAINT, Action.ADD_FOREIGN_KEY)


class SqlitePlanner(Planner):
    """Reads and changes the tables of a file."""

    row_number = "rowid"

    @contextmanager
    def look(self, lock_timeout: float, push_timeout: float) -> Iterator[None]:
        # One state of the file, without keeping anybody from writing.
        with self.database.transaction(snapshot=True):
            yield

    @contextmanager
    def session(self, lock_timeout: float, push_timeout: float) -> Iterator[None]:
        """A transaction in which tables may be replaced although others refer to them; checked before it ends."""
        database = self.database
        is_opened_here = database.connect(reuse_if_open=True)
        [(patience,)] = database.fetch_all("PRAGMA busy_timeout")
        try:
            # The first two have no effect inside a transaction, so they stand around it.
            database.change("PRAGMA foreign_keys = OFF")
            database.change("PRAGMA legacy_alter_table = ON")
            database.change(f"PRAGMA busy_timeout = {round(lock_timeout * 1000)}")
            with database.transaction():
                faults = self._faults()
                yield
                if new_faults := sorted(self._faults() - faults):
                    raise SchemaError(f"{'; '.join(new_faults)}; nothing was changed")
        finally:
            database.change(f"PRAGMA busy_timeout = {patience}")
            database.change("PRAGMA legacy_alter_table = OFF")
            database.change("PRAGMA foreign_keys = ON")
            if is_opened_here:
                database.close()

    def _faults(self) -> set[str]:
        """Rows that refer to none, and views and triggers that name what does not exist."""
        try:
            faults = {
                f"row {row} of {table} refers to a row of {parent} that is not there"
                for table, row, parent, _ in self.database.fetch_all("PRAGMA foreign_key_check")
            }
        except RepositoryError as error:
            faults = {error.message}
        views = self.database.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'view'")
        tables = self.database.fetch_all("SELECT DISTINCT tbl_name FROM sqlite_schema WHERE type = 'trigger'")
        # Statements that do nothing, but have to be understood with all that they would set off.
        tries = [(f"view {name}", f'SELECT * FROM "{name}" LIMIT 0') for (name,) in views]
        for (name,) in tables:
            columns = [
                f'"{column}"' for (column,) in self.database.fetch_all("SELECT name FROM pragma_table_info(?)", (name,))
            ]
            listed = ", ".join(columns)
            tries += [
                (f"a trigger on {name}", f'INSERT INTO "{name}" ({listed}) SELECT {listed} FROM "{name}" WHERE FALSE'),
                (
                    f"a trigger on {name}",
                    f'UPDATE "{name}" SET {", ".join(f"{column} = {column}" for column in columns)} WHERE FALSE',
                ),
                (f"a trigger on {name}", f'DELETE FROM "{name}" WHERE FALSE'),
            ]
        for what, statement in tries:
            try:
                self.database.fetch_all(statement)
            except RepositoryError as error:
                faults.add(f"{what} would not work any more: {error.message}")
        return faults

    # What there is

    def desired(self) -> Catalogue:
        # SQLite keeps a statement as it was written, so there is no need to execute it first.
        self._desired = parse_catalogue(
            [
                (definition.kind, definition.name, definition.table, definition.sql)
                for definition in self.definitions.values()
            ],
            self.rows,
        )
        return self._desired

    def current(self, tables: Collection[str], enums: Collection[str]) -> Catalogue:
        self._current = read_catalogue(self.database, tables=tables)
        return self._current

    def names_in_use(self, names: Collection[str]) -> dict[str, tuple[str, str | None]]:
        rows = self.database.fetch_all("SELECT name, type, tbl_name FROM sqlite_schema")
        return {name: (kind, table) for name, kind, table in rows if name in names}

    def numbers(self, table: TableInfo, column: str) -> bool:
        return table.columns[column].type == "INTEGER" and table.key == (column,)

    def conversion(self, difference: Difference) -> Conversion:
        return conversions.on_sqlite(f'"{difference.name}"', difference.before.type, difference.after.type)

    # What it takes

    def hold(self, steps: Sequence[Step]) -> None:
        """Nothing to do: the transaction keeps all others from writing."""

    def statements(self, accepted: Sequence[Difference]) -> list[tuple[str, ...]]:
        new_tables = {difference.name for difference in accepted if difference.action is Action.CREATE_TABLE}
        rebuilt: set[str] = set()
        statements: list[tuple[str, ...]] = []
        for difference in accepted:
            table = difference.table
            if difference.action is Action.CREATE_TABLE:
                statements.append((self.definitions["table", difference.name].sql,))
            elif difference.action is Action.DROP_TABLE:
                statements.append((f'DROP TABLE "{difference.name}"',))
            elif difference.action is Action.DROP_INDEX:
                statements.append((f'DROP INDEX "{difference.name}"',))
            elif difference.action is Action.CREATE_INDEX:
                statements.append((self.definitions["index", difference.name].sql,))
            elif table is None or table in new_tables or table in rebuilt:
                statements.append(())
            else:
                rebuilt.add(table)
                statements.append(self._rebuild(table, [d for d in accepted if d.table == table]))
        return statements

    def _rebuild(self, table: str, changes: Sequence[Difference]) -> tuple[str, ...]:
        before, after = self._current.tables[table], self._changed(table, changes)
        new = f"{_NEW}{table}"
        values = {
            f'"{name}"': f'"{name}"'
            for name, column in after.columns.items()
            if name in before.columns and not column.is_generated
        }
        for change in changes:
            if change.action is Action.CHANGE_TYPE:
                values[f'"{change.name}"'] = self.conversion(change).expression
        if row_id := self._row_id(table, before, after):
            values = {row_id: row_id, **values}
        return (
            _creation(new, after),
            f'INSERT INTO "{new}" ({", ".join(values)}) SELECT {", ".join(values.values())} FROM "{table}"',
            f'DROP TABLE "{table}"',
            f'ALTER TABLE "{new}" RENAME TO "{table}"',
            *self._attached(table, changes, before.columns.keys() - after.columns.keys()),
        )

    def _changed(self, table: str, changes: Sequence[Difference]) -> TableInfo:
        """The table after the accepted changes: what is refused, and what others added, stays as it is."""
        stored, declared = self._current.tables[table], self._desired.tables[table]
        changed = {change.name for change in changes if isinstance(change.after, ColumnInfo)}
        dropped = {change.name for change in changes if change.action is Action.DROP_COLUMN}
        columns = {name: stored.columns.get(name, column) for name, column in declared.columns.items()}
        columns |= {name: declared.columns[name] for name in changed}
        known = {*declared.columns, *dropped}
        columns |= {name: column for name, column in stored.columns.items() if name not in known}
        removed = {change.name for change in changes if change.action in _DROPS}
        constraints = {
            name: one
            for name, one in stored.constraints.items()
            if name not in removed and dropped.isdisjoint(one.columns)
        }
        constraints |= {change.name: change.after for change in changes if change.action in _ADDS}
        return TableInfo(columns, constraints)

    def _row_id(self, table: str, before: TableInfo, after: TableInfo) -> str | None:
        """The name under which row ids have to be copied; None when they are a column's values, or don't exist."""
        alias = next((name for name in after.columns if self.numbers(after, name)), None)
        [(statement,)] = self.database.fetch_all(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        )
        if alias in before.columns or not has_row_ids(statement):
            return None
        names = {name.lower() for name in (*before.columns, *after.columns)}
        return next((name for name in ("rowid", "_rowid_", "oid") if name not in names), None)

    def _attached(self, table: str, changes: Sequence[Difference], dropped: Collection[str]) -> Iterator[str]:
        """Indexes and triggers that go with the old table and must come back; not an index over a dropped column."""
        settled = {change.name for change in changes if change.action in (Action.CREATE_INDEX, Action.DROP_INDEX)}
        indexes = self._current.tables[table].indexes
        for name, sql in self.database.fetch_all(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger')"
            " AND sql IS NOT NULL ORDER BY rowid",
            (table,),
        ):
            columns = indexes[name].columns if name in indexes else ()
            if name not in settled and not set(columns) & set(dropped):
                yield sql


def _creation(name: str, table: TableInfo) -> str:
    """The statement that creates a table."""
    items = []
    for column, info in table.columns.items():
        item = f'"{column}" {info.type}'.rstrip()
        if not info.is_nullable:
            item += " NOT NULL"
        if info.default is not None:
            item += f" {info.default}" if info.is_generated else f" DEFAULT {info.default}"
        own = [one.definition for one in table.constraints.values() if one.is_inline and one.columns == (column,)]
        items.append(" ".join([item, *own]))
    items += [_constraint(name, one) for name, one in table.constraints.items() if not one.is_inline]
    return f'CREATE TABLE "{name}" ({", ".join(items)})'


def _constraint(name: str, one: TableObject) -> str:
    return one.definition if name == one.definition else f'CONSTRAINT "{name}" {one.definition}'
