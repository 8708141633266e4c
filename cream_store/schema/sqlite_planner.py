"""Schema changes on SQLite, which can alter next to nothing: a table that changes is built anew.

The new table is filled from the old one, row ids included, takes its name, and gets back the indexes and triggers, also
those that are not ours (https://www.sqlite.org/lang_altertable.html, section 7).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from cream_store.errors import SchemaError
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableInfo
from cream_store.schema.differences import Difference
from cream_store.schema.planner import Planner
from cream_store.schema.sqlite_catalogue import parse_catalogue, read_catalogue
from cream_store.schema.steps import Action, Step

_NEW: Final = "cream_store_new_"
_INDEX_ACTIONS: Final = (Action.CREATE_INDEX, Action.DROP_INDEX)


class SqlitePlanner(Planner):
    """Reads and changes the tables of a file."""

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

    def current(self, tables: Collection[str]) -> Catalogue:
        self._current = read_catalogue(self.database, tables=tables)
        return self._current

    def statements(self, accepted: Sequence[Difference], refused: Sequence[Difference]) -> list[tuple[str, ...]]:
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
                statements.append(self._rebuild(table, [d for d in refused if d.table == table], accepted))
        return statements

    def _rebuild(self, table: str, refused: Sequence[Difference], accepted: Sequence[Difference]) -> tuple[str, ...]:
        before, target = self._current.tables[table], self._target(table, refused)
        new = f"{_NEW}{table}"
        shared = [f'"{name}"' for name in target.columns if name in before.columns]
        columns = ", ".join(shared if _numbers_its_rows(before) else ["rowid", *shared])
        return (
            _creation(new, target),
            f'INSERT INTO "{new}" ({columns}) SELECT {columns} FROM "{table}"',
            f'DROP TABLE "{table}"',
            f'ALTER TABLE "{new}" RENAME TO "{table}"',
            *self._attached(table, accepted, before.columns.keys() - target.columns.keys()),
        )

    def _target(self, table: str, refused: Sequence[Difference]) -> TableInfo:
        """The declared table, but for what is not to be changed."""
        declared = self._desired.tables[table]
        columns: dict[str, ColumnInfo] = dict(declared.columns)
        for difference in refused:
            if difference.action in (Action.DROP_COLUMN, Action.CHANGE_TYPE):
                columns[difference.name] = difference.before
        return TableInfo(columns, declared.constraints)

    def _attached(self, table: str, accepted: Sequence[Difference], dropped_columns: Collection[str]) -> Iterator[str]:
        """Indexes and triggers that go with the old table and must come back; not an index over a dropped column."""
        recreated = {d.name for d in accepted if d.action in _INDEX_ACTIONS}
        for name, sql in self.database.fetch_all(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger')"
            " AND sql IS NOT NULL ORDER BY rowid",
            (table,),
        ):
            indexed = {column for _, _, column in self.database.fetch_all(f'PRAGMA index_info("{name}")')}
            if name not in recreated and not indexed & set(dropped_columns):
                yield sql

    def session(self, steps: Sequence[Step]) -> AbstractContextManager[object]:
        rebuilt = [step for step in steps if any(_NEW in statement for statement in step.sql)]
        return self._with_free_hands() if rebuilt else self.database.transaction()

    @contextmanager
    def _with_free_hands(self) -> Iterator[None]:
        """A transaction in which tables may be replaced although others refer to them; checked before it ends."""
        database = self.database
        with nullcontext() if database.in_transaction() else database.connection_context():
            # Neither pragma has an effect inside a transaction, so they stand around it.
            database.change("PRAGMA foreign_keys = OFF")
            database.change("PRAGMA legacy_alter_table = ON")
            try:
                with database.transaction():
                    broken = set(database.fetch_all("PRAGMA foreign_key_check"))
                    yield
                    if added := set(database.fetch_all("PRAGMA foreign_key_check")) - broken:
                        tables = ", ".join(sorted({table for table, *_ in added}))
                        raise SchemaError(
                            f"rows of {tables} would lose the row that they refer to; nothing was changed"
                        )
            finally:
                database.change("PRAGMA legacy_alter_table = OFF")
                database.change("PRAGMA foreign_keys = ON")


def _numbers_its_rows(table: TableInfo) -> bool:
    """Whether a column is another name of the row id."""
    return any(
        column.type == "INTEGER" and f"{name} primary" in table.constraints for name, column in table.columns.items()
    )


def _creation(name: str, table: TableInfo) -> str:
    """The statement that creates a table."""
    items = []
    for column, info in table.columns.items():
        item = f'"{column}" {info.type}'
        if not info.is_nullable:
            item += " NOT NULL"
        own = [text for key, text in table.constraints.items() if key.startswith(f"{column} ")]
        if info.default is not None:
            item += f" DEFAULT {info.default}"
        items.append(" ".join([item, *own]))
    for constraint, definition in table.constraints.items():
        if not any(constraint.startswith(f"{column} ") for column in table.columns):
            items.append(f'CONSTRAINT "{constraint}" {definition}')
    return f'CREATE TABLE "{name}" ({", ".join(items)})'
