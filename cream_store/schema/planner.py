"""From differences to steps: which are accepted, and what statements they come to.

The judgement (`assessment`) is the same for both databases; the statements are not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Container, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Final

from cream_store.backend import Database
from cream_store.row import Row, table_of
from cream_store.schema.assessment import Assessment, Assessor
from cream_store.schema.catalogue import Catalogue, TableInfo
from cream_store.schema.conversions import Conversion
from cream_store.schema.definition import definitions
from cream_store.schema.differences import Difference, order_of
from cream_store.schema.steps import Action, Risk, Step

_DETOUR: Final = Assessment(Risk.SAFE, "it makes way for another step, and comes back as it was")


@dataclass(frozen=True, slots=True)
class TypeUse:
    """A column that has an enum type."""

    table: str
    """The table as SQL names it, with its schema if need be."""
    column: tuple[str, str]
    """The names of table and column; of a table in another schema, none that is ours."""


class Planner(ABC):
    """Reads and changes the schema of one database. All but `session` and `look` runs inside one of these two."""

    row_number: ClassVar[str]
    """What tells a table's rows apart when it has no primary key."""
    scope: str = ""
    """The schema that the tables are in, where a database has several."""

    def __init__(self, database: Database, rows: Sequence[type[Row]]) -> None:
        self.database = database
        self.rows = {table_of(row): row for row in rows}
        self.definitions = {(d.kind, d.name): d for d in definitions(database, rows)}

    # What there is

    @abstractmethod
    def look(self, lock_timeout: float, push_timeout: float) -> AbstractContextManager[object]:
        """A transaction that leaves no trace. Waits that long for other sessions' locks, and for a push to end."""

    @abstractmethod
    def session(self, lock_timeout: float, push_timeout: float) -> AbstractContextManager[object]:
        """The transaction in which the schema is changed, one at a time. Waits that long for other sessions."""

    @abstractmethod
    def desired(self) -> Catalogue:
        """The schema that the models declare."""

    @abstractmethod
    def current(self, tables: Collection[str], enums: Collection[str]) -> Catalogue:
        """What the database has of these tables, and of the types and functions that the models or `enums` name."""

    # What it takes

    @abstractmethod
    def hold(self, steps: Sequence[Step]) -> None:
        """Keeps other sessions from changing the tables that the steps change, until the transaction ends."""

    @abstractmethod
    def statements(self, accepted: Sequence[Difference]) -> list[tuple[str, ...]]:
        """How each accepted difference is removed, while all others remain."""

    @abstractmethod
    def conversion(self, difference: Difference) -> Conversion:
        """How the values of a column become values of its new type."""

    def detours(self, accepted: Sequence[Difference], current: Catalogue) -> list[Difference]:
        """What has to go and come back, ours or not, so that the accepted differences can be removed."""
        return []

    def uses_of_type(self, type_name: str) -> list[TypeUse]:
        """The columns that have an enum type, whoever made them."""
        return []

    def is_disposable(self, type_name: str, found: Sequence[Difference]) -> bool:
        """Whether nothing but what goes anyway has an enum type."""
        return False

    def numbers(self, table: TableInfo, column: str) -> bool:
        """Whether the database gives each row a number in a column that has no default."""
        return False

    @abstractmethod
    def names_in_use(self, names: Collection[str]) -> dict[str, tuple[str, str | None]]:
        """Which of these names something has: its kind, and the table that it is on."""

    def dependents(self, difference: Difference, along_with: Sequence[Difference]) -> list[str]:
        """What would have to go before a difference can be removed along with others: views, others' foreign keys."""
        return []

    def references_to(self, tables: Sequence[str]) -> list[str]:
        """The foreign keys of other tables that refer to these, and so forbid to empty them."""
        return []

    def steps(
        self, found: Sequence[Difference], current: Catalogue, desired: Catalogue, allowed: Container[str]
    ) -> list[Step]:
        """A step for each difference, with the statements of those that are accepted.

        `current` has what there is of our tables, also what others added to them.
        """
        found = [d for d in found if d.action is not Action.DROP_TYPE or self.is_disposable(d.name, found)]
        planned = Assessor(self, found, current, desired, allowed).assess()
        detours = self.detours([difference for difference, assessment in planned if assessment.is_accepted], current)
        planned += [(difference, _DETOUR) for difference in detours]
        planned.sort(key=lambda one: order_of(one[0]))
        statements = iter(self.statements([difference for difference, assessment in planned if assessment.is_accepted]))
        return [
            Step(
                difference.action,
                difference.subject,
                next(statements) if assessment.is_accepted else (),
                assessment.risk,
                assessment.reason,
                assessment.is_accepted,
                difference.table,
            )
            for difference, assessment in planned
        ]
