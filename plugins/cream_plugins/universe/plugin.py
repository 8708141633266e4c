"""The plugin `universe`: indices, their members and the names of these, as of any time."""

from __future__ import annotations

from typing import Any

from cream_plugins import universe
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [universe.IndexConstituentRow, universe.TickerChangeRow, universe.UniverseSnapshotRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        universe.IndexConstituentsRepository,
        universe.TickerChangesRepository,
        universe.UniverseSnapshotsRepository,
    ]
