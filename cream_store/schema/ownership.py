"""What we made: the database remembers which objects pushes created, so that only those are ever dropped.

An index that a database administrator adds to one of our tables, a constraint, a table of another program: none of them
stands in this record, and none of them is touched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cream_store.backend import Database
from cream_store.schema.catalogue import Catalogue, TableInfo
from cream_store.schema.stamp import read_metadata, write_metadata

_KEY = "objects"


@dataclass(frozen=True, slots=True)
class Ownership:
    """The constraints and indexes of each of our tables, and the plugin that each table belongs to."""

    plugins: dict[str, str]
    objects: dict[str, frozenset[str]]

    @classmethod
    def read(cls, database: Database) -> Ownership:
        """What is remembered; nothing before the first push."""
        text = read_metadata(database, _KEY)
        stored = json.loads(text) if text else {}
        return cls(
            {table: entry["plugin"] for table, entry in stored.items()},
            {table: frozenset(entry["objects"]) for table, entry in stored.items()},
        )

    def removed_tables(self, owners: Mapping[str, str]) -> list[str]:
        """Tables that the owners of the given tables once had and have no more."""
        names = set(owners.values())
        return sorted(table for table, plugin in self.plugins.items() if plugin in names and table not in owners)

    def ours(self, table: str, info: TableInfo, declared: TableInfo) -> TableInfo:
        """A table's description less the constraints and indexes that are not ours."""
        known = self.objects.get(table, frozenset())
        return TableInfo(
            info.columns,
            {name: text for name, text in info.constraints.items() if name in declared.constraints or name in known},
            {name: text for name, text in info.indexes.items() if name in declared.indexes or name in known},
        )


def remember(database: Database, owners: Mapping[str, str], desired: Catalogue, dropped: Collection[str]) -> None:
    """Writes down what is ours after a push: the given tables anew, the others as they were."""
    known = Ownership.read(database)
    entries = {
        table: {"plugin": plugin, "objects": sorted(known.objects[table])}
        for table, plugin in known.plugins.items()
        if table not in dropped
    }
    for table, plugin in owners.items():
        info = desired.tables[table]
        entries[table] = {"plugin": plugin, "objects": sorted([*info.constraints, *info.indexes])}
    write_metadata(database, _KEY, json.dumps(entries, sort_keys=True))
