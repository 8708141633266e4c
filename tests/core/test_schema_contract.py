"""What a push makes is what every program that shares the database relies on: nothing more and nothing less."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import NamedTuple

import pytest

from cream_store import Database, Environment, Plugin, Store, load_plugins
from cream_store.plugins import discover
from tests.conftest import templates
from tests.contract import postgresql_catalogue, sqlite_catalogue
from tests.contract.facts import ENUMS, MODULES, TABLES, Column, Index, Table, meaning
from tests.contract.sqlite_catalogue import as_on_sqlite

PLUGINS = load_plugins(MODULES)
AGREED_TABLES = sorted(table for plugin in PLUGINS for table in MODULES[plugin.name])


class Catalogue(NamedTuple):
    """What a database has after all plugins were pushed."""

    tables: dict[str, Table]
    enums: dict[str, tuple[str, ...]]
    other_objects: list[tuple[str, str]]


def read(database: Database) -> Catalogue:
    """What a database has."""
    if database.kind == "sqlite":
        return Catalogue(sqlite_catalogue.read_tables(database), {}, [])
    return Catalogue(
        postgresql_catalogue.read_tables(database),
        postgresql_catalogue.read_enums(database),
        postgresql_catalogue.read_other_objects(database),
    )


@cache
def catalogue_of(back_end: str) -> Catalogue:
    """What a push makes on a back end."""
    with templates(back_end, None, Environment.TEST).copy() as store:
        return read(store.database)


@pytest.fixture
def catalogue(back_end: str) -> Catalogue:
    return catalogue_of(back_end)


def agreed_on(back_end: str, table: str) -> Table:
    """What the contract says about a table, as far as the back end can have it."""
    return as_on_sqlite(TABLES[table]) if back_end == "sqlite" else TABLES[table]


def test_the_modules_are_the_plugins_that_we_ship() -> None:
    ours = {name for name, entry in discover().items() if entry.dist is not None and entry.dist.name == "cream-store"}
    assert ours == MODULES.keys()
    assert len(ours) == 11


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plugin_owns_the_tables_of_its_module(plugin: Plugin) -> None:
    assert sorted(plugin.tables) == sorted(MODULES[plugin.name])


@pytest.mark.parametrize("table", AGREED_TABLES)
def test_a_table_is_as_agreed(catalogue: Catalogue, back_end: str, table: str) -> None:
    assert table in catalogue.tables
    assert catalogue.tables[table] == agreed_on(back_end, table)


def test_there_is_no_other_table(catalogue: Catalogue) -> None:
    assert sorted(catalogue.tables) == AGREED_TABLES


def test_the_enum_types_are_those_of_the_tables_columns(postgresql: str) -> None:
    used = {column.type for table in AGREED_TABLES for column in TABLES[table].columns} & ENUMS.keys()
    assert catalogue_of(postgresql).enums == {name: ENUMS[name] for name in used}


def test_there_is_no_other_object(postgresql: str) -> None:
    with_the_function = [("function", "uuidv7"), ("schema", "cream_store")]  # built in since PostgreSQL 18
    assert catalogue_of(postgresql).other_objects in (with_the_function, with_the_function[1:])


CHANGES_ON_BOTH = [
    "CREATE INDEX extra ON cycles (status)",
    "DROP INDEX idx_cycles_status",
    "CREATE TABLE extra (id int PRIMARY KEY)",
    "DROP TABLE execution_recovery_state",
    "ALTER TABLE cycles ADD COLUMN extra text",
    "ALTER TABLE cycles RENAME COLUMN iterations TO rounds",
]
CHANGES_ON_POSTGRESQL = [
    "ALTER TABLE orders ALTER qty TYPE numeric(15, 4)",
    "ALTER TABLE orders ALTER symbol DROP NOT NULL",
    "ALTER TABLE orders ALTER symbol SET DEFAULT 'AAPL'",
    "ALTER TABLE orders ALTER status DROP DEFAULT",
    "ALTER TABLE cycle_events ALTER id DROP DEFAULT",
    "ALTER TABLE decisions DROP CONSTRAINT valid_risk",
    "ALTER TABLE orders ADD CHECK (qty < 1000000)",
    "ALTER TABLE orders DROP CONSTRAINT orders_decision_id_decisions_id_fk",
    "ALTER TABLE orders ADD CONSTRAINT extra UNIQUE (symbol, created_at)",
    "ALTER TABLE portfolio_snapshots DROP CONSTRAINT portfolio_snapshots_timestamp_env",
    "ALTER INDEX idx_cycles_status RENAME TO idx_cycles_state",
    "DROP INDEX idx_config_versions_env_active",
    "ALTER TYPE cycle_status ADD VALUE 'paused'",
    "CREATE TYPE extra AS ENUM ('one')",
    "CREATE VIEW extra AS SELECT 1",
    "CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'",
]


class RollBack(Exception):
    """Each change is undone before the next."""


def unseen(changes: list[str], database: Database) -> list[str]:
    """The changes that make no difference to what is read."""
    agreed = read(database)
    found = []
    for change in changes:
        with suppress(RollBack), database.transaction():
            database.change(change)
            if read(database) == agreed:
                found.append(change)
            raise RollBack
    return found


class TestTheComparison:
    """A comparison that finds everything alike protects nothing."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a = 1 AND b = 2 OR c = 3", "((a = 1) AND (b = 2)) OR (c = 3)"),
            ("((size >= (0)::numeric))", "size >= 0"),
            ("status = 'active'::config_status", "(status = 'active')"),
            ("x >= ('-1'::integer)::numeric", "x >= '-1'"),
            ('"timestamp" IS NULL', "timestamp IS NULL"),
            ("(NOT active)", "NOT active"),
        ],
    )
    def test_spelling_does_not_matter(self, one: str, other: str) -> None:
        assert meaning(one) == meaning(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a = 1 AND (b = 2 OR c = 3)", "a = 1 AND b = 2 OR c = 3"),
            ("size >= 0", "size > 0"),
            ("state <> 'CLOSED'", "state = 'CLOSED'"),
            ("size >= 0", "size >= 0.5"),
            ("active = true", "active = false"),
            ("a IS NULL", "a IS NOT NULL"),
        ],
    )
    def test_meaning_does(self, one: str, other: str) -> None:
        assert meaning(one) != meaning(other)

    def test_changes_are_seen(self, store: Store) -> None:
        assert unseen(CHANGES_ON_BOTH, store.database) == []

    def test_changes_are_seen_on_postgresql(self, postgresql_store: Store) -> None:
        assert unseen(CHANGES_ON_POSTGRESQL, postgresql_store.database) == []

    def test_the_facts_are_read_whole(self) -> None:
        assert len(TABLES) == 50
        decisions = TABLES["decisions"]
        assert decisions.columns[0] == Column("id", "uuid", nullable=False, default="uuidv7()")
        assert Column("size_unit", "size_unit", nullable=False, default="'SHARES'") in decisions.columns
        assert Column("metadata", "jsonb", nullable=True, default="'{}'::jsonb") in decisions.columns
        assert decisions.indexes["idx_decisions_symbol_created"] == Index(("symbol", "created_at"))
        assert TABLES["config_versions"].indexes["idx_config_versions_env_active"] == Index(
            ("environment",), unique=True, where="active == True"
        )
        assert TABLES["macro_watch_entries"].indexes["idx_macro_watch_symbols"] == Index(
            ("symbols jsonb_path_ops",), method="gin"
        )
