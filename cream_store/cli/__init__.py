"""The command `cream-store`.

Commands are imported when they are run, and what they need inside them, so that `--help` answers at once. Installed
plugins add commands of their own through the entry-point group `cream_store.commands`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any, Final

import click

from cream_store.errors import StoreError

COMMAND_GROUP: Final = "cream_store.commands"

_OWN_COMMANDS: Final = {
    "db": "cream_store.cli.db",
    "doctor": "cream_store.cli.doctor",
    "plugins": "cream_store.cli.plugins",
    "studio": "cream_store.cli.studio",
}


class _Commands(click.Group):
    """Our own commands and those of the installed plugins, each imported only when it is needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*_OWN_COMMANDS, *_plugin_commands()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if module := _OWN_COMMANDS.get(name):
            own: click.Command = getattr(importlib.import_module(module), name)
            return own
        if entry_point := _plugin_commands().get(name):
            return _load(entry_point)
        return None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        # A plugin's command is not imported just to read its first line of help.
        own = [(name, self.get_command(context, name)) for name in _OWN_COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str()) for name, command in own if command])
        if found := _plugin_commands():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, f"from {point.module.rpartition('.')[0]}") for name, point in found.items()])

    def invoke(self, context: click.Context) -> Any:
        """The one place where a failure becomes a message and an exit code."""
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except StoreError as error:
            if context.params.get("debug"):
                raise
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            if context.params.get("debug"):
                raise
            raise click.ClickException(f"{error.filename or 'the system'}: {error.strerror or error}") from error
        except Exception as error:
            if context.params.get("debug"):
                raise
            raise click.ClickException(
                f"unexpected {type(error).__name__}: {error} (cream-store --debug ... shows where)"
            ) from error


def _plugin_commands() -> dict[str, importlib.metadata.EntryPoint]:
    found = importlib.metadata.entry_points(group=COMMAND_GROUP)
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def _load(entry_point: importlib.metadata.EntryPoint) -> click.Command:
    try:
        command: click.Command = entry_point.load()
    except Exception as error:
        raise click.ClickException(
            f"command {entry_point.name!r} ({entry_point.value}) can't be imported: {type(error).__name__}: {error}"
        ) from error
    return command


_EPILOG = """\b
Examples:
  cream-store demo                       a trading cycle, and what each plugin stores of it
  cream-store doctor                     is everything as it should be?
  cream-store plugins list               what is installed
  cream-store db push                    create the tables of the current environment
  cream-store db health --env LIVE       does the LIVE database answer?
  cream-store studio                     the tables in a browser

\b
The environment is chosen by --env, else CREAM_ENV, else it is PAPER. Its database:
  PAPER   DATABASE_URL_PAPER, else DATABASE_URL, else an embedded SQLite file
  LIVE    DATABASE_URL
  TEST    TEST_DATABASE_URL
"""


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cream-store", prog_name="cream-store")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def cli(debug: bool) -> None:
    """The persistence layer of Cream: look at its databases and keep their schema up to date."""


def main() -> None:
    """The console script."""
    cli(prog_name="cream-store")
