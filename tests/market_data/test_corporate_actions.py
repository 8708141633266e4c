"""Corporate actions: calendar days, one of a kind a day, what was known when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from cream_plugins.market_data import (
    CorporateAction,
    CorporateActionRow,
    CorporateActionsRepository,
    CorporateActionType,
)
from cream_store import ConstraintViolationError, InvalidDataError, NotFoundError, RepositoryError, Store
from tests.races import at_once

SPLIT, DIVIDEND = CorporateActionType.SPLIT, CorporateActionType.DIVIDEND
EX_DATE = datetime(2024, 6, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def action(ex_date: datetime = EX_DATE, action_type: CorporateActionType = DIVIDEND, **others: Any) -> CorporateAction:
    given: dict[str, Any] = {"symbol": "NVDA", "action_type": action_type, "ex_date": ex_date}
    return CorporateAction(**given | others)


def dates(actions: list[CorporateAction]) -> list[date]:
    return [one.ex_date.date() for one in actions]


@pytest.fixture
def actions(store: Store) -> CorporateActionsRepository:
    return store[CorporateActionsRepository]


def test_every_value_comes_back_as_it_was_stored(actions: CorporateActionsRepository) -> None:
    given = action(
        action_type=SPLIT,
        record_date=EX_DATE - DAY,
        pay_date=EX_DATE + DAY,
        ratio=Decimal("9999.999999"),
        amount=Decimal("0.0001"),
        details="ten for one",
        provider="polygon",
    )
    stored = actions.upsert(given)
    assert stored == given.replace(id=stored.id)
    assert actions.get_for_symbol("nvda") == [stored]


def test_zero_is_a_value_and_what_is_left_out_is_missing(actions: CorporateActionsRepository) -> None:
    stored = actions.upsert(action(amount=Decimal(0)))
    assert stored.amount == 0
    assert (stored.record_date, stored.pay_date, stored.ratio, stored.details) == (None, None, None, None)
    assert stored.provider == "alpaca"


class TestDays:
    def test_a_date_is_stored_as_its_first_moment_in_utc(self, actions: CorporateActionsRepository) -> None:
        day: Any = date(2024, 6, 10)
        stored = actions.upsert(action(day, record_date=day, pay_date=day))
        assert stored.ex_date == stored.record_date == stored.pay_date == EX_DATE

    def test_a_day_may_be_told_in_any_zone(self, actions: CorporateActionsRepository) -> None:
        assert actions.upsert(action(EX_DATE.astimezone(timezone(timedelta(hours=9))))).ex_date == EX_DATE

    @pytest.mark.parametrize("column", ["ex_date", "record_date", "pay_date"])
    @pytest.mark.parametrize(
        "time", [EX_DATE + timedelta(microseconds=1), EX_DATE.replace(tzinfo=timezone(timedelta(hours=-4)))]
    )
    def test_another_time_of_day_is_refused(
        self, actions: CorporateActionsRepository, column: str, time: datetime
    ) -> None:
        with pytest.raises(InvalidDataError, match=column):
            actions.upsert(action().replace(**{column: time}))
        assert actions.find_all() == []

    def test_a_correction_takes_dates_too(self, actions: CorporateActionsRepository) -> None:
        stored = actions.create(action())
        assert stored.id is not None
        assert actions.update(stored.id, {"pay_date": date(2024, 6, 28)}).pay_date == EX_DATE + 18 * DAY
        with pytest.raises(InvalidDataError, match="pay_date"):
            actions.update(stored.id, {"pay_date": EX_DATE + timedelta(hours=1)})


class TestUpsert:
    def test_it_overwrites_all_but_id_and_creation(self, actions: CorporateActionsRepository) -> None:
        first = actions.upsert(action(amount=Decimal(1), pay_date=EX_DATE, provider="polygon"))
        again = actions.upsert(action(ratio=Decimal(2), created_at=EX_DATE))
        assert again == action(ratio=Decimal(2), id=first.id, created_at=first.created_at)

    def test_actions_of_another_type_or_day_are_others(self, actions: CorporateActionsRepository) -> None:
        actions.bulk_upsert([action(), action(action_type=SPLIT), action(EX_DATE + DAY), action(symbol="AAPL")])
        assert actions.count() == 4

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("ratio", Decimal("1.0000001")),
            ("amount", Decimal("1.00001")),
            ("amount", Decimal("NaN")),
            ("action_type", "reverse_split"),
            ("action_type", "special_dividend"),
            ("symbol", ""),
        ],
    )
    def test_what_can_not_be_stored_is_refused(
        self, actions: CorporateActionsRepository, column: str, value: Any
    ) -> None:
        with pytest.raises(InvalidDataError, match=column):
            actions.upsert(action().replace(**{column: value}))

    def test_many_are_stored_all_or_none(self, actions: CorporateActionsRepository) -> None:
        assert actions.bulk_upsert([]) == 0
        assert actions.bulk_upsert(iter([action(amount=Decimal(1)), action(amount=Decimal(2))])) == 2
        assert [one.amount for one in actions.find_all()] == [2]
        with pytest.raises(InvalidDataError):
            actions.bulk_upsert([action(EX_DATE + DAY), action(EX_DATE + 2 * DAY, ratio=Decimal("NaN"))])
        assert actions.count() == 1


class TestASecondDividendOfADay:
    REGULAR = action(amount=Decimal("0.04"), details="id 1")
    SPECIAL = action(amount=Decimal(3), details="id 2")

    def test_it_does_not_replace_the_first(self, actions: CorporateActionsRepository) -> None:
        regular = actions.upsert(self.REGULAR)
        for store in (actions.upsert, lambda one: actions.bulk_upsert([one])):
            with pytest.raises(ConstraintViolationError, match="another action of that type and ex-date"):
                store(self.SPECIAL)
        assert actions.find_all() == [regular]

    def test_they_do_not_replace_each_other_within_one_call(self, actions: CorporateActionsRepository) -> None:
        with pytest.raises(ConstraintViolationError, match="another action of that type and ex-date"):
            actions.bulk_upsert([self.REGULAR, action(symbol="AAPL"), self.SPECIAL])
        assert actions.find_all() == []

    @pytest.mark.parametrize(
        "correction",
        [
            action(amount=Decimal("0.05"), details="id 1"),
            action(amount=Decimal("0.04"), details="id 2"),
            action(amount=Decimal("0.05")),
            action(details="id 2"),
            action(),
        ],
    )
    def test_a_correction_of_the_first_does(
        self, actions: CorporateActionsRepository, correction: CorporateAction
    ) -> None:
        actions.upsert(self.REGULAR)
        corrected = actions.upsert(correction)
        assert (corrected.amount, corrected.details) == (correction.amount, correction.details)
        assert actions.bulk_upsert([self.REGULAR, correction]) == 2
        assert actions.count() == 1

    def test_a_race_stores_one_and_refuses_the_other(self, postgresql_store: Store) -> None:
        actions = postgresql_store[CorporateActionsRepository]
        for _ in range(5):
            CorporateActionRow.delete().execute(postgresql_store.database)
            outcomes = at_once(partial(actions.upsert, self.REGULAR), partial(actions.upsert, self.SPECIAL))
            stored = [one for one in outcomes if not isinstance(one, RepositoryError)]
            assert stored == actions.find_all()
            assert len(stored) == 1


class TestOfASymbol:
    @pytest.fixture(autouse=True)
    def _three_days(self, actions: CorporateActionsRepository) -> None:
        actions.bulk_upsert(
            [
                *(action(EX_DATE + i * DAY, kind) for i in range(3) for kind in (SPLIT, DIVIDEND)),
                action(EX_DATE, CorporateActionType.MERGER),
                action(symbol="AAPL"),
            ]
        )

    def test_all_come_newest_first(self, actions: CorporateActionsRepository) -> None:
        found = actions.get_for_symbol(" nvda")
        assert dates(found) == [date(2024, 6, 12)] * 2 + [date(2024, 6, 11)] * 2 + [date(2024, 6, 10)] * 3
        ids = [one.id or 0 for one in found]
        assert ids[:2] == sorted(ids[:2], reverse=True)
        assert actions.get_for_symbol("NVDA", limit=2) == found[:2]

    @pytest.mark.parametrize("day", [date(2024, 6, 11), EX_DATE + DAY])
    def test_a_range_includes_its_bounds(self, actions: CorporateActionsRepository, day: date) -> None:
        assert len(actions.get_for_symbol("NVDA", day)) == 4
        assert len(actions.get_for_symbol("NVDA", end_date=day)) == 5
        assert len(actions.get_for_symbol("NVDA", day, day)) == 2

    def test_a_bound_may_have_a_time_of_day(self, actions: CorporateActionsRepository) -> None:
        noon = EX_DATE + timedelta(hours=12)
        assert len(actions.get_for_symbol("NVDA", noon)) == 4
        assert len(actions.get_for_symbol("NVDA", end_date=noon)) == 3

    def test_splits_come_in_the_order_of_adjustment(self, actions: CorporateActionsRepository) -> None:
        assert dates(actions.get_splits("NVDA")) == [date(2024, 6, 10), date(2024, 6, 11), date(2024, 6, 12)]
        assert dates(actions.get_splits("NVDA", date(2024, 6, 11))) == [date(2024, 6, 11), date(2024, 6, 12)]
        assert {one.action_type for one in actions.get_splits("NVDA")} == {SPLIT}

    def test_dividends_come_newest_first(self, actions: CorporateActionsRepository) -> None:
        assert dates(actions.get_dividends("NVDA")) == [date(2024, 6, 12), date(2024, 6, 11), date(2024, 6, 10)]
        assert dates(actions.get_dividends("NVDA", EX_DATE + DAY)) == [date(2024, 6, 12), date(2024, 6, 11)]
        assert {one.action_type for one in actions.get_dividends("NVDA")} == {DIVIDEND}

    def test_a_symbol_without_actions_has_none(self, actions: CorporateActionsRepository) -> None:
        assert actions.get_for_symbol("MSFT") == actions.get_splits("MSFT") == actions.get_dividends("MSFT") == []

    @pytest.mark.parametrize("symbol", [None, "", 5])
    def test_there_is_no_asking_for_every_symbol(self, actions: CorporateActionsRepository, symbol: Any) -> None:
        asked: list[Callable[[Any], Any]] = [actions.get_for_symbol, actions.get_splits, actions.get_dividends]
        for ask in asked:
            with pytest.raises(InvalidDataError, match="symbol"):
                ask(symbol)


def test_what_was_not_known_yet_can_be_left_out(actions: CorporateActionsRepository) -> None:
    announced = EX_DATE - 30 * DAY + timedelta(hours=9)
    for kind in (SPLIT, DIVIDEND):
        actions.upsert(action(action_type=kind, created_at=announced))
        actions.upsert(action(action_type=kind, amount=Decimal(1)))  # a correction: it was known before

    for ask, count in ((actions.get_for_symbol, 2), (actions.get_splits, 1), (actions.get_dividends, 1)):
        assert len(ask("NVDA", known_at=announced)) == count
        assert ask("NVDA", known_at=announced - timedelta(microseconds=1)) == []
        assert ask("NVDA", known_at=announced.date()) == []
        assert len(ask("NVDA", known_at=(announced + DAY).date())) == count


class TestADay:
    @pytest.mark.parametrize("day", [date(2024, 6, 10), EX_DATE, EX_DATE + timedelta(hours=23)])
    def test_all_its_actions_come_by_symbol(self, actions: CorporateActionsRepository, day: date) -> None:
        actions.bulk_upsert([action(symbol=symbol) for symbol in ("NVDA", "AAPL", "MSFT")])
        actions.bulk_upsert([action(EX_DATE - DAY), action(EX_DATE + DAY)])
        assert [one.symbol for one in actions.get_by_ex_date(day)] == ["AAPL", "MSFT", "NVDA"]

    def test_it_is_a_day_in_utc(self, actions: CorporateActionsRepository) -> None:
        stored = actions.upsert(action())
        late_in_new_york = datetime(2024, 6, 9, 23, tzinfo=timezone(timedelta(hours=-4)))
        assert actions.get_by_ex_date(late_in_new_york) == [stored]

    @pytest.mark.parametrize("day", [datetime(2024, 6, 10), "2024-06-10", None])  # noqa: DTZ001  # naive
    def test_anything_else_is_refused(self, actions: CorporateActionsRepository, day: Any) -> None:
        with pytest.raises(InvalidDataError):
            actions.get_by_ex_date(day)


def test_actions_are_found_by_when_they_were_stored(actions: CorporateActionsRepository) -> None:
    def stored_at(hours: int, **others: Any) -> CorporateAction:
        return action(**others, created_at=EX_DATE + timedelta(hours=hours))

    actions.bulk_upsert(
        [
            stored_at(0, symbol="B"),
            stored_at(1, symbol="A"),
            stored_at(2, symbol="C", ex_date=EX_DATE + DAY),
            stored_at(3, symbol="D"),
            stored_at(-1, symbol="E"),
        ]
    )
    hour = timedelta(hours=1)
    found = actions.find_by_created_at_range(EX_DATE, EX_DATE + 2 * hour)
    assert [one.symbol for one in found] == ["C", "A", "B"]
    assert actions.find_by_created_at_range(EX_DATE, EX_DATE + 2 * hour, limit=2) == found[:2]
    assert len(actions.find_by_created_at_range(date(2024, 6, 10), date(2024, 6, 10))) == 4
    with pytest.raises(InvalidDataError, match="limit"):
        actions.find_by_created_at_range(EX_DATE, EX_DATE, limit=0)


def test_the_usual_ways_of_a_repository_work(actions: CorporateActionsRepository) -> None:
    stored = actions.create(action())
    assert stored.id is not None
    assert actions.find_many({"action_type": ["dividend"], "from_date": date(2024, 6, 10)}).total == 1
    assert actions.find_many({"to_date": date(2024, 6, 9)}).total == 0
    assert actions.delete(stored.id)
    with pytest.raises(NotFoundError):
        actions.update(stored.id, {"amount": None})
