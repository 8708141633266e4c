"""Every test that asks for a `store` or a `database` runs on each back end.

Each server gets one template database per session, and each test a copy of it.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
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
def store(back_end: str) -> Iterator[Store]:
    """A fresh TEST database with the schema of all our plugins, on each back end."""
    with templates(back_end, None, Environment.TEST).copy() as store:
        yield store


@pytest.fixture
def paper_store(back_end: str) -> Iterator[Store]:
    """A fresh PAPER database, on each back end."""
    with templates(back_end, None, Environment.PAPER).copy() as store:
        yield store


@pytest.fixture
def postgresql_store(postgresql: str) -> Iterator[Store]:
    """A fresh TEST database on each PostgreSQL."""
    with templates(postgresql, None, Environment.TEST).copy() as store:
        yield store


@pytest.fixture
def database(store: Store) -> Database:
    """The database of the fresh store."""
    return store.database
