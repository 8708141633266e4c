"""Which environment a process works in, and which database that means."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from cream_store.errors import ConfigurationError
from cream_store.url import sqlite_url

logger = logging.getLogger("cream_store")


class Environment(StrEnum):
    """PAPER trades with play money, LIVE with real money, TEST belongs to automated tests.

    The database's own enum knows PAPER and LIVE only: a TEST database holds rows of both.
    """

    PAPER = "PAPER"
    LIVE = "LIVE"
    TEST = "TEST"

    @classmethod
    def current(cls) -> Environment:
        """The environment that `CREAM_ENV` names; TEST under `NODE_ENV=test`; else PAPER.

        Raises ConfigurationError for an unknown name.
        """
        name = os.environ.get("CREAM_ENV")
        if name:
            return cls.parse(name)
        return cls.TEST if os.environ.get("NODE_ENV") == "test" else cls.PAPER

    @classmethod
    def parse(cls, name: str) -> Environment:
        """The environment of that name, in any case. Raises ConfigurationError for an unknown one."""
        try:
            return cls(name.strip().upper())
        except ValueError:
            known = ", ".join(cls)
            raise ConfigurationError(f"unknown environment {name!r}; known environments: {known}") from None


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """A database URL, and how it was chosen."""

    url: str = field(repr=False)
    source: str
    is_live_fallback: bool = False
    """PAPER had no URL of its own and took `DATABASE_URL`, which is LIVE's."""


DATABASE_VARIABLES: Final = {
    Environment.PAPER: "DATABASE_URL_PAPER",
    Environment.LIVE: "DATABASE_URL",
    Environment.TEST: "TEST_DATABASE_URL",
}
"""The environment variable with the URL of each environment's own database."""


def locate_database(environment: Environment, variables: Mapping[str, str] | None = None) -> DatabaseLocation:
    """The database that the process's environment variables choose.

    Raises ConfigurationError when LIVE or TEST has no URL: neither ever falls through to another database.
    """
    variables = os.environ if variables is None else variables

    def given(owner: Environment) -> DatabaseLocation | None:
        name = DATABASE_VARIABLES[owner]
        url = variables.get(name, "").strip()
        return DatabaseLocation(url, name) if url else None

    match environment:
        case Environment.LIVE:
            if live := given(Environment.LIVE):
                return live
            raise ConfigurationError(
                "environment LIVE has no database: set DATABASE_URL (LIVE is always explicit, it has no default)"
            )
        case Environment.TEST:
            if test := given(Environment.TEST):
                return test
            raise ConfigurationError(
                "environment TEST has no database: set TEST_DATABASE_URL (tests never use PAPER's or LIVE's database)"
            )
        case Environment.PAPER:
            if paper := given(Environment.PAPER):
                return paper
            if live := given(Environment.LIVE):
                _warn_of_live_fallback()
                return DatabaseLocation(live.url, live.source, is_live_fallback=True)
            return DatabaseLocation(sqlite_url(data_directory(variables) / "paper.db"), "embedded")


def data_directory(variables: Mapping[str, str] | None = None) -> Path:
    """Where embedded databases lie: `CREAM_HOME`, else `cream-store` in the user's data directory."""
    variables = os.environ if variables is None else variables
    if home := variables.get("CREAM_HOME"):
        return Path(home).expanduser().absolute()
    if os.name == "nt":
        base = Path(variables.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(variables.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "cream-store"


_live_fallback_warned = False


def _warn_of_live_fallback() -> None:
    global _live_fallback_warned  # noqa: PLW0603  # once per process
    if not _live_fallback_warned:
        _live_fallback_warned = True
        logger.warning("PAPER uses DATABASE_URL because DATABASE_URL_PAPER is not set; set it to keep PAPER data apart")
