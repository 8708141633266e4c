"""Rows that are valid for a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from cream_store import Record, Repository, TimestampField, query, utc_now
from cream_store.queries import MAX_LIMIT


class ExpiryField(TimestampField):
    """The moment from which a row is not valid any more."""

    def sample(self, number: int) -> datetime:
        return super().sample(number) + timedelta(days=1)


class Expiring(Record):
    """Base of records that are valid before `expires_at`, and no longer at that moment."""

    __slots__ = ()

    if TYPE_CHECKING:  # each declares it where its table has the column

        @property
        def expires_at(self) -> datetime: ...


E = TypeVar("E", bound=Expiring)
F = TypeVar("F", bound=Mapping[str, object])
C = TypeVar("C", bound=Mapping[str, object])


class ExpiringRepository(Repository[E, F, C]):
    """Rows that are valid until they expire. A new one that has expired already is refused with InvalidDataError."""

    def delete_expired(self, batch_size: int = MAX_LIMIT) -> int:
        """Deletes what has expired, in batches of 1 to 10,000, and returns how many rows that were."""
        return self._delete_in_batches(query().at_most("expires_at", utc_now()), batch_size)

    def _guard(self, record: E) -> None:
        super()._guard(record)
        expires_at = self._column("expires_at")
        expires_at.encode(record.expires_at)  # refuses what can't be compared
        if record.expires_at <= utc_now():
            expires_at.refuse("is not in the future")
