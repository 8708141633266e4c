"""Database URLs: parsed, checked, and shown without their password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from cream_store.errors import ConfigurationError

Kind = Literal["postgresql", "sqlite"]

MASK = "***"

_KINDS: Final[dict[str, Kind]] = {"postgresql": "postgresql", "postgres": "postgresql", "sqlite": "sqlite"}


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
    target: str = field(repr=False)
    """SQLite: the file's path, or `:memory:`. PostgreSQL: the URL less our own settings, for libpq."""
    pool: PoolSettings
    prepared: bool
    """PostgreSQL: whether statements may be prepared on the server."""
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
        display = mask_password(url)
        scheme, slashes, _ = url.partition("://")
        kind = _KINDS.get(scheme.lower()) if slashes else None
        if kind is None:
            # What has no scheme may be anything, and its password anywhere: it is not shown.
            shown = f" {display}" if re.match(r"[A-Za-z0-9+.-]+://", url) else ""
            raise ConfigurationError(
                f"database URL{shown} has no known scheme: it starts with postgresql:// or sqlite:///"
            )
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _malformed(display) from None  # the reason may quote the password
        if "#" in url:
            raise _malformed(display)
        # A plus is a plus here, as for libpq; only web forms mean a space by it.
        query = dict(parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True))
        pool = _pool_settings(query, display)
        prepared = kind == "postgresql" and _may_prepare(query, display)
        target = (_libpq_url if kind == "postgresql" else _sqlite_path)(parts, query, display)
        return cls(kind, target, pool, prepared, display)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{quote(str(path))}"


_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")
"""A host of a PostgreSQL URL: a name or an address, perhaps with a port."""


def _libpq_url(parts: SplitResult, query: dict[str, str], display: str) -> str:
    # What is not escaped in a password would make its pieces a host, a port or a database, which are shown.
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if parts.netloc.count("@") > 1 or "@" in parts.path or not all(map(_HOST.fullmatch, hosts)):
        raise _malformed(display)
    # By hand, as urlunsplit would leave out the slashes of a URL without a host: postgresql:///name.
    settings = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return f"postgresql://{parts.netloc}{parts.path}{settings}"


def _sqlite_path(parts: SplitResult, query: dict[str, str], display: str) -> str:
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not path or "\0" in path:
        raise ConfigurationError(
            f"malformed database URL {display}: write sqlite:///relative.db, sqlite:////absolute.db"
            " or sqlite:///:memory:"
        )
    if query:
        raise ConfigurationError(f"unknown setting {', '.join(sorted(query))} in {display}; known: {_known_settings()}")
    return path if path == ":memory:" else str(Path(path).absolute())


def _malformed(display: str) -> ConfigurationError:
    return ConfigurationError(
        f"malformed database URL {display}: in user names, passwords and paths, write @ as %40, : as %3A, / as %2F,"
        " ? as %3F, # as %23, [ as %5B, ] as %5D and % as %25; a port is a number"
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


def _may_prepare(query: dict[str, str], display: str) -> bool:
    """Takes the setting `prepared` out of the query string."""
    setting = query.pop("prepared", "on")
    if setting not in ("on", "off"):
        raise ConfigurationError(f"prepared={setting} in {display}: say on or off")
    return setting == "on"


def mask_password(url: str) -> str:
    """The URL with its password replaced by `***`, wherever it stands; also for text that is no proper URL."""
    masked = re.sub(r"(?<=://)([^/?#@:]*):.*@", rf"\1:{MASK}@", url)
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", rf"\1{MASK}", masked)


def without_secrets(reason: str, display: str) -> str:
    """A driver's reason for refusing a URL, less what it quotes of it that is not displayed."""
    return re.sub(r'"(.*)"', lambda quoted: quoted[0] if quoted[1] in display else f'"{MASK}"', reason)
