"""The macro watch and its newspapers: what was noticed when, one newspaper a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cream_plugins.external import MacroWatchCategory, MacroWatchEntry, MacroWatchRepository, MorningNewspaper
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    InvalidDataError,
    Store,
    clock_set_to,
    new_id,
)

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
TODAY = date(2024, 3, 15)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


def entry(time: datetime = NOON, *symbols: str, **others: Any) -> MacroWatchEntry:
    given: dict[str, Any] = {
        "timestamp": time,
        "session": "OVERNIGHT",
        "category": "NEWS",
        "headline": "a headline",
        "symbols": list(symbols),
        "source": "wire",
    }
    return MacroWatchEntry(**given | others)


def newspaper(day: Any = TODAY, **others: Any) -> MorningNewspaper:
    given: dict[str, Any] = {"date": day, "compiled_at": NOON, "sections": {"macro": ["rates"]}}
    return MorningNewspaper(**given | others)


@pytest.fixture
def watch(store: Store) -> MacroWatchRepository:
    return store[MacroWatchRepository]


class TestEntries:
    def test_one_comes_back_as_it_was_stored(self, watch: MacroWatchRepository) -> None:
        stored = watch.save_entry(entry(NOON, " aapl", metadata={"externalId": "news-1"}))
        assert (stored.symbols, stored.metadata) == (["AAPL"], {"externalId": "news-1"})
        assert watch.find_entry_by_id(stored.id) == stored
        assert watch.save_entry(entry()).metadata is None
        assert watch.find_entry_by_id(new_id()) is None
        with pytest.raises(DuplicateKeyError):
            watch.save_entry(stored)

    def test_many_are_stored_all_or_none(self, watch: MacroWatchRepository) -> None:
        assert watch.save_entries([]) == 0
        assert watch.save_entries([entry(), entry()]) == 2
        with pytest.raises(InvalidDataError, match="id"):
            watch.save_entries([entry(), entry(id="news-12345")])
        assert watch.count() == 2

    def test_ranges(self, watch: MacroWatchRepository) -> None:
        given = [entry(NOON + i * HOUR, created_at=NOON - i * HOUR) for i in range(4)]
        watch.save_entries(given)
        assert watch.get_entries(NOON + HOUR, NOON + 2 * HOUR) == [given[2], given[1]]
        assert watch.get_entries(TODAY, TODAY, limit=1) == [given[3]]
        assert watch.find_by_created_at_range(NOON - HOUR, NOON) == [given[1], given[0]]
        assert watch.find_by_created_at_range(NOON - HOUR, NOON, limit=1) == [given[1]]
        with clock_set_to(NOON + 2 * HOUR):
            assert watch.get_entries_since_close(NOON + HOUR) == given[1:3]
        assert watch.get_entries_since_close(NOON, until=NOON + HOUR, limit=1) == given[:1]

    def test_the_filter_by_symbols_comes_before_the_limit(self, watch: MacroWatchRepository) -> None:
        mine, other = entry(NOON, "AAPL", "MSFT"), entry(NOON + HOUR, "NVDA", session="PRE_MARKET", category="MOVER")
        watch.save_entries([mine, other])
        assert watch.find_entries() == [other, mine]
        assert watch.find_entries({"symbols": ["msft", "X"]}, limit=1) == [mine]
        assert watch.find_entries({"symbols": []}) == []
        assert watch.find_entries({"session": "PRE_MARKET", "category": "MOVER"}) == [other]
        assert watch.find_entries({"from_time": NOON + TICK, "to_time": NOON + HOUR}) == [other]

    def test_every_category_is_counted(self, watch: MacroWatchRepository) -> None:
        watch.save_entries([entry(), entry(NOON - TICK), entry(category="MOVER")])
        assert watch.count_by_category(NOON) == dict.fromkeys(MacroWatchCategory, 0) | {"NEWS": 1, "MOVER": 1}


class TestNewspapers:
    def test_missing_sections_are_empty(self, watch: MacroWatchRepository) -> None:
        stored = watch.save_newspaper(newspaper(sections={"predictionMarkets": ["a cut"]}))
        assert stored.sections == {
            "macro": [],
            "universe": [],
            "predictionMarkets": ["a cut"],
            "economicCalendar": [],
        }
        assert (stored.macro, stored.universe, stored.economic_calendar) == ([], [], [])
        assert stored.prediction_markets == ["a cut"]
        assert watch.find_newspaper_by_id(stored.id) == watch.get_newspaper_by_date(TODAY) == stored
        assert watch.get_newspaper_by_date("2024-03-15") == stored
        assert watch.get_newspaper_by_date(TODAY + DAY) is None

    @pytest.mark.parametrize("sections", [{"sport": []}, {"macro": "rates"}, {"macro": [1]}, ["macro"]])
    def test_other_sections_are_refused(self, watch: MacroWatchRepository, sections: Any) -> None:
        with pytest.raises(InvalidDataError, match="sections"):
            watch.upsert_newspaper(newspaper(sections=sections))

    @pytest.mark.parametrize("day", ["2024-3-15", "15.03.2024", "20240315", NOON, 20240315])
    def test_a_day_has_one_form(self, watch: MacroWatchRepository, day: Any) -> None:
        with pytest.raises(InvalidDataError, match="date"):
            watch.save_newspaper(newspaper(day))

    def test_a_day_has_one_newspaper(self, watch: MacroWatchRepository) -> None:
        first = watch.save_newspaper(newspaper("2024-03-15"))
        assert first.date == TODAY
        with pytest.raises(DuplicateKeyError):
            watch.save_newspaper(newspaper())
        again = watch.upsert_newspaper(newspaper(compiled_at=NOON + HOUR, raw_entry_ids=["1"]))
        assert again == first.replace(compiled_at=NOON + HOUR, raw_entry_ids=["1"])

    def test_a_newer_compilation_is_not_overwritten(self, watch: MacroWatchRepository) -> None:
        watch.upsert_newspaper(newspaper())
        newer = watch.upsert_newspaper(newspaper(compiled_at=NOON + HOUR), expected_compiled_at=NOON)
        assert newer.compiled_at == NOON + HOUR
        for day in (TODAY, TODAY + DAY):
            with pytest.raises(ConstraintViolationError, match="compiled"):
                watch.upsert_newspaper(newspaper(day), expected_compiled_at=NOON)
        assert watch.newspapers.find_all() == [newer]

    def test_ranges(self, watch: MacroWatchRepository) -> None:
        assert watch.get_latest_newspaper() is None
        given = [watch.save_newspaper(newspaper(TODAY + i * DAY, compiled_at=NOON + i * DAY)) for i in range(3)]
        assert watch.get_newspapers(TODAY, "2024-03-16") == [given[1], given[0]]
        assert watch.get_newspapers(TODAY, TODAY + 2 * DAY, limit=1) == [given[2]] == [watch.get_latest_newspaper()]
        assert watch.get_newspaper_by_compiled_at_range(NOON, NOON + DAY) == given[1]
        assert watch.get_newspaper_by_compiled_at_range(NOON + TICK, NOON + DAY - TICK) is None


class TestTheWhole:
    def test_stats(self, watch: MacroWatchRepository) -> None:
        empty = watch.get_stats()
        assert (empty.entry_count, empty.newspaper_count, empty.oldest_entry) == (0, 0, None)
        assert empty.latest_newspaper_date is None
        watch.save_entries([entry(), entry(NOON + DAY)])
        watch.save_newspaper(newspaper())
        stats = watch.get_stats()
        assert (stats.entry_count, stats.newspaper_count, stats.latest_newspaper_date) == (2, 1, TODAY)
        assert (stats.oldest_entry, stats.newest_entry) == (NOON, NOON + DAY)

    def test_old_data_is_pruned_but_for_what_a_kept_newspaper_names(self, watch: MacroWatchRepository) -> None:
        old, named, edge = (entry(created_at=time) for time in (NOON - TICK, NOON - TICK, NOON))
        watch.save_entries([old, named, edge])
        watch.save_newspaper(newspaper(TODAY - DAY, raw_entry_ids=[str(old.id)]))
        kept = watch.save_newspaper(newspaper(raw_entry_ids=[str(named.id), "news-1"]))
        with clock_set_to(NOON + 30 * DAY):
            pruned = watch.prune_old_data(30)
        assert (pruned.entries, pruned.newspapers) == (1, 1)
        assert {one.id for one in watch.find_all()} == {named.id, edge.id}
        assert watch.newspapers.find_all() == [kept]
        with pytest.raises(InvalidDataError):
            watch.prune_old_data(0)
