"""Databases that others have shaped: what a push finds on PostgreSQL besides what pushes leave."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from cream_store import (
    Database,
    DuplicateKeyError,
    Environment,
    IntegerField,
    JSONField,
    SchemaError,
    SerialField,
    TextField,
    UUIDv7Field,
    check,
    index,
    open_database,
)
from cream_store.schema import push, read_stamp
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
    step_named,
)
from tests.schema.snapshots import everything_in, schema_of


@pytest.fixture
def database(postgresql_blank: Blank) -> Database:
    return postgresql_blank.database


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role that may use the database and the schema public, but create nothing outside of it."""
    database.change("CREATE ROLE deployer LOGIN")
    database.change("GRANT USAGE, CREATE ON SCHEMA public TO deployer")
    yield "deployer"
    database.change("DROP OWNED BY deployer CASCADE")
    database.change("DROP ROLE deployer")


def open_as(role: str, database: Database) -> Database:
    """The database as another role sees it."""
    parts = urlsplit(database.location.url)
    netloc = f"{role}@{parts.netloc.rpartition('@')[2]}"
    return open_database(urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), Environment.TEST)


class TestRoles:
    def test_without_the_right_to_compare_schemas_are_told(self, database: Database, role: str) -> None:
        other = open_as(role, database)
        before = everything_in(database)
        with pytest.raises(SchemaError, match="GRANT CREATE ON DATABASE"):
            push_shop(other, shop())
        assert everything_in(database) == before
        other.close_pool()

    def test_with_it_can_push(self, database: Database, role: str) -> None:
        [(name,)] = database.fetch_all("SELECT quote_ident(current_database())")
        database.change(f"GRANT CREATE ON DATABASE {name} TO {role}")
        other = open_as(role, database)
        push_shop(other, shop())
        assert plan_shop(other, shop()).steps == ()
        other.close_pool()

    def test_that_may_only_read_can_open_the_database(self, database: Database, role: str) -> None:
        push_shop(database, shop())
        other = open_as(role, database)
        assert read_stamp(other) == "TEST"
        other.close_pool()

    def test_that_do_not_own_a_table_change_nothing(self, database: Database, role: str) -> None:
        push_shop(database, shop())
        [(name,)] = database.fetch_all("SELECT quote_ident(current_database())")
        database.change(f"GRANT CREATE ON DATABASE {name} TO {role}")
        database.change(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        before = everything_in(database)
        other = open_as(role, database)
        with pytest.raises(SchemaError, match="nothing was changed: permission denied"):
            push_everything(other, changed_shop())
        other.close_pool()
        assert everything_in(database) == before


class TestSearchPath:
    def test_the_tables_are_in_its_first_schema(self, database: Database) -> None:
        database.change('CREATE SCHEMA "Trading Desk"')
        separator = "&" if "?" in database.location.url else "?"
        url = f"{database.location.url}{separator}options=-csearch_path%3D%22Trading%5C%20Desk%22%2Cpublic"
        other = open_database(url, Environment.TEST)
        push_shop(other, shop())
        fill_shop(other)
        push_everything(other, changed_shop())
        assert plan_shop(other, changed_shop()).steps == ()
        assert other.fetch_all('SELECT count(*) FROM "Trading Desk".orders') == [(3,)]
        assert database.fetch_all("SELECT to_regclass('public.orders')") == [(None,)]
        other.close_pool()
        # Another schema of the same database has tables of its own, and a memory of its own.
        push_shop(database, shop())
        assert plan_shop(database, shop()).steps == ()
        assert database.fetch_all('SELECT count(*) FROM "Trading Desk".orders') == [(3,)]

    def test_that_names_no_schema_is_reported(self, database: Database) -> None:
        separator = "&" if "?" in database.location.url else "?"
        other = open_database(f"{database.location.url}{separator}options=-csearch_path%3Dnowhere", Environment.TEST)
        with pytest.raises(SchemaError, match="search_path"):
            push_shop(other, shop())
        other.close_pool()

    def test_is_as_before_after_a_plan_and_a_push(self, database: Database) -> None:
        with database.transaction():
            plan_shop(database, shop())
            assert database.fetch_all("SHOW search_path") == [('"$user", public',)]
        push_shop(database, shop())
        assert database.fetch_all("SHOW search_path") == [('"$user", public',)]
        assert "scratch" not in str(schema_of(database))


class TestUUIDv7:
    def make(self) -> list[type]:
        return [make_row("keys", id=UUIDv7Field(primary_key=True), text=TextField(null=True))]

    def test_ids_are_of_that_version_and_ordered_by_time(self, database: Database) -> None:
        push_shop(database, self.make())
        for text in ("a", "b"):
            database.change("INSERT INTO keys (text) VALUES (%s)", (text,))
            database.fetch_all("SELECT pg_sleep(0.002)")
        rows = database.fetch_all("SELECT id, text FROM keys ORDER BY id")
        assert [(id.version, text) for id, text in rows] == [(7, "a"), (7, "b")]

    def test_the_extensions_function_is_used_where_it_is_installed(self, database: Database) -> None:
        # As pg_uuidv7 has it, in a schema of the search path.
        database.change(
            "CREATE FUNCTION uuid_generate_v7() RETURNS uuid LANGUAGE sql AS"
            " $$ SELECT '018f0000-0000-7000-8000-000000000001'::uuid $$"
        )
        push_shop(database, self.make())
        assert plan_shop(database, self.make()).steps == ()
        database.change("INSERT INTO keys (text) VALUES ('a')")
        [(made,)] = database.fetch_all("SELECT id::text FROM keys")
        [(is_built_in,)] = database.fetch_all("SELECT current_setting('server_version_num')::int >= 180000")
        assert (made == "018f0000-0000-7000-8000-000000000001") is not is_built_in

    def test_a_function_of_that_name_with_other_arguments_is_another_one(self, database: Database) -> None:
        database.change("CREATE FUNCTION uuidv7(text) RETURNS text LANGUAGE sql AS 'SELECT $1'")
        push_shop(database, self.make())
        database.change("INSERT INTO keys (text) VALUES ('a')")
        assert plan_shop(database, self.make()).steps == ()


class TestWhatIsThereAlready:
    def test_a_gin_index_serves_membership_tests(self, database: Database) -> None:
        rows = [make_row("events", symbols=JSONField(list), indexes=[_GIN])]
        push_shop(database, rows)
        assert "USING gin (symbols jsonb_path_ops)" in str(schema_of(database)["index"])
        assert plan_shop(database, rows).steps == ()

    def test_a_constraint_that_is_not_valid_is_made_valid(self, database: Database) -> None:
        bare, ruled = [make_row("notes", n=IntegerField())], [make_row("notes", n=IntegerField(), constraints=[_RULE])]
        push_shop(database, bare)
        database.change("INSERT INTO notes VALUES ('n1', -1)")
        database.change("ALTER TABLE notes ADD CONSTRAINT positive CHECK (n > 0) NOT VALID")
        assert "1 stored rows (n1)" in plan_shop(database, ruled).blocked[0].reason
        database.change("UPDATE notes SET n = 1 WHERE n = -1")
        push_shop(database, ruled)
        assert plan_shop(database, ruled).steps == ()

    def test_an_invalid_index_is_built_anew(self, database: Database) -> None:
        rows = [make_row("notes", n=IntegerField(), indexes=[index("idx_n", "n", unique=True)])]
        push_shop(database, [make_row("notes", n=IntegerField())])
        database.change("INSERT INTO notes VALUES ('n1', 1), ('n2', 1)")
        with pytest.raises(DuplicateKeyError):
            database.change("CREATE UNIQUE INDEX CONCURRENTLY idx_n ON notes (n)")
        database.change("DELETE FROM notes WHERE id = 'n2'")
        assert names(plan_shop(database, rows).steps) == ["drop-index:notes.idx_n", "create-index:notes.idx_n"]
        push_shop(database, rows)
        assert database.fetch_all("SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_n'::regclass") == [(True,)]
        assert plan_shop(database, rows).steps == ()

    def test_an_identity_column_becomes_a_serial_one(self, database: Database) -> None:
        database.change("CREATE TABLE notes (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n integer NOT NULL)")
        database.change("INSERT INTO notes (n) VALUES (1), (2)")
        rows = [make_row("notes", id=SerialField(), n=IntegerField())]
        push_shop(database, rows)
        assert plan_shop(database, rows).steps == ()
        database.change("INSERT INTO notes (n) VALUES (3)")
        assert database.fetch_all("SELECT id FROM notes ORDER BY n") == [(1,), (2,), (3,)]
        reached = schema_of(database)
        database.change("DROP TABLE notes")
        push_shop(database, rows)
        assert schema_of(database) == reached

    def test_a_generated_column_becomes_a_plain_one_with_its_values(self, database: Database) -> None:
        database.change(
            "CREATE TABLE notes (id text NOT NULL PRIMARY KEY, n integer NOT NULL,"
            " m integer GENERATED ALWAYS AS (n * 2) STORED)"
        )
        database.change("INSERT INTO notes VALUES ('n1', 4)")
        rows = [make_row("notes", n=IntegerField(), m=IntegerField(null=True))]
        push_shop(database, rows)
        assert plan_shop(database, rows).steps == ()
        assert database.fetch_all("SELECT m FROM notes") == [(8,)]

    def test_a_serial_column_of_a_renamed_table_keeps_its_sequence(self, database: Database) -> None:
        push_shop(database, [make_row("notes", id=SerialField(), n=IntegerField())])
        database.change("INSERT INTO notes (n) VALUES (1)")
        database.change("ALTER TABLE notes RENAME TO entries")
        rows = [make_row("entries", id=SerialField(), n=IntegerField())]
        push_everything(database, rows)
        assert plan_shop(database, rows).steps == ()
        database.change("INSERT INTO entries (n) VALUES (2)")
        assert database.fetch_all("SELECT id FROM entries ORDER BY n") == [(1,), (2,)]

    @pytest.mark.parametrize(
        ("statement", "what"),
        [
            ("CREATE VIEW notes AS SELECT 1 AS id", "a view has this name"),
            ("CREATE SEQUENCE notes", "a sequence has this name"),
            ("CREATE TABLE other (id integer CONSTRAINT notes UNIQUE)", "an index on table other has this name"),
        ],
    )
    def test_something_else_of_a_tables_name_is_reported(self, database: Database, statement: str, what: str) -> None:
        database.change(statement)
        before = everything_in(database)
        [step] = push_shop(database, [make_row("notes")]).blocked
        assert what in step.reason
        assert everything_in(database) == before

    def test_an_index_of_a_declared_name_on_another_table_is_reported(self, database: Database) -> None:
        database.change("CREATE TABLE other (id integer)")
        database.change("CREATE INDEX idx_id ON other (id)")
        [step] = push_shop(database, [make_row("notes", indexes=[index("idx_id", "id")])]).blocked
        assert step.name == "create-index:notes.idx_id"
        assert "an index on table other has this name" in step.reason

    def test_an_index_in_place_of_a_constraint_of_its_name_is_replaced(self, database: Database) -> None:
        database.change("CREATE TABLE notes (id text PRIMARY KEY, n integer NOT NULL)")
        database.change("ALTER TABLE notes ADD CONSTRAINT notes_n_unique UNIQUE (n)")
        rows = [make_row("notes", n=IntegerField(), indexes=[index("notes_n_unique", "n", unique=True)])]
        push_shop(database, rows)
        assert plan_shop(database, rows).steps == ()

    def test_a_primary_key_of_another_name_is_replaced(self, database: Database) -> None:
        database.change("CREATE TABLE customers (id text CONSTRAINT pk PRIMARY KEY, name text NOT NULL)")
        database.change("CREATE TABLE invoices (customer text CONSTRAINT of_customer REFERENCES customers)")
        before = schema_of(database)
        with pytest.raises(SchemaError, match=r"drop-constraint:customers\.pk failed, nothing was changed"):
            push_shop(database, shop()[:1])
        assert schema_of(database) == before
        database.change("DROP TABLE invoices")
        push_shop(database, shop()[:1])
        assert plan_shop(database, shop()[:1]).steps == ()

    def test_keys_that_refer_to_each_other_change_their_type_together(self, database: Database) -> None:
        push_shop(database, shop())
        fill_shop(database)
        database.change("ALTER TABLE orders DROP CONSTRAINT orders_customer_id_customers_id_fk")
        database.change("ALTER TABLE orders ALTER COLUMN customer_id TYPE varchar(10)")
        database.change("ALTER TABLE customers ALTER COLUMN id TYPE varchar(10)")
        database.change(
            "ALTER TABLE orders ADD CONSTRAINT orders_customer_id_customers_id_fk FOREIGN KEY (customer_id)"
            " REFERENCES customers (id) ON DELETE CASCADE"
        )
        made = push_shop(database, shop())
        assert not made.refused
        assert step_named(made, "drop-foreign-key:orders.orders_customer_id_customers_id_fk").reason.startswith(
            "it makes"
        )
        assert plan_shop(database, shop()).steps == ()
        assert database.fetch_all("SELECT count(customer_id) FROM orders") == [(2,)]


def test_a_key_that_a_table_of_others_refers_to_keeps_its_type(database: Database) -> None:
    push_shop(database, [make_row("notes", id=TextField(primary_key=True))])
    database.change("CREATE TABLE comments (note text CONSTRAINT of_note REFERENCES notes)")
    before = everything_in(database)
    [step] = push_shop(database, [make_row("notes", id=UUIDv7Field(primary_key=True))]).blocked
    assert step.name == "change-type:notes.id"
    assert "foreign key of_note of table comments would not survive it" in step.reason
    assert everything_in(database) == before


class TestAViewOverAColumn:
    def test_blocks_a_change_of_its_type(self, database: Database) -> None:
        push_shop(database, [make_row("notes", n=IntegerField())])
        database.change("CREATE VIEW numbers AS SELECT n FROM notes")
        before = everything_in(database)
        [step] = push_shop(database, [make_row("notes", n=TextField())]).blocked
        assert "view numbers would not survive it" in step.reason
        assert everything_in(database) == before

    def test_blocks_dropping_it_only_when_that_is_allowed(self, database: Database) -> None:
        push_shop(database, [make_row("notes", n=IntegerField(null=True))])
        database.change("CREATE VIEW numbers AS SELECT n FROM notes")
        rows = [make_row("notes", more=TextField(null=True))]
        made = push_shop(database, rows)
        assert (names(made.accepted), names(made.refused)) == (["add-column:notes.more"], ["drop-column:notes.n"])
        [step] = push_shop(database, rows, "drop-column:notes.n").blocked
        assert "view numbers would not survive it" in step.reason


_GIN = index("idx_events_symbols", "symbols", using="gin")
_RULE = check("positive", "n > 0")


def test_models_that_the_server_refuses_are_named(database: Database) -> None:
    before = everything_in(database)
    with pytest.raises(SchemaError, match=r"table 'notes' can't be created: .*no_such_column"):
        push_shop(database, [make_row("notes", constraints=[check("wrong", "no_such_column > 0")])])
    assert everything_in(database) == before


def test_owners_are_remembered_per_plugin(database: Database) -> None:
    push(database, shop(), owners=owners_of(shop()))
    assert push(database, [make_row("notes")]).refused == ()
    assert push(database, [make_row("more")]).refused == ()
    assert names(push_shop(database, shop()[:1]).refused)[0] == "drop-table:orders"
