"""The universe at a point in time: which symbols an index had, by their names of then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from cream_plugins.universe.index_constituents import IndexConstituent, IndexConstituentsRepository
from cream_plugins.universe.index_id import IndexId
from cream_plugins.universe.moments import moment_of
from cream_plugins.universe.ticker_changes import TickerChangesRepository
from cream_plugins.universe.universe_snapshots import UniverseSnapshot, UniverseSnapshotsRepository

_EXPECTED_SIZES: Final[dict[str, int]] = {
    IndexId.SP500: 500,
    IndexId.NASDAQ100: 100,
    IndexId.DOWJONES: 30,
    IndexId.RUSSELL2000: 2_000,
    IndexId.RUSSELL3000: 3_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInTimeSettings:
    """Whether and how far snapshots are relied on."""

    use_cache: bool = True
    max_cache_age_days: int = 30  # older snapshots do not stand for missing memberships


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInTimeMetadata:
    """How the symbols were found."""

    ticker_changes_applied: int = 0  # symbols whose name changed
    delisted_excluded: list[str] = field(default_factory=list)  # stored as members, but no longer traded
    ticker_changes_mapped: dict[str, str] = field(default_factory=dict)  # from stored symbol to historical symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class PointInTimeResult:
    """The symbols of an index at a moment, ascending, each once."""

    symbols: list[str]
    as_of_date: datetime
    index_id: IndexId | str
    from_cache: bool  # whether a snapshot gave them
    warnings: list[str] = field(default_factory=list)
    metadata: PointInTimeMetadata = field(default_factory=PointInTimeMetadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is stored about an index."""

    index_id: IndexId | str
    earliest_date: datetime | None  # of all memberships: the first `date_added`
    latest_date: datetime | None  # and the last
    days_without_members: int  # from the earliest to the latest date
    constituent_count: int  # today
    ticker_change_count: int  # of all companies, whatever the index
    snapshot_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageReport:
    """Whether what is stored about an index can be right."""

    valid: bool  # no issues
    issues: list[str]
    coverage: Coverage


