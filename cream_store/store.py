"""A store: one database together with the plugins that a service uses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from cream_store.backend import Database
from cream_store.database import open_database, with_transaction
from cream_store.environment import Environment
from cream_store.errors import PluginError, StoreError
from cream_store.plugins import Plugin, load_plugins
from cream_store.pool import PoolStats
from cream_store.row import Row
from cream_store.seeding import SeedOutcome
from cream_store.table_access import TableAccess

if TYPE_CHECKING:
    from cream_store.schema import Plan
from cream_store.transactions import Transaction

Repo = TypeVar("Repo", bound=TableAccess[Any])


class Store:
    """One database with selected plugins, and the repositories that these provide.

        with Store.open(plugins=["core-trading"]) as store:
            store.push()
            decisions = store[DecisionsRepository]

    Its connections are closed at the end of the block.
    """

    def __init__(self, database: Database, plugins: Iterable[Plugin]) -> None:
        self.database = database
        self.plugins = tuple(plugins)

    @classmethod
    def open(
        cls,
        plugins: Iterable[str] | None = None,
        *,
        environment: Environment | str | None = None,
        url: str | None = None,
    ) -> Self:
        """Opens a store with a pool of its own.

        `plugins`: names; by default those in `CREAM_PLUGINS`, else all that are installed. `environment`: by default
        the current one. `url`: by default the environment's. Nothing connects before the first operation.
        """
        loaded = load_plugins(plugins)
        parsed = None if environment is None else Environment.parse(environment)
        return cls(open_database(url, parsed), loaded)

    def __getitem__(self, repository: type[Repo]) -> Repo:
        """The repository on this store's database. Raises PluginError when no loaded plugin provides it."""
        if not any(repository in plugin.repositories for plugin in self.plugins):
            raise PluginError(
                f"{repository.__name__} belongs to no loaded plugin; loaded:"
                f" {', '.join(plugin.name for plugin in self.plugins) or 'none'}"
            )
        return repository(self.database)

    @property
    def environment(self) -> Environment:
        """The environment that the store's database belongs to."""
        return self.database.environment

    @property
    def rows(self) -> list[type[Row]]:
        """The tables of the loaded plugins, referenced tables first."""
        return [row for plugin in self.plugins for row in plugin.rows]

    @property
    def owners(self) -> dict[str, str]:
        """Which plugin each table belongs to."""
        return {table: plugin.name for plugin in self.plugins for table in plugin.tables}

    def plan(self, allow: Collection[str] = ()) -> Plan:
        """What a push would do. Changes nothing."""
        from cream_store.schema import plan

        return plan(self.database, self.rows, owners=self.owners, allow=allow)

    def push(self, allow: Collection[str] = ()) -> Plan:
        """Makes the database's schema match the loaded plugins' models; see `cream_store.schema.push`."""
        from cream_store.schema import push

        return push(self.database, self.rows, owners=self.owners, allow=allow)

    def reset(self, *, terminate: bool = False) -> Plan:
        """Deletes every row of the loaded plugins' tables and makes their schema match; see `schema.reset`."""
        from cream_store.schema import reset

        return reset(self.database, self.rows, owners=self.owners, terminate=terminate)

    def seed(
        self, *, force: bool = False, only: str | None = None, report: Callable[[str], None] | None = None
    ) -> list[tuple[str, SeedOutcome]]:
        """Stores the loaded plugins' first configuration, in one transaction; returns what each section came to.

        Writes what is missing; with `force`, replaces what is there; with `only`, replaces that section alone. Two at
        once take turns. `report` is called with each section's name as it begins. Raises PluginError for an unknown
        section.
        """
        steps = [step for plugin in self.plugins for step in plugin.seed_steps]
        if only is not None:
            if only not in [step.name for step in steps]:
                raise PluginError(
                    f"no section {only!r} to seed; there are: {', '.join(step.name for step in steps) or 'none'}"
                )
            steps = [step for step in steps if step.name == only]

        def run() -> list[tuple[str, SeedOutcome]]:
            self.database.advisory_lock("seed")
            outcomes: list[tuple[str, SeedOutcome]] = []
            for step in steps:
                if report is not None:
                    report(step.name)
                outcomes.append((step.name, step.run(self.database, force or only is not None)))
            return outcomes

        return with_transaction(run, self.database)

    def transaction(self, *, snapshot: bool = False) -> Transaction:
        """`with store.transaction(): ...` - all or nothing."""
        return self.database.transaction(snapshot=snapshot)

    def health_check(self) -> bool:
        """Whether the database answers. Never raises."""
        try:
            return self.database.fetch_all("SELECT 1") == [(1,)]
        except StoreError:
            return False

    def pool_stats(self) -> PoolStats:
        """The connection pool's figures."""
        return self.database.pool_stats()

    def close(self) -> None:
        """Closes the store's connections."""
        self.database.close_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
