"""What all daily indicators share: one row a day, the newest of each symbol, what was known when, retention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.indicators import (
    CorporateActionsIndicatorsRepository,
    FundamentalsRepository,
    SentimentRepository,
    ShortInterestRepository,
)
from cream_store import DuplicateKeyError, InvalidDataError, NotFoundError, Store, clock_set_to, new_id
from tests.indicators.samples import (
    DAY,
    MIDNIGHT,
    NOON,
    SECOND,
    TODAY,
    corporate_actions,
    fundamentals,
    sentiment,
    short_interest,
)


@dataclass(frozen=True)
class Kind:
    """One kind of indicators, and a number that it has."""

    repository: type[Any]
    sample: Callable[..., Any]
    number: str
    known_since: str | None = "computed_at"

    def known(self, at: datetime) -> dict[str, Any]:
        """What says that a row became known at a moment."""
        return {str(self.known_since): at}

    def of(self, symbol: str = "AAPL", day: date = TODAY, number: str | None = "0.5", **others: Any) -> Any:
        return self.sample(symbol, day, **{self.number: None if number is None else Decimal(number)}, **others)


FUNDAMENTALS = Kind(FundamentalsRepository, fundamentals, "roe")
SHORT_INTEREST = Kind(ShortInterestRepository, short_interest, "short_pct_float", "fetched_at")
SENTIMENT = Kind(SentimentRepository, sentiment, "sentiment_momentum")
CORPORATE_ACTIONS = Kind(CorporateActionsIndicatorsRepository, corporate_actions, "trailing_dividend_yield", None)

MEASURED = [FUNDAMENTALS, SHORT_INTEREST, SENTIMENT]
every_kind = pytest.mark.parametrize("kind", [*MEASURED, CORPORATE_ACTIONS], ids=lambda kind: kind.repository.__name__)
measured_kind = pytest.mark.parametrize("kind", MEASURED, ids=lambda kind: kind.repository.__name__)

listed_kind = pytest.mark.parametrize("kind", [SHORT_INTEREST, SENTIMENT], ids=lambda kind: kind.repository.__name__)


def symbols(found: list[Any]) -> list[str]:
    return [one.symbol for one in found]


def days(found: list[Any]) -> list[int]:
    return [(getattr(one, "date", None) or one.settlement_date).day for one in found]


def latest(repository: Any, asked: list[str], **bounds: Any) -> list[Any]:
    find = getattr(repository, "find_latest_by_symbols", None) or repository.find_latest_for_symbols
    found = find(asked, **bounds)
    return list(found.values()) if isinstance(found, dict) else found


@every_kind
class TestEveryKind:
    def test_a_row_comes_back_as_it_was_stored_at_the_start_of_its_day(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        given = kind.of(" aapl ", number="0")
        stored = repository.create(given)
        assert stored == given.replace(symbol="AAPL", **{repository.day: MIDNIGHT})
        assert getattr(stored, kind.number) == 0
        assert repository.find_by_id(str(given.id)) == repository.find_by_id_or_raise(given.id) == stored

    def test_what_is_not_there_is_not_found(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        assert repository.find_by_id(new_id()) is None
        assert repository.find_by_id("no UUID") is None
        with pytest.raises(NotFoundError):
            repository.find_by_id_or_raise(new_id())
        assert repository.find_latest_by_symbol("AAPL") is None
        assert repository.find_by_symbol_and_date("AAPL", TODAY) is None
        assert repository.find_by_symbol("AAPL") == latest(repository, ["AAPL"]) == latest(repository, []) == []
        assert repository.delete(new_id()) is False

    def test_a_symbol_has_one_row_a_day(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        stored = repository.create(kind.of())
        with pytest.raises(DuplicateKeyError):
            repository.create(kind.of("aapl"))
        with pytest.raises(DuplicateKeyError):
            repository.create(kind.of("MSFT", id=stored.id))
        with pytest.raises(InvalidDataError, match="day"):
            repository.upsert(kind.of(day=NOON))
        assert repository.find_all() == [stored]

    def test_an_upsert_overwrites_everything_but_the_id(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        with clock_set_to(NOON):
            first = repository.upsert(kind.of())
        with clock_set_to(NOON + SECOND):
            again = repository.upsert(kind.of("aapl", number=None))
        assert again.id == first.id
        assert getattr(again, kind.number) is None
        assert repository.find_all() == [again]
        if kind.known_since:
            assert getattr(first, kind.known_since) == NOON
            assert getattr(again, kind.known_since) == NOON + SECOND

    def test_a_merge_writes_only_what_is_there(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        stored = repository.upsert(kind.of(number="0.5"))
        assert getattr(repository.upsert(kind.of(number=None), merge=True), kind.number) == Decimal("0.5")
        assert repository.bulk_upsert([kind.of(number=None), kind.of("MSFT")], merge=True) == 2
        assert getattr(repository.find_by_id(stored.id), kind.number) == Decimal("0.5")
        assert getattr(repository.upsert(kind.of(number="0"), merge=True), kind.number) == 0

    def test_of_several_of_one_day_the_last_counts(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        assert repository.bulk_upsert([]) == 0
        others = [kind.of(f"S{i:03}") for i in range(120)]
        assert repository.bulk_upsert([kind.of(), *others, kind.of("aapl", MIDNIGHT, "0.25")]) == 122
        assert repository.count() == 121
        assert getattr(repository.find_latest_by_symbol("AAPL"), kind.number) == Decimal("0.25")
        assert repository.upsert_many([kind.of(number="0.125")]) == 1
        assert getattr(repository.find_latest_by_symbol("AAPL"), kind.number) == Decimal("0.125")

    def test_merged_rows_of_one_day_complete_each_other(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        repository.bulk_upsert([kind.of(), kind.of(number=None)], merge=True)
        assert getattr(repository.find_latest_by_symbol("AAPL"), kind.number) == Decimal("0.5")

    def test_one_bad_row_refuses_them_all(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        for bad in ("NaN", "0.00001", "100000"):
            with pytest.raises(InvalidDataError, match=kind.number):
                repository.bulk_upsert([kind.of("MSFT"), kind.of(number=bad)])
        assert repository.count() == 0

    def test_a_day_is_a_day_in_utc(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        stored = repository.upsert(kind.of())
        new_york = timezone(timedelta(hours=-4))
        for day in (TODAY, MIDNIGHT, NOON, datetime(2024, 3, 15, 19, 59, tzinfo=new_york)):
            assert repository.find_by_symbol_and_date("aapl", day) == stored
        for day in (TODAY + DAY, MIDNIGHT - SECOND, datetime(2024, 3, 15, 20, tzinfo=new_york)):
            assert repository.find_by_symbol_and_date("AAPL", day) is None
        with pytest.raises(InvalidDataError, match="naive"):
            repository.find_by_symbol_and_date("AAPL", datetime(2024, 3, 15))  # noqa: DTZ001  # what is being tested

    def test_the_rows_of_a_symbol_come_newest_first_within_bounds(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        repository.bulk_upsert([*(kind.of(day=TODAY + i * DAY) for i in (2, 0, 3, 1)), kind.of("MSFT")])
        assert days(repository.find_by_symbol("aapl")) == [18, 17, 16, 15]
        assert days(repository.find_by_symbol("AAPL", TODAY + DAY, TODAY + 2 * DAY)) == [17, 16]
        assert days(repository.find_by_symbol("AAPL", MIDNIGHT + SECOND, MIDNIGHT + 2 * DAY)) == [17, 16]
        assert days(repository.find_by_symbol("AAPL", limit=1)) == [18]
        for symbol in (None, " "):
            with pytest.raises(InvalidDataError, match="symbol"):
                repository.find_by_symbol(symbol)

    def test_the_newest_row_of_each_symbol_comes_by_symbol(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        repository.bulk_upsert(
            [*(kind.of(symbol, TODAY + i * DAY) for symbol in ("MSFT", "AAPL") for i in range(3)), kind.of("NVDA")]
        )
        found = latest(repository, ["msft", "AAPL", "unheard of", "AAPL"])
        assert symbols(found) == ["AAPL", "MSFT"]
        assert days(found) == [17, 17]
        assert days(latest(repository, ["MSFT", "NVDA"], as_of=TODAY + DAY)) == [16, 15]
        assert latest(repository, ["MSFT"], as_of=MIDNIGHT - SECOND) == []
        assert repository.find_latest_by_symbol("aapl") == found[0]
        assert days([repository.find_latest_by_symbol("AAPL", as_of=MIDNIGHT + DAY)]) == [16]
        assert repository.find_latest_by_symbol("AAPL", as_of=TODAY - DAY) is None

    def test_only_what_is_older_goes(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        repository.bulk_upsert(kind.of(symbol, TODAY + i * DAY) for symbol in ("AAPL", "MSFT") for i in range(3))
        assert repository.delete_older_than(TODAY + 2 * DAY) == 4
        assert repository.delete_older_than(TODAY + 2 * DAY) == 0
        assert days(repository.find_all()) == [17, 17]
        with pytest.raises(InvalidDataError, match="cutoff"):
            repository.delete_older_than(None)

    def test_lists_come_newest_first_then_by_symbol(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        repository.bulk_upsert(kind.of(symbol, TODAY + i * DAY) for symbol in "CAB" for i in range(2))
        pages = [repository.find_many({}, page=page, page_size=4) for page in (1, 2, 3)]
        assert [symbols(page.data) for page in pages] == [["A", "B", "C", "A"], ["B", "C"], []]
        assert {page.total for page in pages} == {6}
        assert repository.find_many().page_size == 50

    def test_a_row_can_be_deleted(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        stored = repository.create(kind.of())
        assert repository.delete(stored.id)
        assert repository.count() == 0


@measured_kind
class TestWhatWasKnown:
    def test_what_became_known_later_can_be_left_out(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        for i in range(3):
            repository.create(kind.of(day=TODAY + i * DAY, **kind.known(NOON + (i + 10) * DAY)))
        known_at = NOON + 11 * DAY
        assert days([repository.find_latest_by_symbol("AAPL", known_at=known_at)]) == [16]
        assert days(latest(repository, ["AAPL"], known_at=known_at)) == [16]
        assert days(latest(repository, ["AAPL"], known_at=known_at - SECOND)) == [15]
        assert days(latest(repository, ["AAPL"], known_at=known_at.date())) == [15]
        assert days(latest(repository, ["AAPL"], as_of=TODAY, known_at=known_at)) == [15]
        assert days(repository.find_by_symbol("AAPL", known_at=known_at)) == [16, 15]
        assert repository.find_latest_by_symbol("AAPL", known_at=NOON) is None

    def test_a_change_becomes_known_now_and_no_change_does_not(self, store: Store, kind: Kind) -> None:
        repository = store[kind.repository]
        stored = repository.create(kind.of(**kind.known(NOON)))
        with clock_set_to(NOON + DAY):
            assert repository.update(stored.id, {}) == stored
            changed = repository.update(stored.id, {kind.number: None})
        assert changed == stored.replace(**{kind.number: None, str(kind.known_since): NOON + DAY})
        for fixed in ("symbol", repository.day, kind.known_since):
            with pytest.raises(InvalidDataError, match="can't be changed"):
                repository.update(stored.id, {fixed: None})


@listed_kind
def test_there_is_no_updating_of_a_missing_row(store: Store, kind: Kind) -> None:
    repository = store[kind.repository]
    for id in (new_id(), "no UUID"):
        assert repository.update(id, {kind.number: Decimal(0)}) is None


@listed_kind
def test_the_rows_of_a_stretch_come_by_symbol_in_pages(store: Store, kind: Kind) -> None:
    repository = store[kind.repository]
    find = repository.find_by_fetched_at_range if kind is SHORT_INTEREST else repository.find_by_computed_at_range
    for i, symbol in enumerate("DBCA"):
        repository.create(kind.of(symbol, **kind.known(NOON + i * SECOND)))
    page = find(NOON + SECOND, NOON + 3 * SECOND, limit=2)
    assert symbols(page.data) == ["A", "B"]
    assert page.total == 3
    assert symbols(find(NOON + SECOND, NOON + 3 * SECOND, limit=2, offset=2).data) == ["C"]
    assert find(TODAY, TODAY).total == 4
    with pytest.raises(InvalidDataError, match="limit"):
        find(TODAY, TODAY, limit=0)


@listed_kind
def test_a_symbols_rows_come_as_columns_too(store: Store, kind: Kind) -> None:
    repository = store[kind.repository]
    for day in range(3):
        repository.create(kind.of("AAPL", TODAY + day * DAY))
    repository.create(kind.of("MSFT"))
    table = repository.find_by_symbol_arrow("aapl", TODAY + DAY, limit=5, columns=["symbol", repository.day])
    assert table.to_pylist() == [
        {"symbol": "AAPL", repository.day: MIDNIGHT + 2 * DAY},
        {"symbol": "AAPL", repository.day: MIDNIGHT + DAY},
    ]
