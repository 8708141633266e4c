"""The universe at a point in time: where its symbols come from, and nothing from later."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cream_plugins.universe import (
    IndexConstituent,
    IndexConstituentsRepository,
    IndexId,
    PointInTimeMetadata,
    PointInTimeResult,
    PointInTimeSettings,
    PointInTimeUniverse,
    TickerChange,
    TickerChangesRepository,
    TickerChangeType,
    UniverseSnapshotsRepository,
    create_point_in_time_universe,
)
from cream_store import InvalidDataError, Store, clock_set_to

SP500 = IndexId.SP500
THEN = datetime(2020, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def universe_of(store: Store, **settings: Any) -> PointInTimeUniverse:
    return create_point_in_time_universe(
        store[IndexConstituentsRepository],
        store[TickerChangesRepository],
        store[UniverseSnapshotsRepository],
        PointInTimeSettings(**settings),
    )


@pytest.fixture
def universe(store: Store) -> PointInTimeUniverse:
    return universe_of(store)


def join(universe: PointInTimeUniverse, *symbols: str, added: datetime = THEN, **others: Any) -> None:
    universe.constituents.create_many(
        IndexConstituent(index_id=SP500, symbol=symbol, date_added=added, **others) for symbol in symbols
    )


def change(universe: PointInTimeUniverse, old: str, new: str, day: datetime, kind: str = "rename") -> None:
    universe.ticker_changes.create(
        TickerChange(old_symbol=old, new_symbol=new, change_date=day, change_type=TickerChangeType(kind))
    )


class TestWhereTheSymbolsComeFrom:
    def test_a_snapshot_of_the_day_comes_first(self, universe: PointInTimeUniverse) -> None:
        join(universe, "MEMBER")
        universe.snapshots.save(THEN, SP500, ["B", "A"])
        for as_of in (THEN.date(), THEN, THEN + timedelta(hours=15)):
            found = universe.get_universe_as_of("SP500", as_of)
            assert (found.symbols, found.from_cache, found.warnings) == (["A", "B"], True, [])
            assert found.metadata == PointInTimeMetadata()
        assert universe.get_universe_as_of(SP500, THEN.date()).as_of_date == THEN

    def test_memberships_come_before_a_stale_snapshot(self, universe: PointInTimeUniverse) -> None:
        universe.snapshots.save(THEN - DAY, SP500, ["STALE"])
        join(universe, "B", "A")
        assert universe.get_universe_as_of(SP500, THEN) == PointInTimeResult(
            symbols=["A", "B"], as_of_date=THEN, index_id=SP500, from_cache=False
        )

    @pytest.mark.parametrize(("age", "is_used"), [(1, True), (30, True), (31, False)])
    def test_a_stale_one_is_better_than_nothing_but_not_for_ever(
        self, universe: PointInTimeUniverse, age: int, is_used: bool
    ) -> None:
        universe.snapshots.save(THEN - age * DAY, SP500, ["STALE"])
        found = universe.get_universe_as_of(SP500, THEN + timedelta(hours=23))
        assert (found.symbols, found.from_cache) == (["STALE"] * is_used, is_used)
        [warning] = found.warnings
        assert (f"{age} days" if is_used else "no historical data for SP500") in warning

    def test_a_later_snapshot_is_never_used(self, universe: PointInTimeUniverse) -> None:
        universe.snapshots.save(THEN, SP500, ["LATER"])
        later = "2020-03-02T16:00:00.000000Z"
        universe.snapshots.database.change(f"UPDATE universe_snapshots SET snapshot_date = '{later}'")
        for as_of in (THEN, THEN.date(), THEN - DAY):
            assert universe.get_universe_as_of(SP500, as_of).symbols == []

    def test_without_the_cache_there_are_only_memberships(self, store: Store) -> None:
        universe = universe_of(store, use_cache=False)
        universe.snapshots.save(THEN, SP500, ["A"])
        found = universe.get_universe_as_of(SP500, THEN)
        assert (found.symbols, found.from_cache, len(found.warnings)) == ([], False, 1)
        join(universe, "B")
        assert universe.get_universe_as_of(SP500, THEN).symbols == ["B"]

    def test_what_was_not_known_yet_can_be_left_out(self, universe: PointInTimeUniverse) -> None:
        join(universe, "A", created_at=THEN)
        with clock_set_to(THEN + DAY):
            universe.snapshots.save(THEN, SP500, ["B"])
        assert universe.get_universe_as_of(SP500, THEN, known_at=THEN + DAY).symbols == ["B"]
        assert universe.get_universe_as_of(SP500, THEN, known_at=THEN).symbols == ["A"]
        assert universe.get_universe_as_of(SP500, THEN, known_at=THEN - DAY).symbols == []

    def test_it_needs_a_moment(self, universe: PointInTimeUniverse) -> None:
        with pytest.raises(InvalidDataError):
            universe.get_universe_as_of(SP500, "2020-03-02")  # type: ignore[arg-type]  # what is being tested


class TestNames:
    def test_they_are_those_of_their_time_unless_told(self, universe: PointInTimeUniverse) -> None:
        join(universe, "META", "AAPL")
        change(universe, "FB", "META", THEN + DAY)
        assert universe.get_universe_as_of(SP500, THEN).symbols == ["AAPL", "META"]
        found = universe.get_universe_as_of(SP500, THEN, names_are_current=True)
        assert (found.symbols, found.warnings) == (["AAPL", "FB"], [])
        assert found.metadata == PointInTimeMetadata(ticker_changes_applied=1, ticker_changes_mapped={"META": "FB"})

    def test_two_that_had_one_name_count_once_and_are_told(self, universe: PointInTimeUniverse) -> None:
        join(universe, "GOOG", "GOOGL")
        change(universe, "GOOG", "GOOGL", THEN + DAY)
        found = universe.get_universe_as_of(SP500, THEN, names_are_current=True)
        assert found.symbols == ["GOOG"]
        assert found.warnings == ["several members had one name: GOOG"]

    def test_the_delisted_are_left_out_and_listed(self, universe: PointInTimeUniverse) -> None:
        join(universe, "A", "B", "C")
        change(universe, "B", "B", THEN + DAY, "delisted")
        change(universe, "C", "C", THEN - DAY, "delisted")  # another company, which had the name before
        assert universe.get_universe_as_of(SP500, THEN).symbols == ["A", "B", "C"]
        found = universe.get_universe_as_of(SP500, (THEN + DAY).date())
        assert (found.symbols, found.metadata.delisted_excluded) == (["A", "C"], ["B"])

    def test_a_member_is_found_by_both_names(self, universe: PointInTimeUniverse) -> None:
        join(universe, "FB", "AAPL")
        change(universe, "FB", "META", THEN + 5 * DAY)
        for symbol, was in (("META", True), ("FB", True), ("AAPL", True), ("MSFT", False)):
            assert universe.was_in_index(SP500, symbol, THEN) is was
        assert not universe.was_in_index(SP500, "META", THEN - DAY)
        assert universe.resolve_historical_ticker("META", date(2020, 3, 2)) == "FB"
        assert universe.resolve_current_ticker("FB") == "META"


class TestCoverage:
    def test_nothing_is_too_little(self, universe: PointInTimeUniverse) -> None:
        report = universe.validate_data_coverage(SP500)
        assert not report.valid
        assert len(report.issues) == 2
        assert (report.coverage.earliest_date, report.coverage.latest_date) == (None, None)
        assert len(universe.validate_data_coverage(IndexId.SP400).issues) == 1

    @pytest.mark.parametrize(("count", "valid"), [(26, False), (27, True), (33, True), (34, False)])
    def test_a_tenth_off_the_expected_size_is_no_issue(
        self, universe: PointInTimeUniverse, count: int, valid: bool
    ) -> None:
        join(universe, *(f"S{i}" for i in range(count)))
        universe.constituents.database.change("UPDATE index_constituents SET index_id = 'DOWJONES'")
        report = universe.validate_data_coverage("DOWJONES")
        assert (report.valid, report.coverage.constituent_count) == (valid, count)

    def test_it_is_about_all_memberships(self, universe: PointInTimeUniverse) -> None:
        join(universe, "A", date_removed=THEN + 5 * DAY)
        join(universe, "B", added=THEN + DAY, date_removed=THEN + 2 * DAY)
        join(universe, "C", added=THEN + 8 * DAY)
        join(universe, "D", added=THEN + 9 * DAY, date_removed=THEN + 10 * DAY)
        change(universe, "X", "Y", THEN)
        universe.snapshots.save(THEN, SP500, ["A"])
        coverage = universe.validate_data_coverage(SP500).coverage
        assert (coverage.earliest_date, coverage.latest_date) == (THEN, THEN + 9 * DAY)
        assert coverage.days_without_members == 3
        assert (coverage.constituent_count, coverage.ticker_change_count, coverage.snapshot_count) == (1, 1, 1)
