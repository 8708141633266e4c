"""What differs between the schema that is there and the one that should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cream_store.schema.catalogue import Catalogue, TableInfo
from cream_store.schema.steps import Action


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: what has to be done to which object, and how it looks before and after."""

    action: Action
    table: str | None
    name: str
    before: Any = None
    after: Any = None

    @property
    def subject(self) -> str:
        """The object's full name."""
        return self.name if self.table is None else f"{self.table}.{self.name}"

    @property
    def step(self) -> str:
        """The name of the step that removes it, as `--allow` takes it."""
        return f"{self.action}:{self.subject}"


def differences(current: Catalogue, desired: Catalogue) -> list[Difference]:
    """Everything that differs, in the order in which it can be changed.

    Objects that only `current` has are dropped: leave out of it what is not ours.
    """
    found = [*_enums(current, desired), *_functions(current, desired), *_tables(current, desired)]
    order = list(Action)
    return sorted(found, key=lambda difference: order.index(difference.action))


def _enums(current: Catalogue, desired: Catalogue) -> Iterator[Difference]:
    for name, after in desired.enums.items():
        before = current.enums.get(name)
        if before is None:
            yield Difference(Action.CREATE_TYPE, None, name, None, after)
        elif before != after:
            removed = [value for value in before if value not in after]
            kept = [value for value in after if value in before]
            added = [value for value in after if value not in before]
            for value in removed:
                yield Difference(Action.REMOVE_ENUM_VALUE, name, value, before, after)
            if not removed and kept != list(before):
                yield Difference(Action.REBUILD_TYPE, None, name, before, after)
            elif not removed:
                for value in added:
                    yield Difference(Action.ADD_ENUM_VALUE, name, value, before, after)


def _functions(current: Catalogue, desired: Catalogue) -> Iterator[Difference]:
    for name in sorted(desired.functions - current.functions):
        yield Difference(Action.CREATE_FUNCTION, None, name)


def _tables(current: Catalogue, desired: Catalogue) -> Iterator[Difference]:
    for name, after in desired.tables.items():
        before = current.tables.get(name)
        if before is None:
            yield Difference(Action.CREATE_TABLE, None, name, None, after)
            before = TableInfo(after.columns, after.constraints)
        yield from _columns(name, before, after)
        yield from _named(name, before.constraints, after.constraints, Action.DROP_CONSTRAINT, Action.ADD_CONSTRAINT)
        yield from _named(name, before.indexes, after.indexes, Action.DROP_INDEX, Action.CREATE_INDEX)
    for name in current.tables.keys() - desired.tables.keys():
        yield Difference(Action.DROP_TABLE, None, name, current.tables[name])


def _columns(table: str, before: TableInfo, after: TableInfo) -> Iterator[Difference]:
    for name, column in after.columns.items():
        stored = before.columns.get(name)
        if stored is None:
            yield Difference(Action.ADD_COLUMN, table, name, None, column)
            continue
        if stored.type != column.type:
            yield Difference(Action.CHANGE_TYPE, table, name, stored, column)
        if stored.default != column.default:
            action = Action.DROP_DEFAULT if column.default is None else Action.SET_DEFAULT
            yield Difference(action, table, name, stored, column)
        if stored.is_nullable != column.is_nullable:
            action = Action.DROP_NOT_NULL if column.is_nullable else Action.SET_NOT_NULL
            yield Difference(action, table, name, stored, column)
    for name in before.columns.keys() - after.columns.keys():
        yield Difference(Action.DROP_COLUMN, table, name, before.columns[name])


def _named(table: str, before: Any, after: Any, drop: Action, add: Action) -> Iterator[Difference]:
    """Constraints or indexes: one of the same name but another definition is dropped and added."""
    for name, definition in before.items():
        if after.get(name) != definition:
            yield Difference(drop, table, name, definition, after.get(name))
    for name, definition in after.items():
        if before.get(name) != definition:
            yield Difference(add, table, name, before.get(name), definition)
