"""State machines of records: which status may follow which."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Generic, TypeVar

from cream_store.queries import QueryBuilder, query

S = TypeVar("S", bound=StrEnum)


class StateMachine(Generic[S]):
    """The allowed moves of a column's values. A state without moves is terminal."""

    def __init__(self, moves: Mapping[S, Iterable[S]], *, column: str = "status") -> None:
        self.column = column
        self._after = {state: tuple(successors) for state, successors in moves.items()}
        self.terminal: Final = frozenset(state for state, successors in self._after.items() if not successors)
        """The states that nothing follows."""
        states = {*self._after, *itertools.chain.from_iterable(self._after.values())}
        self._entries = {state: self._in_one_of(self.before(state)) for state in states}

    def _in_one_of(self, states: Sequence[S]) -> QueryBuilder:
        if len(states) == 1:  # an equality is quicker to bind than a list
            return query().equals(self.column, states[0])
        return query().one_of(self.column, states)

    def after(self, state: S) -> tuple[S, ...]:
        """The states that may follow."""
        return self._after.get(state, ())

    def before(self, state: S) -> tuple[S, ...]:
        """The states that it may follow."""
        return tuple(other for other, successors in self._after.items() if state in successors)

    def entry(self, state: S) -> QueryBuilder:
        """The condition that a record can come into the state."""
        return self._entries[state]

    def allows(self, state: S, successor: S) -> bool:
        """Whether one may follow the other."""
        return successor in self.after(state)

    def describe(self, state: S) -> str:
        """What may follow, in words."""
        successors = self.after(state)
        return f"allowed from {state}: {', '.join(successors)}" if successors else f"{state} is final"
