"""Stored rows that stand in the way of a change: how many, and the keys of the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cream_store.backend import Database
from cream_store.errors import ConnectionLostError, RepositoryError, TransactionError
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableObject
from cream_store.schema.conversions import Conversion

_SHOWN_KEYS: Final = 5


class StoredRows:
    """The rows of our tables, also as they will be once all columns are as declared."""

    def __init__(
        self,
        database: Database,
        row_number: str,
        current: Catalogue,
        desired: Catalogue,
        conversions: Mapping[tuple[str, str], Conversion],
    ) -> None:
        """`row_number` tells the rows of a table without a primary key apart; `conversions` are of changed columns."""
        self._database = database
        self._row_number = row_number
        self._current = current.tables
        self._desired = desired.tables
        self._conversions = conversions

    def count(self, source: str, condition: str = "TRUE") -> int:
        """How many rows of a source, named as SQL names it, meet a condition."""
        count: int = self._database.fetch_all(f"SELECT count(*) FROM {source} WHERE {condition}")[0][0]
        return count

    def where(self, table: str, condition: str) -> str | None:
        """Which rows meet a condition, in words; None for none."""
        return self._described(f'"{table}"', table, condition)

    # Rows that would break a rule

    def without_value(self, table: str, column: str) -> str | None:
        """Which rows would have no value in a column."""
        return self._against(table, f'"{column}" IS NULL')

    def against_constraint(self, table: str, constraint: TableObject) -> str | None:
        """Which rows a constraint would refuse."""
        definition = constraint.definition
        if check := re.match(r"CHECK\s*\((.*)\)$", definition, re.DOTALL):
            return self._against(table, f"NOT ({check[1]})")
        if definition.startswith(("UNIQUE", "PRIMARY KEY")):
            columns = ", ".join(f'"{column}"' for column in constraint.columns)
            return self._against(table, self._repeats(table, columns, "TRUE"))
        if constraint.referenced_table is not None and len(constraint.columns) == 1:
            return self._against(table, self._refers_to_nothing(table, constraint))
        return None

    def against_index(self, table: str, index: TableObject) -> str | None:
        """Which rows a unique index would refuse."""
        unique = re.match(r"CREATE UNIQUE INDEX [^(]*\(([^()]*)\)(?:\s+WHERE\s+(.*))?$", index.definition, re.DOTALL)
        return self._against(table, self._repeats(table, unique[1], unique[2] or "TRUE")) if unique else None

    def _repeats(self, table: str, columns: str, where: str) -> str:
        rows = f"SELECT {columns} FROM {self._to_be(table, table)} WHERE {where}"
        return f"({columns}) IN ({rows} GROUP BY {columns} HAVING count(*) > 1) AND ({where})"

    def _refers_to_nothing(self, table: str, foreign_key: TableObject) -> str:
        [column], parent = foreign_key.columns, foreign_key.referenced_table or ""
        refers = f'"{column}" IS NOT NULL'
        if parent not in self._current:
            return refers
        [key] = foreign_key.referenced_columns
        parents = self._to_be(parent, "parent")
        return f'{refers} AND NOT EXISTS (SELECT 1 FROM {parents} WHERE parent."{key}" = "{table}"."{column}")'

    def _against(self, table: str, violation: str) -> str | None:
        try:
            with self._database.transaction():
                return self._described(self._to_be(table, table), table, violation)
        except (TransactionError, ConnectionLostError):
            raise
        except RepositoryError:
            # The condition is about values that the database does not know yet, like a new one of an enum type.
            # Whether all rows meet it, the change itself will tell.
            return None

    def _described(self, source: str, table: str, condition: str) -> str | None:
        key = self._key(table)
        shown = " || ', ' || ".join(f"CAST({column} AS TEXT)" for column in key)
        rows = self._database.fetch_all(
            f"SELECT count(*) OVER (), {shown} FROM {source} WHERE {condition} ORDER BY {', '.join(key)}"
            f" LIMIT {_SHOWN_KEYS}"
        )
        if not rows:
            return None
        count: int = rows[0][0]
        more = ", ..." if count > len(rows) else ""
        template = "({})" if len(key) > 1 else "{}"
        return f"{count:,} stored rows ({', '.join(template.format(text) for _, text in rows)}{more})"

    def _key(self, table: str) -> list[str]:
        """What tells the rows apart."""
        return [f'"{column}"' for column in self._current[table].key] or [self._row_number]

    def _to_be(self, table: str, name: str) -> str:
        """A table's rows as they will be, under a name."""
        stored, declared = self._current[table], self._desired[table].columns
        values = {column: f'"{column}"' for column in (*declared, *stored.key)}
        for column, info in declared.items():
            if column not in stored.columns:
                values[column] = _made_value(info)
            elif conversion := self._conversions.get((table, column)):
                values[column] = conversion.expression
        columns = [f'{value} AS "{column}"' for column, value in values.items()]
        if not stored.key:
            columns += self._key(table)
        return f'(SELECT {", ".join(columns)} FROM "{table}") AS "{name}"'


def _made_value(column: ColumnInfo) -> str:
    """What the rows that are there already will have in a new column."""
    if column.default is None:
        return "NULL"
    if column.default.startswith("nextval("):
        return "row_number() OVER ()"
    # As good as any, and known to every server.
    return "gen_random_uuid()" if column.default == "uuidv7()" else column.default
