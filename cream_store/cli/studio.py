"""`cream-store studio`"""

from __future__ import annotations

import importlib.util

import click

from cream_store.cli.options import environment_option, open_store, plugin_option
from cream_store.environment import Environment


@click.command(
    epilog="""\b
Examples:
  cream-store studio                        the tables of the current environment
  cream-store studio --write                and PAPER's rows can be changed
  cream-store studio --env LIVE             LIVE, which is read-only whatever is asked
  cream-store studio --plugin core-trading --port 8800 --no-browser
"""
)
@environment_option
@plugin_option
@click.option("--port", type=click.IntRange(1, 65535), help="The port of 127.0.0.1; by default any free one.")
@click.option("--write", is_flag=True, help="Let rows of PAPER be changed. LIVE and TEST stay read-only.")
@click.option("--no-browser", is_flag=True, help="Only print the address; open no browser.")
def studio(
    environment: Environment | None, plugins: tuple[str, ...], port: int | None, write: bool, no_browser: bool
) -> None:
    """Look at the tables in a browser, and change rows of PAPER.

    Prints an address that lets one browser on this machine in, once. Nothing is reachable from other machines, and
    the pages need no network. Ctrl-C ends it.
    """
    if missing := [name for name in ("flask", "waitress") if importlib.util.find_spec(name) is None]:
        raise click.ClickException(f"the studio needs {' and '.join(missing)}: pip install 'cream-store[studio]'")
    from cream_store.studio.server import serve

    with open_store(environment, plugins) as store:
        if write and store.environment is not Environment.PAPER:
            click.echo(f"--write means nothing here: {store.environment} is read-only.", err=True)
        click.echo(f"{store.environment} at {store.database.url.display}", err=True)
        click.echo("Open this address; Ctrl-C ends the studio.", err=True)
        serve(store, port=port or 0, write=write, browser=not no_browser, say=click.echo)
