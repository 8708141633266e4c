"""What the tables' pages show: rows, links, secrets masked, and nothing for an address that makes no sense."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from cream_plugins.auth import Session, SessionsRepository, User, UsersRepository
from cream_plugins.core_trading import CyclesRepository
from cream_store import Environment, Secret, Store, new_id, utc_now
from cream_store.backend import Database
from cream_store.studio.catalogue import catalogue
from cream_store.studio.reader import Reader, Rows
from cream_store.studio.selection import Filter, Selection
from cream_store.studio.values import text_of
from tests.conftest import templates
from tests.studio.stranger import Harbour, HarboursRepository, Mood, Ship, ShipsRepository
from tests.studio.visitor import Visitor, words

SECRET = "never-show-this-0123456789-0123456789"


def ship(store: Store, name: str = "Beagle", **values: Any) -> Ship:
    return store[ShipsRepository].create(Ship(name=name, **values))


def fleet(store: Store) -> list[Ship]:
    """Ships with ties and gaps in every column that may have them."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return store[ShipsRepository].create_many(
        Ship(
            name=f"ship {i % 5}",
            code=f"c{i}" if i % 3 else None,
            tonnes=Decimal(i % 4) if i % 2 else None,
            crew=1 + i % 3 if i % 4 else None,
            mood=list(Mood)[i % 3],
            afloat=bool(i % 2) if i % 5 else None,
            launched_at=start + timedelta(days=i % 6) if i % 3 else None,
            created_at=start + timedelta(seconds=i // 4),
        )
        for i in range(23)
    )


def reader(store: Store, table: str = "ships") -> Reader:
    return Reader(store.database, catalogue(store.plugins)[table])


def page(store: Store, selection: Selection) -> Rows:
    with store.database.read_only(5):
        return reader(store).page(selection)


def names_on(text: str) -> list[str]:
    return re.findall(r"ship \d|Beagle|Endeavour|Fram", text)


class TestPages:
    @pytest.mark.parametrize("direction", ["", "-"])
    @pytest.mark.parametrize(
        "column", ["id", "name", "code", "tonnes", "crew", "mood", "afloat", "launched_at", "created_at"]
    )
    def test_every_order_gives_each_row_once_forwards_and_backwards(
        self, ships: Store, column: str, direction: str
    ) -> None:
        stored = fleet(ships)
        selection = Selection(sort=f"{direction}{column}", size=4)

        forwards = [page(ships, selection)]
        while forwards[-1].next:
            forwards.append(page(ships, selection.but(after=forwards[-1].next)))
        backwards = [forwards[-1]]
        while backwards[-1].previous:
            backwards.append(page(ships, selection.but(before=backwards[-1].previous)))

        rows = [row for one in forwards for row in one.rows]
        assert sorted(row["id"] for row in rows) == sorted(one.id for one in stored)
        assert [row for one in reversed(backwards) for row in one.rows] == rows
        values = [list(Mood).index(row[column]) if column == "mood" else row[column] for row in rows]
        present = [value for value in values if value is not None]
        assert values == sorted(present, reverse=direction == "-") + [None] * (len(values) - len(present))

    def test_the_first_page_has_nothing_before_it_and_the_last_nothing_behind(self, ships: Store) -> None:
        fleet(ships)
        first = page(ships, Selection(size=25))
        assert (len(first.rows), first.next, first.previous) == (23, None, None)

    def test_links_lead_through_the_pages(self, sqlite_ships: Store) -> None:
        sqlite_ships[ShipsRepository].create_many([Ship(name=f"number {i:03}") for i in range(60)])
        visitor = Visitor(sqlite_ships)
        seen: list[str] = []
        path: str | None = "/tables/ships?size=25&sort=name"
        while path:
            html = visitor.get(path).text
            seen += re.findall(r"number \d{3}", re.sub(r"(?s)^.*<tbody>|</tbody>.*$", "", html))
            following = re.search(r'rel="next" href="([^"]*)"', html)
            path = following[1].replace("&amp;", "&") if following else None
        assert seen == [f"number {i:03}" for i in range(60)]

    def test_an_empty_table_says_so(self, sqlite_ships: Store) -> None:
        assert "This table is empty." in Visitor(sqlite_ships).text("/tables/ships")

    def test_a_table_that_no_plugin_has_is_not_found(self, sqlite_ships: Store) -> None:
        for name in ("decisions", "sqlite_schema", "ships%22", "..%2Fships"):
            assert Visitor(sqlite_ships).get(f"/tables/{name}").status_code == 404

    def test_a_table_that_does_not_exist_yet_says_what_to_do(self, sqlite_ships: Store) -> None:
        sqlite_ships.database.change("DROP TABLE ship_keys")
        response = Visitor(sqlite_ships).get("/tables/ship_keys")
        assert response.status_code == 409
        assert "cream-store db push" in words(response)

    def test_only_the_database_s_own_environment_shows(self, back_end: str) -> None:
        """A database that PAPER shares with LIVE holds rows of both."""
        with templates(back_end, ("core-trading",), Environment.TEST).copy() as store:
            store[CyclesRepository].start("PAPER", config_version="of-paper")
            live = store[CyclesRepository].start("LIVE", config_version="of-live")
            assert "of-live" in Visitor(store).text("/tables/cycles")
            store.database.environment = Environment.PAPER
            visitor = Visitor(store)
            assert "of-paper" in visitor.text("/tables/cycles")
            assert "of-live" not in visitor.text("/tables/cycles")
            assert visitor.get(f"/tables/cycles/row?key={live.id}").status_code == 404
            assert "of-live" not in visitor.get("/tables/cycles/export.csv").text


