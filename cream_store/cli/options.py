"""What several commands share: their options, and the store that these describe."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from cream_store.environment import Environment
from cream_store.errors import ConfigurationError

if TYPE_CHECKING:
    from cream_store.store import Store

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class _EnvironmentName(click.ParamType[Environment]):
    name = "environment"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "|".join(Environment)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Environment:
        try:
            return Environment.parse(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in Environment if name.startswith(incomplete.upper())]


def _complete_plugin(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from cream_store.plugins import discover

    return [name for name in discover() if name.startswith(incomplete)]


def environment_option(command: Decorated) -> Decorated:
    """`--env`"""
    return click.option(
        "--env", "environment", type=_EnvironmentName(), help="The environment; by default CREAM_ENV, else PAPER."
    )(command)


def plugin_option(command: Decorated) -> Decorated:
    """`--plugin`, any number of times"""
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        metavar="NAME",
        shell_complete=_complete_plugin,
        help="Only this plugin and what it requires; may be repeated. By default CREAM_PLUGINS, else all.",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """`--json`"""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def refuse_unnamed_live(environment: Environment | None) -> None:
    """LIVE is changed only when the command itself says so: a variable left set from another task is not enough."""
    if environment is None and Environment.current() is Environment.LIVE:
        raise click.UsageError("the current environment is LIVE; to change it, say so: --env LIVE")


def refuse_lives_database(store: Store, *, unless: str = ", or, to change LIVE, say so: --env LIVE") -> None:
    """PAPER may work in LIVE's database when it has none of its own, but not change its schema or empty it.

    `unless` ends the advice, with what else the command could be told.
    """
    from cream_store.schema import read_stamp

    database = store.database
    if database.location.is_live_fallback and read_stamp(database) != Environment.PAPER and _has_tables(store):
        raise click.UsageError(
            f"PAPER has no database of its own, and {database.url.display} is LIVE's; set DATABASE_URL_PAPER{unless}"
        )


def _has_tables(store: Store) -> bool:
    return bool(store.database.existing_tables([*store.owners]))


def open_store(environment: Environment | None, plugins: tuple[str, ...] = ()) -> Store:
    """The store that the options describe."""
    from cream_store.store import Store

    return Store.open(plugins or None, environment=environment)


def echo_json(value: Any) -> None:
    """Prints a value as JSON."""
    click.echo(json.dumps(value, indent=2))
