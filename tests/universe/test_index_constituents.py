"""Index constituents: who was a member when, and what must not be stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.universe import IndexConstituent, IndexConstituentsRepository, IndexId
from cream_store import (
    ConstraintViolationError,
    DuplicateKeyError,
    InvalidDataError,
    NotFoundError,
    RepositoryError,
    Store,
    clock_set_to,
)
from tests.races import at_once

SP500, DOW = IndexId.SP500, IndexId.DOWJONES
JOINED = datetime(2020, 3, 2, tzinfo=UTC)
LEFT = datetime(2021, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def member(symbol: str = "AAPL", added: Any = JOINED, removed: Any = None, **others: Any) -> IndexConstituent:
    given: dict[str, Any] = {"index_id": SP500, "symbol": symbol, "date_added": added, "date_removed": removed}
    return IndexConstituent(**given | others)


@pytest.fixture
def constituents(store: Store) -> IndexConstituentsRepository:
    return store[IndexConstituentsRepository]


def test_every_value_comes_back_as_it_was_stored(constituents: IndexConstituentsRepository) -> None:
    given = member(
        removed=LEFT,
        reason_added="market capitalisation",
        reason_removed="acquired",
        sector="Technology",
        industry="Hardware",
        market_cap_at_add=Decimal("1234567890123.45"),
        provider="fmp",
    )
    stored = constituents.create(given)
    assert stored == given.replace(id=stored.id)
    assert constituents.find_many({"index_id": "SP500", "sector": "Technology", "symbol": " aapl"}).data == [stored]


def test_days_are_stored_as_their_first_moment_in_utc(constituents: IndexConstituentsRepository) -> None:
    stored = constituents.upsert(member(added=date(2020, 3, 2), removed=date(2021, 6, 1)))
    assert (stored.date_added, stored.date_removed) == (JOINED, LEFT)
    with pytest.raises(InvalidDataError, match="date_added"):
        constituents.upsert(member(added=JOINED + timedelta(hours=14)))


@pytest.mark.parametrize("index_id", ["DJIA", "sp500", ""])
def test_an_undeclared_index_is_refused(constituents: IndexConstituentsRepository, index_id: Any) -> None:
    with pytest.raises(InvalidDataError, match="index_id"):
        constituents.upsert(member(index_id=index_id))


def test_one_that_is_stored_already_is_found(constituents: IndexConstituentsRepository) -> None:
    constituents.create(member())
    constituents.database.change("UPDATE index_constituents SET index_id = 'DJIA'")
    assert constituents.get_constituents_as_of("DJIA", JOINED) == ["AAPL"]
    assert [one.index_id for one in constituents.get_symbol_history("AAPL")] == ["DJIA"]


class TestMembership:
    @pytest.fixture(autouse=True)
    def _one_that_left(self, constituents: IndexConstituentsRepository) -> None:
        constituents.create(member(removed=LEFT))

    @pytest.mark.parametrize(
        ("moment", "is_member"),
        [
            (JOINED - MICROSECOND, False),
            (JOINED, True),
            (date(2020, 3, 1), False),
            (date(2020, 3, 2), True),
            (LEFT - MICROSECOND, True),
            (LEFT, False),
            (date(2021, 5, 31), True),
            (date(2021, 6, 1), False),
        ],
    )
    def test_it_begins_when_added_and_has_ended_when_removed(
        self, constituents: IndexConstituentsRepository, moment: date, is_member: bool
    ) -> None:
        assert constituents.was_in_index_on_date(SP500, " aapl", moment) is is_member
        assert constituents.get_constituents_as_of(SP500, moment) == ["AAPL"] * is_member
        assert constituents.get_constituent_count(SP500, moment) == is_member
        assert len(constituents.get_memberships_as_of(SP500, moment)) == is_member

    def test_an_announced_end_or_beginning_is_not_yet(self, constituents: IndexConstituentsRepository) -> None:
        constituents.create(member("TSLA", LEFT))
        for now, members in ((LEFT - DAY, ["AAPL"]), (LEFT, ["TSLA"])):
            with clock_set_to(now):
                assert [one.symbol for one in constituents.get_current_constituents("SP500")] == members
                assert constituents.get_constituent_count("SP500") == 1

    def test_other_indices_and_symbols_are_others(self, constituents: IndexConstituentsRepository) -> None:
        assert not constituents.was_in_index_on_date(DOW, "AAPL", JOINED)
        assert not constituents.was_in_index_on_date(SP500, "MSFT", JOINED)
        assert constituents.get_constituents_as_of("NO SUCH INDEX", JOINED) == []
        assert constituents.get_constituent_count("NO SUCH INDEX", JOINED) == 0

    @pytest.mark.parametrize("moment", [None, "2020-03-02", datetime(2020, 3, 2)])  # noqa: DTZ001  # naive
    def test_it_needs_a_moment(self, constituents: IndexConstituentsRepository, moment: Any) -> None:
        with pytest.raises(InvalidDataError):
            constituents.get_constituents_as_of(SP500, moment)
        with pytest.raises(InvalidDataError):
            constituents.was_in_index_on_date(SP500, "AAPL", moment)

    @pytest.mark.parametrize("index_id", [None, "", 5])
    def test_there_is_no_asking_for_every_index(self, constituents: IndexConstituentsRepository, index_id: Any) -> None:
        asked: list[Callable[[], Any]] = [
            lambda: constituents.get_constituents_as_of(index_id, JOINED),
            lambda: constituents.get_current_constituents(index_id),
            lambda: constituents.get_constituent_count(index_id),
            lambda: constituents.get_changes_in_range(index_id, JOINED, LEFT),
        ]
        for ask in asked:
            with pytest.raises(InvalidDataError):
                ask()


def test_members_come_by_symbol_each_once(constituents: IndexConstituentsRepository) -> None:
    constituents.create_many(member(symbol) for symbol in ("TSLA", "AAPL", "MSFT"))
    constituents.create(member(added=JOINED + DAY, index_id=DOW))
    constituents.database.change("UPDATE index_constituents SET index_id = 'SP500'")  # two overlap now
    assert constituents.get_constituents_as_of(SP500, LEFT) == ["AAPL", "MSFT", "TSLA"]
    assert constituents.get_constituent_count(SP500, LEFT) == constituents.get_constituent_count(SP500) == 3


def test_what_was_not_known_yet_can_be_left_out(constituents: IndexConstituentsRepository) -> None:
    known = JOINED + 9 * DAY
    constituents.create(member(created_at=known))
    assert constituents.get_constituents_as_of(SP500, LEFT, known_at=known) == ["AAPL"]
    assert constituents.get_constituents_as_of(SP500, LEFT, known_at=known.date()) == ["AAPL"]
    assert constituents.get_constituents_as_of(SP500, LEFT, known_at=known - MICROSECOND) == []
    assert constituents.get_memberships_as_of(SP500, LEFT, known_at=known - MICROSECOND) == []


def test_a_symbols_history_comes_by_index_and_time(constituents: IndexConstituentsRepository) -> None:
    constituents.create_many([member(added=LEFT), member(removed=LEFT), member(index_id=DOW), member("MSFT")])
    found = constituents.get_symbol_history("aapl ")
    assert [(one.index_id, one.date_added) for one in found] == [(DOW, JOINED), (SP500, JOINED), (SP500, LEFT)]
    assert constituents.get_symbol_history("NVDA") == []


def test_changes_come_by_day_bounds_included(constituents: IndexConstituentsRepository) -> None:
    constituents.create_many(
        [
            member("D", JOINED + DAY, JOINED + 2 * DAY),
            member("C", JOINED, JOINED + 3 * DAY),
            member("B", JOINED + DAY, JOINED + 2 * DAY),
            member("A", JOINED - DAY, JOINED),
            member("E", JOINED - 9 * DAY),
            member("C", index_id=DOW),
        ]
    )

    def between(start: date, end: date) -> tuple[list[str], list[str]]:
        changes = constituents.get_changes_in_range(SP500, start, end)
        return [one.symbol for one in changes.additions], [one.symbol for one in changes.removals]

    assert between(JOINED, JOINED + 2 * DAY) == (["C", "D", "B"], ["A", "D", "B"])
    assert between(date(2020, 3, 3), date(2020, 3, 3)) == (["D", "B"], [])
    assert between(JOINED + MICROSECOND, JOINED + DAY - MICROSECOND) == ([], [])
    with pytest.raises(InvalidDataError):
        constituents.get_changes_in_range(SP500, JOINED, None)  # type: ignore[arg-type]  # what is being tested


class TestUpsert:
    def test_what_is_left_out_stays_and_what_is_told_overwrites(
        self, constituents: IndexConstituentsRepository
    ) -> None:
        first = constituents.create(member(removed=LEFT, reason_removed="acquired", sector="Tech"))
        with clock_set_to(LEFT + DAY):
            again = constituents.upsert(member(sector="Media", market_cap_at_add=Decimal(0), provider="fmp"))
        assert again == first.replace(
            sector="Media", market_cap_at_add=Decimal(0), provider="fmp", updated_at=LEFT + DAY
        )

    def test_only_an_update_clears(self, constituents: IndexConstituentsRepository) -> None:
        stored = constituents.create(member(removed=LEFT, reason_removed="a mistake"))
        assert stored.id is not None
        with clock_set_to(LEFT):
            cleared = constituents.update(stored.id, {"date_removed": None, "reason_removed": None})
        assert cleared == stored.replace(date_removed=None, reason_removed=None, updated_at=LEFT)
        with pytest.raises(InvalidDataError, match="symbol can't be changed"):
            constituents.update(stored.id, {"symbol": "X"})  # type: ignore[typeddict-unknown-key]  # what is being tested
        with pytest.raises(NotFoundError):
            constituents.update(stored.id + 1, {"sector": None})

    @pytest.mark.parametrize("load", ["bulk_upsert", "bulk_insert", "upsert_many"])
    def test_loading_twice_brings_nobody_back(self, constituents: IndexConstituentsRepository, load: str) -> None:
        constituents.create(member(removed=LEFT, reason_removed="acquired"))
        bulk: Callable[[Any], int] = getattr(constituents, load)
        assert bulk(iter([member(sector="old"), member("MSFT"), member(" aapl", sector="Tech")])) == 3
        [one] = constituents.get_symbol_history("AAPL")
        assert (one.date_removed, one.reason_removed, one.sector) == (LEFT, "acquired", "Tech")
        assert constituents.get_constituents_as_of(SP500, LEFT) == ["MSFT"]
        assert bulk([]) == 0

    def test_a_bulk_is_all_or_nothing(self, constituents: IndexConstituentsRepository) -> None:
        with pytest.raises(InvalidDataError):
            constituents.bulk_upsert([member(), member("MSFT", market_cap_at_add=Decimal("0.001"))])
        with pytest.raises(ConstraintViolationError):
            constituents.bulk_upsert([member(), member("MSFT", removed=JOINED)])
        assert constituents.count() == 0

    def test_a_repeat_is_no_new_membership(self, constituents: IndexConstituentsRepository) -> None:
        constituents.create(member())
        with pytest.raises(DuplicateKeyError):
            constituents.create(member())


class TestOverlaps:
    def test_a_membership_cant_end_before_it_began(self, constituents: IndexConstituentsRepository) -> None:
        for removed in (JOINED, JOINED - DAY):
            for store in (constituents.create, constituents.upsert):
                with pytest.raises(ConstraintViolationError, match="can't end"):
                    store(member(removed=removed))
        stored = constituents.create(member())
        with pytest.raises(ConstraintViolationError, match="can't end"):
            constituents.update(stored.id or 0, {"date_removed": JOINED})
        assert constituents.find_all() == [stored]

    def test_two_of_a_symbol_cant_overlap(self, constituents: IndexConstituentsRepository) -> None:
        stored = constituents.create(member(removed=LEFT))
        writes: list[Callable[[IndexConstituent], Any]] = [
            constituents.create,
            constituents.upsert,
            lambda one: constituents.create_many([one]),
            lambda one: constituents.bulk_upsert([one]),
        ]
        for write in writes:
            for other in (
                member(added=LEFT - DAY),
                member(added=JOINED - DAY),
                member(added=JOINED + DAY, removed=LEFT),
            ):
                with pytest.raises(ConstraintViolationError, match="overlaps"):
                    write(other)
        assert constituents.find_all() == [stored]
        constituents.create_many([member(added=LEFT), member(index_id=DOW), member("MSFT")])
        with pytest.raises(ConstraintViolationError, match="overlaps"):
            constituents.update(stored.id or 0, {"date_removed": None})

    def test_the_order_of_a_load_does_not_matter(self, constituents: IndexConstituentsRepository) -> None:
        constituents.create(member())
        assert constituents.bulk_upsert([member(added=LEFT), member(removed=LEFT)]) == 2

    def test_of_two_loaders_at_once_one_is_refused(self, postgresql_store: Store) -> None:
        constituents = postgresql_store[IndexConstituentsRepository]
        memberships = [member(added=JOINED + day * DAY) for day in range(4)]
        outcomes = at_once(*[lambda one=one: constituents.upsert(one) for one in memberships])
        refused = [one for one in outcomes if isinstance(one, RepositoryError)]
        assert all(isinstance(one, ConstraintViolationError) for one in refused)
        assert (len(refused), constituents.count()) == (3, 1)


class TestCloseMembership:
    def test_it_ends_the_open_one(self, constituents: IndexConstituentsRepository) -> None:
        past = constituents.create(member(removed=LEFT, reason_removed="first"))
        other = constituents.create(member(index_id=DOW))
        stored = constituents.create(member(added=LEFT))
        with clock_set_to(LEFT + 2 * DAY):
            closed = constituents.close_membership("SP500", "aapl", (LEFT + DAY).date(), "merged")
        assert closed == stored.replace(date_removed=LEFT + DAY, reason_removed="merged", updated_at=LEFT + 2 * DAY)
        assert constituents.get_symbol_history("AAPL") == [other, past, closed]

    def test_without_one_there_is_nothing_to_end(self, constituents: IndexConstituentsRepository) -> None:
        constituents.create_many([member(removed=LEFT), member(index_id=DOW)])
        for symbol in ("AAPL", "MSFT"):
            with pytest.raises(NotFoundError):
                constituents.close_membership(SP500, symbol, LEFT + DAY)

    def test_it_cant_end_before_it_began(self, constituents: IndexConstituentsRepository) -> None:
        stored = constituents.create(member())
        with pytest.raises(ConstraintViolationError):
            constituents.close_membership(SP500, "AAPL", JOINED)
        with pytest.raises(InvalidDataError):
            constituents.close_membership(SP500, "AAPL", None)  # type: ignore[arg-type]  # what is being tested
        assert constituents.find_all() == [stored]
