"""The databases that are measured: an embedded SQLite file, and PostgreSQL on a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import psycopg2

from bench.ours import CreamStore
from bench.peer import Peer
from bench.peewee_models import PeeweeModels
from bench.raw_postgresql import RawPsycopg2
from bench.raw_sqlite import RawSqlite
from cream_store import Environment, Store
from cream_store.testing import PostgresqlTemplates, SqliteTemplates

BACKENDS: Final = ("sqlite", "postgresql")
_PLUGINS: Final = ("core-trading",)
_ROOMY: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Backend:
    """A fresh database and everyone who works on it: the raw driver first, then cream-store, then the others."""

    title: str
    store: Store
    peers: list[Peer]


@contextmanager
def opened(name: str, server_url: str | None) -> Iterator[Backend]:
    """A back end by name, gone afterwards. PostgreSQL is a server of our own unless a URL names another."""
    with ExitStack() as stack:
        store = stack.enter_context(_sqlite_store() if name == "sqlite" else _postgresql_store(server_url))
        version = store.database.fetch_all(store.database.version_query)[0][0].split()[0]
        raw = RawSqlite if name == "sqlite" else RawPsycopg2
        peers: list[Peer] = [raw(store.database.url.target), CreamStore(store.database), PeeweeModels(store.database)]
        for peer in peers:
            stack.enter_context(closing(peer))
        yield Backend(f"{'SQLite' if name == 'sqlite' else 'PostgreSQL'} {version}", store, peers)


@contextmanager
def _sqlite_store() -> Iterator[Store]:
    # In memory where there is room, as the private PostgreSQL server is: a disk would cost everyone the same and
    # so hide what is measured.
    memory = Path("/dev/shm")
    directory = memory if memory.is_dir() and shutil.disk_usage(memory).free >= _ROOMY else None
    with (
        TemporaryDirectory(prefix="cream-store-bench-", dir=directory) as path,
        SqliteTemplates(Path(path), _PLUGINS, Environment.PAPER).copy() as store,
    ):
        yield store


@contextmanager
def _postgresql_store(server_url: str | None) -> Iterator[Store]:
    if server_url is None:
        from cream_store.testing.servers import available_servers, private_server

        if not available_servers():
            raise click.ClickException("no PostgreSQL is installed here; name a server: --database-url URL")
        server_url = private_server(available_servers()[0].name).url("postgres")
    try:
        psycopg2.connect(server_url).close()
    except psycopg2.OperationalError as error:
        raise click.ClickException(str(error)) from error
    templates = PostgresqlTemplates(server_url, "cream_store_bench", _PLUGINS, Environment.PAPER)
    try:
        with templates.copy() as store:
            yield store
    finally:
        templates.drop_template()
