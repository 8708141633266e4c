"""Enum types of PostgreSQL follow their declarations, and never lose a value that is in use."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from cream_store import Database, EnumField, Row, SchemaError, TextField, check, index
from cream_store.schema import plan
from tests.schema.conftest import Blank
from tests.schema.samples import make_row, names, plan_shop, push_shop, step_named
from tests.schema.snapshots import everything_in, schema_of


def mood(*values: str) -> type[StrEnum]:
    """An enum of the type `mood`."""
    make: Any = StrEnum
    enum: type[StrEnum] = make("Mood", [(f"V{number}", value) for number, value in enumerate(values)])
    return enum


def diary(*values: str, rules: Any = (), indexes: Any = (), **options: Any) -> list[type[Row]]:
    """A table with a column of that type."""
    column = EnumField(mood(*values), null=True, **options)
    return [make_row("diary", mood=column, constraints=rules, indexes=indexes)]


def stored_values(database: Database) -> list[str]:
    """The values of the type, in order."""
    return [
        value
        for (value,) in database.fetch_all(
            "SELECT enumlabel FROM pg_enum WHERE enumtypid = to_regtype('mood') ORDER BY enumsortorder"
        )
    ]


def write(database: Database, *values: str) -> None:
    """A diary entry of each mood."""
    for number, value in enumerate(values):
        database.change("INSERT INTO diary (id, mood) VALUES (%s, %s)", (f"d{number}", value))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["b"], ["b", "c"]),
        (["b"], ["a", "b"]),
        (["c"], ["a", "b", "c"]),
        (["a", "d"], ["a", "b", "c", "d", "it's 100%"]),
    ],
)
def test_new_values_are_added_in_their_place(postgresql_blank: Blank, before: list[str], after: list[str]) -> None:
    database = postgresql_blank.database
    push_shop(database, diary(*before))
    write(database, *before)
    made = push_shop(database, diary(*after))
    assert all("ADD VALUE" in statement for statement in made.statements)
    assert stored_values(database) == after
    assert plan_shop(database, diary(*after)).steps == ()


def test_a_new_value_can_be_a_default_and_stand_in_conditions_at_once(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    push_shop(database, diary("good", "bad"))
    write(database, "good", "bad")
    rows = diary(
        "good",
        "it's so-so",
        "bad",
        server_default="it's so-so",
        rules=[check("not_only_bad", "mood <> 'bad' OR mood <> 'it''s so-so'")],
        indexes=[index("idx_so_so", "id", where="mood = 'it''s so-so'")],
    )
    assert not push_shop(database, rows).refused
    assert stored_values(database) == ["good", "it's so-so", "bad"]
    assert plan_shop(database, rows).steps == ()
    database.change("INSERT INTO diary (id) VALUES ('new')")
    assert database.fetch_all("SELECT mood FROM diary ORDER BY id") == [("good",), ("bad",), ("it's so-so",)]


def test_a_text_column_becomes_one_of_a_type_that_gets_a_value(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    other = make_row("other", mood=EnumField(mood("good"), null=True))
    push_shop(database, [other, make_row("diary", mood=TextField(null=True))])
    write(database, "good", "new")
    rows = [make_row("other", mood=EnumField(mood("good", "new"), null=True)), *diary("good", "new")]
    assert not push_shop(database, rows, "change-type:diary.mood").refused
    assert plan_shop(database, rows).steps == ()
    assert database.fetch_all("SELECT mood FROM diary ORDER BY id") == [("good",), ("new",)]


def test_another_order_keeps_all_values_defaults_and_rules(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    rules = [check("no_b", "mood <> 'b' OR id <> 'never'")]
    indexes = [index("idx_a", "mood", where="mood = 'a'")]
    push_shop(database, diary("a", "b", "c", server_default="a", rules=rules, indexes=indexes))
    write(database, "a", "b", "c")
    database.change("CREATE INDEX dba_b ON diary (mood) WHERE mood = 'b'")
    database.change("CREATE TABLE others (mood mood DEFAULT 'c')")
    database.change("INSERT INTO others DEFAULT VALUES")
    rows = diary("c", "b", "a", server_default="a", rules=rules, indexes=indexes)
    assert names(push_shop(database, rows).refused) == []
    assert stored_values(database) == ["c", "b", "a"]
    assert database.fetch_all("SELECT mood FROM diary ORDER BY mood") == [("c",), ("b",), ("a",)]
    assert database.fetch_all("SELECT mood FROM others") == [("c",)]
    assert "dba_b" in str(schema_of(database)["index"])
    assert plan_shop(database, rows).steps == ()
    database.change("INSERT INTO diary (id) VALUES ('new')")
    database.change("INSERT INTO others DEFAULT VALUES")


class TestARemovedValue:
    def test_that_no_row_has_is_refused_until_it_is_allowed(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, diary("a", "b", "c"))
        write(database, "a", "c")
        before = everything_in(database)
        [step] = push_shop(database, diary("a", "c")).refused
        assert step.name == "remove-enum-value:mood.b"
        assert "other programs may write it" in step.reason
        assert "ALTER TYPE \"mood\" RENAME VALUE 'b' TO" in step.reason
        assert everything_in(database) == before
        push_shop(database, diary("a", "c"), step.name)
        assert stored_values(database) == ["a", "c"]
        assert database.fetch_all("SELECT mood FROM diary ORDER BY id") == [("a",), ("c",)]
        assert plan_shop(database, diary("a", "c")).steps == ()

    def test_that_rows_have_blocks_the_push(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, diary("a", "b"))
        write(database, "a", "b", "b")
        before = everything_in(database)
        [step] = push_shop(database, [*diary("a"), make_row("more")], "remove-enum-value:mood.b").blocked
        assert "2 rows of diary have this value" in step.reason
        assert everything_in(database) == before

    def test_does_not_keep_others_from_being_added(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, diary("a", "b"))
        made = push_shop(database, diary("new", "a"))
        assert names(made.accepted) == ["add-enum-value:mood.new"]
        assert stored_values(database) == ["new", "a", "b"]
        assert names(plan_shop(database, diary("new", "a")).steps) == ["remove-enum-value:mood.b"]

    def test_goes_alone_when_it_alone_is_allowed(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, diary("a", "b", "c", server_default="b"))
        push_shop(database, diary("a", server_default="a"), "remove-enum-value:mood.b")
        assert stored_values(database) == ["a", "c"]
        assert names(plan_shop(database, diary("a", server_default="a")).steps) == ["remove-enum-value:mood.c"]
        push_shop(database, diary("a", server_default="a"), "remove-enum-value:mood.c")
        assert plan_shop(database, diary("a", server_default="a")).steps == ()

    def test_of_a_sqlite_column_needs_no_permission_unless_a_row_has_it(self) -> None:
        """There the values are a rule of the column, and no other program knows a type."""
        blank = Blank("sqlite")
        database = blank.wipe()
        push_shop(database, diary("a", "b", "c"))
        database.change("INSERT INTO diary (id, mood) VALUES ('d1', 'b')")
        assert not push_shop(database, diary("a", "b")).refused
        [step] = push_shop(database, diary("a")).blocked
        assert "1 stored rows (d1)" in step.reason
        blank.close()


def test_a_view_over_the_column_blocks_a_change_that_it_would_not_survive(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    push_shop(database, diary("a", "b"))
    database.change("CREATE VIEW moods AS SELECT mood FROM diary")
    before = everything_in(database)
    [step] = push_shop(database, diary("b", "a")).blocked
    assert "view moods would not survive it" in step.reason
    assert everything_in(database) == before
    push_shop(database, diary("a", "b", "c"))
    assert stored_values(database) == ["a", "b", "c"]


def test_a_function_over_the_type_blocks_it_as_well(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    push_shop(database, diary("a", "b"))
    database.change("CREATE FUNCTION cheer(mood) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'")
    [step] = push_shop(database, diary("b", "a")).blocked
    assert "function cheer(mood)" in step.reason


class TestATypeThatNoColumnHasAnyMore:
    def test_goes_with_the_last_column(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, diary("a"))
        bare = [make_row("diary")]
        assert names(push_shop(database, bare).refused) == ["drop-column:diary.mood", "drop-type:mood"]
        push_shop(database, bare, "drop-column:diary.mood")
        assert plan_shop(database, bare).steps == ()
        assert stored_values(database) == []

    def test_stays_while_others_use_it(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, diary("a"))
        database.change("CREATE TABLE others (moods mood[])")
        push_shop(database, [make_row("diary")], "drop-column:diary.mood")
        assert plan_shop(database, [make_row("diary")]).steps == ()
        assert stored_values(database) == ["a"]

    def test_that_is_not_ours_stays(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        database.change("CREATE TYPE mood AS ENUM ('x')")
        push_shop(database, [make_row("diary")])
        assert stored_values(database) == ["x"]


def test_two_tables_that_disagree_on_a_type_are_refused(blank: Blank) -> None:
    rows = [*diary("a", "b"), make_row("other", mood=EnumField(mood("a", "c")))]
    with pytest.raises(SchemaError, match="'diary' and 'other' declare enum type 'mood' with different values"):
        plan(blank.database, rows)


def test_two_tables_that_declare_one_index_are_refused(blank: Blank) -> None:
    rows = [make_row(name, indexes=[index("idx_id", "id")]) for name in ("one", "two")]
    with pytest.raises(SchemaError, match="'one' and 'two' both declare index 'idx_id'"):
        plan(blank.database, rows)


def test_the_same_type_of_two_tables_is_made_once(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    rows = [*diary("a", "b"), make_row("other", mood=EnumField(mood("a", "b")))]
    assert names(push_shop(database, rows).steps) == ["create-type:mood", "create-table:diary", "create-table:other"]
    assert step_named(push_shop(database, [*rows, make_row("more")]), "create-table:more").is_accepted
