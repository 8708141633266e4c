"""The economic calendar: one row per release and day, due in New York's time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from cream_plugins.external import EconomicCalendarEvent, EconomicCalendarRepository
from cream_store import InvalidDataError, Store, clock_set_to

DAY = date(2024, 3, 15)
NEXT = timedelta(days=1)
MORNING = datetime(2024, 3, 15, 12, 30, tzinfo=UTC)  # 8:30 in New York
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)


def release(id: int = 1, day: Any = DAY, at: str = "08:30", **others: Any) -> EconomicCalendarEvent:
    given: dict[str, Any] = {
        "release_id": id,
        "release_name": "CPI",
        "release_date": day,
        "release_time": at,
        "impact": "high",
        "fetched_at": MORNING,
    }
    return EconomicCalendarEvent(**given | others)


def ids(events: list[EconomicCalendarEvent]) -> list[int]:
    return [event.release_id for event in events]


@pytest.fixture
def calendar(store: Store) -> EconomicCalendarRepository:
    return store[EconomicCalendarRepository]


class TestStoring:
    def test_a_later_fetch_keeps_what_it_does_not_know(self, calendar: EconomicCalendarRepository) -> None:
        assert calendar.upsert_events([]) == 0
        calendar.upsert_events([release(actual="3.2", previous="3.1", unit="%")])
        [first] = calendar.find_all()
        with clock_set_to(MORNING):
            assert calendar.upsert_events([release(release_name="CPI m/m", previous="3.0", impact="low")]) == 1
        [second] = calendar.find_all()
        assert second == first.replace(release_name="CPI m/m", previous="3.0", impact=second.impact, updated_at=MORNING)
        assert (second.impact, second.actual, second.unit, second.country) == ("low", "3.2", "%", "US")
        calendar.upsert_events([release()], overwrite_nulls=True)
        [third] = calendar.find_all()
        assert (third.id, third.actual, third.previous, third.unit) == (first.id, None, None, None)

    def test_of_repeated_ones_the_last_wins(self, calendar: EconomicCalendarRepository) -> None:
        assert calendar.upsert_events([release(forecast="1"), release(2), release(forecast="2")]) == 3
        assert {event.release_id: event.forecast for event in calendar.find_all()} == {1: "2", 2: None}

    @pytest.mark.parametrize(
        ("column", "value"),
        [("impact", "huge"), ("release_time", "8:30"), ("release_time", "24:00"), ("release_date", "15 March")],
    )
    def test_impossible_ones_are_refused(self, calendar: EconomicCalendarRepository, column: str, value: str) -> None:
        with pytest.raises(InvalidDataError, match=column):
            calendar.upsert_events([release(2), release().replace(**{column: value})])
        assert calendar.count() == 0


class TestFinding:
    def test_events_come_by_day_and_time(self, calendar: EconomicCalendarRepository) -> None:
        calendar.upsert_events(
            [
                release(1, DAY + NEXT, "09:00"),
                release(2, DAY, "10:00", impact="low"),
                release(3, DAY, "09:00", country="DE", impact="medium"),
                release(4, DAY + 2 * NEXT),
            ]
        )
        assert ids(calendar.get_events(DAY, DAY + NEXT)) == [3, 2, 1]
        assert ids(calendar.get_events("2024-03-16", "2024-03-17")) == [1, 4]
        assert ids(calendar.get_events(DAY, DAY + NEXT, impact=["low", "high"])) == [2, 1]
        assert ids(calendar.get_events(DAY, DAY + NEXT, country="DE")) == [3]
        assert ids(calendar.get_events(DAY, DAY + NEXT, limit=1)) == [3]
        assert calendar.get_events(DAY, DAY + NEXT, impact=[]) == []

    def test_high_impact_ones_are_due_by_the_instant(self, calendar: EconomicCalendarRepository) -> None:
        calendar.upsert_events(
            [
                release(1),
                release(2, DAY, "08:29"),
                release(3, DAY + NEXT),
                release(4, DAY + NEXT, "08:31"),
                release(5, DAY, "10:00", impact="low"),
                release(6, DAY, "12:30", country="GB"),
            ]
        )
        with clock_set_to(MORNING):
            assert ids(calendar.get_upcoming_high_impact_events()) == [1, 6, 3]
            assert ids(calendar.get_upcoming_high_impact_events(1)) == [1, 6]
        with clock_set_to(MORNING + TICK):
            assert ids(calendar.get_upcoming_high_impact_events(23)) == []
            with pytest.raises(InvalidDataError, match="hours_ahead"):
                calendar.get_upcoming_high_impact_events(0)

    def test_new_york_has_summer_and_winter(self, calendar: EconomicCalendarRepository) -> None:
        calendar.upsert_events([release(1, date(2024, 1, 12))])
        with clock_set_to(datetime(2024, 1, 12, 13, 30, tzinfo=UTC)):
            assert ids(calendar.get_upcoming_high_impact_events(1)) == [1]

    def test_one_without_a_readable_time_is_due_all_day(self, calendar: EconomicCalendarRepository) -> None:
        calendar.upsert_events([release()])
        calendar.database.change("UPDATE economic_calendar_cache SET release_time = 'Tentative'")
        midnight = datetime(2024, 3, 15, 4, tzinfo=UTC)
        for now, due in ((midnight - HOUR - TICK, []), (midnight, [1]), (midnight + 24 * HOUR - TICK, [1])):
            with clock_set_to(now):
                assert ids(calendar.get_upcoming_high_impact_events(1)) == due
        with clock_set_to(midnight + 24 * HOUR):
            assert calendar.get_upcoming_high_impact_events(1) == []


class TestFreshness:
    def test_the_last_fetch(self, calendar: EconomicCalendarRepository) -> None:
        assert calendar.get_last_fetch_time() is None
        assert calendar.is_cache_stale(1)
        calendar.upsert_events([release(fetched_at=MORNING), release(2, DAY + NEXT, fetched_at=MORNING + HOUR)])
        assert calendar.get_last_fetch_time() == MORNING + HOUR
        assert calendar.get_last_fetch_time(DAY, DAY) == MORNING
        with clock_set_to(MORNING + 2 * HOUR):
            assert not calendar.is_cache_stale(1)
            assert calendar.is_cache_stale(0.5)
            assert calendar.is_cache_stale(1, DAY, DAY)
            assert calendar.is_cache_stale(1, DAY + 5 * NEXT)

    def test_old_ones_are_deleted(self, calendar: EconomicCalendarRepository) -> None:
        calendar.upsert_events([release(), release(2, DAY - NEXT)])
        assert calendar.clear_old_events("2024-03-15") == 1
        assert ids(calendar.find_all()) == [1]

    def test_stats(self, calendar: EconomicCalendarRepository) -> None:
        empty = calendar.get_stats()
        assert (empty.total_events, empty.oldest_event, empty.high_impact_count) == (0, None, 0)
        calendar.upsert_events([release(), release(2, DAY + NEXT), release(3, impact="low")])
        stats = calendar.get_stats()
        assert (stats.total_events, stats.oldest_event, stats.newest_event) == (3, DAY, DAY + NEXT)
        assert stats.last_fetched_at == MORNING
        assert (stats.high_impact_count, stats.medium_impact_count, stats.low_impact_count) == (2, 0, 1)


def test_an_undeclared_impact_of_another_program_is_read(calendar: EconomicCalendarRepository) -> None:
    calendar.upsert_events([release()])
    calendar.database.change("UPDATE economic_calendar_cache SET impact = 'none'")
    assert [event.impact for event in calendar.find_all()] == ["none"]


def test_new_yorks_time_is_known_where_the_system_does_not_know_it() -> None:
    try:
        reset_tzpath(to=[])
        ZoneInfo.clear_cache()
        assert release().overlaps(MORNING, MORNING)
        assert not release().overlaps(MORNING + TICK, MORNING + HOUR)
    finally:
        reset_tzpath()
