"""Databases for tests: one template per kind of server, and a fresh copy for every test.

    templates = SqliteTemplates(tmp_path, plugins=["core-trading"])
    with templates.copy() as store:
        store[DecisionsRepository].create(...)

Copying a database that was pushed once costs milliseconds, isolates tests completely and needs no clean-up code.
"""

from __future__ import annotations

import itertools
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cream_store.environment import Environment
from cream_store.store import Store
from cream_store.url import DatabaseURL, sqlite_url


class Templates(ABC):
    """Makes fresh databases with the schema of some plugins."""

    def __init__(self, plugins: Sequence[str] | None, environment: Environment) -> None:
        self.plugins = plugins
        self.environment = environment
        self._numbers = itertools.count(1)
        self._is_built = False

    @contextmanager
    def copy(self) -> Iterator[Store]:
        """A store on a database of its own, which is gone afterwards."""
        if not self._is_built:
            with self._open(self._template_url()) as store:
                store.push()
            self._is_built = True
        url = self._make_copy(next(self._numbers))
        try:
            with self._open(url) as store:
                yield store
        finally:
            self._drop_copy(url)

    def _open(self, url: str) -> Store:
        return Store.open(self.plugins, environment=self.environment, url=url)

    @abstractmethod
    def _template_url(self) -> str: ...

    @abstractmethod
    def _make_copy(self, number: int) -> str: ...

    @abstractmethod
    def _drop_copy(self, url: str) -> None: ...

    @abstractmethod
    def drop_template(self) -> None:
        """Removes the template."""


class SqliteTemplates(Templates):
    """Fresh SQLite files in a directory."""

    def __init__(
        self, directory: Path, plugins: Sequence[str] | None = None, environment: Environment = Environment.TEST
    ) -> None:
        super().__init__(plugins, environment)
        self._directory = directory

    def _template_url(self) -> str:
        self._directory.mkdir(parents=True, exist_ok=True)
        return self._url("template")

    def _make_copy(self, number: int) -> str:
        shutil.copyfile(self._path("template"), self._path(f"test-{number}"))
        return self._url(f"test-{number}")

    def _drop_copy(self, url: str) -> None:
        file = Path(DatabaseURL.parse(url).target)
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()

    def drop_template(self) -> None:
        self._drop_copy(self._template_url())

    def _path(self, name: str) -> Path:
        return self._directory.absolute() / f"{name}.db"

    def _url(self, name: str) -> str:
        return sqlite_url(self._path(name))


class PostgresqlTemplates(Templates):
    """Fresh databases on a PostgreSQL server, where the URL's user may create databases."""

    def __init__(
        self,
        server_url: str,
        prefix: str = "cream_store_test",
        plugins: Sequence[str] | None = None,
        environment: Environment = Environment.TEST,
    ) -> None:
        super().__init__(plugins, environment)
        self._server_url = server_url
        self._prefix = prefix

    def _template_url(self) -> str:
        self._run(f'DROP DATABASE IF EXISTS "{self._prefix}" WITH (FORCE)')
        self._run(f'CREATE DATABASE "{self._prefix}"')
        return self._url(self._prefix)

    def _make_copy(self, number: int) -> str:
        name = f"{self._prefix}_{number}"
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{self._prefix}"')
        return self._url(name)

    def _drop_copy(self, url: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{urlsplit(url).path.lstrip("/")}" WITH (FORCE)')

    def drop_template(self) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{self._prefix}" WITH (FORCE)')

    def _url(self, database: str) -> str:
        parts = urlsplit(self._server_url)
        return urlunsplit((parts.scheme, parts.netloc, f"/{database}", parts.query, ""))

    def _run(self, statement: str) -> None:
        import psycopg2

        connection = psycopg2.connect(self._server_url)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


class TemplateLibrary:
    """One template for each combination of server, plugins and environment that tests ask for."""

    def __init__(self, directory: Path, name: str = "cream_store_test") -> None:
        """`directory`: where SQLite files are made; `name`: how the databases' names begin on PostgreSQL."""
        self._directory = directory
        self._name = name
        self._templates: dict[object, Templates] = {}

    def sqlite(self, plugins: Sequence[str] | None, environment: Environment) -> Templates:
        """The template for SQLite files."""
        return self._of(None, plugins, environment)

    def postgresql(self, server_url: str, plugins: Sequence[str] | None, environment: Environment) -> Templates:
        """The template on a PostgreSQL server, where the URL's user may create databases."""
        return self._of(server_url, plugins, environment)

    def _of(self, server_url: str | None, plugins: Sequence[str] | None, environment: Environment) -> Templates:
        key = server_url, None if plugins is None else tuple(plugins), environment
        templates = self._templates.get(key)
        if templates is None:
            name = f"{self._name}_{len(self._templates) + 1}"
            templates = self._templates[key] = (
                SqliteTemplates(self._directory / name, plugins, environment)
                if server_url is None
                else PostgresqlTemplates(server_url, name, plugins, environment)
            )
        return templates

    def close(self) -> None:
        """Removes the templates."""
        for templates in self._templates.values():
            templates.drop_template()
        self._templates.clear()
