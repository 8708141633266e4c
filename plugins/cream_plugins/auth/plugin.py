"""The plugin `auth`: the tables of authentication."""

from __future__ import annotations

from typing import Any

from cream_plugins import auth
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        auth.UserRow,
        auth.SessionRow,
        auth.AccountRow,
        auth.VerificationRow,
        auth.TwoFactorRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        auth.UsersRepository,
        auth.SessionsRepository,
        auth.AccountsRepository,
        auth.VerificationsRepository,
        auth.TwoFactorRepository,
    ]