class PointInTimeUniverse:
    """Questions about the past that see nothing of what came later."""

    def __init__(
        self,
        constituents: IndexConstituentsRepository | None = None,
        ticker_changes: TickerChangesRepository | None = None,
        snapshots: UniverseSnapshotsRepository | None = None,
        settings: PointInTimeSettings | None = None,
    ) -> None:
        """Reads from the given repositories, or from those of the current environment's database."""
        self.constituents = constituents or IndexConstituentsRepository()
        self.ticker_changes = ticker_changes or TickerChangesRepository()
        self.snapshots = snapshots or UniverseSnapshotsRepository()
        self.settings = settings or PointInTimeSettings()

    def get_universe_as_of(
        self,
        index_id: IndexId | str,
        as_of: date | datetime,
        *,
        names_are_current: bool = False,
        known_at: date | datetime | None = None,
    ) -> PointInTimeResult:
        """The symbols of an index at a moment; a `date` means its first one in UTC.

        The snapshot of that very day, else the memberships of then, else a snapshot from not too long before, with a
        warning. `names_are_current`: memberships are stored under today's names, which are turned into those of then.
        `known_at`: only from what was stored by then.
        """
        moment = moment_of(as_of)
        with self.constituents.database.transaction(snapshot=True):
            snapshot = self._snapshot(index_id, moment, known_at)
            age = None if snapshot is None else (moment - snapshot.snapshot_date).days
            if snapshot is not None and age == 0:
                return PointInTimeResult(
                    symbols=snapshot.tickers, as_of_date=moment, index_id=index_id, from_cache=True
                )
            members = self.constituents.get_memberships_as_of(index_id, moment, known_at)
            if members:
                return self._from_memberships(index_id, moment, members, names_are_current)
        if snapshot is not None and age is not None and age <= self.settings.max_cache_age_days:
            warning = (
                f"from the snapshot of {snapshot.snapshot_date:%Y-%m-%d}, {age} days before: no memberships stored"
            )
            return PointInTimeResult(
                symbols=snapshot.tickers, as_of_date=moment, index_id=index_id, from_cache=True, warnings=[warning]
            )
        return PointInTimeResult(
            symbols=[],
            as_of_date=moment,
            index_id=index_id,
            from_cache=False,
            warnings=[f"no historical data for {index_id} as of {moment:%Y-%m-%d}"],
        )

    def was_in_index(self, index_id: IndexId | str, symbol: str, as_of: date | datetime) -> bool:
        """Whether a symbol, or what it was called then, was a member of an index at a moment."""
        if self.constituents.was_in_index_on_date(index_id, symbol, as_of):
            return True
        historical = self.resolve_historical_ticker(symbol, as_of)
        return historical != symbol and self.constituents.was_in_index_on_date(index_id, historical, as_of)

    def resolve_historical_ticker(self, current_symbol: str, as_of: date | datetime) -> str:
        """The name under which a name's company traded at a moment."""
        return self.ticker_changes.resolve_to_historical_symbol(current_symbol, as_of)

    def resolve_current_ticker(self, historical_symbol: str) -> str:
        """The name that a name became."""
        return self.ticker_changes.resolve_to_current_symbol(historical_symbol)

    def validate_data_coverage(self, index_id: IndexId | str) -> CoverageReport:
        """What is stored about an index, and what of it can't be right: no members, or more than 10 % off its size."""
        with self.constituents.database.transaction(snapshot=True):
            memberships = self.constituents.find_all({"index_id": index_id}, order_by="date_added")
            coverage = Coverage(
                index_id=index_id,
                earliest_date=memberships[0].date_added if memberships else None,
                latest_date=memberships[-1].date_added if memberships else None,
                days_without_members=_days_without_members(memberships),
                constituent_count=self.constituents.get_constituent_count(index_id),
                ticker_change_count=self.ticker_changes.count(),
                snapshot_count=self.snapshots.count({"index_id": index_id}),
            )
        issues = _issues(coverage)
        return CoverageReport(valid=not issues, issues=issues, coverage=coverage)

    def _snapshot(
        self, index_id: IndexId | str, moment: datetime, known_at: date | datetime | None
    ) -> UniverseSnapshot | None:
        if not self.settings.use_cache:
            return None
        return self.snapshots.get_closest_before(index_id, moment, known_at=known_at)

    def _from_memberships(
        self, index_id: IndexId | str, moment: datetime, members: Sequence[IndexConstituent], names_are_current: bool
    ) -> PointInTimeResult:
        delisted = self._delisted(moment, members)
        stored = sorted({member.symbol for member in members} - delisted)
        historical = self.ticker_changes.resolve_many_to_historical(stored, moment) if names_are_current else {}
        symbols = [historical.get(symbol, symbol) for symbol in stored]
        mapped = {symbol: name for symbol, name in historical.items() if name != symbol}
        repeated = sorted(symbol for symbol, count in Counter(symbols).items() if count > 1)
        return PointInTimeResult(
            symbols=sorted(set(symbols)),
            as_of_date=moment,
            index_id=index_id,
            from_cache=False,
            warnings=[f"several members had one name: {', '.join(repeated)}"] if repeated else [],
            metadata=PointInTimeMetadata(
                ticker_changes_applied=len(mapped),
                delisted_excluded=sorted(delisted),
                ticker_changes_mapped=mapped,
            ),
        )

    def _delisted(self, moment: datetime, members: Sequence[IndexConstituent]) -> set[str]:
        """The members that were delisted since they joined: another company may have had the name before."""
        joined = {member.symbol: member.date_added for member in members}
        delistings = self.ticker_changes.find_delistings(joined, moment)
        return {one.old_symbol for one in delistings if one.change_date >= joined[one.old_symbol]}


def create_point_in_time_universe(
    constituents: IndexConstituentsRepository,
    ticker_changes: TickerChangesRepository,
    snapshots: UniverseSnapshotsRepository,
    settings: PointInTimeSettings | None = None,
) -> PointInTimeUniverse:
    """A `PointInTimeUniverse` over these repositories."""
    return PointInTimeUniverse(constituents, ticker_changes, snapshots, settings)


def _days_without_members(memberships: Sequence[IndexConstituent]) -> int:
    """The days between the first and the last beginning on which nobody was a member. In the order of beginnings."""
    days = timedelta()
    covered_until: datetime | None = None
    for membership in memberships:
        if covered_until is not None and membership.date_added > covered_until:
            days += membership.date_added - covered_until
        if membership.date_removed is None:
            break
        covered_until = max(covered_until or membership.date_removed, membership.date_removed)
    return days.days


def _issues(coverage: Coverage) -> list[str]:
    issues = []
    count, expected = coverage.constituent_count, _EXPECTED_SIZES.get(coverage.index_id)
    if expected is not None and abs(count - expected) * 10 > expected:
        issues.append(f"{coverage.index_id} has {count} members; about {expected} are expected")
    if count == 0:
        issues.append(f"{coverage.index_id} has no members")
    return issues
