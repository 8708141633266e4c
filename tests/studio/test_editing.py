"""PAPER's rows are changed through their repositories, when the studio was started for it; nobody else's ever are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cream_plugins.audit import AuditLogRow
from cream_plugins.core_trading import (
    Cycle,
    CyclesRepository,
    Decision,
    DecisionAction,
    DecisionDirection,
    DecisionsRepository,
    DecisionStatus,
)
from cream_plugins.dashboard import AlertsRepository
from cream_store import Environment, Secret, Store
from cream_store.environment import DatabaseLocation
from cream_store.studio.catalogue import catalogue
from tests.conftest import templates
from tests.studio.stranger import Mood, Ship, ShipsRepository
from tests.studio.visitor import Visitor, fields_of, words


def ship(store: Store, **values: Any) -> Ship:
    return store[ShipsRepository].create(Ship(**{"name": "Beagle", **values}))


def edit(ship: Ship) -> str:
    return f"/tables/ships/row/edit?key={ship.id}"


def stored(store: Store, ship: Ship) -> Ship:
    return store[ShipsRepository].find_by_id_or_raise(ship.id)


class TestUpdate:
    def test_what_was_typed_is_stored_and_nothing_else(self, ships: Store) -> None:
        before = ship(ships, code="a", tonnes=Decimal("1.50"), papers={"x": 1}, password=Secret("kept"))
        response = Visitor(ships, write=True).submit(
            edit(before),
            {
                "value.name": "Fram",
                "value.tonnes": "402.5",
                "value.crew": "13",
                "value.mood": "bad",
                "value.afloat": "true",
                "value.launched_at": "1892-10-26 12:00",
                "value.papers": '{"x": [1, 2.5, null]}',
            },
        )
        assert response.status_code == 303
        assert stored(ships, before) == before.replace(
            name="Fram",
            tonnes=Decimal("402.50"),
            crew=13,
            mood=Mood.BAD,
            afloat=True,
            launched_at=datetime(1892, 10, 26, 12, tzinfo=UTC),
            papers={"x": [1, 2.5, None]},
        )
        assert "Saved." in Visitor(ships).text(response.headers["Location"])

    def test_a_form_that_is_sent_as_it_came_changes_nothing(self, ships: Store) -> None:
        before = ship(ships, name="\n two\r\nlines \n", code="", tonnes=Decimal("0.10"), papers={"é": "<&>"})
        assert Visitor(ships, write=True).submit(edit(before), {}).status_code == 303
        assert stored(ships, before) == before

    def test_null_and_empty_text_are_told_apart(self, ships: Store) -> None:
        before = ship(ships, code="a", crew=5)
        visitor = Visitor(ships, write=True)
        visitor.submit(edit(before), {"value.code": ""})
        assert stored(ships, before).code == ""
        visitor.submit(edit(before), {"null.code": "on", "value.crew": " "})
        assert (stored(ships, before).code, stored(ships, before).crew) == (None, None)
        visitor.submit(edit(before), {"value.code": "typed although the box is ticked"})
        assert stored(ships, before).code == "typed although the box is ticked"

    @pytest.mark.parametrize(
        ("field", "text", "error"),
        [
            ("tonnes", "many", "needs a number"),
            ("tonnes", "1.234", "has more than 2 decimals"),
            ("tonnes", "NaN", "is not a number that can be stored"),
            ("crew", "1.5", "needs a whole number"),
            ("crew", "99999999999", "can't be stored"),
            ("mood", "awful", "is not one of well, good, bad"),
            ("launched_at", "soon", "needs a date and time"),
            ("papers", "{", "not JSON, line 1"),
            ("papers", "[1]", "needs a dict"),
            ("name", "a\0b", "NUL"),
        ],
    )
    def test_a_value_that_can_t_be_is_refused_at_its_field(
        self, sqlite_ships: Store, field: str, text: str, error: str
    ) -> None:
        before = ship(sqlite_ships)
        response = Visitor(sqlite_ships, write=True).submit(
            edit(before), {f"value.{field}": text, "value.code": "typed"}
        )
        assert response.status_code == 422
        marked = response.text[: response.text.index('class="error"')].rpartition('<div class="field')[2]
        assert f'name="value.{field}"' in marked
        assert error in words(response).replace("'", "'")
        assert fields_of(response.text)["value.code"] == "typed", "what was typed is still there"
        assert stored(sqlite_ships, before) == before

    def test_what_the_database_refuses_is_said(self, ships: Store) -> None:
        before, other = ship(ships), ship(ships, code="taken")
        visitor = Visitor(ships, write=True)
        response = visitor.submit(edit(before), {"value.code": "taken"})
        assert response.status_code == 422
        assert 'aria-invalid="true"' in response.text
        response = visitor.submit(edit(before), {"value.crew": "-5"})
        assert response.status_code == 422
        assert "some_crew" in words(response)
        assert (stored(ships, before), stored(ships, other)) == (before, other)

    def test_somebody_else_s_change_is_not_overwritten(self, ships: Store) -> None:
        before = ship(ships)
        visitor = Visitor(ships, write=True)
        fields = fields_of(visitor.get(edit(before)).text)
        ships[ShipsRepository].update(before.id, {"name": "Endeavour", "crew": 90})
        response = visitor.post(edit(before), {**fields, "value.name": "Fram"})
        assert response.status_code == 422
        assert "was changed meanwhile: it is now Endeavour" in words(response)
        assert visitor.post(edit(before), {**fields, "value.code": "mine"}).status_code == 303
        assert stored(ships, before) == before.replace(name="Endeavour", crew=90, code="mine")

    def test_a_row_that_is_gone_is_not_found(self, ships: Store) -> None:
        before = ship(ships)
        visitor = Visitor(ships, write=True)
        fields = fields_of(visitor.get(edit(before)).text)
        ships[ShipsRepository].delete(before.id)
        assert visitor.post(edit(before), fields).status_code == 404
        assert visitor.get("/tables/ships/row/edit?key=nonsense").status_code == 404

    def test_secrets_and_what_the_repository_keeps_have_no_field(self, ships: Store) -> None:
        fields = fields_of(Visitor(ships, write=True).get(edit(ship(ships, password=Secret("hidden-thing")))).text)
        assert "value.name" in fields
        assert not {"value.password", "value.id", "value.created_at"} & fields.keys()

    def test_a_crafted_field_is_ignored(self, ships: Store) -> None:
        before = ship(ships, password=Secret("kept"))
        crafted = {"value.password": "mine", "value.id": "x", "value.created_at": "2000-01-01", "value.nowhere": "1"}
        assert Visitor(ships, write=True).submit(edit(before), crafted).status_code == 303
        assert stored(ships, before) == before

    def test_the_repository_s_rules_hold(self, paper_store: Store) -> None:
        cycle = paper_store[CyclesRepository].create(Cycle(environment=Environment.PAPER))
        decisions = paper_store[DecisionsRepository]
        decision = decisions.create(
            Decision(
                cycle_id=cycle.id,
                symbol="AAPL",
                action=DecisionAction.BUY,
                direction=DecisionDirection.LONG,
                size=Decimal(1),
                environment=Environment.PAPER,
            )
        )
        visitor = Visitor(paper_store, write=True)
        path = f"/tables/decisions/row/edit?key={decision.id}"
        assert visitor.submit(path, {"value.status": "rejected", "value.rationale": "no"}).status_code == 303
        rejected = decisions.find_by_id_or_raise(decision.id)
        assert rejected.status is DecisionStatus.REJECTED
        assert rejected.closed_at is not None, "as the repository sets it"
        response = visitor.submit(path, {"value.status": "approved"})
        assert response.status_code == 422
        assert "can't become approved" in words(response)
        assert decisions.find_by_id_or_raise(decision.id) == rejected

    def test_what_a_repository_changes_in_other_ways_is_not_changed_here(self, paper_store: Store) -> None:
        """A trail that is never changed, settings that are found by their user, states by their environment."""
        visitor = Visitor(paper_store, write=True)
        for table in ("audit_log", "alert_settings", "system_state", "execution_recovery_state", "session"):
            name = next(iter(catalogue(paper_store.plugins)[table].keys))
            assert name
        for table in ("audit_log", "alert_settings", "system_state", "execution_recovery_state"):
            assert visitor.get(f"/tables/{table}/row/edit?key=PAPER").status_code == 403
            assert visitor.post(f"/tables/{table}/row/edit?key=PAPER").status_code == 403
        assert AuditLogRow.select().count(paper_store.database) == 0


class TestCreate:
    def test_a_row_with_defaults(self, ships: Store) -> None:
        response = Visitor(ships, write=True).submit("/tables/ships/new", {"value.name": "Fram", "value.code": "f"})
        assert response.status_code == 303
        [created] = ships[ShipsRepository].find_all()
        assert (created.name, created.code, created.crew, created.mood, created.papers) == (
            "Fram",
            "f",
            None,
            Mood.WELL,
            {},
        )
        assert str(created.id) in response.headers["Location"]

    def test_what_is_needed_is_marked(self, ships: Store) -> None:
        response = Visitor(ships, write=True).submit("/tables/ships/new", {"value.code": "f"})
        assert response.status_code == 422
        assert "is needed" in words(response)
        assert ships[ShipsRepository].count() == 0

    def test_a_key_that_is_taken_is_said(self, ships: Store) -> None:
        visitor = Visitor(ships, write=True)
        assert visitor.submit("/tables/harbours/new", {"value.name": "Hull"}).status_code == 303
        assert visitor.submit("/tables/harbours/new", {"value.name": "Hull"}).status_code == 422

    def test_the_environment_is_the_database_s(self, paper_store: Store) -> None:
        visitor = Visitor(paper_store, write=True)
        page = visitor.get("/tables/alerts/new").text
        fields = fields_of(page)
        assert fields["value.environment"] == "PAPER"
        changes = {"value.severity": "critical", "value.type": "system", "value.title": "t", "value.message": "m"}
        refused = visitor.post("/tables/alerts/new", {**fields, **changes, "value.environment": "LIVE"})
        assert refused.status_code == 422
        assert paper_store[AlertsRepository].count() == 0

    def test_a_table_that_needs_a_secret_or_has_no_repository_has_no_form(
        self, ships: Store, paper_store: Store
    ) -> None:
        assert Visitor(ships, write=True).get("/tables/ship_keys/new").status_code == 403
        assert Visitor(ships, write=True).get("/tables/cargo/new").status_code == 403
        assert Visitor(paper_store, write=True).get("/tables/session/new").status_code == 403


class TestReadOnly:
    def attempts(self, visitor: Visitor, ship: Ship) -> None:
        for path in (edit(ship), "/tables/ships/new"):
            assert visitor.get(path).status_code == 403
            refused = visitor.post(path, {"value.name": "Fram", "was.name": "Beagle"})
            assert refused.status_code == 403
            assert "read-only" in words(refused) or "--write" in words(refused)
        assert "Edit" not in visitor.text(f"/tables/ships/row?key={ship.id}")
        assert "New row" not in visitor.text("/tables/ships")

    def test_without_write_nothing_is_changed(self, sqlite_ships: Store) -> None:
        before = ship(sqlite_ships)
        self.attempts(Visitor(sqlite_ships), before)
        assert sqlite_ships[ShipsRepository].find_all() == [before]

    @pytest.mark.parametrize("environment", [Environment.LIVE, Environment.TEST])
    def test_live_and_test_are_never_changed(self, sqlite_ships: Store, environment: Environment) -> None:
        before = ship(sqlite_ships)
        sqlite_ships.database.environment = environment
        self.attempts(Visitor(sqlite_ships, write=True), before)
        assert sqlite_ships[ShipsRepository].find_all() == [before]
        sqlite_ships.database.environment = Environment.PAPER

    def test_live_s_database_that_paper_fell_back_to_is_never_changed(self, sqlite_ships: Store) -> None:
        before = ship(sqlite_ships)
        location = sqlite_ships.database.location
        sqlite_ships.database.location = DatabaseLocation(location.url, "DATABASE_URL", is_live_fallback=True)
        self.attempts(Visitor(sqlite_ships, write=True), before)
        sqlite_ships.database.location = location

    def test_a_database_of_live_is_live(self, back_end: str) -> None:
        with templates(back_end, ("core-trading",), Environment.LIVE).copy() as store:
            cycle = store[CyclesRepository].start()
            visitor = Visitor(store, write=True)
            assert '<header class="banner live">' in visitor.get("/").text
            assert visitor.post(f"/tables/cycles/row/edit?key={cycle.id}", {"value.iterations": "9"}).status_code == 403
            assert visitor.post("/tables/cycles/new", {"value.environment": "LIVE"}).status_code == 403
            assert store[CyclesRepository].find_all() == [cycle]
