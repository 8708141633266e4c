"""The databases that are measured: an embedded SQLite file, and PostgreSQL on a server."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import psycopg2

from bench.ours import CreamStore, UnpreparedCreamStore
from bench.peer import Peer
from bench.peewee_models import PeeweeModels
from bench.raw_postgresql import RawPsycopg2
from bench.raw_sqlite import RawSqlite
from bench.sqlalchemy_models import SQLAlchemyModels
from cream_store import Database, Environment, Store
from cream_store.testing import PostgresqlTemplates, SqliteTemplates

BACKENDS: Final = ("sqlite", "postgresql")
_PLUGINS: Final = ("core-trading", "market-data")
_numbers = itertools.count(1)  # of databases, which may be open at the same time
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
        store = stack.enter_context(_sqlite_store() if name == "sqlite" else postgresql_store(server_url, _PLUGINS))
        raw = RawSqlite if name == "sqlite" else RawPsycopg2
        database = store.database
        peers: list[Peer] = [raw(database.url.target), CreamStore(database)]
        if name == "postgresql":
            peers.append(UnpreparedCreamStore(database))
        peers += [PeeweeModels(database), SQLAlchemyModels(database)]
        for peer in peers:
            stack.enter_context(closing(peer))
        yield Backend(f"{'SQLite' if name == 'sqlite' else 'PostgreSQL'} {version_of(database)}", store, peers)


def version_of(database: Database) -> str:
    """The version of the database program, such as 18.1."""
    version: str = database.fetch_all(database.version_query)[0][0].split()[0]
    return version


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
def postgresql_store(server_url: str | None, plugins: Sequence[str] | None) -> Iterator[Store]:
    """A fresh database with the schema of some plugins, or of all, on a private server or on the one of a URL."""
    if server_url is None:
        from cream_store.testing.servers import available_servers, private_server

        if not available_servers():
            raise click.ClickException("no PostgreSQL is installed here; name a server: --database-url URL")
        server_url = private_server(available_servers()[0].name).url("postgres")
    try:
        psycopg2.connect(server_url).close()
    except psycopg2.OperationalError as error:
        raise click.ClickException(str(error)) from error
    templates = PostgresqlTemplates(server_url, f"cream_store_bench_{next(_numbers)}", plugins, Environment.PAPER)
    try:
        with templates.copy() as store:
            yield store
    finally:
        templates.drop_template()
