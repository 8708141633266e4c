"""From differences to steps: what each would cost, why it is needed, and how it is done.

The judgement is the same for both databases; the statements are not.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Final

from cream_store.backend import Database
from cream_store.errors import RepositoryError
from cream_store.row import Row, key_of, table_of
from cream_store.schema.catalogue import Catalogue
from cream_store.schema.definition import definitions
from cream_store.schema.differences import Difference
from cream_store.schema.steps import Action, Risk, Step

_SHOWN_KEYS: Final = 5
_RENAME_ADVICE: Final = "if it was renamed: push (the new column is added), copy the values over, then allow this step"

Assessment = tuple[Risk, str]


class Planner(ABC):
    """Reads and changes the schema of one database. All but `apply` runs in the caller's transaction."""

    def __init__(self, database: Database, rows: Sequence[type[Row]]) -> None:
        self.database = database
        self.rows = {table_of(row): row for row in rows}
        self.definitions = {(d.kind, d.name): d for d in definitions(database, rows)}

    @abstractmethod
    def desired(self) -> Catalogue:
        """The schema that the models declare."""

    @abstractmethod
    def current(self, tables: Collection[str]) -> Catalogue:
        """What the database has of these tables, and of the types and functions that the models use."""

    @abstractmethod
    def statements(self, accepted: Sequence[Difference], refused: Sequence[Difference]) -> list[tuple[str, ...]]:
        """How each accepted difference is removed, while the refused ones remain."""

    @abstractmethod
    def session(self, steps: Sequence[Step]) -> AbstractContextManager[object]:
        """The transaction in which the steps' statements are executed."""

    def steps(self, found: Sequence[Difference], current: Catalogue, allowed: Collection[str]) -> list[Step]:
        """A step for each difference, with the statements of those that are safe or allowed."""
        assessed = [(difference, *self._assess(difference, current)) for difference in found]
        accepted = [d for d, risk, _ in assessed if risk is Risk.SAFE or (risk is Risk.LOSSY and d.step in allowed)]
        refused = [difference for difference, _, _ in assessed if difference not in accepted]
        sql = dict(zip(map(id, accepted), self.statements(accepted, refused), strict=True))
        return [Step(d.action, d.subject, sql.get(id(d), ()), risk, reason) for d, risk, reason in assessed]

    def _assess(self, difference: Difference, current: Catalogue) -> Assessment:
        before, after = difference.before, difference.after
        table, name = difference.table or "", difference.name
        if difference.table is not None and difference.table not in current.tables | current.enums.keys():
            return Risk.SAFE, "it is missing"
        match difference.action:
            case Action.ADD_COLUMN:
                if after.is_nullable or after.default is not None or not (count := self.count(table)):
                    return Risk.SAFE, "it is missing"
                return Risk.BLOCKED, f"{count:,} rows would have no value; let it be NULL, or give it a server_default"
            case Action.DROP_COLUMN:
                count = self.count(table, f'"{name}" IS NOT NULL')
                return Risk.LOSSY, f"no loaded plugin declares it; {count:,} rows have a value in it; {_RENAME_ADVICE}"
            case Action.CHANGE_TYPE:
                return self._assess_type_change(difference)
            case Action.SET_DEFAULT:
                return Risk.SAFE, f"its default is {after.default}, was {before.default or 'none'}"
            case Action.DROP_DEFAULT:
                return Risk.SAFE, f"it has no default, was {before.default}"
            case Action.DROP_NOT_NULL:
                return Risk.SAFE, "it may be NULL"
            case Action.SET_NOT_NULL:
                return self._unless_violated(table, f'"{name}" IS NULL', "it is never NULL")
            case Action.ADD_CONSTRAINT:
                return self._unless_violated(table, _violation_of(after, table), f"it is {after}")
            case Action.CREATE_INDEX:
                return self._unless_violated(table, _violation_of_index(after, table), "it is missing")
            case Action.DROP_CONSTRAINT | Action.DROP_INDEX:
                changed = "its definition changed" if after is not None else "no loaded plugin declares it any more"
                return Risk.SAFE, changed
            case Action.REBUILD_TYPE:
                return Risk.SAFE, "its values are in another order"
            case Action.REMOVE_ENUM_VALUE:
                return self._assess_removed_value(difference)
            case Action.DROP_TABLE:
                return Risk.LOSSY, f"no loaded plugin declares it any more; it holds {self.count(name):,} rows"
            case _:
                return Risk.SAFE, "it is missing"

    def _assess_type_change(self, difference: Difference) -> Assessment:
        before, after = difference.before.type, difference.after.type
        reason = f"its type is {after}, was {before}"
        if is_widening(before, after):
            return Risk.SAFE, reason
        count = self.count(difference.table or "", f'"{difference.name}" IS NOT NULL')
        if not count:
            return Risk.SAFE, reason
        return Risk.LOSSY, f"{reason}; {count:,} rows have a value, which may not fit or be rounded"

    def _assess_removed_value(self, difference: Difference) -> Assessment:
        uses = [
            f"{count:,} rows of {table}"
            for table, column in self.columns_of_type(difference.table or "")
            if (count := self.count(table, f"\"{column}\" = '{difference.name}'"))
        ]
        if uses:
            return Risk.BLOCKED, f"{', '.join(uses)} have this value; change them first"
        return Risk.LOSSY, "no plugin declares it any more; no row has it, but other programs may know it"

    def columns_of_type(self, type_name: str) -> list[tuple[str, str]]:
        """Tables and columns that have an enum type, whoever made them."""
        raise NotImplementedError(type_name)

    # Stored rows that stand in the way

    def count(self, table: str, condition: str = "TRUE") -> int:
        """How many rows of a table meet a condition."""
        count: int = self.database.fetch_all(f'SELECT count(*) FROM "{table}" WHERE {condition}')[0][0]
        return count

    def _unless_violated(self, table: str, violation: str | None, rule: str) -> Assessment:
        """Safe, unless stored rows meet the condition: then how many, and the keys of the first."""
        if violation is None or table not in self.rows:
            return Risk.SAFE, rule
        key = key_of(self.rows[table]).column_name
        try:
            with self.database.transaction():
                count = self.count(table, violation)
                keys = self.database.fetch_all(
                    f'SELECT CAST("{key}" AS TEXT) FROM "{table}" WHERE {violation} ORDER BY "{key}"'
                    f" LIMIT {_SHOWN_KEYS}"
                )
        except RepositoryError:
            # The condition names a column that is yet to be added; whether its values fit, the change itself will tell.
            return Risk.SAFE, rule
        if not count:
            return Risk.SAFE, rule
        shown = ", ".join(text for (text,) in keys) + (", ..." if count > len(keys) else "")
        return Risk.BLOCKED, f"{rule}, which {count:,} stored rows violate ({shown}); correct or delete them first"


