"""What removing a difference would cost: counted rows, the keys of the first, and whether it is done at all."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cream_store.fields import text_literal
from cream_store.schema.catalogue import Catalogue, ColumnInfo, TableObject
from cream_store.schema.differences import Difference
from cream_store.schema.steps import Action, Risk
from cream_store.schema.stored_rows import StoredRows

if TYPE_CHECKING:
    from cream_store.schema.planner import Planner


@dataclass(frozen=True, slots=True)
class Assessment:
    """The risk of a step, why it is needed or refused, and whether a push does it."""

    risk: Risk
    reason: str
    is_accepted: bool = True


class Assessor:
    """Judges the differences of one plan."""

    def __init__(
        self,
        planner: Planner,
        found: Sequence[Difference],
        current: Catalogue,
        desired: Catalogue,
        allowed: Container[str],
    ) -> None:
        self._planner = planner
        self._found = found
        self._current = current
        self._desired = desired
        self._allowed = allowed
        conversions = {(d.table or "", d.name): planner.conversion(d) for d in found if d.action is Action.CHANGE_TYPE}
        self._conversions = conversions
        self._stored = StoredRows(planner.database, planner.row_number, current, desired, conversions)
        self._names_in_use = planner.names_in_use(
            [d.name for d in found if d.action in (Action.CREATE_TABLE, Action.CREATE_INDEX)]
        )

    def assess(self) -> list[tuple[Difference, Assessment]]:
        """The differences, each with its assessment."""
        judged = [(difference, self._judged(difference)) for difference in self._found]
        refused = {
            column: difference
            for difference, assessment in judged
            if not assessment.is_accepted and assessment.risk is Risk.LOSSY
            for column in self._columns_left(difference)
        }
        return [(difference, self._waiting(difference, assessment, refused)) for difference, assessment in judged]

    def _judged(self, difference: Difference) -> Assessment:
        assessment = self._assess(difference)
        if assessment.risk is Risk.LOSSY and difference.step not in self._allowed:
            return replace(assessment, is_accepted=False)
        if assessment.risk is Risk.BLOCKED:
            return assessment
        along_with = [one for one in self._found if self._may_be(one)]
        dependents = self._planner.dependents(difference, along_with) if difference.action in _REPLACING else ()
        if dependents:
            return _blocked(f"{', '.join(dependents)} would not survive it: drop that first, and make it anew after")
        return assessment

    def _may_be(self, difference: Difference) -> bool:
        """Whether it is allowed, if it has to be."""
        return difference.action not in _ALWAYS_LOSSY or difference.step in self._allowed

    # What waits for something that is refused

    def _columns_left(self, difference: Difference) -> Iterator[tuple[str, str]]:
        """The columns that stay as they are while a lossy difference is refused."""
        table = difference.table
        if table is not None and difference.action in (Action.CHANGE_TYPE, Action.DROP_COLUMN):
            yield table, difference.name
        elif table is not None and difference.action is Action.DROP_TABLE:
            yield from ((table, column) for column in difference.before.columns)

    def _waiting(
        self, difference: Difference, assessment: Assessment, refused: dict[tuple[str, str], Difference]
    ) -> Assessment:
        if assessment.risk is not Risk.LOSSY:
            for column in self._columns_needed(difference):
                if other := refused.get(column):
                    return Assessment(Risk.SAFE, f"it waits for {other.step}", is_accepted=False)
        return assessment

    def _columns_needed(self, difference: Difference) -> Iterator[tuple[str, str]]:
        """The columns that must be as declared before a difference can be removed."""
        before, after, table = difference.before, difference.after, difference.table
        if difference.action is Action.DROP_TYPE:
            yield from (use.column for use in self._planner.uses_of_type(difference.name))
        if table is not None and isinstance(before, TableObject) and before.is_inline and not before.is_primary_key:
            yield from before.used_columns(table)
        if table is None or after is None:
            return
        if isinstance(after, ColumnInfo):
            yield table, difference.name
        elif isinstance(after, TableObject):
            yield from after.used_columns(table)
            if before is not None:
                yield from before.used_columns(table)
        else:
            for constraint in after.constraints.values():
                yield from constraint.used_columns(table)
        if difference.action is Action.CREATE_INDEX and table not in self._current.tables:
            for constraint in self._desired.tables[table].constraints.values():
                yield from constraint.used_columns(table)

    # Each kind of difference

    def _assess(self, difference: Difference) -> Assessment:
        before, after = difference.before, difference.after
        table, name, source = difference.table or "", difference.name, f'"{difference.table}"'
        is_new_table = difference.table is not None and difference.table not in self._current.tables
        match difference.action:
            case Action.CREATE_TABLE | Action.CREATE_INDEX if obstacle := self._obstacle(difference):
                return _blocked(f"{obstacle} has this name; rename or drop that first")
            case _ if is_new_table:
                return _safe("it is missing")
            case Action.ADD_COLUMN:
                return self._assess_add_column(difference)
            case Action.DROP_COLUMN:
                return self._assess_drop_column(difference)
            case Action.DROP_TABLE:
                return _lossy(
                    f"its plugin declares it no more; it holds {self._stored.count(source):,} rows; if it was renamed:"
                    f' ALTER TABLE "{name}" RENAME TO "<new name>" before a push makes that one'
                )
            case Action.CHANGE_TYPE:
                return self._assess_type_change(difference)
            case Action.SET_DEFAULT:
                return _safe(f"its default is {after.default}, was {before.default or 'none'}")
            case Action.DROP_DEFAULT:
                return _safe(f"it has no default, was {before.default}")
            case Action.DROP_NOT_NULL:
                return _safe("it may be NULL")
            case Action.SET_NOT_NULL:
                return _unless(self._stored.without_value(table, name), "it is never NULL")
            case Action.ADD_CONSTRAINT | Action.ADD_FOREIGN_KEY:
                return _unless(self._stored.against_constraint(table, after), f"it is {after.definition}")
            case Action.CREATE_INDEX:
                missing = "it is missing" if before is None else "its definition changed"
                return _unless(self._stored.against_index(table, after), missing)
            case Action.DROP_CONSTRAINT | Action.DROP_FOREIGN_KEY | Action.DROP_INDEX:
                return _safe("its definition changed" if after is not None else "no loaded plugin declares it any more")
            case Action.REORDER_ENUM_VALUES:
                return _safe("its values are in another order")
            case Action.REMOVE_ENUM_VALUE:
                return self._assess_removed_value(difference)
            case Action.DROP_TYPE:
                return _safe("nothing has it any more")
            case _:
                return _safe("it is missing")

    def _obstacle(self, difference: Difference) -> str | None:
        """What has the name of a table or index that is to be created, unless it goes."""
        if difference.name not in self._names_in_use:
            return None
        kind, table = self._names_in_use[difference.name]
        going = {(one.action, one.table, one.name) for one in self._found if self._may_be(one)}
        leaves_with = [(Action.DROP_TABLE, table, table)]
        leaves_with += [(action, table, difference.name) for action in (Action.DROP_INDEX, Action.DROP_CONSTRAINT)]
        if not going.isdisjoint(leaves_with):
            return None
        return f"an index on table {table}" if kind == "index" else f"a {kind}"

    def _assess_add_column(self, difference: Difference) -> Assessment:
        table, name, column = difference.table or "", difference.name, difference.after
        has_values = column.is_nullable or column.default is not None
        if has_values or self._planner.numbers(self._desired.tables[table], name):
            return _safe("it is missing")
        if not (count := self._stored.count(f'"{table}"')):
            return _safe("it is missing")
        return _blocked(
            f"{count:,} rows would have no value; let it be NULL, give it a server_default, or, if it was renamed:"
            f' ALTER TABLE "{table}" RENAME COLUMN "<old name>" TO "{name}"'
        )

    def _assess_drop_column(self, difference: Difference) -> Assessment:
        table, name, source = difference.table or "", difference.name, f'"{difference.table}"'
        count = self._stored.count(source, f'"{name}" IS NOT NULL')
        known = {one.subject for one in self._found if one.action in _DROPPING}
        info = self._current.tables[table]
        lost = [
            kind + " " + other
            for kind, objects in (("index", info.indexes), ("constraint", info.constraints))
            for other, one in objects.items()
            if name in one.columns and f"{table}.{other}" not in known
        ]
        also = f"; with it go {', '.join(lost)}" if lost else ""
        required = not difference.before.is_nullable and difference.before.default is None
        until = "; until it is dropped or may be NULL, no row can be added without it" if required else ""
        return _lossy(
            f"no loaded plugin declares it; {count:,} rows have a value in it{also}{until}; if it was renamed:"
            f' ALTER TABLE "{table}" RENAME COLUMN "{name}" TO "<new name>" before a push adds that one, or else copy'
            " the values over"
        )

    def _assess_type_change(self, difference: Difference) -> Assessment:
        table, name, source = difference.table or "", difference.name, f'"{difference.table}"'
        reason = f"its type is {difference.after.type}, was {difference.before.type}"
        conversion = self._conversions[table, name]
        if conversion.refuses and (found := self._stored.where(table, conversion.refuses)):
            return _blocked(f"{reason}, which can't hold the values of {found}; correct or delete them first")
        if conversion.keeps_everything or not (count := self._stored.count(source, f'"{name}" IS NOT NULL')):
            return _safe(reason)
        changed = "which may not fit"
        if conversion.alters or conversion.refuses:
            altered = self._stored.count(source, conversion.alters) if conversion.alters else 0
            changed = f"{altered:,} of which would be rounded"
        return _lossy(f"{reason}; {count:,} rows have a value, {changed}")

    def _assess_removed_value(self, difference: Difference) -> Assessment:
        uses = [
            f"{count:,} rows of {use.table}"
            for use in self._planner.uses_of_type(difference.type_name or "")
            if (count := self._stored.count(use.table, f'"{use.column[1]}"::text = {text_literal(difference.name)}'))
        ]
        if uses:
            return _blocked(f"{', '.join(uses)} have this value; change them first")
        return _lossy(
            "no loaded plugin declares it any more; no row has it, but other programs may write it; if it was renamed:"
            f' ALTER TYPE "{difference.type_name}" RENAME VALUE {text_literal(difference.name)} TO <new value>'
            " before a push adds that one"
        )


_DROPPING: Final = (
    Action.DROP_INDEX,
    Action.DROP_CONSTRAINT,
    Action.DROP_FOREIGN_KEY,
    Action.DROP_COLUMN,
    Action.DROP_TABLE,
)
_ALWAYS_LOSSY: Final = (Action.DROP_TABLE, Action.DROP_COLUMN, Action.REMOVE_ENUM_VALUE)
_REPLACING: Final = (
    Action.CHANGE_TYPE,
    Action.DROP_COLUMN,
    Action.DROP_TABLE,
    Action.REMOVE_ENUM_VALUE,
    Action.REORDER_ENUM_VALUES,
    Action.ADD_ENUM_VALUE,
)


def _safe(reason: str) -> Assessment:
    return Assessment(Risk.SAFE, reason)


def _unless(violators: str | None, rule: str) -> Assessment:
    """Safe, unless stored rows break the rule."""
    if violators is None:
        return _safe(rule)
    return _blocked(f"{rule}, which {violators} violate; correct or delete them first")


def _lossy(reason: str) -> Assessment:
    return Assessment(Risk.LOSSY, reason)


def _blocked(reason: str) -> Assessment:
    return Assessment(Risk.BLOCKED, reason, is_accepted=False)
