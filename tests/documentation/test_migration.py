"""The page for those who come from the TypeScript layer names all that there is, and nothing that there is not."""

from __future__ import annotations

import importlib
import json
import re

import click
import pytest

import cream_store
from cream_plugins import core_trading
from cream_store.cli import cli
from cream_store.plugins import load_plugins
from cream_store.row import table_of
from tests.documentation.pages import DOCS, ROOT

PAGE = (DOCS / "migration.md").read_text(encoding="utf-8")
METHODS: dict[str, dict[str, list[str]]] = json.loads(
    (ROOT / "tests" / "contract" / "methods.json").read_text(encoding="utf-8")
)


def section(heading: str, level: int) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    found = re.search(rf"^{'#' * level} {heading}\n(.*?)(?=^#{{2,{level}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def cells(text: str) -> list[list[str]]:
    """The names in each row of the tables, column by column; head lines have none."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


def camel_case(name: str) -> str:
    first, *others = name.replace("_or_raise", "_or_throw").split("_")
    return first + "".join(word.capitalize() for word in others)


REPOSITORIES = [(module, repository) for module, repositories in METHODS.items() for repository in repositories]


@pytest.mark.parametrize(("module", "repository"), [case for case in REPOSITORIES if case[0] != "auth"])
def test_every_method_of_a_repository_is_named_and_exists(module: str, repository: str) -> None:
    rows = cells(section(repository, level=4))
    had_none = repository.startswith("Execution")
    named = [row[0 if had_none else 1] for row in rows]
    assert named == METHODS[module][repository]
    package = importlib.import_module(f"cream_plugins.{module.replace('-', '_')}")
    for row in rows:
        assert callable(getattr(getattr(package, repository), row[0 if had_none else 1]))
        assert had_none or row[0] == camel_case(row[1])


@pytest.mark.parametrize("module", METHODS)
def test_every_table_of_a_module_is_named_with_its_row(module: str) -> None:
    [plugin] = [plugin for plugin in load_plugins() if plugin.name == module]
    tables = [row for row in cells(section(module, level=3)) if len(row) == 3 and row[2].endswith("Row")]
    assert tables == [[table_of(row), camel_case(table_of(row)), row.__name__] for row in plugin.rows]


def test_what_the_package_exports_exists() -> None:
    names = re.findall(r"`(?:with )?cream_store\.(\w+)", section("The package", level=2))
    assert len(names) >= 11
    for name in names:
        assert hasattr(cream_store, name), name
    assert callable(core_trading.reconstruct_streaming_state)


def test_the_commands_exist() -> None:
    commands = re.findall(r"`cream-store (\w+) (\w+)", PAGE)
    assert len(commands) >= 5
    for group, name in commands:
        found = cli.get_command(click.Context(cli), group)
        assert isinstance(found, click.Group)
        assert name in found.commands
