"""The laws of pushing, for schemas and changes of them that nobody thought of."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cream_store import Database, RepositoryError, SchemaError
from cream_store.row import table_of
from cream_store.schema import Plan, plan, push
from tests.schema.conftest import Blank
from tests.schema.models import SchemaSpec, changed, rows_of, schemas, values_for
from tests.schema.snapshots import everything_in, schema_of

# The same schemas in every run, and as many as a quick suite allows.
thoroughly = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

pairs = schemas().flatmap(lambda old: st.tuples(st.just(old), changed(old)))


def owners_of(schema: SchemaSpec) -> dict[str, str]:
    """All tables belong to one plugin, so that those that are gone are found."""
    return {name: "sample" for name, _ in schema.tables}


def push_all(database: Database, schema: SchemaSpec) -> Plan:
    """Pushes a schema, whatever it costs."""
    rows, owners = rows_of(schema), owners_of(schema)
    return push(
        database, rows, owners=owners, allow=[step.name for step in plan(database, rows, owners=owners).refused]
    )


def fill(database: Database, schema: SchemaSpec) -> None:
    """Stores two rows in each table, as far as its constraints allow."""
    specs = dict(schema.tables)
    for row in rows_of(schema):
        for number in range(2):
            try:
                row.insert(values_for(specs[table_of(row)], schema, number)).execute(database)
            except RepositoryError:
                continue


def stored(database: Database, schema: SchemaSpec) -> dict[tuple[str, str, str], list[Any]]:
    """The values of each column, by table, column and kind."""
    return {
        (name, column, spec.kind): values_in(database, name, column)
        for name, table in schema.tables
        for column, spec in table.columns
    }


def values_in(database: Database, table: str, column: str) -> list[Any]:
    """The values of a column, by key."""
    return database.fetch_all(f'SELECT CAST("id" AS TEXT), CAST("{column}" AS TEXT) FROM "{table}" ORDER BY "id"')


def kinds_of(schema: SchemaSpec) -> dict[tuple[str, str], str]:
    """The kind of each column that a schema declares."""
    return {(name, column): spec.kind for name, table in schema.tables for column, spec in table.columns}


class TestAnyPush:
    @thoroughly
    @given(pair=pairs)
    def test_leaves_no_difference_and_ends_where_a_fresh_one_does(
        self, blank: Blank, pair: tuple[SchemaSpec, SchemaSpec]
    ) -> None:
        old, new = pair
        database = blank.wipe()
        assert push(database, rows_of(old), owners=owners_of(old)).accepted
        before = everything_in(database)
        assert push(database, rows_of(old), owners=owners_of(old)).steps == ()
        assert everything_in(database) == before
        push_all(database, new)
        assert plan(database, rows_of(new), owners=owners_of(new)).steps == ()
        reached = schema_of(database)
        blank.wipe()
        push(database, rows_of(new), owners=owners_of(new))
        assert reached == schema_of(database)

    @thoroughly
    @given(pair=pairs)
    def test_keeps_the_rows_that_it_is_not_allowed_to_lose(
        self, blank: Blank, pair: tuple[SchemaSpec, SchemaSpec]
    ) -> None:
        old, new = pair
        database = blank.wipe()
        push(database, rows_of(old), owners=owners_of(old))
        fill(database, old)
        before, values = everything_in(database), stored(database, old)
        try:
            made = push(database, rows_of(new), owners=owners_of(new))
        except SchemaError:
            assert everything_in(database) == before
            return
        if made.blocked:
            assert everything_in(database) == before
            return
        for (table, column, kind), held in values.items():
            found = values_in(database, table, column)
            if kinds_of(new).get((table, column), kind) == kind:
                assert found == held
            else:  # a wider type, which shows its values in another way
                assert [value is None for _, value in found] == [value is None for _, value in held]
        left = plan(database, rows_of(new), owners=owners_of(new))
        assert not left.accepted
        assert [step.name for step in left.steps] == [step.name for step in made.refused]
        reached = everything_in(database)
        try:
            done = push_all(database, new)
        except SchemaError:
            assert everything_in(database) == reached
            return
        if done.blocked:
            assert everything_in(database) == reached
        else:
            assert plan(database, rows_of(new), owners=owners_of(new)).steps == ()
