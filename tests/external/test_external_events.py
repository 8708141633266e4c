"""External events: by instrument, by importance, as they were known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.external import ExternalEvent, ExternalEventSource, ExternalEventsRepository, Sentiment
from cream_store import ConstraintViolationError, InvalidDataError, Store, clock_set_to
from tests.races import at_once

NOON = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


def event(time: datetime = NOON, *symbols: str, **others: Any) -> ExternalEvent:
    given: dict[str, Any] = {
        "source_type": ExternalEventSource.NEWS,
        "event_type": "earnings",
        "event_time": time,
        "processed_at": time,
        "sentiment": Sentiment.POSITIVE,
        "confidence": Decimal("0.9"),
        "importance": 5,
        "summary": "a summary",
        "sentiment_score": Decimal("0.5"),
        "importance_score": Decimal("0.5"),
        "surprise_score": Decimal(0),
        "related_instruments": list(symbols),
        "original_content": "the text",
    }
    return ExternalEvent(**given | others)


@pytest.fixture
def events(store: Store) -> ExternalEventsRepository:
    return store[ExternalEventsRepository]


class TestStoring:
    def test_every_value_comes_back(self, events: ExternalEventsRepository) -> None:
        given = event(
            NOON,
            "AAPL",
            key_insights=["up"],
            entities=[{"name": "Apple", "type": "company", "ticker": "AAPL"}],
            data_points=[{"metric": "eps", "value": 1.5, "unit": "USD"}],
            sentiment_score=Decimal("-1.0000"),
        )
        assert events.create(given) == given == events.find_by_id(given.id)

    @pytest.mark.parametrize(
        ("column", "value"),
        [("confidence", "1.001"), ("sentiment_score", "-1.1"), ("importance_score", "1.1"), ("surprise_score", "-0.1")],
    )
    def test_scores_have_ranges(self, events: ExternalEventsRepository, column: str, value: str) -> None:
        with pytest.raises(ConstraintViolationError):
            events.create(event().replace(**{column: Decimal(value)}))

    def test_importance_is_1_to_10(self, events: ExternalEventsRepository) -> None:
        for importance in (0, 11):
            with pytest.raises(ConstraintViolationError):
                events.create(event(importance=importance))

    @pytest.mark.parametrize(
        ("column", "value"), [("sentiment", "bullish"), ("source_type", "macro"), ("event_type", "rumour")]
    )
    def test_undeclared_values_are_refused(self, events: ExternalEventsRepository, column: str, value: str) -> None:
        with pytest.raises(InvalidDataError, match=column):
            events.create(event().replace(**{column: value}))

    def test_of_many_only_what_is_known_is_left_out(self, events: ExternalEventsRepository) -> None:
        known = events.create(event())
        assert events.create_many([]) == 0
        given = [event(), event(), event(NOON + HOUR), event(original_content="other"), event(source_type="fed")]
        assert events.create_many(given) == 3
        assert {one.id for one in events.find_all()} == {known.id, *(one.id for one in given[2:])}
        with pytest.raises(ConstraintViolationError):
            events.create_many([event(NOON + DAY), event(NOON + DAY, importance=0, original_content="x")])
        assert events.count() == 4

    def test_two_feeds_at_once_store_an_event_once(self, postgresql_store: Store) -> None:
        events = postgresql_store[ExternalEventsRepository]
        assert sorted(at_once(*(partial(events.create_many, [event()]) for _ in range(4))), key=repr) == [0, 0, 0, 1]


class TestFinding:
    def test_the_filter_by_symbol_comes_before_paging(self, events: ExternalEventsRepository) -> None:
        mine = [events.create(event(NOON + i * HOUR, " aapl ", "MSFT")) for i in range(3)]
        events.create(event(NOON + DAY, "AAPLX"))
        page = events.find_many({"symbol": "aapl"}, page_size=2)
        assert (page.data, page.total, page.total_pages) == ([mine[2], mine[1]], 3, 2)
        assert mine[0].related_instruments == ["AAPL", "MSFT"]

    def test_filters(self, events: ExternalEventsRepository) -> None:
        given = [
            events.create(event()),
            events.create(event(NOON + DAY, source_type="fed", sentiment="negative", importance_score=Decimal("0.8"))),
        ]
        assert events.find_many().data == given[::-1]
        assert events.find_many({"source_type": ["fed", "news"], "sentiment": "negative"}).data == [given[1]]
        assert events.find_many({"min_importance": Decimal("0.8")}).data == [given[1]]
        assert events.find_many({"from_date": date(2024, 3, 16)}).data == [given[1]]
        assert events.find_many({"to_date": date(2024, 3, 15)}).data == [given[0]]
        assert events.find_many({"event_type": []}).total == 0

    def test_by_symbols(self, events: ExternalEventsRepository) -> None:
        low = events.create(event(NOON + DAY, "AAPL", importance_score=Decimal("0.1")))
        high = events.create(event(NOON, "MSFT", "AAPL", importance_score=Decimal("0.9")))
        events.create(event(NOON, "NVDA"))
        assert events.find_by_symbol("aapl") == [low, high]
        assert events.find_by_symbol("aapl", limit=1) == [low]
        assert events.find_by_symbols(["msft", "AAPL", "X"]) == [high, low]
        assert events.find_by_symbols(["AAPL"], limit=1) == [high]
        assert events.find_by_symbols([]) == events.find_by_symbol("MSF") == []
        with pytest.raises(InvalidDataError):
            events.find_by_symbols("AAPL")
        with pytest.raises(InvalidDataError):
            events.find_by_symbol("")

    def test_recent_ones(self, events: ExternalEventsRepository) -> None:
        edge, important = event(NOON - DAY), event(NOON, importance_score=Decimal("0.9"))
        late = event(NOON - HOUR, processed_at=NOON + HOUR)
        for one in (edge, important, late, event(NOON - DAY - TICK), event(NOON + TICK)):
            events.create(one)
        with clock_set_to(NOON):
            assert events.find_recent() == [important, late, edge]
            assert events.find_recent(hours=1, limit=1) == [important]
            assert events.find_recent(as_of=NOON) == [important, edge]
            with pytest.raises(InvalidDataError, match="hours"):
                events.find_recent(0)

    def test_macro_events_are_the_feds(self, events: ExternalEventsRepository) -> None:
        fed = events.create(event(source_type="fed"))
        events.create(event())
        assert events.find_macro_events() == [fed]


class TestFigures:
    def test_sentiment_of_a_symbol(self, events: ExternalEventsRepository) -> None:
        for time, score in (
            (NOON, "1"),
            (NOON - DAY, "0"),
            (NOON, "0"),
            (NOON - DAY - TICK, "-1"),
            (NOON + TICK, "-1"),
        ):
            events.create(event(time, "AAPL", sentiment_score=Decimal(score)))
        with clock_set_to(NOON):
            sentiment = events.get_symbol_sentiment("aapl")
            nothing = events.get_symbol_sentiment("MSFT")
        assert (sentiment.avg_sentiment, sentiment.count) == (Decimal(1) / 3, 3)
        assert (nothing.avg_sentiment, nothing.count) == (Decimal(0), 0)
        assert events.get_symbol_sentiment("AAPL", hours=1, as_of=NOON - DAY).count == 2

    def test_every_source_is_counted(self, events: ExternalEventsRepository) -> None:
        events.create(event())
        assert events.count_by_source_type() == {"news": 1, "earnings": 0, "sec_filing": 0, "fed": 0}

    def test_counts_need_no_environment(self, paper_store: Store) -> None:
        assert sum(paper_store[ExternalEventsRepository].count_by_source_type().values()) == 0

    def test_old_ones_are_deleted(self, events: ExternalEventsRepository) -> None:
        events.create(event(NOON - TICK))
        kept = events.create(event(NOON))
        with clock_set_to(NOON + 2 * DAY):
            assert events.delete_older_than(2) == 1
            with pytest.raises(InvalidDataError, match="days"):
                events.delete_older_than(0)
        assert events.find_all() == [kept]
