"""Finding theses: order, filters, environments, searches, figures."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from cream_plugins.thesis import (
    CloseReason,
    Thesis,
    ThesisContext,
    ThesisFilters,
    ThesisMatch,
    ThesisState,
    ThesisStateRepository,
    ThesisStats,
)
from cream_store import InvalidDataError, Store, clock_set_to, new_id
from tests.thesis.samples import ENTRY, LIVE, NOON, PAPER, STOP, TARGET, a_thesis, hours, stored, write

WATCHING, ENTERED, ADDING, MANAGING, EXITING, CLOSED = ThesisState


@pytest.fixture
def theses(store: Store) -> ThesisStateRepository:
    return store[ThesisStateRepository]


def ids(theses: list[Thesis]) -> list[UUID]:
    return [thesis.thesis_id for thesis in theses]


def test_lists_are_newest_first_and_the_key_decides_ties(theses: ThesisStateRepository) -> None:
    same_time = [a_thesis() for _ in range(3)]
    newest, oldest = a_thesis(created_at=hours(1)), a_thesis(created_at=hours(-1))
    theses.create_many([same_time[1], newest, same_time[0], oldest, same_time[2]])
    expected = ids([newest, *reversed(same_time), oldest])

    assert ids(theses.find_all()) == expected
    assert ids(theses.find_active()) == expected
    assert ids(theses.find_by_states([WATCHING])) == expected
    assert [match.thesis_id for match in theses.search("nvda")] == expected
    assert ids(theses.find_active(limit=2)) == expected[:2]
    assert ids(theses.find_by_states([WATCHING], limit=2)) == expected[:2]
    assert [match.thesis_id for match in theses.search("nvda", limit=2)] == expected[:2]


def test_a_page_has_fifty_theses_unless_asked_otherwise(theses: ThesisStateRepository) -> None:
    theses.create_many(a_thesis() for _ in range(51))

    first, last = theses.find_many(), theses.find_many(page=3, page_size=20)

    assert (len(first.data), first.total, first.page, first.page_size, first.total_pages) == (50, 51, 1, 50, 2)
    assert (len(last.data), last.total, last.page, last.total_pages) == (11, 51, 3, 3)
    for page, page_size in ((0, 50), (1, 0), (1, 10_001)):
        with pytest.raises(InvalidDataError):
            theses.find_many(page=page, page_size=page_size)


def test_filters_narrow_together(theses: ThesisStateRepository) -> None:
    watching = stored(theses)
    managing = stored(theses, MANAGING, instrument_id="AMD", created_at=hours(1))
    closed = stored(theses, CLOSED, created_at=hours(-30))
    stored(theses, instrument_id="NVDA2", environment=LIVE)
    paper: ThesisFilters = {"environment": PAPER}

    def found(**filters: Any) -> list[UUID]:
        narrowed: Any = {**paper, **filters}
        return ids(theses.find_many(narrowed).data)

    everything = ids([managing, watching, closed])
    assert found() == everything
    assert found(instrument_id=" nvda ") == ids([watching, closed])
    assert found(state=MANAGING) == ids([managing])
    assert found(state="WATCHING", instrument_id="AMD") == []
    assert found(states=[MANAGING, "WATCHING"]) == ids([managing, watching])
    assert found(states=[MANAGING, WATCHING], state=WATCHING) == ids([watching])
    assert found(states=[]) == everything
    assert found(state=[]) == []
    assert found(closed_after=NOON) == ids([closed])
    assert found(closed_after=date(2026, 3, 2)) == ids([closed])
    assert found(closed_after=hours(0.001)) == []
    assert found(created_after=NOON) == ids([managing, watching])
    assert found(created_after=hours(1)) == ids([managing])
    for bad in ({"instrument_id": " "}, {"state": "OPEN"}, {"states": "WATCHING"}, {"created_after": "2026-03-02"}):
        with pytest.raises(InvalidDataError):
            found(**bad)


def test_an_active_thesis_is_one_that_is_not_closed(theses: ThesisStateRepository) -> None:
    open_ones = {state: stored(theses, state) for state in ThesisState if state is not CLOSED}
    stored(theses, CLOSED, created_at=hours(1))
    newest = stored(theses, created_at=hours(2), environment=LIVE)

    assert {thesis.state for thesis in theses.find_active(PAPER)} == open_ones.keys()
    assert theses.find_active("LIVE") == [newest]
    assert theses.find_active_for_instrument("nvda", PAPER) == open_ones[EXITING]
    assert theses.find_active_for_instrument("NVDA") == newest
    assert theses.find_active_for_instrument("AMD") is None


def test_theses_are_found_by_their_states(theses: ThesisStateRepository) -> None:
    by_state = {state: stored(theses, state) for state in ThesisState}
    stored(theses, ADDING, environment=LIVE)

    assert theses.find_by_states([ADDING, "CLOSED"], PAPER) == [by_state[CLOSED], by_state[ADDING]]
    assert theses.find_by_states([], PAPER) == []
    with pytest.raises(InvalidDataError):
        theses.find_by_states(["OPEN"])
    with pytest.raises(InvalidDataError):
        theses.find_by_states([ADDING], limit=0)


def test_a_database_of_one_environment_shows_its_own_theses(paper_store: Store) -> None:
    theses = paper_store[ThesisStateRepository]
    own = stored(theses)
    write(paper_store, stored(theses).thesis_id, environment="LIVE")

    assert theses.find_many().data == theses.find_active() == theses.find_by_states([WATCHING]) == [own]
    assert theses.find_active_for_instrument("NVDA") == own
    assert [match.thesis_id for match in theses.search("NVDA")] == [own.thesis_id]
    assert theses.get_stats().total == 1
    assert theses.get_stats(LIVE).total == 1
    with pytest.raises(InvalidDataError):
        theses.find_active("STAGING")


def test_a_search_looks_for_the_text_as_it_stands(theses: ThesisStateRepository) -> None:
    growth = stored(theses, entry_thesis="Margins up 50% with a_b testing")
    other = stored(theses, instrument_id="AMD", entry_thesis=None, environment=LIVE)

    def found(text: str, **options: Any) -> list[UUID]:
        return [match.thesis_id for match in theses.search(text, **options)]

    assert theses.search("MARGINS") == [
        ThesisMatch(thesis_id=growth.thesis_id, instrument_id="NVDA", entry_thesis="Margins up 50% with a_b testing")
    ]
    assert found("amd") == [other.thesis_id]
    assert found("amd", environment=PAPER) == []
    assert found("50%") == found("A_B") == [growth.thesis_id]
    assert found("%") == found("_") == [growth.thesis_id]
    assert found("5_%") == found("") == found("  ") == []
    with pytest.raises(InvalidDataError):
        theses.search("amd", limit=0)


# Context


def test_the_context_of_a_thesis_that_is_watched(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, current_stop=STOP, current_target=TARGET)

    assert theses.get_context(thesis.thesis_id, Decimal(110)) == ThesisContext(
        instrument_id="NVDA",
        current_state=WATCHING,
        entry_price=None,
        entry_date=None,
        current_pnl=None,
        stop_loss=STOP,
        take_profit=TARGET,
        add_count=0,
        max_position_reached=False,
        days_held=0,
    )


def test_the_context_of_a_position_tells_its_profit_and_its_age(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ENTERED)
    theses.increment_add_count(thesis.thesis_id)
    theses.mark_max_position_reached(thesis.thesis_id)

    with clock_set_to(hours(48) - timedelta(microseconds=1)):
        context = theses.get_context(thesis.thesis_id, Decimal("97.5"))
    assert (context.entry_price, context.entry_date, context.stop_loss) == (ENTRY, NOON, STOP)
    assert (context.current_pnl, context.days_held) == (Decimal("-2.5"), 1)
    assert (context.add_count, context.max_position_reached) == (1, True)
    with clock_set_to(hours(48)):
        assert theses.get_context(thesis.thesis_id).days_held == 2
    with clock_set_to(hours(-48)):
        assert theses.get_context(thesis.thesis_id).days_held == 0
    assert theses.get_context(thesis.thesis_id).current_pnl is None
    assert theses.get_context(thesis.thesis_id, Decimal(0)).current_pnl == -ENTRY
    with pytest.raises(InvalidDataError):
        theses.get_context(thesis.thesis_id, 97.5)  # type: ignore[arg-type]  # what the type forbids


def test_a_closed_position_grows_no_older(theses: ThesisStateRepository) -> None:
    thesis = stored(theses, ENTERED)
    with clock_set_to(hours(72)):
        theses.close(thesis.thesis_id, CloseReason.MANUAL)

    with clock_set_to(hours(240)):
        assert theses.get_context(thesis.thesis_id).days_held == 3


# Figures


def closed_after(theses: ThesisStateRepository, age: timedelta, pnl: Decimal | None, **values: Any) -> None:
    thesis = stored(theses, ENTERED, **values)
    with clock_set_to(NOON + age):
        theses.close(thesis.thesis_id, CloseReason.MANUAL, realized_pnl=pnl)


def test_of_no_theses_all_figures_are_0(theses: ThesisStateRepository) -> None:
    stats = theses.get_stats()

    assert stats == ThesisStats(
        total=0, by_state=dict.fromkeys(ThesisState, 0), avg_holding_days=Decimal(0), win_rate=Decimal(0)
    )
    assert isinstance(stats.avg_holding_days, Decimal)
    assert isinstance(stats.win_rate, Decimal)


def test_the_figures_are_about_closed_positions(store: Store) -> None:
    theses = store[ThesisStateRepository]
    for number, (days, pnl) in enumerate([(1, Decimal(10)), (2, Decimal(0)), (3, Decimal("-5")), (6, None)]):
        closed_after(theses, timedelta(days=days), pnl, instrument_id=f"S{number}")
    stored(theses, MANAGING)
    stored(theses)
    never_entered = stored(theses)
    theses.close(never_entered.thesis_id, CloseReason.INVALIDATED, realized_pnl=Decimal(1))
    still_open_it_says = stored(theses, CLOSED)
    write(store, still_open_it_says.thesis_id, closed_at=None)
    closed_after(theses, timedelta(days=100), Decimal(1), environment=LIVE)

    stats = theses.get_stats(PAPER)

    assert stats.total == 8
    assert stats.by_state == {WATCHING: 1, ENTERED: 0, ADDING: 0, MANAGING: 1, EXITING: 0, CLOSED: 6}
    assert stats.avg_holding_days == Decimal(3)
    assert stats.win_rate == Decimal(1) / 3
    assert theses.get_stats().total == 9


def test_holding_times_are_exact(theses: ThesisStateRepository) -> None:
    with clock_set_to(NOON - timedelta(microseconds=1)):
        thesis = theses.create(a_thesis())
        theses.enter_position(thesis.thesis_id, ENTRY, STOP)
    with clock_set_to(NOON + timedelta(days=1, microseconds=999_999)):
        theses.close(thesis.thesis_id, CloseReason.MANUAL)

    assert theses.get_stats().avg_holding_days == 1 + Decimal(1_000_000) / 86_400_000_000


# History


def test_the_history_is_told_from_its_beginning(theses: ThesisStateRepository) -> None:
    thesis, other = stored(theses, EXITING), stored(theses, ENTERED)
    with clock_set_to(hours(-1)):
        early = theses.transition_state(thesis.thesis_id, MANAGING)
    entries = theses.get_history(str(thesis.thesis_id))

    assert [(entry.from_state, entry.to_state) for entry in entries] == [
        (EXITING, MANAGING),
        (WATCHING, ENTERED),
        (ENTERED, EXITING),
    ]
    assert entries[0].created_at == early.last_updated == hours(-1)
    assert theses.get_history(thesis.thesis_id, limit=1) == entries[:1]
    assert theses.history.find_many({"to_state": ENTERED}).total == 2
    assert theses.history.find_all({"thesis_id": other.thesis_id}) == theses.get_history(other.thesis_id)
    assert theses.history.find_all({"from_date": NOON, "cycle_id": new_id()}) == []


def test_of_the_history_only_the_remarks_can_be_changed(theses: ThesisStateRepository) -> None:
    [entry] = theses.get_history(stored(theses, ENTERED).thesis_id)
    assert entry.id is not None

    assert theses.history.update(entry.id, {"notes": "slipped"}) == entry.replace(notes="slipped")
    with pytest.raises(InvalidDataError, match="can't be changed"):
        theses.history.update(entry.id, {"to_state": CLOSED})  # type: ignore[typeddict-unknown-key]  # forbidden
