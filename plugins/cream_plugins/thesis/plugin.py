"""The plugin `thesis`: theses on instruments, and the history of their states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cream_plugins import thesis
from cream_store import Repository, Row, Store, hookimpl

if TYPE_CHECKING:
    from cream_plugins.vocabulary.demo import Section, Story


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [thesis.ThesisRow, thesis.ThesisStateHistoryRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [thesis.ThesisStateRepository, thesis.ThesisStateHistoryRepository]


@hookimpl
def cream_store_demo(store: Store, story: Story) -> list[Section]:
    from cream_plugins.thesis.demo import tell

    return tell(store, story)
