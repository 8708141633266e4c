"""Finding, selecting and loading plugins.

Loading is all or nothing: names are collected, checked for collisions, and only then is anything usable. Plugins
come in the order of their requirements, and by name where those leave a choice.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pluggy

from cream_store import hookspecs
from cream_store.errors import PluginError
from cream_store.row import Row, table_of
from cream_store.seeding import SeedStep
from cream_store.studio.views import StudioView
from cream_store.table_access import TableAccess


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded plugin."""

    name: str
    distribution: str
    version: str
    requires: tuple[str, ...]
    rows: tuple[type[Row], ...]
    repositories: tuple[type[TableAccess[Any]], ...]
    seed_steps: tuple[SeedStep, ...] = ()
    demo: Callable[..., Any] | None = field(default=None, compare=False, repr=False)  # see hookspecs.cream_store_demo
    studio_views: tuple[StudioView, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the plugin's tables."""
        return tuple(table_of(row) for row in self.rows)


def discover() -> dict[str, importlib.metadata.EntryPoint]:
    """The installed plugins by name, none of them imported. Raises PluginError when two have one name."""
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry_point in importlib.metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP):
        other = found.setdefault(entry_point.name, entry_point)
        if other.value != entry_point.value:
            raise PluginError(
                f"two plugins are named {entry_point.name!r}: {_origin(other)} and {_origin(entry_point)};"
                " uninstall one of them"
            )
    return dict(sorted(found.items()))


def selected_names(names: Iterable[str] | None = None) -> list[str] | None:
    """The given names, else those in `CREAM_PLUGINS` (separated by commas), else None: all that are installed."""
    if isinstance(names, str):
        raise PluginError(f"plugins are a list of names, got the text {names!r}; write [{names!r}]")
    if names is not None:
        return list(names)
    listed = os.environ.get("CREAM_PLUGINS", "")
    return [name.strip() for name in listed.split(",") if name.strip()] or None


def load_plugins(names: Iterable[str] | None = None) -> list[Plugin]:
    """Loads the selected plugins (see `selected_names`) and what they require, requirements first.

    Raises PluginError for an unknown name, a missing requirement, a requirement cycle, a plugin that can't be
    imported or whose hooks are misspelt, and two plugins that own one table.
    """
    installed = discover()
    selected = selected_names(names)
    loaded: dict[str, Plugin] = {}
    pending = list(installed) if selected is None else selected
    wanted_by: dict[str, str] = {}
    while pending:
        name = pending.pop(0)
        if name in loaded:
            continue
        if name not in installed:
            raise PluginError(_unknown(name, installed, wanted_by.get(name)))
        loaded[name] = _load(name, installed[name])
        for requirement in loaded[name].requires:
            wanted_by.setdefault(requirement, name)
            pending.append(requirement)
    ordered = _in_dependency_order(loaded)
    _refuse_shared_tables(ordered)
    return ordered


def _unknown(name: str, installed: Mapping[str, object], wanted_by: str | None) -> str:
    known = ", ".join(installed) or "none"
    if wanted_by is None:
        return f"unknown plugin {name!r}; installed plugins: {known}"
    return f"plugin {wanted_by!r} requires plugin {name!r}, which is not installed; installed plugins: {known}"


def _load(name: str, entry_point: importlib.metadata.EntryPoint) -> Plugin:
    try:
        module = entry_point.load()
    except Exception as error:
        raise PluginError(f"plugin {name!r} ({_origin(entry_point)}) can't be imported: {_describe(error)}") from error
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name)
        manager.check_pending()
        rows = _provided(manager.hook.cream_store_rows, _is_subclass_of(Row))
        repositories = _provided(manager.hook.cream_store_repositories, _is_subclass_of(TableAccess))
        requires = _provided(manager.hook.cream_store_requires, lambda item: isinstance(item, str))
        seed_steps = _provided(manager.hook.cream_store_seed_steps, lambda item: isinstance(item, SeedStep))
        studio_views = _provided(manager.hook.cream_store_studio_views, lambda item: isinstance(item, StudioView))
    except Exception as error:
        raise PluginError(f"plugin {name!r} ({_origin(entry_point)}) is faulty: {_describe(error)}") from error
    distribution = entry_point.dist
    return Plugin(
        name=name,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
        requires=requires,
        rows=rows,
        repositories=repositories,
        seed_steps=seed_steps,
        demo=manager.hook.cream_store_demo if manager.hook.cream_store_demo.get_hookimpls() else None,
        studio_views=studio_views,
    )


def _is_subclass_of(base: type) -> Callable[[Any], bool]:
    return lambda item: isinstance(item, type) and issubclass(item, base)


def _provided(hook: pluggy.HookCaller, is_right: Callable[[Any], bool]) -> tuple[Any, ...]:
    """What the one registered plugin's hook returns; nothing when it has no such hook."""
    if not hook.get_hookimpls():
        return ()
    for provided in hook():
        if isinstance(provided, str):
            raise TypeError(f"{hook.name} returns text, not a list: {provided!r}")
        items = tuple(provided)
        for item in items:
            if not is_right(item):
                raise TypeError(f"{hook.name} returns a list with {item!r}")
        return items
    raise TypeError(f"{hook.name} returns nothing")


def _in_dependency_order(plugins: Mapping[str, Plugin]) -> list[Plugin]:
    sorter = TopologicalSorter({name: plugins[name].requires for name in plugins})
    ordered: list[Plugin] = []
    try:
        sorter.prepare()
    except CycleError as error:
        raise PluginError(f"plugins require each other in a circle: {' -> '.join(error.args[1])}") from None
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [plugins[name] for name in ready]
        sorter.done(*ready)
    return ordered


def _refuse_shared_tables(plugins: Iterable[Plugin]) -> None:
    owners: dict[str, str] = {}
    for plugin in plugins:
        for table in plugin.tables:
            owner = owners.get(table)
            if owner == plugin.name:
                raise PluginError(f"plugin {owner!r} lists table {table!r} twice")
            if owner is not None:
                raise PluginError(f"plugins {owner!r} and {plugin.name!r} both own table {table!r}; load one of them")
            owners[table] = plugin.name


def _origin(entry_point: importlib.metadata.EntryPoint) -> str:
    distribution = entry_point.dist
    return f"{entry_point.value} of {distribution.name}" if distribution else entry_point.value


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
