"""Every test that asks for a `store` or a `database` runs on each back end.

Each server gets one template database per session, and each test a copy of it, unless its folder shares one.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from cream_store import Database, Environment, Store, close_db
from cream_store.testing import TemplateLibrary, Templates
from cream_store.testing.servers import available_servers, private_server

CALLERS_SERVER = os.environ.get("TEST_DATABASE_URL")
POSTGRESQL_BACK_ENDS = [name for name, _ in available_servers()] + (["callers-postgresql"] if CALLERS_SERVER else [])
BACK_ENDS = ["sqlite", *POSTGRESQL_BACK_ENDS]

OUR_VARIABLES = (
    "CREAM_ENV",
    "CREAM_HOME",
    "CREAM_PLUGINS",
    "CREAM_STUDIO_COMMAND",
    "DATABASE_URL",
    "DATABASE_URL_PAPER",
    "LLM_MODEL_ID",
    "NODE_ENV",
    "TEST_DATABASE_URL",
)


@pytest.fixture(autouse=True)
def clean_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test sees the caller's configuration, writes to the caller's home or leaves a database open."""
    for name in OUR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CREAM_HOME", str(tmp_path / "cream-home"))
    yield
    close_db()


@cache
def server_url(back_end: str) -> str:
    """The URL of a PostgreSQL back end's server, which is started when it is first needed."""
    if back_end == "callers-postgresql":
        assert CALLERS_SERVER
        return CALLERS_SERVER
    return private_server(back_end).url("postgres")


@cache
def _library() -> TemplateLibrary:
    directory = Path(mkdtemp(prefix="cream-store-tests-"))
    atexit.register(rmtree, directory, ignore_errors=True)
    return TemplateLibrary(directory, f"cream_store_tests_{os.getpid()}")


def templates(back_end: str, plugins: tuple[str, ...] | None, environment: Environment) -> Templates:
    """The session's template of a back end, for some plugins and an environment."""
    if back_end == "sqlite":
        return _library().sqlite(plugins, environment)
    return _library().postgresql(server_url(back_end), plugins, environment)


@contextmanager
def empty_store(back_end: str, plugins: tuple[str, ...] | None, environment: Environment) -> Iterator[Store]:
    """A database without a row: one of the session's for certain plugins, a fresh one for all."""
    if plugins is None:
        with templates(back_end, None, environment).copy() as store:
            yield store
        return
    store = _shared_store(back_end, plugins, environment)
    with store.transaction():
        for row in reversed(store.rows):
            row.delete().execute(store.database)
    yield store


_session = ExitStack()


@cache
def _shared_store(back_end: str, plugins: tuple[str, ...], environment: Environment) -> Store:
    return _session.enter_context(templates(back_end, plugins, environment).copy())


@pytest.fixture(scope="session", autouse=True)
def _close_shared_stores() -> Iterator[None]:
    yield
    _session.close()
    _shared_store.cache_clear()


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest) -> str:
    """The name of each back end in turn: `sqlite`, `postgres18`, ..."""
    name: str = request.param
    return name


@pytest.fixture(params=POSTGRESQL_BACK_ENDS)
def postgresql(request: pytest.FixtureRequest) -> str:
    """The name of each PostgreSQL back end in turn, for tests of what SQLite does not have."""
    name: str = request.param
    return name


@pytest.fixture
def plugins() -> tuple[str, ...] | None:
    """The plugins whose tables the databases have.

    None: all of them, in databases made for each test alone. A folder of tests that names the few that it needs gets
    databases of the session, which every test finds empty: they cost next to nothing. No test may change their schema.
    """
    return None


@pytest.fixture
def store(back_end: str, plugins: tuple[str, ...] | None) -> Iterator[Store]:
    """An empty TEST database, on each back end."""
    with empty_store(back_end, plugins, Environment.TEST) as store:
        yield store


@pytest.fixture
def paper_store(back_end: str, plugins: tuple[str, ...] | None) -> Iterator[Store]:
    """An empty PAPER database, on each back end."""
    with empty_store(back_end, plugins, Environment.PAPER) as store:
        yield store


@pytest.fixture
def live_store(back_end: str, plugins: tuple[str, ...] | None) -> Iterator[Store]:
    """An empty LIVE database, on each back end."""
    with empty_store(back_end, plugins, Environment.LIVE) as store:
        yield store


@pytest.fixture
def postgresql_store(postgresql: str, plugins: tuple[str, ...] | None) -> Iterator[Store]:
    """An empty TEST database on each PostgreSQL."""
    with empty_store(postgresql, plugins, Environment.TEST) as store:
        yield store


@pytest.fixture
def database(store: Store) -> Database:
    """The database of the store."""
    return store.database