CRAFTED: list[dict[str, Any]] = [
    {"where": "nowhere is 1"},
    {"where": "name; DROP TABLE ships is 1"},
    {"where": 'name" OR 1=1 -- is 1'},
    {"where": "name = Beagle"},
    {"where": "name or Beagle"},
    {"where": "name"},
    {"where": ""},
    {"where": "password is " + SECRET},
    {"where": "password is-not-empty"},
    {"where": "password contains n"},
    {"where": "papers contains a"},
    {"where": "tonnes is 1e"},
    {"where": "tonnes is NaN"},
    {"where": "crew is 1 OR 1=1"},
    {"where": "crew is " + "9" * 50},
    {"where": "mood is awful"},
    {"where": "id is nonsense"},
    {"where": "launched_at above yesterday"},
    {"where": "name is \0"},
    {"sort": "nowhere"},
    {"sort": "password"},
    {"sort": "-password"},
    {"sort": "papers"},
    {"sort": "--name"},
    {"sort": "name, (SELECT 1)"},
    {"sort": "name DESC"},
    {"size": "1000000"},
    {"size": "-1"},
    {"size": "x"},
    {"after": "nonsense"},
    {"after": "W1sicGFzc3dvcmQiXSwgWyJhIl1d"},  # of a list by password
    {"before": "bm9uZQ"},
    {"where": ["name is a"] * 21},
]
"""Parameters that no link and no form of the studio's makes."""


