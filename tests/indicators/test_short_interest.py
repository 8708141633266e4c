"""Short interest: the most shorted symbols, and since when figures are known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.indicators import ShortInterestIndicators, ShortInterestRepository
from cream_store import ConstraintViolationError, InvalidDataError, Store, clock_set_to
from tests.indicators.samples import DAY, NOON, TODAY, short_interest
from tests.races import overtaken


@pytest.fixture
def repository(store: Store) -> ShortInterestRepository:
    return store[ShortInterestRepository]


def test_every_value_comes_back_as_it_was_stored(repository: ShortInterestRepository) -> None:
    given = short_interest(
        short_interest=123456789012345678,
        short_interest_ratio=Decimal("1.25"),
        days_to_cover=Decimal(0),
        short_pct_float=Decimal("0.2512"),
        short_interest_change=Decimal("-0.5"),
        source="exchange",
    )
    stored = repository.create(given)
    assert stored.as_dict() | {"settlement_date": TODAY} == given.as_dict()
    with pytest.raises(InvalidDataError, match="short_interest"):
        repository.create(short_interest("MSFT", short_interest=Decimal("10.6")))


class TestSinceWhenFiguresAreKnown:
    def test_the_same_figures_again_are_as_old_as_they_were(self, repository: ShortInterestRepository) -> None:
        with clock_set_to(NOON):
            first = repository.upsert(short_interest(days_to_cover=Decimal("2.5")))
        with clock_set_to(NOON + DAY):
            again = repository.upsert(short_interest("aapl", days_to_cover=Decimal("2.50")))
            repository.bulk_upsert([short_interest("MSFT"), short_interest(days_to_cover=Decimal("2.5"))])
            assert repository.update(first.id, {"days_to_cover": Decimal("2.5")}) == first
        assert again == first == repository.find_latest_by_symbol("AAPL")
        [new] = repository.find_latest_for_symbols(["MSFT"])
        assert new.fetched_at == NOON + DAY

    @pytest.mark.parametrize(
        "changed", [{"short_interest": 0}, {"source": "exchange"}, {"short_pct_float": Decimal(0)}]
    )
    def test_another_figure_is_known_since_now(self, repository: ShortInterestRepository, changed: Any) -> None:
        with clock_set_to(NOON):
            first = repository.upsert(short_interest())
        with clock_set_to(NOON + DAY):
            assert repository.bulk_upsert([short_interest(**changed), short_interest("MSFT")]) == 2
        assert repository.find_by_id(first.id) == first.replace(fetched_at=NOON + DAY, **changed)

    def test_whoever_comes_second_with_the_same_figures_leaves_the_first_time(self, postgresql_store: Store) -> None:
        repository = postgresql_store[ShortInterestRepository]
        first: list[ShortInterestIndicators] = []
        second = overtaken(
            postgresql_store,
            lambda: repository.upsert(short_interest()),
            by=lambda: first.append(repository.upsert(short_interest())),
        )
        assert [second] == first

    def test_the_number_of_shares_can_not_become_unknown(self, repository: ShortInterestRepository) -> None:
        stored = repository.upsert(short_interest())
        with pytest.raises(ConstraintViolationError, match="short_interest"):
            repository.update(stored.id, {"short_interest": None})  # type: ignore[typeddict-item]  # what is being tested


class TestHighest:
    @pytest.fixture(autouse=True)
    def _rows(self, repository: ShortInterestRepository) -> None:
        rows = [("LOW", 0, "0.1"), ("HIGH", 0, "0.3"), ("MID", 0, "0.2"), ("LOW", -9, "0.9"), ("OLD", -99, "0.4")]
        repository.bulk_upsert(
            short_interest(symbol, TODAY + age * DAY, short_pct_float=Decimal(fraction))
            for symbol, age, fraction in rows
        )
        repository.bulk_upsert(
            [short_interest("GONE", TODAY - DAY, short_pct_float=Decimal(1)), short_interest("GONE")]
        )

    def test_only_the_newest_row_of_a_symbol_counts(self, repository: ShortInterestRepository) -> None:
        found = repository.find_highest_short_interest()
        assert [one.symbol for one in found] == ["OLD", "HIGH", "MID", "LOW"]
        assert repository.find_highest_short_interest(limit=2) == found[:2]

    def test_it_can_be_bounded(self, repository: ShortInterestRepository) -> None:
        found = repository.find_highest_short_interest(min_short_pct_float=Decimal("0.2"), min_settlement_date=TODAY)
        assert [one.symbol for one in found] == ["HIGH", "MID"]
        assert repository.find_highest_short_interest(min_settlement_date=TODAY + DAY) == []
        with pytest.raises(InvalidDataError, match="limit"):
            repository.find_highest_short_interest(limit=0)

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({"symbol": "low"}, 2),
            ({"settlement_date": NOON}, 4),
            ({"settlement_date_gte": TODAY - DAY, "settlement_date_lte": TODAY}, 5),
            ({"settlement_date_lte": TODAY - 9 * DAY}, 2),
            ({"short_pct_float_gte": Decimal("0.4")}, 3),
            ({"short_pct_float_gte": Decimal(0)}, 6),
        ],
    )
    def test_a_page_and_its_count_agree(self, repository: ShortInterestRepository, filters: Any, count: int) -> None:
        assert repository.find_with_filters(filters).total == repository.count(filters) == count
