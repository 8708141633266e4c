"""Universe snapshots: the members of an index on a day, as they were computed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TypedDict

from cream_plugins.universe.index_id import IndexId, IndexIdField, of_index
from cream_plugins.universe.moments import moment_of
from cream_store import (
    DayField,
    Given,
    IntegerField,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SerialField,
    SymbolsField,
    TextField,
    TimestampField,
    Written,
    field,
    index,
    query,
    record,
    since,
    transactional,
    until,
    utc_now,
)


class UniverseSnapshotRow(Row):
    """Table `universe_snapshots`."""

    id = SerialField()
    snapshot_date = DayField()
    index_id = IndexIdField()
    tickers = SymbolsField()
    ticker_count = IntegerField()
    source_version = TextField(null=True)
    computed_at = TimestampField(default_now=True)
    expires_at = TimestampField(null=True)

    class Meta:
        table_name = "universe_snapshots"
        indexes = [
            index("idx_universe_snapshots_date", "snapshot_date"),
            index("idx_universe_snapshots_pit", "index_id", "snapshot_date", unique=True),
        ]


@record
class UniverseSnapshot(Record):
    """The members of an index on a day, which is stored as 00:00 UTC."""

    id: int | None = None  # None until stored
    snapshot_date: datetime  # a `date` will do
    index_id: IndexId | str  # plain text only when another program stored an undeclared index
    tickers: list[str]  # ascending, each once, however they are given
    ticker_count: int = 0  # always the number of tickers, whatever is given
    source_version: str | None = None
    computed_at: datetime = field(default_factory=utc_now)
    expires_at: datetime | None = None  # valid before, no longer at this moment; None: valid for ever

    def __post_init__(self) -> None:
        tickers = sorted(set(json.loads(UniverseSnapshotRow.tickers.encode(self.tickers))))
        object.__setattr__(self, "tickers", tickers)
        object.__setattr__(self, "ticker_count", len(tickers))


@record
class SavedSnapshot(UniverseSnapshot):
    """A snapshot as it was stored."""

    replaced: bool  # whether there was one of that index and day


class UniverseSnapshotFilters(TypedDict, total=False):
    """What `find_many` can be limited to; the dates are about `snapshot_date`."""

    index_id: IndexId | str | Sequence[IndexId | str] | None
    source_version: str | Sequence[str] | None
    from_date: date | datetime | None
    to_date: date | datetime | None


class UniverseSnapshotChanges(TypedDict, total=False):
    """What `update` can change. Other tickers are another computation: `save` stores it."""

    source_version: str | None
    expires_at: datetime | None


class UniverseSnapshotsRepository(Repository[UniverseSnapshot, UniverseSnapshotFilters, UniverseSnapshotChanges]):
    """The snapshots of all indices.

    An upsert overwrites every value of the snapshot with the same index and day, and sets `computed_at` to now.
    """

    row = UniverseSnapshotRow
    default_order = ("-snapshot_date",)
    default_limit = 100
    filter_rules = {"from_date": since("snapshot_date"), "to_date": until("snapshot_date")}
    conflict_target = ("index_id", "snapshot_date")
    stamped_on_upsert = ("computed_at",)

    @transactional
    def save(
        self,
        snapshot_date: date | datetime,
        index_id: IndexId | str,
        tickers: Iterable[str],
        source_version: str | None = None,
        expires_at: datetime | None = None,
    ) -> SavedSnapshot:
        """Stores the members of an index on a day as computed now, over those that were stored, and says if there were.

        What is left out becomes None.
        """
        day = datetime.fromisoformat(UniverseSnapshotRow.snapshot_date.encode(snapshot_date))
        # So that of two that are saved at once, one replaces the other and says so.
        self.database.advisory_lock(f"universe_snapshots {index_id} {day}")
        replaced = self.count_of(_of(index_id).equals("snapshot_date", day)) > 0
        snapshot = UniverseSnapshot(
            snapshot_date=day,
            index_id=index_id,
            tickers=tickers if isinstance(tickers, str) else list(tickers),  # type: ignore[arg-type]  # text is refused
            source_version=source_version,
            expires_at=expires_at,
        )
        return SavedSnapshot(**self.upsert(snapshot).as_dict(), replaced=replaced)

    def bulk_upsert(self, snapshots: Given[UniverseSnapshot]) -> Written:
        """Upserts all snapshots or none; of several with the same key, the last wins. Returns how many were given."""
        return self.upsert_many(snapshots)

    def get(
        self,
        index_id: IndexId | str,
        snapshot_date: date | datetime,
        *,
        include_expired: bool = False,
        known_at: date | datetime | None = None,
    ) -> UniverseSnapshot | None:
        """The snapshot of a day in UTC, unless it has expired. `known_at`: only if it had been computed by then."""
        day = moment_of(snapshot_date).date()
        return self._first(_valid(index_id, include_expired, known_at).on_day("snapshot_date", day))

    def get_closest_before(
        self,
        index_id: IndexId | str,
        date: date | datetime,
        *,
        include_expired: bool = False,
        known_at: date | datetime | None = None,
    ) -> UniverseSnapshot | None:
        """The newest snapshot at or before a moment that has not expired. A `date` means its first moment in UTC.

        `known_at`: only if it had been computed by then.
        """
        return self._first(_valid(index_id, include_expired, known_at).as_of("snapshot_date", moment_of(date)))

    def list_dates(self, index_id: IndexId | str) -> list[datetime]:
        """The days of which there are snapshots, expired or not, ascending."""
        return self._distinct("snapshot_date", _of(index_id))

    def purge_expired(self) -> int:
        """Deletes the snapshots that have expired, in batches, and returns how many they were."""
        return self._delete_in_batches(query().at_most("expires_at", utc_now()))


def _of(index_id: IndexId | str) -> QueryBuilder:
    return of_index(UniverseSnapshotRow, index_id)


def _valid(index_id: IndexId | str, include_expired: bool, known_at: date | datetime | None) -> QueryBuilder:
    builder = _of(index_id).as_of("computed_at", known_at).order_by("-snapshot_date")
    return builder if include_expired else builder.above_or_null("expires_at", utc_now())
