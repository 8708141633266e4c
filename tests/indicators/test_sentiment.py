"""Sentiment: the best and the worst, event risk, bounds."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.indicators import SentimentIndicators, SentimentRepository
from cream_store import InvalidDataError, Store, clock_set_to
from tests.indicators.samples import DAY, NOON, TODAY, sentiment


@pytest.fixture
def repository(store: Store) -> SentimentRepository:
    return store[SentimentRepository]


def symbols(found: list[SentimentIndicators]) -> list[str]:
    return [one.symbol for one in found]


def test_every_value_comes_back_as_it_was_stored(repository: SentimentRepository) -> None:
    scores = ("sentiment_score", "news_sentiment", "social_sentiment", "analyst_sentiment")
    given = sentiment(
        **dict[str, Any]({name: Decimal(f"-0.{i}123") for i, name in enumerate(scores)}),
        sentiment_strength=Decimal(0),
        sentiment_momentum=Decimal("1.9999"),
        news_volume=0,
        event_risk_flag=True,
    )
    assert repository.create(given).as_dict() | {"date": TODAY} == given.as_dict()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(
            (name, Decimal(sign) * Decimal("1.0001"))
            for name in ("sentiment_score", "news_sentiment")
            for sign in (1, -1)
        ),
        ("social_sentiment", Decimal(-2)),
        ("analyst_sentiment", Decimal(2)),
        ("sentiment_strength", Decimal("-0.0001")),
        ("sentiment_momentum", Decimal("2.0001")),
        ("news_volume", -1),
    ],
)
def test_what_is_out_of_bounds_is_refused(repository: SentimentRepository, column: str, value: Any) -> None:
    stored = repository.upsert(sentiment())
    changes: Any = {column: value}
    with pytest.raises(InvalidDataError, match=column):
        repository.upsert(sentiment().replace(**changes))
    with pytest.raises(InvalidDataError, match=column):
        repository.update(stored.id, changes)


class TestEventRisk:
    def test_a_missing_flag_reads_as_not_set(self, repository: SentimentRepository) -> None:
        stored = repository.upsert(sentiment())
        repository.database.change("UPDATE sentiment_indicators SET event_risk_flag = NULL")
        found = repository.find_by_id(stored.id)
        assert found is not None
        assert found.event_risk_flag is False

    @pytest.mark.parametrize("merge", [False, True])
    def test_a_warning_is_cleared_by_update_alone(self, repository: SentimentRepository, merge: bool) -> None:
        stored = repository.upsert(sentiment(event_risk_flag=True))
        assert repository.upsert(sentiment(score="0.5"), merge=merge).event_risk_flag
        repository.bulk_upsert([sentiment("MSFT", event_risk_flag=True), sentiment(), sentiment("MSFT")], merge=merge)
        assert sorted(symbols(repository.find_with_event_risk(TODAY))) == ["AAPL", "MSFT"]
        cleared = repository.update(stored.id, {"event_risk_flag": False})
        assert cleared is not None
        assert not cleared.event_risk_flag
        assert repository.upsert(sentiment(event_risk_flag=True)).event_risk_flag

    def test_the_best_score_is_first_and_none_last(self, repository: SentimentRepository) -> None:
        rows = [("A", None), ("B", "-0.5"), ("C", "0.5"), ("D", "0")]
        repository.bulk_upsert(sentiment(symbol, score=score, event_risk_flag=True) for symbol, score in rows)
        repository.bulk_upsert([sentiment("CALM"), sentiment("B", TODAY + DAY)])
        assert symbols(repository.find_with_event_risk()) == ["C", "D", "A"]
        assert symbols(repository.find_with_event_risk(NOON)) == ["C", "D", "B", "A"]
        assert repository.find_with_event_risk(TODAY + DAY) == []


class TestBestAndWorst:
    @pytest.fixture(autouse=True)
    def _rows(self, repository: SentimentRepository) -> None:
        rows: list[tuple[str, date, str | None]] = [
            ("BEST", TODAY, "0.9"),
            ("GOOD", TODAY, "0.5"),
            ("ZERO", TODAY, "0"),
            ("WORST", TODAY, "-0.9"),
            ("BEST", TODAY - DAY, "-1"),
            ("HIDDEN", TODAY - DAY, "1"),
            ("HIDDEN", TODAY, None),
            ("OLD", TODAY - 9 * DAY, "0.7"),
        ]
        repository.bulk_upsert(sentiment(symbol, day, score) for symbol, day, score in rows)

    def test_the_newest_row_of_each_symbol_counts(self, repository: SentimentRepository) -> None:
        assert symbols(repository.find_most_positive()) == ["BEST", "OLD", "GOOD", "ZERO", "WORST"]
        assert symbols(repository.find_most_negative()) == ["WORST", "ZERO", "GOOD", "OLD", "BEST"]
        assert symbols(repository.find_most_positive(limit=2)) == ["BEST", "OLD"]
        assert symbols(repository.find_most_negative(1)) == ["WORST"]

    def test_a_day_can_be_named(self, repository: SentimentRepository) -> None:
        assert symbols(repository.find_most_positive(date=NOON)) == ["BEST", "GOOD", "ZERO", "WORST"]
        assert symbols(repository.find_most_negative(date=TODAY - DAY)) == ["BEST", "HIDDEN"]
        assert symbols(repository.find_most_negative(1, TODAY - DAY)) == ["BEST"]

    def test_old_rows_can_be_left_out(self, repository: SentimentRepository) -> None:
        with clock_set_to(NOON):
            assert symbols(repository.find_most_positive(max_age_days=8)) == ["BEST", "GOOD", "ZERO", "WORST"]
            assert "OLD" in symbols(repository.find_most_negative(max_age_days=9))
        with clock_set_to(NOON + DAY):
            assert symbols(repository.find_most_negative(1, max_age_days=1)) == ["WORST"]
        for bad in (-1, 1.5):
            with pytest.raises(InvalidDataError, match="max_age_days"):
                repository.find_most_positive(max_age_days=bad)  # type: ignore[arg-type]  # what is being tested

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({"symbol": ["best", "OLD"]}, 3),
            ({"date": NOON}, 5),
            ({"date_gte": TODAY - DAY, "date_lte": TODAY - DAY}, 2),
            ({"sentiment_score_gte": Decimal("0.5"), "date": TODAY}, 2),
            ({"sentiment_score_lte": Decimal(0)}, 3),
            ({"event_risk_flag": True}, 0),
            ({"event_risk_flag": False}, 8),
        ],
    )
    def test_a_page_and_its_count_agree(self, repository: SentimentRepository, filters: Any, count: int) -> None:
        assert repository.find_with_filters(filters).total == repository.count(filters) == count
