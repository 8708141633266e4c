"""Database URLs: parsed, checked, and shown without their password."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from cream_store.errors import ConfigurationError

Kind = Literal["postgresql", "sqlite"]

MASK = "***"


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many connections a process keeps to one database, and for how long. Set in the URL's query string."""

    pool_size: int = 10
    """Connections at most, 1 to 1,000."""
    pool_idle_timeout: float = 20.0
    """Seconds after which an unused connection is closed."""
    pool_timeout: float = 10.0
    """Seconds an operation waits for a free connection."""
    connect_timeout: float = 10.0
    """Seconds to establish a connection."""


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """A parsed database URL."""

    kind: Kind
    target: str
    """SQLite: the file's path, or `:memory:`. PostgreSQL: the URL less our own settings, for libpq."""
    pool: PoolSettings
    display: str
    """The URL as it may be shown: its password masked."""

    @property
    def name(self) -> str:
        """The database's name: on SQLite, the file's."""
        if self.kind == "sqlite":
            return Path(self.target).name
        return unquote(urlsplit(self.target).path.lstrip("/"))

    @classmethod
    def parse(cls, url: str) -> DatabaseURL:
        """Reads `postgresql://...` and `sqlite:///path`; raises ConfigurationError, without the password, for others.

        `sqlite:///relative.db` and `sqlite:////absolute.db` name files, `sqlite:///:memory:` a private database.
        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise ConfigurationError(f"malformed database URL {mask_password(url)}: {error}") from None
        display = mask_password(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        pool = _pool_settings(query, display)
        if parts.scheme in ("postgresql", "postgres"):
            target = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query), ""))
            return cls("postgresql", target, pool, display)
        if parts.scheme == "sqlite":
            path = unquote(parts.path.removeprefix("/"))
            if parts.netloc or not path:
                raise ConfigurationError(
                    f"malformed database URL {display}: write sqlite:///relative.db, sqlite:////absolute.db"
                    " or sqlite:///:memory:"
                )
            if query:
                raise ConfigurationError(
                    f"unknown setting {', '.join(sorted(query))} in {display}; known: {_known_settings()}"
                )
            return cls("sqlite", path if path == ":memory:" else str(Path(path).absolute()), pool, display)
        raise ConfigurationError(
            f"database URL {display} has no known scheme: it starts with postgresql:// or sqlite:///"
        )


def _known_settings() -> str:
    return ", ".join(setting.name for setting in fields(PoolSettings))


def _pool_settings(query: dict[str, str], display: str) -> PoolSettings:
    """Takes the pool's settings out of the query string, leaving the driver's."""
    given: dict[str, Any] = {}
    for setting in fields(PoolSettings):
        text = query.pop(setting.name, None)
        if text is None:
            continue
        number_type = int if setting.name == "pool_size" else float
        try:
            value = number_type(text)
        except ValueError:
            value = -1
        if not 0 < value <= (1000 if number_type is int else 86_400):
            raise ConfigurationError(f"{setting.name}={text} in {display}: not a sensible positive number")
        given[setting.name] = value
    return PoolSettings(**given)


def mask_password(url: str) -> str:
    """The URL with its password replaced by `***`, wherever it stands; also for text that is no proper URL."""
    masked = re.sub(r"(?<=://)([^/?#@:]*):.*@", rf"\1:{MASK}@", url)
    return re.sub(r"(?i)([?&](?:password|sslpassword)=)[^&#]*", rf"\1{MASK}", masked)