class TestFilters:
    @pytest.mark.parametrize(
        ("where", "names"),
        [
            ("name is Fram", ["Fram"]),
            ("name is-not Fram", ["Beagle", "Endeavour"]),
            ("name contains EA", ["Beagle", "Endeavour"]),
            ("name contains %", []),
            ("tonnes above 100", ["Endeavour", "Fram"]),
            ("tonnes at-most 100.5", ["Beagle", "Endeavour"]),
            ("crew is-empty", ["Fram"]),
            ("crew is-not-empty", ["Beagle", "Endeavour"]),
            ("mood is bad", ["Fram"]),
            ("mood contains oo", ["Endeavour"]),
            ("afloat is true", ["Beagle"]),
            ("launched_at is 2026-02-01", ["Beagle"]),
            ("launched_at at-least 2026-02-02", ["Endeavour", "Fram"]),
            ("launched_at below 2026-02-03 12:00", ["Beagle", "Endeavour"]),
            ("harbour_name is Hull", ["Fram"]),
        ],
    )
    def test_each_comparison(self, ships: Store, where: str, names: list[str]) -> None:
        day = datetime(2026, 2, 1, 23, 59, tzinfo=UTC)
        ships[HarboursRepository].create(Harbour(name="Hull"))
        ship(ships, "Beagle", tonnes=Decimal(90), crew=70, afloat=True, launched_at=day)
        ship(ships, "Endeavour", tonnes=Decimal("100.5"), crew=90, mood=Mood.GOOD, launched_at=day + timedelta(days=1))
        ship(
            ships, "Fram", tonnes=Decimal(400), mood=Mood.BAD, launched_at=day + timedelta(days=2), harbour_name="Hull"
        )
        html = Visitor(ships).get("/tables/ships?" + urlencode({"where": where, "sort": "name"})).text
        assert names_on(re.sub(r"(?s)^.*<tbody>|</tbody>.*$", "", html) if names else "") == names

    def test_filters_add_up_and_can_be_taken_away(self, sqlite_ships: Store) -> None:
        ship(sqlite_ships, "Beagle", crew=70)
        ship(sqlite_ships, "Fram", crew=70)
        visitor = Visitor(sqlite_ships)
        added = visitor.get("/tables/ships?where=crew+is+70&column=name&operator=is&value=Fram")
        assert added.status_code == 302
        html = visitor.get(added.headers["Location"]).text
        assert "Fram" in html
        assert "Beagle" not in html
        remove = re.search(r'href="([^"]*)" aria-label="Remove the filter name is Fram"', html)
        assert remove
        assert "Beagle" in visitor.text(remove[1].replace("&amp;", "&"))

    def test_a_crafted_one_reads_nothing(self, ships: Store) -> None:
        ship(ships, "Beagle", password=Secret(SECRET))
        visitor = Visitor(ships, write=True)
        for parameters in CRAFTED:
            for path in ("/tables/ships", "/tables/ships/export.csv"):
                if path.endswith("csv") and not {"where", "sort", "size"} & parameters.keys():
                    continue  # a file has all rows, wherever a page began
                response = visitor.get(f"{path}?{urlencode(parameters, doseq=True)}")
                assert response.status_code in (200, 400), parameters
                assert response.status_code == 400 or "No row meets these conditions" in response.text, parameters
                assert "Beagle" not in re.sub(r"(?s)^.*<main", "", response.text), parameters
        assert ships[ShipsRepository].count() == 1


class TestSearch:
    def test_an_indexed_column_s_value_is_found_there(self, ships: Store) -> None:
        ship(ships, "Beagle", code="x1")
        ship(ships, "x1 in the name")
        text = Visitor(ships).text("/tables/ships?search=x1")
        assert "Rows whose code is what you searched." in text
        assert "Beagle" in text
        assert "x1 in the name" not in text

    def test_any_other_text_is_looked_for_inside(self, ships: Store) -> None:
        ship(ships, "HMS Beagle")
        ship(ships, "Fram")
        text = Visitor(ships).text("/tables/ships?search=beag")
        assert "HMS Beagle" in text
        assert "Fram" not in text

    def test_looking_inside_can_be_asked_for(self, ships: Store) -> None:
        ship(ships, "x1", code="other")
        ship(ships, "x10")
        assert "x10" not in Visitor(ships).text("/tables/ships?search=x1")
        assert "x10" in Visitor(ships).text("/tables/ships?search=x1&inside=1")

    def test_a_key_is_found(self, ships: Store) -> None:
        stored = ship(ships)
        ship(ships, "Fram")
        text = Visitor(ships).text(f"/tables/ships?search={stored.id}")
        assert "Beagle" in text
        assert "Fram" not in text

    def test_nothing_is_said_to_be_nothing(self, ships: Store) -> None:
        ship(ships)
        for search in ("zzz", "%", "_", "'", str(new_id())):
            assert "No row meets these conditions." in Visitor(ships).text(f"/tables/ships?search={quote(search)}")

    def test_secrets_are_not_searched(self, ships: Store) -> None:
        ship(ships, password=Secret(SECRET))
        for more in ("", "&inside=1"):
            assert "No row meets these conditions." in Visitor(ships).text(f"/tables/ships?search={SECRET}{more}")


