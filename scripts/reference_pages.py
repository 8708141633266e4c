#!/usr/bin/env python3
"""Writes docs/reference/MODULE.md for each of our plugins: what the page shows. `mkdocs build` fills it in."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType, ModuleType

from cream_store import Row, TableAccess
from cream_store.hookspecs import ENTRY_POINT_GROUP

TARGET = Path(__file__).parent.parent / "docs" / "reference"

PAGE = """\
# {name}

The classes behind the module [{name}](../modules/{name}.md), repositories first. Every repository
also has the methods of [its base](repositories.md). Records, filters, changes and value sets show their definition,
with the meaning and the unit of each field.

Written by `scripts/reference_pages.py` from what the module exports.

{entries}"""

DEFINITION = """\
    options:
      members: false
      show_source: true
"""


def pages() -> dict[Path, str]:
    """Each page with what it says."""
    names = [
        plugin.name for plugin in entry_points(group=ENTRY_POINT_GROUP) if plugin.value.startswith("cream_plugins.")
    ]
    return {TARGET / f"{name}.md": _page(name) for name in names}


def _page(name: str) -> str:
    exported = list(_exported(import_module(f"cream_plugins.{name.replace('-', '_')}")))
    exported.sort(key=_is_definition)
    return PAGE.format(name=name, entries="\n".join(map(_entry, exported)))


def _exported(package: ModuleType) -> Iterator[type | FunctionType]:
    """The classes and functions that a package exports, less its tables, which its records describe."""
    for name in package.__all__:
        exported = getattr(package, name)
        if inspect.isfunction(exported) or (inspect.isclass(exported) and not issubclass(exported, Row)):
            yield exported


def _entry(exported: type | FunctionType) -> str:
    heading = f"::: {exported.__module__}.{exported.__qualname__}\n"
    return heading + DEFINITION if _is_definition(exported) else heading


def _is_definition(exported: type | FunctionType) -> bool:
    """Whether its fields say more about it than its methods do."""
    if not inspect.isclass(exported) or issubclass(exported, TableAccess):
        return False
    return issubclass(exported, Enum) or dataclasses.is_dataclass(exported) or typing.is_typeddict(exported)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
