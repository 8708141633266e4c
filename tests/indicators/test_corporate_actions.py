"""Corporate actions as indicators: what can be stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.indicators import CorporateActionsIndicatorsRepository
from cream_store import InvalidDataError, Store
from tests.indicators.samples import DAY, NOON, TODAY, corporate_actions


@pytest.fixture
def repository(store: Store) -> CorporateActionsIndicatorsRepository:
    return store[CorporateActionsIndicatorsRepository]


def test_every_value_comes_back_as_it_was_stored(repository: CorporateActionsIndicatorsRepository) -> None:
    given = corporate_actions(
        trailing_dividend_yield=Decimal("0.0123"),
        ex_dividend_days=-3660,
        upcoming_earnings_days=0,
        recent_split=True,
        split_ratio="4:1",
    )
    assert repository.upsert(given).as_dict() | {"date": TODAY} == given.as_dict()


def test_a_missing_flag_reads_as_no_split(repository: CorporateActionsIndicatorsRepository) -> None:
    stored = repository.upsert(corporate_actions())
    repository.database.change("UPDATE corporate_actions_indicators SET recent_split = NULL")
    assert repository.find_by_id(stored.id) == stored


@pytest.mark.parametrize(
    "values",
    [
        {"ex_dividend_days": 3661},
        {"upcoming_earnings_days": -3661},
        {"recent_split": True},
        *({"recent_split": True, "split_ratio": ratio} for ratio in ("", "4", "4:0", "0:1", "-4:1", "4:1.5", "4 : 1")),
    ],
)
def test_what_makes_no_sense_is_refused(repository: CorporateActionsIndicatorsRepository, values: Any) -> None:
    stored = repository.upsert(corporate_actions())
    for write in (repository.create, repository.upsert, lambda one: repository.bulk_upsert([one])):
        with pytest.raises(InvalidDataError):
            write(corporate_actions("MSFT", **values))
    with pytest.raises(InvalidDataError):
        repository.update(stored.id, values)
    assert repository.find_all() == [stored]


def test_a_split_and_its_ratio_come_and_go_together(repository: CorporateActionsIndicatorsRepository) -> None:
    stored = repository.upsert(corporate_actions())
    split = repository.update(stored.id, {"recent_split": True, "split_ratio": "1:10"})
    assert (split.recent_split, split.split_ratio) == (True, "1:10")
    with pytest.raises(InvalidDataError, match="go together"):
        repository.update(stored.id, {"split_ratio": None})
    assert repository.update(stored.id, {"recent_split": False, "split_ratio": None}) == stored


def test_a_merge_keeps_a_recent_split(repository: CorporateActionsIndicatorsRepository) -> None:
    split = repository.upsert(corporate_actions(recent_split=True, split_ratio="4:1"))
    merged = repository.upsert(corporate_actions(ex_dividend_days=3), merge=True)
    assert merged == split.replace(ex_dividend_days=3)
    assert repository.upsert(corporate_actions()) == split.replace(recent_split=False, split_ratio=None)


def test_the_newest_rows_come_by_symbol(repository: CorporateActionsIndicatorsRepository) -> None:
    repository.bulk_upsert(corporate_actions(symbol, TODAY + i * DAY) for symbol in ("MSFT", "AAPL") for i in range(2))
    found = repository.find_latest_for_symbols(["aapl", "MSFT", "NVDA"])
    assert {symbol: one.date.day for symbol, one in found.items()} == {"AAPL": 16, "MSFT": 16}
    assert repository.find_many({"date": NOON, "symbol": "aapl"}).total == 1
    assert repository.find_many({"start_date": TODAY + DAY, "end_date": TODAY + DAY}).total == 2
