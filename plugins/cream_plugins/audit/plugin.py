"""The plugin `audit`: the audit log, and the history of parity validations."""

from __future__ import annotations

from typing import Any

from cream_plugins import audit
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [audit.AuditLogRow, audit.ParityValidationRow]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [audit.AuditLogRepository, audit.ParityValidationRepository]
