"""Universe snapshots: one of a day, until it expires."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cream_plugins.universe import IndexId, SavedSnapshot, UniverseSnapshot, UniverseSnapshotsRepository
from cream_store import InvalidDataError, NotFoundError, Store, clock_set_to
from tests.races import at_once

SP500, DOW = IndexId.SP500, IndexId.DOWJONES
TODAY = datetime(2024, 3, 15, tzinfo=UTC)
NOW = TODAY + timedelta(hours=12)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def snapshot(day: Any = TODAY, **others: Any) -> UniverseSnapshot:
    given: dict[str, Any] = {"snapshot_date": day, "index_id": SP500, "tickers": ["AAPL"]}
    return UniverseSnapshot(**given | others)


@pytest.fixture
def snapshots(store: Store) -> UniverseSnapshotsRepository:
    return store[UniverseSnapshotsRepository]


class TestSave:
    def test_tickers_are_sorted_and_distinct_and_counted(self, snapshots: UniverseSnapshotsRepository) -> None:
        with clock_set_to(NOW):
            saved = snapshots.save(date(2024, 3, 15), "SP500", ["msft", "AAPL", " MSFT"], "v1", NOW + DAY)
            assert not saved.replaced
            found = snapshots.get(SP500, TODAY)
        assert found == snapshot(
            tickers=["AAPL", "MSFT"], source_version="v1", computed_at=NOW, expires_at=NOW + DAY, id=saved.id
        )
        assert found.ticker_count == 2
        assert saved == SavedSnapshot(**found.as_dict(), replaced=False)

    def test_it_replaces_the_one_of_the_day_and_says_so(self, snapshots: UniverseSnapshotsRepository) -> None:
        first = snapshots.save(TODAY, SP500, ["A", "B"], "v1", NOW + DAY)
        snapshots.save(TODAY, DOW, ["C"])
        with clock_set_to(NOW):
            again = snapshots.save(TODAY, SP500, [])
        assert again.replaced
        assert snapshots.find_by_id(first.id or 0) == snapshot(tickers=[], computed_at=NOW, id=first.id)
        assert snapshots.count() == 2

    def test_of_several_at_once_one_is_the_first(self, postgresql_store: Store) -> None:
        snapshots = postgresql_store[UniverseSnapshotsRepository]
        saved = at_once(*[lambda: snapshots.save(TODAY, SP500, ["A"])] * 4)
        assert sorted(one.replaced for one in saved if isinstance(one, SavedSnapshot)) == [False, True, True, True]

    @pytest.mark.parametrize("tickers", ["AAPL", ["AAPL", ""], [5]])
    def test_what_is_no_list_of_symbols_is_refused(self, snapshots: UniverseSnapshotsRepository, tickers: Any) -> None:
        with pytest.raises(InvalidDataError, match="tickers"):
            snapshots.save(TODAY, SP500, tickers)

    @pytest.mark.parametrize(("index_id", "day"), [("DJIA", TODAY), ("", TODAY), (SP500, NOW), (SP500, None)])
    def test_an_undeclared_index_or_a_time_of_day_is_refused(
        self, snapshots: UniverseSnapshotsRepository, index_id: str, day: Any
    ) -> None:
        with pytest.raises(InvalidDataError):
            snapshots.save(day, index_id, ["A"])
        assert snapshots.count() == 0

    def test_many_are_stored_all_or_none(self, snapshots: UniverseSnapshotsRepository) -> None:
        with clock_set_to(NOW):
            given = [snapshot(), snapshot(TODAY - DAY), snapshot(tickers=["B", "B"], computed_at=TODAY)]
            assert snapshots.bulk_upsert(iter(given)) == 3
        found = snapshots.find_all()
        assert [(one.tickers, one.ticker_count, one.computed_at) for one in found] == [
            (["B"], 1, NOW),
            (["AAPL"], 1, NOW),
        ]
        with pytest.raises(InvalidDataError):
            snapshots.bulk_upsert([snapshot(TODAY + DAY), snapshot(index_id="DJIA")])
        assert snapshots.count() == 2


class TestReading:
    @pytest.mark.parametrize("day", [date(2024, 3, 15), TODAY, NOW])
    def test_a_day_has_its_snapshot(self, snapshots: UniverseSnapshotsRepository, day: date) -> None:
        snapshots.bulk_upsert([snapshot(), snapshot(TODAY + DAY), snapshot(index_id=DOW)])
        found = snapshots.get(SP500, day)
        assert found is not None
        assert (found.snapshot_date, found.index_id) == (TODAY, SP500)
        assert snapshots.get(SP500, TODAY - DAY) is None
        assert snapshots.get("NO SUCH INDEX", day) is None

    def test_the_closest_is_never_a_later_one(self, snapshots: UniverseSnapshotsRepository) -> None:
        snapshots.bulk_upsert([snapshot(), snapshot(TODAY - 3 * DAY), snapshot(TODAY - DAY, index_id=DOW)])

        def closest(day: date) -> datetime | None:
            found = snapshots.get_closest_before(SP500, day)
            return None if found is None else found.snapshot_date

        assert closest(date(2024, 3, 15)) == closest(TODAY) == closest(NOW + 9 * DAY) == TODAY
        assert closest(date(2024, 3, 14)) == closest(TODAY - MICROSECOND) == TODAY - 3 * DAY
        assert closest(TODAY - 3 * DAY - MICROSECOND) is None

    def test_one_that_was_taken_later_that_day_is_not_seen_as_of_the_day(
        self, snapshots: UniverseSnapshotsRepository
    ) -> None:
        snapshots.save(TODAY, SP500, ["A"])
        later = "2024-03-15T16:00:00.000000Z"
        snapshots.database.change(f"UPDATE universe_snapshots SET snapshot_date = '{later}'")
        assert snapshots.get_closest_before(SP500, date(2024, 3, 15)) is None
        assert snapshots.get(SP500, date(2024, 3, 15)) is not None

    def test_one_is_valid_until_the_moment_it_expires(self, snapshots: UniverseSnapshotsRepository) -> None:
        snapshots.save(TODAY, SP500, ["A"], expires_at=NOW)
        older = snapshots.save(TODAY - DAY, SP500, ["B"])
        with clock_set_to(NOW - MICROSECOND):
            assert snapshots.get(SP500, TODAY) == snapshots.get_closest_before(SP500, TODAY) == snapshots.first()
            assert snapshots.purge_expired() == 0
        with clock_set_to(NOW):
            assert snapshots.get(SP500, TODAY) is None
            assert snapshots.get(SP500, TODAY, include_expired=True) == snapshots.first()
            assert snapshots.get_closest_before(SP500, TODAY, include_expired=True) == snapshots.first()
            closest = snapshots.get_closest_before(SP500, TODAY)
            assert closest is not None
            assert closest.id == older.id
            assert snapshots.purge_expired() == 1
        assert [one.id for one in snapshots.find_all()] == [older.id]

    def test_what_was_computed_later_can_be_left_out(self, snapshots: UniverseSnapshotsRepository) -> None:
        with clock_set_to(NOW):
            snapshots.save(TODAY, SP500, ["A"])
        reads: list[Callable[..., Any]] = [snapshots.get, snapshots.get_closest_before]
        for read in reads:
            assert read(SP500, TODAY, known_at=NOW) is not None
            assert read(SP500, TODAY, known_at=NOW - MICROSECOND) is None
            assert read(SP500, TODAY, known_at=TODAY.date()) is None

    def test_days_come_ascending(self, snapshots: UniverseSnapshotsRepository) -> None:
        snapshots.bulk_upsert([snapshot(), snapshot(TODAY - DAY, expires_at=TODAY), snapshot(index_id=DOW)])
        assert snapshots.list_dates(SP500) == [TODAY - DAY, TODAY]
        assert snapshots.list_dates("NO SUCH INDEX") == []

    def test_there_is_no_asking_for_every_index_or_day(self, snapshots: UniverseSnapshotsRepository) -> None:
        missing: Any = None
        asked: list[Callable[[], Any]] = [
            lambda: snapshots.get(missing, TODAY),
            lambda: snapshots.get(SP500, missing),
            lambda: snapshots.get_closest_before(missing, TODAY),
            lambda: snapshots.get_closest_before(SP500, missing),
            lambda: snapshots.list_dates(missing),
        ]
        for ask in asked:
            with pytest.raises(InvalidDataError):
                ask()


def test_the_usual_ways_of_a_repository_work(snapshots: UniverseSnapshotsRepository) -> None:
    stored = snapshots.create(snapshot(ticker_count=7))
    assert stored.id is not None
    assert snapshots.find_many({"index_id": ["SP500"], "from_date": TODAY, "to_date": TODAY}).data == [stored]
    assert snapshots.update(stored.id, {"expires_at": NOW}) == stored.replace(expires_at=NOW)
    with pytest.raises(InvalidDataError, match="tickers can't be changed"):
        snapshots.update(stored.id, {"tickers": []})  # type: ignore[typeddict-unknown-key]  # what is being tested
    assert snapshots.delete(stored.id)
    with pytest.raises(NotFoundError):
        snapshots.update(stored.id, {"expires_at": None})
