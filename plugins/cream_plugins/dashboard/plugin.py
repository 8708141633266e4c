"""The plugin `dashboard`: alerts, and the state of each environment's system."""

from __future__ import annotations

from typing import Any

from cream_plugins import dashboard
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [dashboard.AlertRow, dashboard.SystemStateRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [dashboard.AlertsRepository, dashboard.SystemStateRepository]
