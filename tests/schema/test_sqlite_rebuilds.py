"""SQLite alters tables by building them anew: nothing that hangs on them, and none of their rows, gets lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cream_store import (
    ConstraintViolationError,
    Database,
    ForeignKey,
    IntegerField,
    NumericField,
    Row,
    SchemaError,
    SerialField,
    TextField,
    check,
    index,
)
from cream_store.schema import plan, push, reset
from tests.schema.conftest import Blank
from tests.schema.samples import changed_shop, fill_shop, make_row, names, plan_shop, push_everything, push_shop, shop
from tests.schema.snapshots import everything_in, rows_of, schema_of


@pytest.fixture
def database() -> Iterator[Database]:
    blank = Blank("sqlite")
    yield blank.wipe()
    blank.close()


def notes(**columns: Any) -> list[type[Row]]:
    return [make_row("notes", **columns)]


def test_row_ids_stay(database: Database) -> None:
    push_shop(database, notes(text=TextField()))
    database.change("INSERT INTO notes (rowid, id, text) VALUES (7, 'a', 'x'), (3, 'b', 'y'), (9, 'c', 'z')")
    database.change("DELETE FROM notes WHERE id = 'c'")
    push_shop(database, notes(text=TextField(null=True), more=IntegerField(server_default=5)))
    assert database.fetch_all("SELECT rowid, id, text, more FROM notes ORDER BY rowid") == [
        (3, "b", "y", 5),
        (7, "a", "x", 5),
    ]


def test_the_children_of_a_table_that_is_rebuilt_stay(database: Database) -> None:
    """Dropping a table deletes its rows, which would take the children with it (ON DELETE CASCADE)."""
    push_shop(database, shop())
    fill_shop(database)
    orders = rows_of(database)["orders"]
    customers = make_row("customers", name=TextField(null=True), email=TextField(null=True))
    push_shop(database, [customers, shop()[1]])
    assert rows_of(database)["orders"] == orders
    assert database.fetch_all("PRAGMA foreign_key_check") == []
    assert database.fetch_all("PRAGMA foreign_keys") == [(1,)]
    database.change("DELETE FROM customers WHERE id = 'c1'")
    assert database.fetch_all("SELECT count(*) FROM orders") == [(2,)]


def test_a_table_that_refers_to_itself_goes_on_doing_so(database: Database) -> None:
    def tree(**more: Any) -> list[type[Row]]:
        return [make_row("nodes", parent=ForeignKey("self", null=True), **more)]  # type: ignore[arg-type]  # Peewee's word

    push_shop(database, tree())
    database.change("INSERT INTO nodes (id, parent_id) VALUES ('a', NULL), ('b', 'a')")
    push_shop(database, tree(more=TextField(null=True)))
    assert plan_shop(database, tree(more=TextField(null=True))).steps == ()
    with pytest.raises(ConstraintViolationError):
        database.change("INSERT INTO nodes (id, parent_id) VALUES ('c', 'nobody')")


def test_what_others_attached_comes_back(database: Database) -> None:
    push_shop(database, shop())
    fill_shop(database)
    for statement in (
        "CREATE TABLE log (number INTEGER)",
        "CREATE TRIGGER log_orders AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (new.number); END",
        "CREATE INDEX dba_price ON orders (price DESC) WHERE price > 10",
        "CREATE VIEW sums AS SELECT customer_id, sum(price) AS total FROM orders GROUP BY customer_id",
    ):
        database.change(statement)
    attached = [one for one in schema_of(database)["schema"] if one[1] in ("log_orders", "dba_price", "sums")]
    totals = database.fetch_all("SELECT * FROM sums ORDER BY 1")
    push_everything(database, changed_shop())
    assert [one for one in schema_of(database)["schema"] if one[1] in ("log_orders", "dba_price", "sums")] == attached
    assert database.fetch_all("SELECT * FROM sums ORDER BY 1") == totals
    database.change("INSERT INTO orders (price) VALUES (1)")
    assert database.fetch_all("SELECT number FROM log") == [(4,)]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("CREATE VIEW texts AS SELECT text FROM notes", "view texts would not work any more"),
        (
            "CREATE TRIGGER shout AFTER INSERT ON notes BEGIN UPDATE notes SET text = upper(new.text); END",
            "a trigger on notes would not work any more",
        ),
        ("CREATE INDEX upper_texts ON notes (id) WHERE upper(text) > 'A'", None),
    ],
)
def test_what_needs_a_dropped_column_forbids_to_drop_it(database: Database, statement: str, fault: str | None) -> None:
    push_shop(database, notes(text=TextField(null=True)))
    database.change("INSERT INTO notes (id, text) VALUES ('a', 'x')")
    database.change(statement)
    before = everything_in(database)
    if fault is None:  # an index is nothing without its columns, and goes with them
        reason = plan_shop(database, notes()).refused[0].reason
        assert "with it go index upper_texts" in reason
        push_shop(database, notes(), "drop-column:notes.text")
        assert "upper_texts" not in str(schema_of(database))
        return
    with pytest.raises(SchemaError, match=fault):
        push_shop(database, notes(), "drop-column:notes.text")
    assert everything_in(database) == before
    assert database.fetch_all("PRAGMA foreign_keys") == [(1,)]


class TestATableThatAnotherProgramMade:
    @pytest.mark.parametrize(
        "statement",
        [
            "create table notes (id text not null primary key, n integer not null) without rowid",
            "CREATE TABLE notes (\n id TEXT NOT NULL PRIMARY KEY, -- a key, text\n n INTEGER /* a number, */ NOT NULL)",
            "CREATE TABLE [notes] (`id` TEXT NOT NULL, [n] INTEGER NOT NULL, PRIMARY KEY (id))",
            "CREATE TABLE 'notes' (id VARCHAR(10) PRIMARY KEY NOT NULL, n INT NOT NULL)",
            'CREATE TABLE "notes" ("id" TEXT CONSTRAINT pk PRIMARY KEY ON CONFLICT IGNORE, n INTEGER NOT NULL)',
            "CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL) STRICT",
            "CREATE TABLE notes (id TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, n INTEGER DEFAULT -1 CHECK (n > -5))",
        ],
    )
    def test_comes_to_match_with_its_rows(self, database: Database, statement: str) -> None:
        database.change(statement)
        database.change("INSERT INTO notes VALUES ('a', 1), ('b', 2)")
        rows = notes(n=IntegerField(), more=TextField(null=True))
        assert not push_shop(database, rows).refused
        assert plan_shop(database, rows).steps == ()
        assert database.fetch_all("SELECT id, n, more FROM notes ORDER BY id") == [("a", 1, None), ("b", 2, None)]

    def test_may_have_numbered_its_rows_itself(self, database: Database) -> None:
        database.change("CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER)")
        database.change("INSERT INTO notes (n) VALUES (1), (2), (3)")
        database.change("DELETE FROM notes WHERE n = 1")
        rows = notes(id=SerialField(), n=IntegerField())
        push_shop(database, rows)
        assert plan_shop(database, rows).steps == ()
        database.change("INSERT INTO notes (n) VALUES (4)")
        assert database.fetch_all("SELECT id, n FROM notes ORDER BY id") == [(2, 2), (3, 3), (4, 4)]

    def test_keeps_its_own_rules_and_columns(self, database: Database) -> None:
        database.change(
            "CREATE TABLE notes (id TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL, twice INTEGER GENERATED ALWAYS AS"
            " (n * 2) STORED, kind TEXT DEFAULT 'it''s, (x)' CHECK (kind IN ('it''s, (x)', 'b')) REFERENCES kinds (id)"
            " ON DELETE SET NULL, CONSTRAINT theirs CHECK (n <> 13), UNIQUE (n, kind))"
        )
        database.change("CREATE TABLE kinds (id TEXT PRIMARY KEY)")
        database.change("INSERT INTO kinds VALUES ('it''s, (x)')")
        database.change("INSERT INTO notes (id, n) VALUES ('a', 1), ('b', 2)")
        rows = notes(n=IntegerField(null=True))
        made = push_shop(database, rows)
        assert names(made.refused) == ["drop-column:notes.twice", "drop-column:notes.kind"]
        assert names(plan_shop(database, rows).steps) == names(made.refused)
        assert database.fetch_all("SELECT id, n, twice, kind FROM notes") == [
            ("a", 1, 2, "it's, (x)"),
            ("b", 2, 4, "it's, (x)"),
        ]
        for statement in (
            "INSERT INTO notes (id, n) VALUES ('c', 13)",
            "INSERT INTO notes (id, n, kind) VALUES ('c', 3, 'z')",
            "INSERT INTO notes (id, n, kind) VALUES ('c', 3, 'b')",
        ):
            with pytest.raises(ConstraintViolationError):
                database.change(statement)
        database.change("DELETE FROM kinds")
        assert database.fetch_all("SELECT DISTINCT kind FROM notes") == [(None,)]

    def test_may_have_a_column_called_rowid(self, database: Database) -> None:
        push_shop(database, notes(rowid=TextField()))
        database.change("INSERT INTO notes (_rowid_, id, rowid) VALUES (5, 'a', 'x')")
        rows = notes(rowid=TextField(), more=TextField(null=True))
        push_shop(database, rows)
        assert database.fetch_all("SELECT _rowid_, id, rowid FROM notes") == [(5, "a", "x")]

    def test_may_be_a_view(self, database: Database) -> None:
        database.change("CREATE VIEW notes AS SELECT 1 AS id")
        [step] = push_shop(database, notes()).blocked
        assert "a view has this name" in step.reason


def test_names_that_need_quotes(database: Database) -> None:
    def odd(**more: Any) -> list[type[Row]]:
        columns = {"order": TextField(), "group": IntegerField(null=True), **more}
        return [
            make_row(
                "select",
                **columns,
                constraints=[check("where", '"group" > 0 OR "order" = \'(,\'')],
                indexes=[index("from", "order", "group")],
            )
        ]

    push_shop(database, odd())
    database.change("""INSERT INTO "select" (id, "order", "group") VALUES ('a', 'it''s', 1)""")
    push_shop(database, odd(values=NumericField(6, 2, server_default="0.50")))
    assert plan_shop(database, odd(values=NumericField(6, 2, server_default="0.50"))).steps == ()
    assert database.fetch_all('SELECT "order", "group", "values" FROM "select"') == [("it's", 1, 0.5)]


def test_faults_that_were_there_before_are_not_ours(database: Database) -> None:
    database.change("CREATE VIEW broken AS SELECT * FROM nowhere")
    database.change("CREATE TABLE theirs (id TEXT REFERENCES nowhere (id))")
    push_shop(database, notes())
    push_shop(database, notes(more=TextField(null=True)))
    assert plan_shop(database, notes(more=TextField(null=True))).steps == ()


def test_an_in_memory_database() -> None:
    from cream_store import Environment, open_database

    database = open_database("sqlite:///:memory:", Environment.TEST)
    push_shop(database, shop())
    fill_shop(database)
    push_everything(database, changed_shop())
    assert plan_shop(database, changed_shop()).steps == ()
    reset(database, changed_shop())
    assert database.fetch_all("SELECT count(*) FROM orders") == [(0,)]
    database.close_pool()


def test_gin_indexes_are_none_here(database: Database) -> None:
    push(database, shop())
    assert "idx_orders_details" not in str(schema_of(database))
    assert plan(database, shop()).steps == ()
