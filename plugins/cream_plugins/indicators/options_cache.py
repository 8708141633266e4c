"""The options indicators of each underlying, kept until they expire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypedDict
from uuid import UUID

from peewee import SQL, fn

from cream_store import (
    UNSET,
    Given,
    InvalidDataError,
    NumericField,
    Param,
    QueryBuilder,
    Record,
    Repository,
    Row,
    SymbolField,
    TimestampField,
    Unset,
    UUIDv7Field,
    Written,
    field,
    index,
    new_id,
    query,
    record,
    transactional,
    unique,
    utc_now,
)
from cream_store.aggregates import Extreme

TimeToLive = timedelta | int | float
"""How long an entry is valid: a timedelta, or a number of minutes. Nothing or less: it has expired already."""

DEFAULT_MINUTES: Final = 60


class OptionsIndicatorsCacheRow(Row):
    """Table `options_indicators_cache`."""

    id = UUIDv7Field(primary_key=True)
    symbol = SymbolField()
    timestamp = TimestampField()
    implied_volatility = NumericField(8, 4, null=True)
    iv_percentile_30d = NumericField(5, 2, null=True)
    iv_skew = NumericField(8, 4, null=True)
    put_call_ratio = NumericField(8, 4, null=True)
    vrp = NumericField(8, 4, null=True)
    term_structure_slope = NumericField(8, 4, null=True)
    net_delta = NumericField(12, 4, null=True)
    net_gamma = NumericField(12, 4, null=True)
    net_theta = NumericField(12, 4, null=True)
    net_vega = NumericField(12, 4, null=True)
    expires_at = TimestampField()

    class Meta:
        table_name = "options_indicators_cache"
        constraints = [unique("options_indicators_cache_symbol_unique", "symbol")]
        indexes = [index("idx_options_cache_expires", "expires_at")]


def _in_an_hour() -> datetime:
    return utc_now() + timedelta(minutes=DEFAULT_MINUTES)


@record
class OptionsIndicatorsCacheEntry(Record):
    """What the options on an underlying say. Valid for an hour unless said otherwise."""

    id: UUID = field(default_factory=new_id)
    symbol: str
    timestamp: datetime = field(default_factory=utc_now)  # when the metrics were taken
    implied_volatility: Decimal | None = None  # a fraction a year
    iv_percentile_30d: Decimal | None = None  # 0..100
    iv_skew: Decimal | None = None
    put_call_ratio: Decimal | None = None
    vrp: Decimal | None = None  # volatility risk premium: implied less realised
    term_structure_slope: Decimal | None = None
    net_delta: Decimal | None = None
    net_gamma: Decimal | None = None
    net_theta: Decimal | None = None
    net_vega: Decimal | None = None
    expires_at: datetime = field(default_factory=_in_an_hour)  # the entry is valid before, no longer at this moment


class OptionsIndicatorsCacheFilters(TypedDict, total=False):
    """What `find_many` can be limited to; expired entries are among what it gives."""

    symbol: str | Sequence[str] | None


class OptionsIndicatorsCacheChanges(TypedDict, total=False):
    """What `update` can change."""

    implied_volatility: Decimal | None
    iv_percentile_30d: Decimal | None
    iv_skew: Decimal | None
    put_call_ratio: Decimal | None
    vrp: Decimal | None
    term_structure_slope: Decimal | None
    net_delta: Decimal | None
    net_gamma: Decimal | None
    net_theta: Decimal | None
    net_vega: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsIndicatorsCacheStats:
    """How full the cache is, and how old."""

    total: int
    valid: int
    expired: int
    oldest_timestamp: datetime | None  # of all entries, expired ones too
    newest_timestamp: datetime | None


_ENTRIES: Final = fn.COUNT(SQL("*"))
_VALID_ENTRIES: Final = fn.COUNT(SQL("*")).filter(
    OptionsIndicatorsCacheRow.expires_at > Param("now", OptionsIndicatorsCacheRow.expires_at)
)


class OptionsIndicatorsCacheRepository(
    Repository[OptionsIndicatorsCacheEntry, OptionsIndicatorsCacheFilters, OptionsIndicatorsCacheChanges]
):
    """One entry for each underlying, which is valid until it expires.

    To use an entry, `get` it and see whether there is one: what `has` said may have expired by then.
    """

    row = OptionsIndicatorsCacheRow
    default_order = ("symbol",)
    default_limit = 100
    conflict_target = ("symbol",)

    # Writing

    def set(
        self, entry: OptionsIndicatorsCacheEntry, ttl_minutes: TimeToLive | Unset = UNSET
    ) -> OptionsIndicatorsCacheEntry:
        """Stores the entry as taken now, over the symbol's stored one, and returns it.

        It is valid for `ttl_minutes` from now; if that is not given, until its own `expires_at`.
        """
        now = utc_now()
        expires_at = entry.expires_at if ttl_minutes is UNSET else _after(now, ttl_minutes)
        return self.upsert(entry.replace(timestamp=now, expires_at=expires_at))

    def bulk_set(self, inputs: Given[OptionsIndicatorsCacheEntry]) -> Written:
        """Stores all entries or none as taken now, each valid until its own `expires_at`; of a symbol the last wins.

        Returns how many were given.
        """
        now = utc_now()
        return self.upsert_many(entry.replace(timestamp=now) for entry in self._records(inputs))

    def refresh(self, symbol: str, ttl_minutes: TimeToLive = DEFAULT_MINUTES, *, allow_expired: bool = False) -> bool:
        """Has a valid entry expire that long from now; False when there is none.

        The metrics are as old as they were, and so is `timestamp`. With `allow_expired`, also for an expired entry.
        """
        now = utc_now()
        entry = _of(symbol) if allow_expired else _of(symbol).above("expires_at", now)
        return self._update_all(entry, {"expires_at": _after(now, ttl_minutes)}) > 0

    @transactional
    def update(  # type: ignore[override]  # by symbol; None for a missing entry
        self, symbol: str, changes: OptionsIndicatorsCacheChanges, ttl_minutes: TimeToLive | Unset = UNSET
    ) -> OptionsIndicatorsCacheEntry | None:
        """Writes the given metrics and returns the entry, or None when the symbol has none.

        `timestamp` becomes now, although the other metrics are older. An expired entry is valid again for an hour,
        unless `ttl_minutes` says for how long. No metric given: only `ttl_minutes` is written.
        """
        now = utc_now()
        metrics = dict(self._checked_changes(changes))
        written: dict[str, Any] = {"timestamp": now, **metrics} if metrics else {}
        if ttl_minutes is not UNSET:
            written["expires_at"] = _after(now, ttl_minutes)
        if not written:
            return self.get_including_expired(symbol)
        updated = self._update_where(_of(symbol).above("expires_at", now), written)
        # It can only have expired, or be missing.
        updated = updated or self._update_where(_of(symbol), {"expires_at": _after(now, DEFAULT_MINUTES), **written})
        return updated[0] if updated else None

    def delete(self, symbol: str) -> bool:  # type: ignore[override]  # by symbol
        """Deletes the entry of a symbol, expired or not; False when there is none."""
        return self._delete(_of(symbol)) > 0

    def clear_expired(self) -> int:
        """Deletes the entries that have expired, in batches. Returns how many they were."""
        return self._delete_in_batches(query().at_most("expires_at", utc_now()))

    def clear_all(self) -> int:
        """Deletes every entry, in batches. Returns how many they were."""
        return self._delete_in_batches(query())

    # Finding

    def get(self, symbol: str) -> OptionsIndicatorsCacheEntry | None:
        """The entry of a symbol, unless it has expired."""
        return self._first(_of(symbol).above("expires_at", utc_now()))

    def get_including_expired(self, symbol: str) -> OptionsIndicatorsCacheEntry | None:
        """The entry of a symbol, expired or not."""
        return self._first(_of(symbol))

    def get_many(self, symbols: Iterable[str]) -> dict[str, OptionsIndicatorsCacheEntry]:
        """The entries of the symbols, by symbol; no key for a symbol whose entry is missing or has expired."""
        valid = query().one_of("symbol", symbols).above("expires_at", utc_now())
        return {entry.symbol: entry for entry in self.find(valid)}

    def has(self, symbol: str) -> bool:
        """Whether the symbol has an entry that has not expired."""
        return self.get(symbol) is not None

    def get_all(self) -> list[OptionsIndicatorsCacheEntry]:
        """The entries that have not expired, by symbol."""
        return self.find(query().above("expires_at", utc_now()))

    def get_expired_symbols(self) -> list[str]:
        """The symbols whose entry has expired, the one that expired first first."""
        expired = query().at_most("expires_at", utc_now()).order_by("expires_at", "symbol")
        return [entry.symbol for entry in self.find(expired)]

    def count(self, include_expired: bool = False) -> int:  # type: ignore[override]  # the contract counts valid ones
        """How many entries have not expired, or how many there are."""
        return self.count_of(query() if include_expired else query().above("expires_at", utc_now()))

    def get_stats(self) -> OptionsIndicatorsCacheStats:
        """How many entries there are, how many of them have expired, and how old they are. One statement."""
        timestamp = OptionsIndicatorsCacheRow.timestamp
        figures = [_ENTRIES, _VALID_ENTRIES, Extreme("MIN", timestamp), Extreme("MAX", timestamp)]
        [(total, valid, oldest, newest)] = self._aggregate("stats", query(), figures, given={"now": utc_now()})
        return OptionsIndicatorsCacheStats(
            total=total,
            valid=valid,
            expired=total - valid,
            oldest_timestamp=oldest,
            newest_timestamp=newest,
        )


def _of(symbol: str) -> QueryBuilder:
    # Encoded here, because None would mean every symbol.
    return query().equals("symbol", OptionsIndicatorsCacheRow.symbol.encode(symbol))


def _after(now: datetime, ttl: TimeToLive) -> datetime:
    """The moment at which an entry expires that is valid from now. Raises InvalidDataError for no length of time."""
    try:
        return now + (ttl if isinstance(ttl, timedelta) else timedelta(minutes=ttl))
    except (TypeError, ValueError, OverflowError):
        raise InvalidDataError(f"ttl_minutes is a timedelta or a number of minutes, got {ttl!r}") from None
