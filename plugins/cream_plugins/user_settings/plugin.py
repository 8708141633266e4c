"""The plugin `user-settings`: what users choose for themselves."""

from __future__ import annotations

from typing import Any

from cream_plugins import user_settings
from cream_store import Repository, Row, hookimpl


@hookimpl
def cream_store_requires() -> list[str]:
    return ["auth"]


@hookimpl
def cream_store_rows() -> list[type[Row]]:
    return [
        user_settings.AlertSettingsRow,
        user_settings.UserPreferencesRow,
    ]


@hookimpl
def cream_store_repositories() -> list[type[Repository[Any, Any, Any]]]:
    return [
        user_settings.AlertSettingsRepository,
        user_settings.UserPreferencesRepository,
    ]
