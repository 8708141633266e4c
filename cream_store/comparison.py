"""Comparing documents: what differs, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Absent(Enum):
    """The type of `ABSENT`. An enum of one member, so that it stays itself when it is copied or pickled."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT
"""The value of a key that a document lacks; a key whose value is None is another thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place where two documents differ, and what each has there: a value, or `ABSENT`."""

    keys: tuple[str | int, ...]  # keys of dicts, positions in lists
    value1: Any
    value2: Any

    @property
    def path(self) -> str:
        """The keys as text: `risk.limits[0].name`."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys)
        return text.removeprefix(".")


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """The keys whose values differ, with whole values: the first document's keys in its order, then the second's.

    The order of keys within values is no difference, nor is 1 and 1.0; 1 and True are different.
    """
    return [
        Difference(keys=(key,), value1=value1, value2=value2)
        for key, value1, value2 in _by_key(first, second)
        if any(_differences((key,), value1, value2))
    ]


def nested_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Like `differences`, but the innermost places that differ.

    Lists of the same length are compared position by position; of different lengths, as wholes, since nothing tells
    which of their items correspond.
    """
    return list(_differences((), first, second))


def _differences(keys: tuple[str | int, ...], first: Any, second: Any) -> Iterator[Difference]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key, value1, value2 in _by_key(first, second):
            yield from _differences((*keys, key), value1, value2)
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for position, (value1, value2) in enumerate(zip(first, second, strict=True)):
            yield from _differences((*keys, position), value1, value2)
    elif first != second or isinstance(first, bool) is not isinstance(second, bool):
        yield Difference(keys=keys, value1=first, value2=second)


def _by_key(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in dict.fromkeys((*first, *second)):
        yield key, first.get(key, ABSENT), second.get(key, ABSENT)
