"""Ticker changes: names through time, in circles too."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.universe import TickerChange, TickerChangesRepository, TickerChangeType
from cream_store import DuplicateKeyError, InvalidDataError, NotFoundError, Store

RENAME, MERGER, SPINOFF, DELISTED = TickerChangeType
MICROSECOND = timedelta(microseconds=1)


def day(year: int) -> datetime:
    return datetime(year, 6, 1, tzinfo=UTC)


def change(old: str, new: str, year: int = 2015, kind: Any = RENAME, **others: Any) -> TickerChange:
    given: dict[str, Any] = {"old_symbol": old, "new_symbol": new, "change_date": day(year), "change_type": kind}
    return TickerChange(**given | others)


@pytest.fixture
def changes(store: Store) -> TickerChangesRepository:
    return store[TickerChangesRepository]


def test_every_value_comes_back_as_it_was_stored(changes: TickerChangesRepository) -> None:
    given = change(
        "TWTR", "X", kind=MERGER, conversion_ratio=Decimal("0.000001"), reason="bought", acquiring_company="X Corp"
    )
    stored = changes.create(given)
    assert stored == given.replace(id=stored.id)
    assert changes.find_many({"old_symbol": "twtr", "from_date": date(2015, 6, 1)}).data == [stored]
    assert changes.find_many({"to_date": date(2015, 5, 31)}).total == 0


class TestStoring:
    def test_an_insert_leaves_a_stored_change_alone(self, changes: TickerChangesRepository) -> None:
        assert changes.insert(change("A", "B", reason="first"))
        assert not changes.insert(change(" a", "b", kind=MERGER, reason="second"))
        [stored] = changes.find_all()
        assert (stored.change_type, stored.reason) == (RENAME, "first")
        assert changes.insert(change("A", "B", 2016))
        with pytest.raises(DuplicateKeyError):
            changes.create(change("A", "B"))

    def test_it_reports_so_inside_a_transaction_too(self, changes: TickerChangesRepository) -> None:
        with changes.database.transaction():
            assert changes.insert(change("A", "B"))
            assert not changes.insert(change("A", "B"))
            assert changes.insert(change("B", "C"))
        assert changes.count() == 2

    def test_an_id_that_is_taken_is_another_matter(self, changes: TickerChangesRepository) -> None:
        stored = changes.create(change("A", "B"))
        with pytest.raises(DuplicateKeyError):
            changes.insert(change("C", "D", id=stored.id))

    def test_an_upsert_corrects(self, changes: TickerChangesRepository) -> None:
        first = changes.create(change("A", "B", reason="wrong", acquiring_company="C"))
        again = changes.upsert(change("A", "B", kind=SPINOFF, conversion_ratio=Decimal(2), provider="fmp"))
        assert again == change(
            "A",
            "B",
            2015,
            SPINOFF,
            conversion_ratio=Decimal(2),
            provider="fmp",
            id=first.id,
            created_at=first.created_at,
        )

    def test_a_bulk_is_all_or_nothing_and_the_last_wins(self, changes: TickerChangesRepository) -> None:
        assert (
            changes.bulk_upsert(iter([change("A", "B", reason="1"), change("B", "C"), change("a", "b", reason="2")]))
            == 3
        )
        assert [one.reason for one in changes.get_changes_from_symbol("A")] == ["2"]
        with pytest.raises(InvalidDataError):
            changes.bulk_upsert([change("C", "D"), change("D", "D")])
        assert changes.count() == 2

    @pytest.mark.parametrize("kind", [RENAME, "merger", SPINOFF])
    def test_a_name_becomes_another_unless_it_is_delisted(self, changes: TickerChangesRepository, kind: Any) -> None:
        for store in (changes.create, changes.upsert, changes.insert):
            with pytest.raises(InvalidDataError, match="new_symbol"):
                store(change("A", " a ", kind=kind))
        assert changes.create(change("A", "a", kind="delisted")).change_type is DELISTED

    @pytest.mark.parametrize("kind", ["acquisition", "restructure"])
    def test_an_unknown_type_is_refused(self, changes: TickerChangesRepository, kind: str) -> None:
        with pytest.raises(InvalidDataError, match="change_type"):
            changes.insert(change("A", "B", kind=kind))

    def test_the_usual_ways_of_a_repository_work(self, changes: TickerChangesRepository) -> None:
        stored = changes.create(change("A", "B", reason="why"))
        assert stored.id is not None
        assert changes.update(stored.id, {"reason": None}) == stored.replace(reason=None)
        assert changes.delete(stored.id)
        with pytest.raises(NotFoundError):
            changes.update(stored.id, {"reason": None})


def test_changes_of_a_name_come_oldest_first(changes: TickerChangesRepository) -> None:
    changes.create_many(
        [change("A", "B", 2016), change("A", "C", 2014), change("A", "D", 2016), change("D", "B", 2013)]
    )
    assert [one.new_symbol for one in changes.get_changes_from_symbol(" a")] == ["C", "B", "D"]
    assert [one.old_symbol for one in changes.get_changes_to_symbol("b")] == ["D", "A"]
    assert changes.get_changes_from_symbol("B") == changes.get_changes_to_symbol("A") == []
    with pytest.raises(InvalidDataError):
        changes.get_changes_from_symbol(None)  # type: ignore[arg-type]  # what is being tested


def test_a_range_includes_its_bounds(changes: TickerChangesRepository) -> None:
    changes.create_many(change(f"S{year}", "Z", year) for year in (2016, 2014, 2015, 2013))
    found = changes.get_changes_in_range(day(2014), date(2016, 6, 1))
    assert [one.old_symbol for one in found] == ["S2014", "S2015", "S2016"]
    assert changes.get_changes_in_range(day(2014), day(2016), limit=2) == found[:2]
    assert changes.count_in_range(day(2014), date(2016, 6, 1)) == 3
    assert changes.count_in_range(day(2014) + MICROSECOND, day(2016) - MICROSECOND) == 1
    with pytest.raises(InvalidDataError, match="limit"):
        changes.get_changes_in_range(day(2014), day(2016), limit=0)


def test_delistings_are_seen_once_they_happened(changes: TickerChangesRepository) -> None:
    changes.create_many([change("A", "A", 2015, DELISTED), change("B", "B", 2014, DELISTED), change("C", "D", 2013)])
    assert [one.old_symbol for one in changes.find_delistings(["a", "B", "C"], day(2015))] == ["B", "A"]
    assert changes.find_delistings(["A"], day(2015) - MICROSECOND) == []
    assert changes.find_delistings([], day(2020)) == []


class TestForward:
    @pytest.fixture
    def current(self, changes: TickerChangesRepository) -> Any:
        def resolve(symbol: str, *stored: TickerChange, **options: Any) -> str:
            changes.create_many(stored)
            return changes.resolve_to_current_symbol(symbol, **options)

        return resolve

    def test_a_name_that_never_changed_is_itself(self, current: Any) -> None:
        assert current(" aapl") == "AAPL"

    def test_it_follows_a_chain_of_all_types(self, current: Any) -> None:
        assert (
            current("A", change("A", "B", 2010, MERGER), change("B", "C", 2012, SPINOFF), change("C", "D", 2012)) == "D"
        )

    def test_it_does_not_go_back_in_time(self, current: Any) -> None:
        assert current("Y", change("S", "T", 2015), change("Y", "S", 2020)) == "S"

    def test_a_name_that_was_reused_means_its_last_company_unless_told(self, current: Any) -> None:
        stored = change("S", "T", 2015), change("S", "U", 2020), change("T", "V", 2021)
        assert current("S", *stored) == "U"
        for as_of in (date(2015, 5, 31), day(2015) - MICROSECOND):
            assert current("S", as_of=as_of) == "V"
        for as_of in (date(2015, 6, 1), day(2015)):
            assert current("S", as_of=as_of) == "U"
        assert current("S", as_of=day(2020)) == "S"

    def test_after_the_first_change_the_next_in_time_counts(self, current: Any) -> None:
        assert current("A", change("A", "B", 2010), change("B", "D", 2015), change("B", "C", 2012)) == "C"

    def test_a_delisting_ends_it(self, current: Any) -> None:
        assert current("A", change("A", "B", 2010), change("B", "B", 2012, DELISTED), change("B", "C", 2014)) == "B"
        assert current("B", as_of=day(2011)) == "B"

    def test_types_can_be_narrowed(self, current: Any) -> None:
        assert current("A", change("A", "B", 2010), change("B", "C", 2012, MERGER), change_types=["rename"]) == "B"
        with pytest.raises(InvalidDataError):
            current("A", change_types=["acquisition"])

    def test_back_and_forth_is_no_circle(self, current: Any, caplog: pytest.LogCaptureFixture) -> None:
        stored = change("P", "Q", 2020), change("Q", "P", 2021)
        assert current("Q", *stored) == "P"
        assert current("P", as_of=day(2019)) == "P"
        assert not caplog.records

    def test_a_circle_on_one_day_ends_and_is_logged(self, current: Any, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "cream_store"):
            assert current("A", change("A", "B"), change("B", "C"), change("C", "A")) == "A"
        assert "circle" in caplog.text

    def test_the_32nd_change_is_the_last(self, current: Any, caplog: pytest.LogCaptureFixture) -> None:
        assert current("S0", *(change(f"S{i}", f"S{i + 1}", 1970 + i) for i in range(40))) == "S32"
        assert "S32" in caplog.text
        assert current("S8") == "S40"


class TestBackward:
    @pytest.fixture
    def historical(self, changes: TickerChangesRepository) -> Any:
        def resolve(symbol: str, as_of: Any, *stored: TickerChange, **options: Any) -> str:
            changes.create_many(stored)
            return changes.resolve_to_historical_symbol(symbol, as_of, **options)

        return resolve

    def test_on_the_day_of_a_change_the_new_name_is_in_force(self, historical: Any) -> None:
        assert historical("s3", day(2005), change("S1", "S2", 2010), change("S2", "S3", 2015)) == "S1"
        assert historical("S3", day(2012)) == "S2"
        assert historical("S3", day(2015) - MICROSECOND) == "S2"
        assert historical("S3", date(2015, 5, 31)) == "S2"
        assert historical("S3", day(2015)) == historical("S3", date(2015, 6, 1)) == "S3"

    def test_the_latest_change_is_the_companys_own(self, historical: Any) -> None:
        stored = change("X", "S", 2012), change("S", "T", 2015), change("Y", "S", 2020)
        assert historical("S", day(2010), *stored) == "Y"

    def test_it_does_not_go_forward_in_time(self, historical: Any) -> None:
        assert historical("C", day(2005), change("B", "C", 2010), change("A", "B", 2015)) == "B"

    def test_an_acquirer_is_not_what_it_bought(self, historical: Any) -> None:
        assert historical("BIG", day(2005), change("SMALL", "BIG", 2010, MERGER)) == "BIG"
        assert historical("BIG", day(2005), change_types=[RENAME, MERGER]) == "SMALL"

    def test_a_circle_ends(self, historical: Any, caplog: pytest.LogCaptureFixture) -> None:
        assert historical("A", day(2005), change("A", "B"), change("B", "A")) == "A"
        assert "circle" in caplog.text

    def test_it_needs_a_moment(self, historical: Any) -> None:
        with pytest.raises(InvalidDataError):
            historical("A", None)


class TestMany:
    def test_each_goes_its_own_way(self, changes: TickerChangesRepository) -> None:
        changes.create_many([change("A", "B", 2010), change("B", "C", 2015), change("X", "Y", 2012)])
        assert changes.resolve_many_to_current([" a", "B", "X", "Q"]) == {" a": "C", "B": "C", "X": "Y", "Q": "Q"}
        assert changes.resolve_many_to_historical(iter(["C", "Y", "y", "Q"]), day(2011)) == {
            "C": "B",
            "Y": "X",
            "y": "X",
            "Q": "Q",
        }
        assert changes.resolve_many_to_current([]) == changes.resolve_many_to_historical([], day(2011)) == {}

    def test_a_whole_index_is_no_matter(self, changes: TickerChangesRepository) -> None:
        changes.bulk_upsert(change(f"OLD{i}", f"NEW{i}") for i in range(1_500))
        found = changes.resolve_many_to_historical([f"NEW{i}" for i in range(3_000)], day(2010))
        assert found == {f"NEW{i}": f"{'OLD' if i < 1_500 else 'NEW'}{i}" for i in range(3_000)}

    @pytest.mark.parametrize("symbols", ["AAPL", ["AAPL", ""], [None]])
    def test_what_is_no_list_of_symbols_is_refused(self, changes: TickerChangesRepository, symbols: Any) -> None:
        with pytest.raises(InvalidDataError):
            changes.resolve_many_to_current(symbols)
