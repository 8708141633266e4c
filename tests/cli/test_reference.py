from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cream_store.cli import cli

ROOT = Path(__file__).parent.parent.parent


def _commands(command: click.Command, path: str = "cream-store") -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            found += _commands(subcommand, f"{path} {name}")
    return found


def test_the_reference_is_what_the_commands_say_today() -> None:
    reference = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))["reference"]
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run scripts/cli_reference.py"


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for name, command in _commands(cli)])
def test_every_command_explains_itself_with_an_example(command: click.Command) -> None:
    assert command.help
    if not isinstance(command, click.Group):
        assert "Example" in (command.epilog or ""), "an epilog with examples"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cream_store.cli import cli; cli(['--help'], standalone_mode=False);"
        "print([name for name in ('peewee', 'psycopg2', 'rich', 'cream_plugins.core_trading') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.search(r"^\[\]$", printed, re.MULTILINE), printed
