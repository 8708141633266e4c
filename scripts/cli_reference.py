#!/usr/bin/env python3
"""Writes docs/cli.md from the commands' own `--help`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from cream_store.cli import cli

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
WIDTH = 88

INTRODUCTION = """\
# The command line

Written by `scripts/cli_reference.py` from `--help`; change the commands, not this page.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *_sections(_context(cli, "cream-store", None), level=2)])


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command, parent, info_name=name, terminal_width=WIDTH, help_option_names=["-h", "--help"], color=False
    )


def _sections(context: click.Context, level: int) -> Iterator[str]:
    command = context.command
    yield f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if subcommand := command.get_command(context, name):
                yield from _sections(_context(subcommand, name, context), min(level + 1, 4))


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
