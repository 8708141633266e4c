"""What others put into the database stays as it is: through a push that changes everything, and through a reset."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cream_store import Database, SchemaError, TextField, index
from cream_store.schema import push, reset
from tests.schema.conftest import Blank
from tests.schema.samples import (
    changed_shop,
    fill_shop,
    make_row,
    names,
    owners_of,
    plan_shop,
    push_everything,
    push_shop,
    shop,
)
from tests.schema.snapshots import everything_in, rows_of, schema_of

ON_BOTH = [
    "CREATE TABLE ledger (id INTEGER PRIMARY KEY, amount NUMERIC CHECK (amount > 0), order_number INTEGER)",
    "CREATE INDEX ledger_amount ON ledger (amount)",
    "INSERT INTO ledger (id, amount, order_number) VALUES (1, 10, 2)",
    "CREATE VIEW customer_names AS SELECT name FROM customers",
    "CREATE VIEW ledger_view AS SELECT amount FROM ledger",
    "CREATE INDEX dba_orders_created ON orders (created_at)",
    "CREATE INDEX dba_orders_open ON orders (created_at) WHERE status = 'open'",
    "CREATE UNIQUE INDEX dba_customers_upper ON customers (upper(name), id)",
    "CREATE TABLE customer_log (name TEXT)",
]
ON_POSTGRESQL = [
    "CREATE SCHEMA reports",
    "CREATE TABLE reports.orders (number integer PRIMARY KEY, secret text)",
    "INSERT INTO reports.orders VALUES (1, 'mine')",
    "CREATE TYPE reports.status AS ENUM ('x')",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA reports",
    "ALTER TABLE orders ADD CONSTRAINT dba_note_length CHECK (length(details::text) < 10000)",
    "ALTER TABLE orders ADD CONSTRAINT dba_status CHECK (status <> 'sent' OR created_at IS NOT NULL)",
    "CREATE FUNCTION log_customer() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO customer_log VALUES (new.name); RETURN new; END $$",
    "CREATE TRIGGER log_customers AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION log_customer()",
    "GRANT SELECT ON customers TO PUBLIC",
    "CREATE MATERIALIZED VIEW customer_count AS SELECT count(id) FROM customers",
    "CREATE SEQUENCE tickets",
]
ON_SQLITE = [
    "CREATE TRIGGER log_customers AFTER INSERT ON customers BEGIN INSERT INTO customer_log VALUES (new.name); END",
    "CREATE TRIGGER log_changes AFTER UPDATE OF name ON customers BEGIN INSERT INTO customer_log VALUES ('it''s'); END",
]


def add_foreign_objects(database: Database) -> None:
    """What a database administrator and another program may have made."""
    for statement in [*ON_BOTH, *(ON_SQLITE if database.kind == "sqlite" else ON_POSTGRESQL)]:
        database.change(statement)


THEIR_NAMES = (
    "ledger",
    "customer_names",
    "customer_log",
    "log_",
    "customer_count",
    "dba_",
    "reports",
    "mood",
    "tickets",
)


def foreign_objects(database: Database) -> dict[str, list[str]]:
    """The definitions of what is not ours."""
    return {what: [one for one in map(str, found) if is_theirs(one)] for what, found in schema_of(database).items()}


def is_theirs(described: str) -> bool:
    """Whether something is of those who added to the shop."""
    return any(name in described for name in THEIR_NAMES)


def foreign_rows(database: Database) -> dict[str, object]:
    """The rows of the tables that are not ours."""
    return {table: rows for table, rows in rows_of(database).items() if is_theirs(table)}


def reset_shop(database: Database) -> None:
    reset(database, changed_shop(), owners=owners_of(changed_shop()))


@pytest.mark.parametrize("change", [lambda database: push_everything(database, changed_shop()), reset_shop])
def test_they_survive(blank: Blank, change: Callable[[Database], object]) -> None:
    database = blank.database
    push_shop(database, shop())
    fill_shop(database)
    add_foreign_objects(database)
    objects, rows = foreign_objects(database), foreign_rows(database)
    assert len(str(objects)) > 1000
    assert "mine" in str(rows) or database.kind == "sqlite"
    change(database)
    assert plan_shop(database, changed_shop()).steps == ()
    assert foreign_objects(database) == objects
    assert foreign_rows(database) == rows
    database.change("INSERT INTO customers (id, name) VALUES ('c9', 'Zoe')")
    assert ("Zoe",) in database.fetch_all("SELECT name FROM customer_names")
    assert ("Zoe",) in database.fetch_all("SELECT name FROM customer_log")


def test_they_are_no_difference(blank: Blank) -> None:
    database = blank.database
    push_shop(database, shop())
    add_foreign_objects(database)
    assert plan_shop(database, shop()).steps == ()


def test_grants_survive_a_reset(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    push_shop(database, shop())
    database.change("GRANT SELECT ON orders TO PUBLIC")
    grants = schema_of(database)["grant"]
    reset_shop(database)
    assert schema_of(database)["grant"] == grants


def test_an_index_of_ours_goes_when_it_is_declared_no_more_and_an_other_stays(blank: Blank) -> None:
    database = blank.database
    notes = make_row("notes", text=TextField(), indexes=[index("idx_notes_text", "text")])
    push_shop(database, [notes])
    database.change("CREATE INDEX idx_notes_mine ON notes (text)")
    bare = make_row("notes", text=TextField())
    assert names(push_shop(database, [bare]).steps) == ["drop-index:notes.idx_notes_text"]
    assert "idx_notes_mine" in str(schema_of(database))
    assert "idx_notes_text" not in str(schema_of(database))


def test_tables_of_plugins_that_are_not_loaded_stay(blank: Blank) -> None:
    database = blank.database
    push_shop(database, shop())
    before = everything_in(database)
    notes = make_row("notes", text=TextField())
    made = push(database, [notes], owners={"notes": "notebook"})
    assert names(made.steps) == ["create-table:notes"]
    assert push_shop(database, shop()).steps == ()
    database.change("DROP TABLE notes")
    assert schema_of(database) == before[0]


def test_a_table_that_refers_to_ours_forbids_a_reset(postgresql_blank: Blank) -> None:
    database = postgresql_blank.database
    push_shop(database, shop())
    fill_shop(database)
    database.change("CREATE TABLE invoices (id integer, customer text CONSTRAINT of_customer REFERENCES customers)")
    before = everything_in(database)
    with pytest.raises(SchemaError, match="foreign key of_customer of table invoices"):
        reset(database, shop())
    assert everything_in(database) == before


def test_rows_that_refer_to_ours_forbid_a_reset(blank: Blank) -> None:
    database = blank.database
    push_shop(database, shop())
    fill_shop(database)
    database.change("CREATE TABLE invoices (id INTEGER, customer TEXT REFERENCES customers (id) ON DELETE CASCADE)")
    database.change("INSERT INTO invoices VALUES (1, 'c1')")
    before = everything_in(database)
    with pytest.raises(SchemaError, match="invoices"):
        reset(database, shop())
    assert everything_in(database) == before
