"""Changing stored records: only under conditions that the statement itself decides."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import peewee

from cream_store.clock import utc_now
from cream_store.conditions import bound_conditions, condition_nodes
from cream_store.errors import ConstraintViolationError
from cream_store.queries import QueryBuilder, query
from cream_store.records import Record
from cream_store.row import key_of, table_of
from cream_store.statement import Param, Statement, Values, for_update, params
from cream_store.states import StateMachine
from cream_store.table_access.reading import Reading
from cream_store.table_access.table import Key

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=StrEnum)


class Changing(Reading[R]):
    """How stored records change."""

    def _update_one(
        self,
        id: Key,
        changes: Mapping[str, Any],
        only_if: QueryBuilder | None = None,
        computed: Mapping[str, peewee.Node] | None = None,
    ) -> R | None:
        """Changes the record with that key, if it meets the condition too; None when there is no such record."""
        builder = self._by_key(id, *(only_if.conditions if only_if else ()))
        if not changes and not computed:
            return self._first(builder)
        updated = self._update_where(builder, changes, computed)
        return updated[0] if updated else None

    def _update_where(
        self, builder: QueryBuilder, changes: Mapping[str, Any], computed: Mapping[str, peewee.Node] | None = None
    ) -> list[R]:
        """Changes all records that meet the conditions, in one statement, and returns them. Moves `moved_on_update`.

        A `computed` column gets what an SQL expression gives, in which `Param(name)` is another column's new value. The
        expression is a constant of its module: the statement is compiled once for it.
        """
        prepared = self._updating(builder, changes, computed or {}, returning=True)
        return [] if prepared is None else self._fetch(*prepared)

    def _update_all(self, builder: QueryBuilder, changes: Mapping[str, Any]) -> int:
        """Like `_update_where`, for callers that need to know only how many records were changed."""
        prepared = self._updating(builder, changes, {}, returning=False)
        return 0 if prepared is None else prepared[0].change(self.database, prepared[1])

    def _updating(
        self, builder: QueryBuilder, changes: Mapping[str, Any], computed: Mapping[str, peewee.Node], returning: bool
    ) -> tuple[Statement, Values] | None:
        """The UPDATE and its values; None when no row can meet the conditions."""
        builder = self._own(builder)
        bound = bound_conditions(self._column, builder)
        if bound is None:
            return None
        if self.moved_on_update in self._columns:
            changes = {self.moved_on_update: utc_now(), **changes}
        names = tuple(changes)

        def build() -> peewee.Node:
            given = params([(name, self._column(name)) for name in names])
            update = self.row.update({**given, **{self._column(name): node for name, node in computed.items()}})
            update = update.where(*condition_nodes(self._column, builder))
            return update.returning(*self._columns.values()) if returning else update

        identities = tuple((name, id(node)) for name, node in computed.items()) if computed else ()
        key = ("update", returning, names, identities, bound.shape)
        return self._statement(key, build, by_key=self._is_by_key(builder)), {**changes, **bound.values}

    def _move(
        self,
        id: Key,
        machine: StateMachine[S],
        to: S,
        changes: Mapping[str, Any] | None = None,
        *,
        in_any_case: Mapping[str, Any] | None = None,
    ) -> R:
        """Brings the record into a state, with other changes, in one UPDATE that holds only from allowed states.

        A record that is in the state already stays as it is, but for the changes `in_any_case`. Raises NotFoundError,
        EnvironmentMismatchError, ConstraintViolationError.
        """
        others = in_any_case or {}
        moved = self._update_one(id, {machine.column: to, **others, **(changes or {})}, machine.entry(to))
        # Asked second: somebody else may have brought it there just now.
        moved = moved or self._update_one(id, others, query().equals(machine.column, to))
        if moved is not None:
            return moved
        current: R = self._find_by_key(id) or self._raise_not_found(id)
        if "environment" in self._columns:
            self._guard_environment(current.environment)  # type: ignore[attr-defined]  # the record has what the row has
        state = getattr(current, machine.column)
        table = table_of(self.row)
        raise ConstraintViolationError(
            f"{table} {id}: {machine.column} {state} can't become {to}; {machine.describe(state)}",
            table=table,
            columns=(self._column(machine.column).column_name,),
        )

    def _hold(self, id: Key) -> R:
        """The record with that key, which nobody else changes until the transaction ends.

        For what a single statement can't do. Raises NotFoundError, EnvironmentMismatchError.
        """
        key = key_of(self.row)
        statement = self._statement(
            "hold",
            lambda: for_update(self.row.select(*self._columns.values()).where(key == Param("id", key))),
            by_key=True,
        )
        held: R = self._fetch_one(id, statement) or self._raise_not_found(id)
        if "environment" in self._columns:
            self._guard_environment(held.environment)  # type: ignore[attr-defined]  # the record has what the row has
        return held
