"""The plugin `audit`: the audit log, and the history of parity validations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cream_plugins import audit
from cream_store import Repository, Row, Store, hookimpl

if TYPE_CHECKING:
    from cream_plugins.vocabulary.demo import Section, Story


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [audit.AuditLogRow, audit.ParityValidationRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [audit.AuditLogRepository, audit.ParityValidationRepository]


@hookimpl
def cream_store_demo(store: Store, story: Story) -> list[Section]:
    from cream_plugins.audit.demo import tell

    return tell(store, story)
