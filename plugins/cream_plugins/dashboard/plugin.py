"""The plugin `dashboard`: alerts, and the state of each environment's system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cream_plugins import dashboard
from cream_store import Repository, Row, Store, hookimpl

if TYPE_CHECKING:
    from cream_plugins.vocabulary.demo import Section, Story


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [dashboard.AlertRow, dashboard.SystemStateRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [dashboard.AlertsRepository, dashboard.SystemStateRepository]


@hookimpl
def cream_store_demo(store: Store, story: Story) -> list[Section]:
    from cream_plugins.dashboard.demo import tell

    return tell(store, story)