class TestSecrets:
    PATHS = ("/tables/ships", "/tables/ships?sort=name", "/tables/ships/export.csv", "/tables/ships/row?key={id}",
             "/tables/ships/row/edit?key={id}", "/tables/ship_keys", "/tables/ship_keys/export.csv")  # fmt: skip

    def test_they_show_nowhere_and_do_not_leave_the_database(
        self, ships: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored = ship(ships, password=Secret(SECRET))
        ships.database.change(f"INSERT INTO ship_keys (key, note) VALUES ('{SECRET}', 'a note')")
        fetched: list[Any] = []
        run = Database.run

        def spy(self: Database, *arguments: Any, **options: Any) -> Any:
            fetched.append(run(self, *arguments, **options))
            return fetched[-1]

        visitor = Visitor(ships, write=True)
        monkeypatch.setattr(Database, "run", spy)
        for path in self.PATHS:
            response = visitor.get(path.format(id=stored.id))
            assert response.status_code == 200
            assert SECRET not in response.text
            assert "edit" in path or SECRET not in repr(fetched)  # a form is made of the repository's record
            assert fetched
            fetched.clear()

    def test_that_there_is_one_can_be_seen(self, ships: Store) -> None:
        with_one, without = ship(ships, password=Secret(SECRET)), ship(ships)
        visitor = Visitor(ships)
        assert "password secret ***" in visitor.text(f"/tables/ships/row?key={with_one.id}")
        assert "password secret NULL" in visitor.text(f"/tables/ships/row?key={without.id}")

    def test_the_auth_tables_keep_theirs(self, paper_store: Store) -> None:
        user = paper_store[UsersRepository].create(User(name="Ada", email="ada@example.org"))
        paper_store[SessionsRepository].create(
            Session(user_id=user.id, token=Secret(SECRET), expires_at=utc_now() + timedelta(days=1))
        )
        visitor = Visitor(paper_store, write=True)
        for path in ("/", "/tables/session", f"/tables/session?search={SECRET}", "/tables/session/export.csv"):
            page = visitor.get(path).text
            assert SECRET not in page.replace(f"search: {SECRET}", "").replace(f'value="{SECRET}"', "").replace(
                f"search={SECRET}", ""
            )
        assert "token" not in visitor.get("/tables/session/export.csv").text.splitlines()[0].split(",")


class TestRow:
    def test_it_has_every_value_in_full(self, ships: Store) -> None:
        launched = datetime(2026, 1, 31, 15, 4, 5, 6, tzinfo=UTC)
        stored = ship(ships, "x" * 500, tonnes=Decimal("1.50"), papers={"é": [1, {"deep": None}]}, launched_at=launched)
        text = Visitor(ships).text(f"/tables/ships/row?key={stored.id}")
        assert "x" * 500 in text
        assert "1.50" in text
        assert '{ "é": [ 1, { "deep": null } ] }' in text
        assert "2026-01-31 15:04:05.000006Z" in text
        assert "crew whole number NULL" in text

    def test_markup_in_values_stays_text(self, ships: Store) -> None:
        evil = "<script>alert(1)</script>\"'><img src=x>"
        stored = ship(ships, evil, code=evil, papers={evil: evil})
        visitor = Visitor(ships, write=True)
        for path in ("/tables/ships", "/tables/ships/row?key={}", "/tables/ships/row/edit?key={}"):
            page = visitor.get(path.format(stored.id)).text
            assert "&lt;script&gt;" in page
            assert "<script" not in page
            assert "<img" not in page
        assert "<script" not in visitor.get(f"/tables/ships?search={quote(evil)}").text
        assert "<script" not in visitor.get(f"/tables/ships?where=name+is+{quote(evil)}").text

    def test_references_lead_both_ways(self, ships: Store) -> None:
        ships[HarboursRepository].create(Harbour(name="Hull & Sons/1?"))
        stored = ship(ships, harbour_name="Hull & Sons/1?")
        visitor = Visitor(ships)
        html = visitor.get(f"/tables/ships/row?key={stored.id}").text
        there = re.search(r'href="(/tables/harbours/row[^"]*)"', html)
        assert there
        html = visitor.get(there[1].replace("&amp;", "&")).text
        assert "by harbour_name" in html
        back = re.search(r'href="(/tables/ships\?where[^"]*)"', html)
        assert back
        assert "Beagle" in visitor.text(back[1].replace("&amp;", "&"))

    def test_a_reference_to_another_column_than_the_key_and_keys_of_two_columns(self, ships: Store) -> None:
        stored = ship(ships, code="b/1")
        ships.database.change("INSERT INTO cargo (ship_code, number, environment) VALUES ('b/1', 7, 'LIVE')")
        visitor = Visitor(ships)
        listed = visitor.get("/tables/cargo").text
        assert "LIVE" in visitor.text("/tables/cargo"), "a column of that name is not always our environment"
        row = re.search(r'href="(/tables/cargo/row[^"]*)"', listed)
        assert row
        html = visitor.get(row[1].replace("&amp;", "&")).text
        there = re.search(r'href="(/tables/ships\?where[^"]*)"', html)
        assert there
        assert "Beagle" in visitor.text(there[1].replace("&amp;", "&"))
        assert "cargo by of_code: 1 row" in visitor.text(f"/tables/ships/row?key={stored.id}")

    @pytest.mark.parametrize("key", ["", "nonsense", "01a20410-1822-70c4-8c2e-d72a22f9386a", "' OR 1=1 --", "%00"])
    def test_a_key_that_no_row_has_is_not_found(self, ships: Store, key: str) -> None:
        ship(ships)
        visitor = Visitor(ships)
        assert visitor.get(f"/tables/ships/row?key={quote(key, safe='%')}").status_code == 404
        assert visitor.get("/tables/ships/row").status_code == 404
        assert visitor.get("/tables/ships/row?key=a&key=b").status_code == 404

    def test_what_another_program_wrote_shows_as_it_is(self, sqlite_ships: Store) -> None:
        stored = ship(sqlite_ships)
        sqlite_ships.database.change("UPDATE ships SET launched_at = 'next week', papers = '{broken'")
        visitor = Visitor(sqlite_ships)
        assert "next week" in visitor.text("/tables/ships")
        assert "next week not a value of this column" in visitor.text(f"/tables/ships/row?key={stored.id}")
        assert "{broken" in visitor.text(f"/tables/ships/row?key={stored.id}")
        assert "Beagle" in visitor.text("/tables/ships?sort=launched_at")


class TestExport:
    def read(self, visitor: Visitor, query: str = "") -> list[dict[str, str]]:
        response = visitor.get(f"/tables/ships/export.csv{query}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        return list(csv.DictReader(io.StringIO(response.text)))

    def test_it_has_the_selected_rows_in_order_without_secrets(self, ships: Store) -> None:
        stored = fleet(ships)
        rows = self.read(Visitor(ships), "?where=mood+is+good&sort=-created_at")
        expected = sorted((one for one in stored if one.mood is Mood.GOOD), key=lambda one: (one.created_at, one.id))
        assert [row["id"] for row in rows] == [str(one.id) for one in reversed(expected)]
        assert list(rows[0]) == [name for name in catalogue(ships.plugins)["ships"].columns if name != "password"]

    def test_values_are_exact(self, ships: Store) -> None:
        stored = ship(ships, 'a "b", c\nd é', tonnes=Decimal("0.10"), papers={"a": [1]}, afloat=False)
        [row] = self.read(Visitor(ships))
        assert row["name"] == 'a "b", c\nd é'
        assert row["tonnes"] == "0.10"
        assert row["papers"] == '{"a": [1]}'
        assert (row["afloat"], row["crew"]) == ("false", "")
        assert row["created_at"] == text_of(stored.created_at)

    def test_a_spreadsheet_runs_nothing(self, ships: Store) -> None:
        for start in "=+-@":
            ship(ships, f"{start}cmd|' /C calc'!A0")
        ship(ships, "plain", tonnes=Decimal("-1"))
        rows = self.read(Visitor(ships))
        assert {row["name"][0] for row in rows} == {"'", "p"}
        assert "-1.00" in {row["tonnes"] for row in rows}, "a number is no formula"

    def test_it_is_capped(self, ships: Store) -> None:
        fleet(ships)
        assert len(list(reader(ships).export(Selection(), most=7))) == 7

    def test_it_reads_in_chunks_without_losing_a_row(self, sqlite_ships: Store) -> None:
        sqlite_ships[ShipsRepository].create_many(Ship(name="many") for _ in range(2_050))
        assert len(self.read(Visitor(sqlite_ships))) == 2_050


class TestLargeTables:
    """What keeps a table of any size quick: no count, no sort of everything. Seen from the plans."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
        seen: list[tuple[str, Any]] = []
        run = Database.run

        def spy(self: Database, sql: str, parameters: Any, *rest: Any, **options: Any) -> Any:
            seen.append((sql, parameters))
            return run(self, sql, parameters, *rest, **options)

        monkeypatch.setattr(Database, "run", spy)
        return seen

    def test_opening_any_table_neither_counts_nor_sorts(self, asked: list[tuple[str, Any]]) -> None:
        with templates("sqlite", None, Environment.PAPER).copy() as store:
            visitor = Visitor(store)
            for table in catalogue(store.plugins):
                asked.clear()
                assert visitor.get(f"/tables/{table}").status_code == 200
                selects = [one for one in asked if one[0].startswith("SELECT")]
                assert len(selects) <= 2, "one for the rows, one more where the order's column may be NULL"
                for sql, parameters in selects:
                    assert "COUNT(" not in sql
                    plan = [row[3] for row in store.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)]
                    assert "USE TEMP B-TREE FOR ORDER BY" not in plan, (table, sql, plan)

    def test_searching_an_indexed_value_scans_nothing(self, asked: list[tuple[str, Any]]) -> None:
        with templates("sqlite", ("core-trading",), Environment.PAPER).copy() as store:
            store[CyclesRepository].start()
            asked.clear()
            Visitor(store).get("/tables/cycles?search=running")
            looked_up = [one for one in asked if "SELECT 1 " in one[0] and '"cycles"' in one[0]]
            assert looked_up
            for sql, parameters in looked_up:
                plan = [row[3] for row in store.database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", parameters)]
                assert all(step.startswith("SEARCH") for step in plan), (sql, plan)

    def test_counting_is_asked_for_and_capped(self, ships: Store) -> None:
        fleet(ships)
        visitor = Visitor(ships)
        assert "There are" not in visitor.text("/tables/ships")
        assert "There are 23 in all." in visitor.text("/tables/ships?count=1")
        assert "There are 8 in all." in visitor.text("/tables/ships?count=1&where=mood+is+well")
        with ships.database.read_only(5):
            assert str(reader(ships).count(Selection(), most=10)) == "more than 10"
            assert str(reader(ships).count(Selection(filters=(Filter("name", "is", "none"),)))) == "0"

    def test_what_takes_too_long_is_ended_and_said(self, ships: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        fleet(ships)
        slow = (
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT MAX(i) FROM n)"
        )
        monkeypatch.setattr("cream_store.studio.app.SECONDS", 0.2)
        monkeypatch.setattr(Reader, "page", lambda self, _: self._database.fetch_all(f"SELECT {slow}"))
        response = Visitor(ships).get("/tables/ships")
        assert response.status_code == 504
        assert "so it was ended" in words(response)
        monkeypatch.undo()
        assert Visitor(ships).get("/tables/ships").status_code == 200
