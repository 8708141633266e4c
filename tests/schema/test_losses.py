"""What would lose data is refused with what it would cost, and done when it is allowed by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cream_store import (
    BigIntegerField,
    BooleanField,
    Database,
    ForeignKey,
    IntegerField,
    NumericField,
    SchemaError,
    TextField,
    TimestampField,
    UUIDField,
    check,
    index,
)
from cream_store.schema import Risk
from tests.schema.conftest import Blank
from tests.schema.samples import fill_shop, make_row, names, plan_shop, push_shop, shop, step_named
from tests.schema.snapshots import everything_in, schema_of


def notes(**columns: Any) -> list[Any]:
    """A table of notes."""
    return [make_row("notes", **columns)]


def fill_notes(database: Database, *values: object) -> None:
    """A note for each value of its column, `n1`, `n2` and so on."""
    place = "?" if database.kind == "sqlite" else "%s"
    for number, value in enumerate(values, 1):
        database.change(f"INSERT INTO notes (id, value) VALUES ('n{number}', {place})", (value,))


def values_in(database: Database) -> list[Any]:
    """The values of the notes, in order."""
    return [value for (value,) in database.fetch_all("SELECT value FROM notes ORDER BY id")]


class TestADroppedColumn:
    def test_is_refused_with_the_number_of_values(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(text=TextField(), value=TextField(null=True)))
        fill_notes_with_text(database, "a", None, "b")
        before = everything_in(database)
        made = push_shop(database, notes(text=TextField()))
        step = step_named(made, "drop-column:notes.value")
        assert made.refused == (step,)
        assert step.risk is Risk.LOSSY
        assert "2 rows have a value" in step.reason
        assert 'ALTER TABLE "notes" RENAME COLUMN "value" TO' in step.reason
        assert everything_in(database) == before

    def test_goes_when_it_is_allowed_and_takes_nothing_else(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(text=TextField(), value=TextField(null=True)))
        fill_notes_with_text(database, "a", None)
        before = database.fetch_all("SELECT id, text FROM notes ORDER BY id")
        made = push_shop(database, notes(text=TextField()), "drop-column:notes.value")
        assert names(made.accepted) == ["drop-column:notes.value"]
        assert database.fetch_all("SELECT * FROM notes ORDER BY id") == before
        assert plan_shop(database, notes(text=TextField())).steps == ()

    def test_that_was_renamed_by_hand_keeps_its_values(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(value=TextField()))
        fill_notes(database, "a", "b")
        database.change('ALTER TABLE "notes" RENAME COLUMN "value" TO "words"')
        assert push_shop(database, notes(words=TextField())).steps == ()
        assert database.fetch_all("SELECT words FROM notes ORDER BY id") == [("a",), ("b",)]

    def test_says_which_objects_of_others_go_with_it(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(text=TextField(null=True), value=TextField(null=True)))
        database.change("CREATE INDEX dba_value ON notes (text, value)")
        step = step_named(plan_shop(database, notes(text=TextField(null=True))), "drop-column:notes.value")
        assert "with it go index dba_value" in step.reason
        push_shop(database, notes(text=TextField(null=True)), step.name)
        assert "dba_value" not in str(schema_of(database))

    def test_that_must_have_a_value_is_said_to_keep_rows_out(self, blank: Blank) -> None:
        push_shop(blank.database, notes(value=TextField()))
        step = step_named(plan_shop(blank.database, notes()), "drop-column:notes.value")
        assert "no row can be added without it" in step.reason

    def test_that_others_added_is_refused_as_well(self, blank: Blank) -> None:
        push_shop(blank.database, notes())
        blank.database.change("ALTER TABLE notes ADD COLUMN value TEXT")
        assert names(plan_shop(blank.database, notes()).refused) == ["drop-column:notes.value"]


def fill_notes_with_text(database: Database, *values: str | None) -> None:
    """Notes that have a text as well."""
    place = "?" if database.kind == "sqlite" else "%s"
    for number, value in enumerate(values, 1):
        database.change(f"INSERT INTO notes (id, text, value) VALUES ('n{number}', 'text', {place})", (value,))


class TestADroppedTable:
    def test_is_refused_with_the_number_of_rows(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, shop())
        fill_shop(database)
        before = everything_in(database)
        made = push_shop(database, shop()[:1])
        assert names(made.refused)[0] == "drop-table:orders"
        assert "3 rows" in made.refused[0].reason
        assert everything_in(database) == before

    def test_goes_when_it_is_allowed(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, shop())
        fill_shop(database)
        push_shop(database, shop()[:1], "drop-table:orders")
        assert plan_shop(database, shop()[:1]).steps == ()
        reached = schema_of(database)
        push_shop(blank.wipe(), shop()[:1])
        assert reached == schema_of(database)

    def test_goes_together_with_those_that_refer_to_it(self, blank: Blank) -> None:
        database = blank.database
        rows = [*shop(), *notes()]
        push_shop(database, rows)
        fill_shop(database)
        lossy = names(plan_shop(database, notes()).refused)
        push_shop(database, notes(), *lossy)
        assert plan_shop(database, notes()).steps == ()

    def test_stays_while_a_table_refers_to_it_that_stays(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, [*shop(), *notes()])
        fill_shop(database)
        before = everything_in(database)
        if database.kind == "sqlite":
            with pytest.raises(SchemaError, match="orders refers to a row of customers that is not there"):
                push_shop(database, notes(), "drop-table:customers")
        else:
            made = push_shop(database, notes(), "drop-table:customers")
            [step] = made.blocked
            assert "foreign key orders_customer_id_customers_id_fk of table orders" in step.reason
        assert everything_in(database) == before


class TestAChangedType:
    @pytest.mark.parametrize(
        ("before", "after", "values"),
        [
            (IntegerField(), BigIntegerField(), [-1, 2_000_000_000]),
            (IntegerField(), NumericField(14, 4), [-1, 7]),
            (NumericField(6, 2), NumericField(10, 4), [Decimal("-1.25"), Decimal(1000)]),
            (IntegerField(), TextField(), [1, 2]),
            (BooleanField(), IntegerField(), [True, False]),
        ],
    )
    def test_to_one_that_has_all_values_is_safe(self, blank: Blank, before: Any, after: Any, values: list[Any]) -> None:
        database = blank.database
        push_shop(database, notes(value=before.clone()))
        row = notes(value=before.clone())[0]
        for number, value in enumerate(values):
            row.insert(id=f"n{number}", value=value).execute(database)
        assert not push_shop(database, notes(value=after.clone())).refused
        expected = [str(value) for value in values] if isinstance(after, TextField) else values
        changed = notes(value=after.clone())[0]
        stored = [one.value for one in changed.select().order_by(changed.id).execute(database)]
        assert stored == expected

    def test_to_a_narrower_one_is_refused_with_the_numbers(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(value=NumericField(10, 4, null=True)))
        fill_notes(database, 1.5, 2.255, None, 3.0001)
        narrower = notes(value=NumericField(8, 2, null=True))
        before = everything_in(database)
        [step] = push_shop(database, narrower).refused
        assert step.name == "change-type:notes.value"
        assert "3 rows have a value, 2 of which would be rounded" in step.reason
        assert everything_in(database) == before

    def test_that_is_allowed_rounds_and_touches_nothing_else(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(value=NumericField(10, 4, null=True), text=TextField(null=True)))
        fill_notes(database, 1.5, 2.254, None, 3.0001)
        database.change("UPDATE notes SET text = 'it''s ' || id")
        narrower = notes(value=NumericField(8, 2, null=True), text=TextField(null=True))
        push_shop(database, narrower, "change-type:notes.value")
        numbers = [None if value is None else Decimal(str(value)) for value in values_in(database)]
        assert numbers == [Decimal("1.5"), Decimal("2.25"), None, Decimal(3)]
        assert database.fetch_all("SELECT text FROM notes ORDER BY id")[3] == ("it's n4",)
        assert plan_shop(database, narrower).steps == ()

    @pytest.mark.parametrize(
        ("before", "after", "values", "wrong"),
        [
            (NumericField(10, 2), NumericField(4, 2), [1, 12345, 99], "n2"),
            (TextField(), IntegerField(), ["1", "2", "three"], "n3"),
            (TextField(), NumericField(6, 2), ["1.25", "1.2.3"], "n2"),
        ],
    )
    def test_is_blocked_by_values_that_do_not_fit(
        self, blank: Blank, before: Any, after: Any, values: list[Any], wrong: str
    ) -> None:
        database = blank.database
        push_shop(database, notes(value=before.clone()))
        fill_notes(database, *values)
        stored = everything_in(database)
        [step] = push_shop(database, notes(value=after.clone()), "change-type:notes.value").blocked
        assert f"1 stored rows ({wrong})" in step.reason
        assert everything_in(database) == stored

    def test_is_blocked_by_numbers_that_are_too_large(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database  # an integer of SQLite has 64 bits
        push_shop(database, notes(value=BigIntegerField()))
        fill_notes(database, 1, 5_000_000_000)
        [step] = push_shop(database, notes(value=IntegerField()), "change-type:notes.value").blocked
        assert "1 stored rows (n2)" in step.reason

    def test_of_a_column_without_values_is_safe(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, notes(value=TextField(null=True)))
        fill_notes(database, None, None)
        assert not push_shop(database, notes(value=IntegerField(null=True))).refused
        assert plan_shop(database, notes(value=IntegerField(null=True))).steps == ()

    def test_that_fails_after_all_says_so_and_changes_nothing(self, postgresql_blank: Blank) -> None:
        database = postgresql_blank.database
        push_shop(database, notes(value=TextField()))
        fill_notes(database, "soon")
        database.change("ALTER TABLE notes ALTER COLUMN value TYPE interval USING interval '1 day'")
        stored = everything_in(database)
        with pytest.raises(SchemaError, match=r"step change-type:notes\.value failed, nothing was changed"):
            push_shop(database, notes(value=TimestampField()), "change-type:notes.value")
        assert everything_in(database) == stored


class TestWhatWaitsForARefusedStep:
    def test_is_left_out_too_while_the_rest_is_done(self, blank: Blank) -> None:
        database = blank.database
        push_shop(
            database,
            [make_row("notes", value=TextField(server_default="1"), indexes=[index("idx_value", "value")])],
        )
        fill_notes(database, "1", "2")
        wanted = [
            make_row(
                "notes",
                value=IntegerField(server_default=0),
                more=TextField(null=True),
                constraints=[check("positive", "value >= 0")],
                indexes=[index("idx_value", "value", where="value > 1")],
            )
        ]
        made = push_shop(database, wanted)
        assert names(made.accepted) == ["add-column:notes.more"]
        assert names(made.refused) == [
            "drop-index:notes.idx_value",
            "change-type:notes.value",
            "set-default:notes.value",
            "add-constraint:notes.positive",
            "create-index:notes.idx_value",
        ]
        assert step_named(made, "add-constraint:notes.positive").reason == "it waits for change-type:notes.value"
        assert names(plan_shop(database, wanted).steps) == names(made.refused)
        made = push_shop(database, wanted, "change-type:notes.value")
        assert not made.refused
        assert plan_shop(database, wanted).steps == ()
        assert values_in(database) == [1, 2]

    def test_includes_a_new_table_that_refers_to_the_column(self, blank: Blank) -> None:
        database = blank.database
        push_shop(database, [make_row("notes", id=TextField(primary_key=True))])
        database.change("INSERT INTO notes (id) VALUES ('00000000-0000-0000-0000-000000000001')")
        parent = make_row("notes", id=UUIDField(primary_key=True))
        child = make_row("comments", note=ForeignKey(parent), indexes=[index("idx_comments_note", "note_id")])
        made = push_shop(database, [parent, child])
        if database.kind == "sqlite":  # where both are text
            assert not made.refused
        else:
            assert not made.accepted
            made = push_shop(database, [parent, child], "change-type:notes.id")
        assert plan_shop(database, [parent, child]).steps == ()


@pytest.mark.parametrize("text", ["drop-colum:notes.value", "notes.value", "drop-column:", ""])
def test_what_can_be_no_step_is_not_allowed(blank: Blank, text: str) -> None:
    with pytest.raises(SchemaError, match="is no step that could be allowed"):
        push_shop(blank.database, notes(), text)


def test_allowing_what_is_done_already_is_no_error(blank: Blank) -> None:
    push_shop(blank.database, notes())
    assert push_shop(blank.database, notes(), "drop-column:notes.value").steps == ()
