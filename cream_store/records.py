"""Records: the values that repositories take and return."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any, Self, TypeVar, dataclass_transform
from uuid import UUID

from uuid_utils.compat import uuid7

from cream_store.clock import utc_now

__all__ = ["Record", "field", "new_id", "record", "utc_now"]

T = TypeVar("T")


class Record:
    """Base of all records: a frozen, slotted dataclass with keyword arguments, decorated with `@record`.

    A record is a whole value before it is stored: ids and times come from its defaults.
    """

    __slots__ = ()

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]  # every subclass is a dataclass

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, in the order of the table's columns."""
        return {name: getattr(self, name) for name in field_names(type(self))}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Makes a class a record: `@record class Decision(Record): ...`."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


def field_names(record_type: type) -> tuple[str, ...]:
    """The names of a record's stored fields, in the order of the table's columns."""
    return tuple(f.name for f in dataclasses.fields(record_type))


def new_id() -> UUID:
    """A new UUID of version 7: ordered by time, and within one process by creation."""
    return uuid7()
