"""The plugin `thesis`: theses on instruments, and the history of their states."""

from __future__ import annotations

from typing import Any

from cream_plugins import thesis
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [thesis.ThesisRow, thesis.ThesisStateHistoryRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [thesis.ThesisStateRepository, thesis.ThesisStateHistoryRepository]
