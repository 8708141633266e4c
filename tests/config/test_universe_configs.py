"""The universe: symbols, sources, what may be missing."""

from __future__ import annotations

from typing import Any

import pytest

from cream_plugins.config import ConfigStatus, UniverseConfig, UniverseConfigsRepository, UniverseSource
from cream_store import ConstraintViolationError, Environment, InvalidDataError, Store

PAPER, LIVE = Environment.PAPER, Environment.LIVE
DRAFT, TESTING, ACTIVE, ARCHIVED = ConfigStatus


def universe(status: ConfigStatus = TESTING, **values: Any) -> UniverseConfig:
    return UniverseConfig(**{"environment": PAPER, "status": status, "static_symbols": ["AAPL", "MSFT"], **values})


@pytest.fixture
def universes(store: Store) -> UniverseConfigsRepository:
    return store[UniverseConfigsRepository]


def test_comes_back_as_it_was_stored(universes: UniverseConfigsRepository) -> None:
    given = universe(
        source=UniverseSource.SCREENER,
        static_symbols=None,
        min_volume=10_000_000_000,
        min_market_cap=10_000_000_000_000,
        optionable_only=True,
        include_list=["BRK.B"],
        exclude_list=["GME", "AMC"],
    )
    assert universes.create(given) == given


def test_no_list_and_an_empty_list_differ(universes: UniverseConfigsRepository) -> None:
    without, empty = universes.create_many([universe(static_symbols=None), universe(static_symbols=[])])
    assert (without.static_symbols, empty.static_symbols) == (None, [])
    universes.database.change("UPDATE universe_configs SET include_list = NULL, exclude_list = NULL")
    assert universes.find_by_id(without.id) == without


def test_symbols_are_stripped_and_upper_cased(universes: UniverseConfigsRepository) -> None:
    stored = universes.create(universe(static_symbols=[" aapl", "Msft "], include_list=["brk.b"], exclude_list=["gme"]))
    assert (stored.static_symbols, stored.include_list, stored.exclude_list) == (["AAPL", "MSFT"], ["BRK.B"], ["GME"])


def test_symbols_are_text_that_is_not_blank(universes: UniverseConfigsRepository) -> None:
    for symbols in ([" "], [""], [None], [1], "AAPL", [["AAPL"]], ["A\x00"]):
        with pytest.raises(InvalidDataError, match=r"universe_configs\.include_list"):
            universes.create(universe(include_list=symbols))


class TestDrafts:
    def test_begin_static_and_empty(self, universes: UniverseConfigsRepository) -> None:
        draft = universes.save_draft(PAPER, {})
        assert draft == UniverseConfig(
            id=draft.id, environment=PAPER, created_at=draft.created_at, updated_at=draft.updated_at
        )
        assert (draft.source, draft.static_symbols, draft.include_list) == (UniverseSource.STATIC, None, [])

    def test_inherit_what_is_left_out_and_clear_what_is_none(self, universes: UniverseConfigsRepository) -> None:
        universes.create(
            universe(ACTIVE, source=UniverseSource.INDEX, index_source="SP500", min_volume=0, exclude_list=["GME"])
        )
        new = universes.save_draft(PAPER, {"static_symbols": None, "index_source": None})
        assert (new.static_symbols, new.index_source, new.min_volume) == (None, None, 0)
        assert (new.source, new.exclude_list) == (UniverseSource.INDEX, ["GME"])
        cleared = universes.save_draft(PAPER, {"min_volume": None, "exclude_list": [], "static_symbols": ["spy"]})
        assert (cleared.min_volume, cleared.exclude_list, cleared.static_symbols) == (None, [], ["SPY"])
        assert (cleared.id, cleared.source) == (new.id, UniverseSource.INDEX)

    def test_need_a_source(self, universes: UniverseConfigsRepository) -> None:
        nothing_known: Any = {"source": "all"}
        with pytest.raises(InvalidDataError, match=r"universe_configs\.source: 'all' is not one of static, index"):
            universes.save_draft(PAPER, nothing_known)
        none: Any = {"source": None}
        with pytest.raises(ConstraintViolationError):
            universes.save_draft(PAPER, none)
        assert universes.get_draft(PAPER) is None


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"static_symbols": None}, ["static_symbols for the source static"]),
        ({"static_symbols": []}, ["static_symbols for the source static"]),
        ({"source": UniverseSource.INDEX}, ["index_source for the source index"]),
        ({"source": UniverseSource.INDEX, "index_source": " "}, ["index_source for the source index"]),
        ({"min_volume": -1, "min_market_cap": -1}, ["min_volume >= 0", "min_market_cap >= 0"]),
        ({"static_symbols": ["A", "B", "A"]}, ["each symbol once in static_symbols"]),
        ({"include_list": ["A", "A"]}, ["each symbol once in include_list"]),
        ({"exclude_list": ["A", "A"]}, ["each symbol once in exclude_list"]),
        ({"include_list": ["A", "B"], "exclude_list": ["B"]}, ["no symbol in both include_list and exclude_list"]),
        ({"source": UniverseSource.SCREENER, "static_symbols": None}, []),
        ({"source": UniverseSource.INDEX, "static_symbols": None, "index_source": "DJIA"}, []),
        ({"min_volume": 0, "min_market_cap": 0, "include_list": ["A"], "exclude_list": ["B"]}, []),
    ],
)
def test_what_an_active_universe_needs(values: dict[str, Any], problems: list[str]) -> None:
    assert universe(**values).problems == problems


def test_symbols_that_are_spelt_differently_are_the_same(universes: UniverseConfigsRepository) -> None:
    with pytest.raises(InvalidDataError, match="each symbol once in static_symbols"):
        universes.create(universe(ACTIVE, static_symbols=["AAPL", " aapl "]))
    with pytest.raises(InvalidDataError, match="both include_list and exclude_list"):
        universes.create(universe(ACTIVE, include_list=["gme"], exclude_list=["GME"]))
    assert universes.count() == 0


def test_comparison_sees_lists(universes: UniverseConfigsRepository) -> None:
    one, other = universes.create_many(
        [universe(include_list=["A"]), universe(ARCHIVED, include_list=["A", "B"], static_symbols=None)]
    )
    found = universes.compare(one.id, other.id).differences
    assert [(difference.path, difference.value1, difference.value2) for difference in found] == [
        ("static_symbols", ["AAPL", "MSFT"], None),
        ("include_list", ["A"], ["A", "B"]),
    ]


def test_lists_are_found_by_source(universes: UniverseConfigsRepository) -> None:
    static, screener = universes.create_many([universe(), universe(source=UniverseSource.SCREENER)])
    assert universes.find_all({"source": "screener"}) == [screener]
    assert universes.find_all({"source": ["static", "index"]}) == [static]
