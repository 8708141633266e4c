"""Changes of enum types on PostgreSQL.

A value can be added to a type as it is, but not be used before the transaction ends; and none can be removed or moved.
Where that does not do, a new type takes the name, and all columns of the old one move over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cream_store.fields import text_literal
from cream_store.schema.catalogue import Catalogue
from cream_store.schema.definition import enum_creation
from cream_store.schema.differences import Difference
from cream_store.schema.planner import TypeUse
from cream_store.schema.steps import Action

ENUM_CHANGES: Final = (Action.REMOVE_ENUM_VALUE, Action.REORDER_ENUM_VALUES, Action.ADD_ENUM_VALUE)
_REPLACED: Final = "cream_store_replaced"


@dataclass(frozen=True, slots=True)
class EnumChange:
    """All accepted changes of one type."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    """The declared values, and those whose removal is refused."""
    needs_new_type: bool

    def additions(self) -> Iterator[str]:
        """The statements that add values to the type."""
        for position, value in enumerate(self.after):
            if value not in self.before:
                place = f"AFTER {text_literal(self.after[position - 1])}"
                if position == 0:
                    place = f"BEFORE {text_literal(self.before[0])}" if self.before else ""
                yield f'ALTER TYPE "{self.name}" ADD VALUE {text_literal(value)} {place}'.rstrip()

    def replacement(self, moves: Sequence[tuple[TypeUse, str | None]]) -> Iterator[str]:
        """The statements that put a new type in the old one's place; the columns, each with the default to restore."""
        yield f'ALTER TYPE "{self.name}" RENAME TO "{_REPLACED}"'
        yield enum_creation(self.name, self.after)
        for use, default in moves:
            column = f'ALTER TABLE {use.table} ALTER COLUMN "{use.column[1]}"'
            yield f"{column} DROP DEFAULT"
            yield f'{column} TYPE "{self.name}" USING "{use.column[1]}"::text::"{self.name}"'
            if default is not None:
                yield f"{column} SET DEFAULT {default}"
        yield f'DROP TYPE "{_REPLACED}"'


def enum_changes(accepted: Sequence[Difference], desired: Catalogue) -> dict[str, EnumChange]:
    """What the accepted differences come to, by the name of the type."""
    changes: dict[str, EnumChange] = {}
    for difference in accepted:
        name = difference.type_name
        if name is None or name in changes or difference.action not in ENUM_CHANGES:
            continue
        own = [one for one in accepted if one.type_name == name]
        removed = {one.name for one in own if one.action is Action.REMOVE_ENUM_VALUE}
        values = _with_kept(difference.after, difference.before, removed)
        new_values = [value for value in values if value not in difference.before]
        needs_new_type = (
            any(one.action is not Action.ADD_ENUM_VALUE for one in own)
            or any(_is_mentioned(value, name, desired) for value in new_values)
            or any(one.action is Action.CHANGE_TYPE and one.after.type.strip('"') == name for one in accepted)
        )
        changes[name] = EnumChange(name, difference.before, values, needs_new_type)
    return changes


def _with_kept(declared: Sequence[str], stored: Sequence[str], removed: Collection[str]) -> tuple[str, ...]:
    """The declared values, with those that stay although nothing declares them behind the ones they stood behind."""
    values = list(declared)
    for position, value in enumerate(stored):
        if value not in values and value not in removed:
            before = [values.index(one) for one in stored[:position] if one in values]
            values.insert(max(before) + 1 if before else 0, value)
    return tuple(values)


def _is_mentioned(value: str, type_name: str, desired: Catalogue) -> bool:
    """Whether a default, a condition or an index of the desired schema uses a value."""
    if "\\" in value:  # which PostgreSQL spells in another way
        return True
    literals = (f"{text_literal(value)}::{type_name}", f'{text_literal(value)}::"{type_name}"')
    return any(
        literal in text
        for table in desired.tables.values()
        for texts in (
            (column.default or "" for column in table.columns.values()),
            (one.definition for one in table.constraints.values()),
            (one.definition for one in table.indexes.values()),
        )
        for text in texts
        for literal in literals
    )
