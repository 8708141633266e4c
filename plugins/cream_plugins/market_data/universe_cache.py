"""The universe cache: instruments that a source named, kept until they expire."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict

from cream_store import (
    ChoiceField,
    Given,
    IntegerField,
    JSONField,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SerialField,
    SymbolsField,
    TextField,
    TimestampField,
    TransactionError,
    Written,
    field,
    index,
    query,
    record,
    utc_now,
)
from cream_store.repository import Key


class UniverseSourceType(StrEnum):
    """What kind of source named the instruments."""

    INDEX = "index"
    ETF = "etf"
    SCREENER = "screener"
    STATIC = "static"
    CUSTOM = "custom"


class UniverseCacheRow(Row):
    """Table `universe_cache`."""

    id = SerialField()
    source_type = ChoiceField(UniverseSourceType)
    source_id = TextField()
    source_hash = TextField()
    tickers = SymbolsField()
    ticker_count = IntegerField()
    metadata = JSONField(dict, null=True, null_as=None)
    cached_at = TimestampField(default_now=True)
    expires_at = TimestampField()
    provider = TextField(null=True)

    class Meta:
        table_name = "universe_cache"
        indexes = [
            index("idx_universe_cache_expires", "expires_at"),
            index("idx_universe_cache_hash", "source_hash"),
            index("idx_universe_cache_source", "source_type", "source_id", unique=True),
        ]


@record
class UniverseCacheEntry(Record):
    """The instruments that one source named. A repeated ticker counts once, at its first place."""

    id: int | None = None  # None until stored
    source_type: UniverseSourceType | str  # plain text only when another program stored an undeclared value
    source_id: str
    source_hash: str  # of the source's content
    tickers: list[str]
    ticker_count: int = 0  # always the number of tickers, whatever is given
    metadata: dict[str, Any] | None = None
    cached_at: datetime = field(default_factory=utc_now)
    expires_at: datetime  # the entry is valid before, no longer at this moment
    provider: str | None = None

    def __post_init__(self) -> None:
        tickers = _each_once(self.tickers)
        object.__setattr__(self, "tickers", tickers)
        object.__setattr__(self, "ticker_count", len(tickers))


class UniverseCacheFilters(TypedDict, total=False):
    """What `find_many` can be limited to."""

    source_type: UniverseSourceType | str | Sequence[UniverseSourceType | str] | None
    source_id: str | Sequence[str] | None
    source_hash: str | Sequence[str] | None
    provider: str | Sequence[str] | None


class UniverseCacheChanges(TypedDict, total=False):
    """What `update` can change. The source stays; the number of tickers follows from them."""

    source_hash: str
    tickers: list[str]
    metadata: dict[str, Any] | None
    expires_at: datetime
    provider: str | None


class UniverseCacheRepository(Repository[UniverseCacheEntry, UniverseCacheFilters, UniverseCacheChanges]):
    """What is known of the universes of all sources, until it expires.

    An upsert overwrites every value of the entry with the same source, and sets `cached_at` to now.
    """

    row = UniverseCacheRow
    default_order = ("-cached_at",)
    default_limit = 100
    conflict_target = ("source_type", "source_id")
    stamped_on_upsert = ("cached_at",)

    def get(self, source_type: UniverseSourceType | str, source_id: str) -> UniverseCacheEntry | None:
        """The entry of a source, unless it has expired."""
        return self._first(_of(source_type, source_id).above("expires_at", utc_now()))

    def get_by_hash(self, source_hash: str) -> UniverseCacheEntry | None:
        """The newest entry of a content that has not expired."""
        builder = query().equals("source_hash", UniverseCacheRow.source_hash.encode(source_hash))
        return self._first(builder.above("expires_at", utc_now()).order_by("-cached_at"))

    def get_or_lock(self, source_type: UniverseSourceType | str, source_id: str) -> UniverseCacheEntry | None:
        """The entry of a source; or None, and then no other transaction is given None until this one ends.

            with store.transaction():
                entry = cache.get_or_lock("index", "SP500") or cache.set(fetch_members())

        So one caller refreshes an entry while the others wait for it. Raises TransactionError outside a transaction.
        """
        if not self.database.in_transaction():
            raise TransactionError("get_or_lock needs a transaction, whose end gives the lock back")
        entry = self.get(source_type, source_id)
        if entry is None:
            self.database.advisory_lock(f"universe_cache {source_type} {source_id}")
            entry = self.get(source_type, source_id)
        return entry

    def set(self, cache: UniverseCacheEntry) -> UniverseCacheEntry:
        """Stores the entry of a source as of now, over the stored one, and returns it."""
        return self.upsert(cache)

    def bulk_upsert(self, entries: Given[UniverseCacheEntry]) -> Written:
        """Stores all entries or none; of several of one source, the last wins. Returns how many were given."""
        return self.upsert_many(entries)

    def update(self, id: Key, changes: UniverseCacheChanges) -> UniverseCacheEntry:
        """Writes the given columns and returns the entry as it is then. Raises NotFoundError."""
        written: dict[str, Any] = dict(self._checked_changes(changes))
        if "tickers" in written:
            tickers = _each_once(written["tickers"])
            written |= {"tickers": tickers, "ticker_count": len(tickers)}
        return self._update_one(id, written) or self._raise_not_found(id)

    def delete(self, source_type: UniverseSourceType | str, source_id: str) -> bool:  # type: ignore[override]  # by source
        """Deletes the entry of a source, expired or not; False when there is none."""
        return self._delete(_of(source_type, source_id)) > 0

    def purge_expired(self) -> int:
        """Deletes the entries that have expired, in batches, and returns how many they were."""
        return self._delete_in_batches(query().at_most("expires_at", utc_now()))

    def list_sources(self) -> list[tuple[UniverseSourceType | str, str]]:
        """Type and id of every source with an entry that has not expired, ascending."""
        valid = query().above("expires_at", utc_now())
        sources = self._aggregate(
            "sources", valid, [], group_by=[UniverseCacheRow.source_type, UniverseCacheRow.source_id]
        )
        return sorted((source_type, source_id) for source_type, source_id in sources)


def _of(source_type: UniverseSourceType | str, source_id: str) -> QueryBuilder:
    # Encoded here, because None would mean every source.
    builder = query().equals("source_type", UniverseCacheRow.source_type.encode(source_type))
    return builder.equals("source_id", UniverseCacheRow.source_id.encode(source_id))


def _each_once(tickers: list[str]) -> list[str]:
    """The tickers as they are stored, less repetitions. Raises InvalidDataError for what is no list of symbols."""
    symbols: list[str] = json.loads(UniverseCacheRow.tickers.encode(tickers))
    return list(dict.fromkeys(symbols))
