"""What differs between the schema that is there and the one that should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cream_store.schema.catalogue import Catalogue, TableInfo, TableObject
from cream_store.schema.steps import Action

_ORDER = {action: position for position, action in enumerate(Action)}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: what has to be done to which object, and how it looks before and after."""

    action: Action
    name: str
    table: str | None = None
    """The table that it is about."""
    before: Any = None
    after: Any = None
    type_name: str | None = None
    """The enum type that it is about."""

    @property
    def subject(self) -> str:
        """The object's full name."""
        return ".".join(part for part in (self._owner, self.name) if part is not None)

    @property
    def _owner(self) -> str | None:
        if self.action in (Action.ADD_ENUM_VALUE, Action.REMOVE_ENUM_VALUE):
            return self.type_name
        return None if self.action in (Action.CREATE_TABLE, Action.DROP_TABLE) else self.table

    @property
    def step(self) -> str:
        """The name of the step that removes it, as `--allow` takes it."""
        return f"{self.action}:{self.subject}"


def order_of(difference: Difference) -> int:
    """Its place in the order in which differences can be removed."""
    return _ORDER[difference.action]


def differences(current: Catalogue, desired: Catalogue) -> list[Difference]:
    """Everything that differs, in the order in which it can be changed.

    Objects that only `current` has are dropped: leave out of it what is not ours.
    """
    found = [*_enums(current, desired), *_functions(current, desired), *_tables(current, desired)]
    return sorted(found, key=order_of)


def _enums(current: Catalogue, desired: Catalogue) -> Iterator[Difference]:
    for name, after in desired.enums.items():
        before = current.enums.get(name)
        if before is None:
            yield Difference(Action.CREATE_TYPE, name, None, None, after, name)
        elif before != after:
            for value in before:
                if value not in after:
                    yield Difference(Action.REMOVE_ENUM_VALUE, value, None, before, after, name)
            if [value for value in before if value in after] != [value for value in after if value in before]:
                yield Difference(Action.REORDER_ENUM_VALUES, name, None, before, after, name)
            for value in after:
                if value not in before:
                    yield Difference(Action.ADD_ENUM_VALUE, value, None, before, after, name)
    for name, before in current.enums.items():
        if name not in desired.enums:
            yield Difference(Action.DROP_TYPE, name, None, before, None, name)


def _functions(current: Catalogue, desired: Catalogue) -> Iterator[Difference]:
    for name in sorted(desired.functions - current.functions):
        yield Difference(Action.CREATE_FUNCTION, name)


def _tables(current: Catalogue, desired: Catalogue) -> Iterator[Difference]:
    for name, after in desired.tables.items():
        before = current.tables.get(name)
        if before is None:
            yield Difference(Action.CREATE_TABLE, name, name, None, after)
            before = TableInfo(after.columns, after.constraints)
        yield from _columns(name, before, after)
        # What is written with a column that nothing declares stays or goes with it.
        constraints = {
            key: one
            for key, one in before.constraints.items()
            if not one.is_inline or one.is_primary_key or one.columns[0] in after.columns
        }
        yield from _objects(name, constraints, after.constraints, _DROP_CONSTRAINT, _ADD_CONSTRAINT)
        yield from _objects(name, before.indexes, after.indexes, _DROP_INDEX, _CREATE_INDEX)
    for name, before in current.tables.items():
        if name not in desired.tables:
            yield Difference(Action.DROP_TABLE, name, name, before)


def _columns(table: str, before: TableInfo, after: TableInfo) -> Iterator[Difference]:
    for name, column in after.columns.items():
        stored = before.columns.get(name)
        if stored is None:
            yield Difference(Action.ADD_COLUMN, name, table, None, column)
            continue
        if stored.type != column.type:
            yield Difference(Action.CHANGE_TYPE, name, table, stored, column)
        if stored.default != column.default:
            action = Action.DROP_DEFAULT if column.default is None else Action.SET_DEFAULT
            yield Difference(action, name, table, stored, column)
        if stored.is_nullable != column.is_nullable:
            action = Action.DROP_NOT_NULL if column.is_nullable else Action.SET_NOT_NULL
            yield Difference(action, name, table, stored, column)
    for name, stored in before.columns.items():
        if name not in after.columns:
            yield Difference(Action.DROP_COLUMN, name, table, stored)


# The action for a foreign key, and for everything else.
_DROP_CONSTRAINT = (Action.DROP_FOREIGN_KEY, Action.DROP_CONSTRAINT)
_ADD_CONSTRAINT = (Action.ADD_FOREIGN_KEY, Action.ADD_CONSTRAINT)
_DROP_INDEX = (Action.DROP_INDEX, Action.DROP_INDEX)
_CREATE_INDEX = (Action.CREATE_INDEX, Action.CREATE_INDEX)


def _objects(
    table: str,
    before: Mapping[str, TableObject],
    after: Mapping[str, TableObject],
    drop: tuple[Action, Action],
    add: tuple[Action, Action],
) -> Iterator[Difference]:
    """Constraints or indexes: one of the same name but another definition is dropped and added."""
    for name, one in before.items():
        if after.get(name) != one:
            yield Difference(drop[not one.is_foreign_key], name, table, one, after.get(name))
    for name, one in after.items():
        if before.get(name) != one:
            yield Difference(add[not one.is_foreign_key], name, table, before.get(name), one)


def detour(table: str, name: str, one: TableObject, *, is_index: bool) -> list[Difference]:
    """A constraint or index goes while something else changes, and comes back as it was."""
    drop, add = (_DROP_INDEX, _CREATE_INDEX) if is_index else (_DROP_CONSTRAINT, _ADD_CONSTRAINT)
    kind = not one.is_foreign_key
    return [Difference(drop[kind], name, table, one, one), Difference(add[kind], name, table, one, one)]
