"""What we made: the database remembers which objects pushes created, so that only those are ever dropped.

An index that a database administrator adds to one of our tables, a constraint, a table of another program: none of them
stands in this record, and none of them is touched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass

from cream_store.backend import Database
from cream_store.schema.catalogue import Catalogue, TableInfo
from cream_store.schema.stamp import read_metadata, write_metadata


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table that a push made or changed."""

    plugin: str
    """The plugin that it belongs to; empty when nobody said."""
    objects: list[str]
    """The names of its constraints and indexes."""
    enums: list[str]
    """The names of its columns' enum types."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What is remembered of the tables of one schema."""

    tables: Mapping[str, OwnTable]

    @classmethod
    def read(cls, database: Database, scope: str) -> Ownership:
        """What is remembered; nothing before the first push."""
        text = read_metadata(database, _key(scope))
        return cls({table: OwnTable(**entry) for table, entry in json.loads(text).items()} if text else {})

    def write(self, database: Database, scope: str) -> None:
        """Has the database remember it."""
        entries = {table: asdict(entry) for table, entry in self.tables.items()}
        write_metadata(database, _key(scope), json.dumps(entries, sort_keys=True))

    def removed_tables(self, owners: Mapping[str, str]) -> list[str]:
        """Tables that the plugins of the given tables once had and have no more."""
        plugins = {plugin for plugin in owners.values() if plugin}
        return sorted(table for table, entry in self.tables.items() if entry.plugin in plugins and table not in owners)

    def released_enums(self, owners: Mapping[str, str], desired: Catalogue) -> list[str]:
        """Enum types that the given tables, or those that their plugins have no more, once had and no table has now."""
        released = {*owners, *self.removed_tables(owners)}
        mentioned = {enum for table in released if table in self.tables for enum in self.tables[table].enums}
        kept = {enum for table, entry in self.tables.items() if table not in released for enum in entry.enums}
        return sorted(mentioned - kept - desired.enums.keys())

    def ours(self, table: str, info: TableInfo, declared: TableInfo) -> TableInfo:
        """A table's description less the constraints and indexes that are not ours."""
        names = {*declared.constraints, *declared.indexes}
        if table in self.tables:
            names.update(self.tables[table].objects)
        return TableInfo(
            info.columns,
            # A table has one primary key at most, so it is ours whatever it is called.
            {name: one for name, one in info.constraints.items() if name in names or one.is_primary_key},
            {name: one for name, one in info.indexes.items() if name in names},
        )

    def after_push(self, owners: Mapping[str, str], desired: Catalogue, dropped: Collection[str]) -> Ownership:
        """What is ours after a push that dropped these tables and types: that of the given tables, anew."""
        tables = {table: entry for table, entry in self.tables.items() if table not in dropped}
        for table, plugin in owners.items():
            info = desired.tables[table]
            enums = {column.type.strip('"') for column in info.columns.values()} & desired.enums.keys()
            if table in self.tables:
                # A type that a refused step leaves in use stays ours until it goes.
                enums |= {enum for enum in self.tables[table].enums if enum not in dropped}
            tables[table] = OwnTable(plugin, sorted([*info.constraints, *info.indexes]), sorted(enums))
        return Ownership(tables)


def _key(scope: str) -> str:
    return f"tables of {scope}" if scope else "tables"
