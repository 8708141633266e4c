"""A rule that stored rows break is not added: the plan says which rows, and nothing at all is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
import pytest

from cream_store import ForeignKey, IntegerField, Row, SerialField, TextField, UUIDv7Field, check, index, unique
from cream_store.schema import Risk
from tests.schema.conftest import Blank
from tests.schema.samples import make_row, names, plan_shop, push_shop, step_named
from tests.schema.snapshots import everything_in


def parents() -> type[Row]:
    return make_row("parents", id=TextField(primary_key=True))


def plain(**more: Any) -> list[type[Row]]:
    """Two tables without any rule."""
    return [parents(), make_row("children", number=IntegerField(null=True), parent_id=TextField(null=True), **more)]


def fill(blank: Blank) -> None:
    """Seven children, most of them with a fault."""
    blank.database.change("INSERT INTO parents (id) VALUES ('p1')")
    blank.database.change(
        "INSERT INTO children (id, number, parent_id) VALUES ('c1', 1, 'p1'), ('c2', -1, 'p1'), ('c3', -2, 'gone'),"
        " ('c4', NULL, 'p1'), ('c5', -3, NULL), ('c6', -4, 'p1'), ('c7', -5, 'gone'), ('c8', -6, 'p1'), ('c9', 1, NULL)"
    )


def children(number: Any = None, parent: Any = None, **rules: Any) -> list[type[Row]]:
    """The two tables with some rule."""
    parent_row = parents()
    columns = {
        "number": number or IntegerField(null=True),
        **({"parent": ForeignKey(parent_row, null=True)} if parent else {"parent_id": TextField(null=True)}),
    }
    return [parent_row, make_row("children", **columns, **rules)]


RULES: dict[str, tuple[Callable[[], list[type[Row]]], str]] = {
    "add-constraint:children.positive": (
        lambda: children(constraints=[check("positive", "number > 0")]),
        "6 stored rows (c2, c3, c5, c6, c7, ...)",
    ),
    "set-not-null:children.number": (lambda: children(number=IntegerField()), "1 stored rows (c4)"),
    "add-constraint:children.one_each": (
        lambda: children(constraints=[unique("one_each", "number")]),
        "2 stored rows (c1, c9)",
    ),
    "create-index:children.idx_number": (
        lambda: children(indexes=[index("idx_number", "number", unique=True, where="number > 0")]),
        "2 stored rows (c1, c9)",
    ),
    "add-foreign-key:children.children_parent_id_parents_id_fk": (
        lambda: children(parent=True),
        "2 stored rows (c3, c7)",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_the_rows_are_named_and_nothing_is_done(blank: Blank, name: str) -> None:
    database = blank.database
    push_shop(database, plain())
    fill(blank)
    before = everything_in(database)
    make_rows, rows_named = RULES[name]
    rows = [*make_rows(), make_row("more")]
    made = push_shop(database, rows)
    [step] = made.blocked
    assert (step.name, step.risk) == (name, Risk.BLOCKED)
    assert rows_named in step.reason
    assert not step.is_accepted
    assert everything_in(database) == before


@pytest.mark.parametrize("name", RULES)
def test_the_rule_is_added_once_the_rows_are_gone(blank: Blank, name: str) -> None:
    database = blank.database
    push_shop(database, plain())
    fill(blank)
    database.change("DELETE FROM children WHERE id NOT IN ('c1')")
    rows = RULES[name][0]()
    made = push_shop(database, rows)
    assert name in names(made.accepted)
    assert plan_shop(database, rows).steps == ()
    assert database.fetch_all("SELECT id, number, parent_id FROM children") == [("c1", 1, "p1")]


class TestANewColumn:
    def test_must_have_a_value_for_the_rows_that_are_there(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, plain())
        fill(blank)
        before = everything_in(database)
        [step] = push_shop(database, plain(size=IntegerField())).blocked
        assert "9 rows would have no value" in step.reason
        assert 'ALTER TABLE "children" RENAME COLUMN' in step.reason
        assert everything_in(database) == before
        push_shop(database, plain(size=IntegerField(server_default=3)))
        assert database.fetch_all("SELECT DISTINCT size FROM children") == [(3,)]

    def test_is_held_to_the_rules_that_come_with_it(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, plain())
        fill(blank)
        before = everything_in(database)
        rows = [
            parents(),
            make_row(
                "children",
                number=IntegerField(null=True),
                parent_id=TextField(null=True),
                size=IntegerField(server_default=0),
                constraints=[check("sized", "size > 0"), unique("size_once", "size")],
            ),
        ]
        made = push_shop(database, rows)
        assert sorted(names(made.blocked)) == ["add-constraint:children.size_once", "add-constraint:children.sized"]
        assert all("9 stored rows (c1, c2, c3, c4, c5, ...)" in step.reason for step in made.blocked)
        assert everything_in(database) == before

    def test_can_be_a_new_key(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, plain())
        fill(blank)
        rows = [
            parents(),
            make_row(
                "children",
                id=TextField(),
                serial=SerialField(),
                number=IntegerField(null=True),
                parent_id=TextField(null=True),
            ),
        ]
        assert not push_shop(database, rows).blocked
        assert plan_shop(database, rows).steps == ()
        assert database.fetch_all("SELECT count(DISTINCT serial), count(*) FROM children") == [(9, 9)]
        database.change("INSERT INTO children (id) VALUES ('c10')")
        assert database.fetch_all("SELECT serial FROM children WHERE id = 'c10'") == [(10,)]

    def test_can_make_its_values_itself(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, plain())
        fill(blank)
        rows = [
            parents(),
            make_row(
                "children",
                id=TextField(),
                uuid=UUIDv7Field(primary_key=True),
                number=IntegerField(null=True),
                parent_id=TextField(null=True),
            ),
        ]
        assert not push_shop(database, rows).blocked
        assert database.fetch_all("SELECT count(DISTINCT uuid) FROM children") == [(9,)]


def test_a_type_and_a_rule_change_together(blank: Blank) -> None:
    """The rule is about the values as they will be."""
    database = blank.database
    push_shop(database, [make_row("children", number=TextField())])
    database.change("INSERT INTO children (id, number) VALUES ('c1', '10'), ('c2', '9')")
    rows = [make_row("children", number=IntegerField(), constraints=[check("large", "number >= 10")])]
    before = everything_in(database)
    [step] = push_shop(database, rows, "change-type:children.number").blocked
    assert "1 stored rows (c2)" in step.reason
    assert everything_in(database) == before
    database.change("UPDATE children SET number = '11' WHERE id = 'c2'")
    push_shop(database, rows, "change-type:children.number")
    assert database.fetch_all("SELECT number FROM children ORDER BY id") == [(10,), (11,)]


def test_a_reference_to_a_table_that_is_yet_to_come(blank: Blank) -> None:
    database = blank.database
    push_shop(database, plain()[1:])
    database.change("INSERT INTO children (id, parent_id) VALUES ('c1', 'p1'), ('c2', NULL)")
    rows = children(parent=True)
    [step] = push_shop(database, rows).blocked
    assert step.action == "add-foreign-key"
    assert "1 stored rows (c1)" in step.reason
    database.change("DELETE FROM children WHERE id = 'c1'")
    push_shop(database, rows)
    assert plan_shop(database, rows).steps == ()


def test_rows_without_a_key_are_told_apart_by_their_place(blank: Blank) -> None:
    database = blank.database

    class MarkRow(Row):
        value = IntegerField()

        class Meta:
            table_name = "marks"
            primary_key = False

    class PositiveMarkRow(Row):
        value = IntegerField()

        class Meta:
            table_name = "marks"
            primary_key = False
            constraints = [check("positive", "value > 0")]

    push_shop(database, [MarkRow])
    database.change("INSERT INTO marks VALUES (1), (-1)")
    [step] = push_shop(database, [PositiveMarkRow]).blocked
    assert f"1 stored rows ({'2' if database.kind == 'sqlite' else '(0,2)'})" in step.reason


def test_rows_with_a_key_of_several_columns_are_named_by_all(blank: Blank) -> None:
    database = blank.database

    def marks(*rules: peewee.Node) -> type[Row]:
        meta = type(
            "Meta",
            (),
            {"table_name": "marks", "constraints": list(rules), "primary_key": peewee.CompositeKey("pupil", "day")},
        )
        columns = {"pupil": TextField(), "day": TextField(), "value": IntegerField()}
        return type("MarkRow", (Row,), {"__module__": __name__, **columns, "Meta": meta})

    push_shop(database, [marks()])
    assert plan_shop(database, [marks()]).steps == ()
    database.change("INSERT INTO marks VALUES ('Ann', 'Monday', -1), ('Ann', 'Tuesday', 1)")
    [step] = push_shop(database, [marks(check("positive", "value > 0"))]).blocked
    assert "1 stored rows ((Ann, Monday))" in step.reason


def test_rules_that_all_rows_keep_are_added_together(blank: Blank) -> None:
    database = blank.database
    push_shop(database, plain())
    fill(blank)
    rows = children(
        constraints=[check("sane", "number > -100")], indexes=[index("idx_id", "id", "number", unique=True)]
    )
    made = push_shop(database, rows)
    assert names(made.accepted) == ["add-constraint:children.sane", "create-index:children.idx_id"]
    assert step_named(made, "add-constraint:children.sane").risk is Risk.SAFE
