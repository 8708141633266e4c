"""What an import brings with it. Each case has a process of its own, where nothing was imported before."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys

import pytest

from cream_store.plugins import discover

PACKAGES = [
    "cream_store",
    "cream_plugins.vocabulary",
    *(found.module.rpartition(".")[0] for found in discover().values()),
]
DRIVERS = {"peewee", "playhouse", "psycopg2", "pyarrow", "sqlite3"}
HEAVY = {*DRIVERS, "rich", "click", "pluggy", "uuid_utils", "cream_plugins"}


def modules_after(statements: str) -> set[str]:
    """The modules that a new process has after it ran the statements."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statements}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def plugin_modules(modules: set[str]) -> set[str]:
    """The modules of the namespace that are among them, without those inside."""
    return {name.split(".")[1] for name in modules if name.startswith("cream_plugins.")}


def test_the_core_imports_no_plugin_and_no_driver() -> None:
    assert not HEAVY & modules_after("import cream_store")


@pytest.mark.parametrize("names", ["Environment", "Page, query", "RepositoryError, NotFoundError"])
def test_a_name_brings_only_what_it_needs(names: str) -> None:
    modules = modules_after(f"from cream_store import {names}")
    assert not {"peewee", "psycopg2", "rich", "cream_plugins"} & modules


def test_everything_of_the_core_imports_no_plugin() -> None:
    modules = modules_after("import cream_store\nfor name in cream_store.__all__: getattr(cream_store, name)")
    assert not {"rich", "cream_plugins"} & modules


def test_finding_the_plugins_imports_none() -> None:
    modules = modules_after("from cream_store.plugins import discover\nassert 'core-trading' in discover()")
    assert not plugin_modules(modules)


@pytest.mark.parametrize("plugin", sorted(discover()))
def test_a_plugin_imports_no_other_than_it_requires(plugin: str) -> None:
    modules = modules_after(
        "from cream_store import load_plugins\n"
        f"[plugin] = [one for one in load_plugins([{plugin!r}]) if one.name == {plugin!r}]\n"
        "names = {one.split('.')[1] for one in __import__('sys').modules if one.startswith('cream_plugins.')}\n"
        f"allowed = {{name.replace('-', '_') for name in ({plugin!r}, *plugin.requires)}} | {{'vocabulary'}}\n"
        "assert names <= allowed, names"
    )
    assert plugin.replace("-", "_") in plugin_modules(modules)


def test_core_trading_stands_alone() -> None:
    modules = modules_after("from cream_store import load_plugins\nload_plugins(['core-trading'])")
    assert plugin_modules(modules) <= {"core_trading", "vocabulary"}


def test_a_package_imports_what_is_used_of_it() -> None:
    assert "peewee" not in modules_after("import cream_plugins.core_trading")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_imported(package: str) -> None:
    modules_after(f"import {package} as package\nfor name in package.__all__: getattr(package, name)")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_the_name_of_something_public(package: str) -> None:
    """Whoever imports the module would replace, in the package, what others import by that name."""
    imported = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(imported.__path__)}
    assert not modules & set(imported.__all__)
