"""Fundamentals: sectors and industries, and what lists can be limited to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.indicators import FundamentalIndicators, FundamentalsRepository
from cream_store import InvalidDataError, NotFoundError, Store, new_id
from tests.indicators.samples import DAY, NOON, TODAY, fundamentals


@pytest.fixture
def repository(store: Store) -> FundamentalsRepository:
    return store[FundamentalsRepository]


def symbols(found: list[FundamentalIndicators]) -> list[str]:
    return [one.symbol for one in found]


def test_every_value_comes_back_as_it_was_stored(repository: FundamentalsRepository) -> None:
    ratios = ("pe_ratio_ttm", "pe_ratio_forward", "pb_ratio", "ev_ebitda", "cape_10yr")
    given = fundamentals(
        **dict[str, Any]({name: Decimal(f"-12345678.{i}1") for i, name in enumerate(ratios)}),
        beneish_m_score=Decimal("-2.2200"),
        market_cap=Decimal("2654321098765.43"),
        sector="Technology",
        industry="",
        source="vendor",
    )
    stored = repository.create(given)
    assert stored.as_dict() | {"date": TODAY} == given.as_dict()
    assert stored.roa is None


class TestSectors:
    @pytest.fixture(autouse=True)
    def _rows(self, repository: FundamentalsRepository) -> None:
        repository.bulk_upsert(
            [
                fundamentals("MSFT", sector="Technology", industry="Software"),
                fundamentals("AAPL", sector="Technology", industry="Hardware"),
                fundamentals("AMZN", sector="Technology", industry="Software"),
                fundamentals("AMZN", TODAY + DAY, sector="Consumer", industry="Retail"),
                fundamentals("NEW"),
            ]
        )

    def test_a_symbol_is_in_the_sector_of_its_newest_row(self, repository: FundamentalsRepository) -> None:
        assert symbols(repository.find_by_sector("Technology")) == ["AAPL", "MSFT"]
        assert symbols(repository.find_by_sector("Consumer")) == ["AMZN"]
        assert repository.find_by_sector("Energy") == []

    def test_on_a_day_it_is_in_the_sector_of_that_day(self, repository: FundamentalsRepository) -> None:
        assert symbols(repository.find_by_sector("Technology", NOON)) == ["AAPL", "AMZN", "MSFT"]
        assert repository.find_by_sector("Technology", TODAY + DAY) == []

    @pytest.mark.parametrize("sector", [None, ""])
    def test_a_sector_is_named(self, repository: FundamentalsRepository, sector: Any) -> None:
        with pytest.raises(InvalidDataError, match="sector"):
            repository.find_by_sector(sector)

    def test_sectors_and_industries_come_once_in_order(self, repository: FundamentalsRepository) -> None:
        assert repository.get_distinct_sectors() == ["Consumer", "Technology"]
        assert repository.get_distinct_industries() == ["Hardware", "Retail", "Software"]
        assert repository.get_distinct_industries("Technology") == ["Hardware", "Software"]
        assert repository.get_distinct_industries("Energy") == []

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({}, 5),
            ({"symbol": "amzn"}, 2),
            ({"symbols": ["msft", "AMZN"]}, 3),
            ({"symbols": []}, 0),
            ({"symbols": ["MSFT", "AMZN"], "sector": "Technology"}, 2),
            ({"industry": "Software"}, 2),
            ({"start_date": TODAY + DAY}, 1),
            ({"end_date": TODAY}, 4),
            ({"start_date": TODAY, "end_date": TODAY + DAY, "sector": None}, 5),
        ],
    )
    def test_a_list_and_its_count_agree(self, repository: FundamentalsRepository, filters: Any, count: int) -> None:
        found = repository.find_many(filters)
        assert len(found.data) == found.total == repository.count(filters) == count
        assert repository.find_with_filters(filters, 1, 2).total == count


def test_rows_can_be_deleted_by_symbol_and_day(repository: FundamentalsRepository) -> None:
    repository.bulk_upsert(fundamentals(symbol, TODAY + i * DAY) for symbol in ("AAPL", "MSFT") for i in range(3))
    assert repository.delete_by_symbol_and_date("aapl", NOON)
    assert not repository.delete_by_symbol_and_date("AAPL", TODAY)
    assert repository.delete_by_symbol("aapl") == 2
    assert repository.delete_by_symbol("AAPL") == 0
    assert repository.count() == 3


def test_updating_a_missing_row_is_an_error(repository: FundamentalsRepository) -> None:
    with pytest.raises(NotFoundError):
        repository.update(new_id(), {"roe": Decimal(1)})
    with pytest.raises(InvalidDataError, match="source"):
        repository.update(new_id(), {"source": "me"})  # type: ignore[typeddict-unknown-key]  # what is being tested