def _violation_of(definition: str, table: str) -> str | None:
    """The condition of rows that a constraint would refuse."""
    if check := re.match(r"CHECK\s*\((.*)\)(?:\s+NOT VALID)?$", definition, re.DOTALL):
        return f"NOT ({check[1]})"
    if unique := re.match(r"(?:UNIQUE|PRIMARY KEY)\s*\((.*)\)$", definition):
        return _duplicates(table, unique[1], "TRUE")
    foreign = re.match(r"FOREIGN KEY\s*\(([^,]+?)\) REFERENCES\s+(\S+?)\s*\(([^,]+?)\)", definition)
    if foreign:
        column, parent, parent_column = (part.strip() for part in foreign.groups())
        return (
            f"{column} IS NOT NULL AND NOT EXISTS"
            f' (SELECT 1 FROM {parent} AS parent WHERE parent.{parent_column} = "{table}".{column})'
        )
    return None


def _violation_of_index(definition: str, table: str) -> str | None:
    unique = re.match(r"CREATE UNIQUE INDEX .*?\((.*?)\)(?:\s+WHERE\s+(.*))?$", definition, re.DOTALL)
    return _duplicates(table, unique[1], unique[2] or "TRUE") if unique else None


def _duplicates(table: str, columns: str, where: str) -> str:
    return (
        f'({columns}) IN (SELECT {columns} FROM "{table}" WHERE {where} GROUP BY {columns} HAVING count(*) > 1)'
        f" AND {where}"
    )


def is_widening(before: str, after: str) -> bool:
    """Whether every value of one type is one of the other, unchanged."""
    before, after = before.lower().replace(" ", ""), after.lower().replace(" ", "")
    whole = {"smallint": 5, "integer": 10, "bigint": 19}
    if after == "text" or (before in whole and after in whole and whole[before] <= whole[after]):
        return True
    old, new = (re.match(r"(?:numeric|decimal)\((\d+),(\d+)\)$", name) for name in (before, after))
    if new is None:
        return False
    precision, scale = int(new[1]), int(new[2])
    if old is not None:
        return scale >= int(old[2]) and precision - scale >= int(old[1]) - int(old[2])
    return before in whole and precision - scale >= whole[before]
