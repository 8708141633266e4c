"""`cream-store plugins`"""

from __future__ import annotations

from typing import Any

import click

from cream_store.cli.options import echo_json, json_option


@click.group()
def plugins() -> None:
    """The installed plugins."""


@plugins.command("list", epilog="\b\nExamples:\n  cream-store plugins list\n  cream-store plugins list --json")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the installed plugins: versions, tables, requirements.

    A plugin that can't be loaded is listed with the reason, and the exit code is 1.
    """
    from cream_store.errors import PluginError
    from cream_store.plugins import discover, load_plugins

    described: list[dict[str, Any]] = []
    for name in discover():
        try:
            plugin = next(plugin for plugin in load_plugins([name]) if plugin.name == name)
        except PluginError as error:
            described.append({"name": name, "error": str(error)})
        else:
            described.append(
                {
                    "name": name,
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "requires": list(plugin.requires),
                    "tables": list(plugin.tables),
                    "repositories": [repository.__name__ for repository in plugin.repositories],
                }
            )
    if as_json:
        echo_json(described)
    else:
        _show(described)
    if any("error" in plugin for plugin in described):
        raise click.exceptions.Exit(1)


def _show(described: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("Plugin", "Version", "Requires", "Tables")
    for plugin in described:
        if "error" in plugin:
            table.add_row(plugin["name"], "", "", f"[red]{plugin['error']}")
        else:
            requires = ", ".join(plugin["requires"]) or "-"
            origin = f"{plugin['version']} ({plugin['distribution']})"
            table.add_row(plugin["name"], origin, requires, ", ".join(plugin["tables"]))
    Console().print(table if described else "No plugin is installed.")
