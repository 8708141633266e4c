"""`cream-store db`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cream_store.cli.options import (
    echo_json,
    environment_option,
    json_option,
    open_store,
    plugin_option,
    refuse_lives_database,
    refuse_unnamed_live,
)
from cream_store.environment import Environment

if TYPE_CHECKING:
    from cream_store.schema import Plan
    from cream_store.store import Store

DIFFERENT = 2
"""Exit code: there is a difference, or a step was refused."""


@click.group(
    epilog="""\b
Exit codes of push, diff and reset:
  0  the database matches, or does now
  1  something failed; nothing was changed
  2  there is a difference, or something was refused
"""
)
def db() -> None:
    """The database of an environment."""


def _allow_option(command: Any) -> Any:
    return click.option(
        "--allow",
        "allowed",
        multiple=True,
        metavar="STEP",
        help="Do this step although it loses data, like drop-column:orders.note; may be repeated.",
    )(command)


@db.command(
    epilog="""\b
Examples:
  cream-store db push                                   PAPER, all installed plugins
  cream-store db push --dry-run                         show the steps, change nothing
  cream-store db push --plugin core-trading             only the tables of one plugin
  cream-store db push --allow drop-column:orders.note   and lose that column's values
  cream-store db push --env LIVE                        LIVE has to be named
"""
)
@environment_option
@plugin_option
@_allow_option
@click.option("--dry-run", is_flag=True, help="Show the steps and change nothing.")
@json_option
def push(
    environment: Environment | None, plugins: tuple[str, ...], allowed: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Make the database's schema match the plugins' models.

    One transaction: all or nothing. Steps that would lose data are left out, with what they would cost, unless each is
    allowed by name. While stored rows make a step impossible, nothing is done. The first push writes the environment's
    name into the database, which from then on can't be opened as another environment.
    """
    if not dry_run:
        refuse_unnamed_live(environment)
    with open_store(environment, plugins) as store:
        if not dry_run:
            refuse_lives_database(store)
        plan = store.plan(allowed) if dry_run else store.push(allowed)
        _mention_unused(allowed, plan)
        if as_json:
            echo_json(_described(store, plan, changed=not (dry_run or plan.blocked)))
        else:
            _show(store, plan, dry_run=dry_run)
    _exit_with(plan, is_done=not dry_run)


@db.command(
    epilog="""\b
Examples:
  cream-store db diff                     the SQL that a push would run
  cream-store db diff --env LIVE --json   for a CI job, with the exit code
"""
)
@environment_option
@plugin_option
@_allow_option
@json_option
def diff(environment: Environment | None, plugins: tuple[str, ...], allowed: tuple[str, ...], as_json: bool) -> None:
    """Print the SQL that would make the database match. Exit with 2 when there is a difference."""
    with open_store(environment, plugins) as store:
        plan = store.plan(allowed)
        _mention_unused(allowed, plan)
        if as_json:
            echo_json(_described(store, plan, changed=False))
        elif not plan.steps:
            click.echo("-- no difference")
        for step in () if as_json else plan.steps:
            click.echo(f"-- {step.name} ({step.risk}): {step.reason}")
            if step in plan.refused and step.risk == "lossy":
                click.echo(f"-- left out; to do it: --allow {step.name}")
            for statement in step.sql:
                click.echo(f"{statement};")
    _exit_with(plan, is_done=False)


@db.command(
    epilog="""\b
Examples:
  cream-store db reset                                       PAPER, after asking
  cream-store db reset --yes --seed                          PAPER, without asking
  cream-store db reset --env LIVE --confirm cream            LIVE, with the database's name typed out
"""
)
@environment_option
@plugin_option
@click.option("--yes", is_flag=True, help="Don't ask (PAPER).")
@click.option("--confirm", metavar="DATABASE", help="The database's name, typed out (LIVE).")
@click.option("--seed", is_flag=True, help="Store the plugins' first configuration afterwards.")
@click.option("--terminate", is_flag=True, help="End other sessions that hold the tables.")
@json_option
def reset(
    environment: Environment | None,
    plugins: tuple[str, ...],
    yes: bool,
    confirm: str | None,
    seed: bool,
    terminate: bool,
    as_json: bool,
) -> None:
    """Delete every row of the plugins' tables, and make the schema match.

    One transaction. Tables that are not ours stay as they are, and so do views and grants on ours. While other sessions
    hold the tables, it waits for ten seconds and gives up.
    """
    refuse_unnamed_live(environment)
    with open_store(environment, plugins) as store:
        refuse_lives_database(store)
        _confirm_reset(store, yes, confirm)
        plan = store.reset(terminate=terminate)
        if not as_json:
            click.echo(f"{store.environment} {store.database.url.display}: reset, {len(store.rows)} empty tables")
        outcomes = _seed(store, force=False, only=None, is_quiet=as_json) if seed else []
        if as_json:
            echo_json(_described(store, plan, changed=False) | {"changed": True, "seeded": outcomes})
        elif seed:
            _show_outcomes([{"environment": store.environment, "sections": outcomes}])


@db.command(
    "seed",
    epilog="""\b
Examples:
  cream-store db seed                             every environment that has a database
  cream-store db seed --env PAPER --force         replace what is there
  cream-store db seed --only trading_config       one section
""",
)
@environment_option
@plugin_option
@click.option("--force", is_flag=True, help="Replace what is there: the active version is archived, the next created.")
@click.option("--only", metavar="SECTION", help="Only this section, replacing what is there.")
@json_option
def seed_command(
    environment: Environment | None, plugins: tuple[str, ...], force: bool, only: str | None, as_json: bool
) -> None:
    """Store the plugins' first configuration: what is missing, or everything anew with --force.

    Without --env, PAPER and LIVE are seeded, one after the other; one that has no database is skipped, and so is LIVE
    when something would be replaced: that takes --env LIVE. One transaction per environment; an error ends the run, and
    what was done before it stays.
    """
    if environment is Environment.TEST:
        raise click.UsageError("seed PAPER or LIVE; a test seeds what it needs")
    replaces = force or only is not None
    reports: list[dict[str, Any]] = []
    try:
        for one in [environment] if environment else [Environment.PAPER, Environment.LIVE]:
            if environment is None and (reason := _reason_to_skip(one, replaces=replaces)):
                reports.append({"environment": one, "skipped": reason})
                continue
            with open_store(one, plugins) as store:
                sections = _seed(store, force=force, only=only, is_quiet=as_json)
                reports.append({"environment": one, "url": store.database.url.display, "sections": sections})
    finally:
        if as_json:
            echo_json(reports)
        else:
            _show_outcomes(reports)


def _reason_to_skip(environment: Environment, *, replaces: bool) -> str | None:
    """Why an environment that nobody named is left alone."""
    from cream_store.environment import locate_database
    from cream_store.errors import ConfigurationError

    if environment is Environment.LIVE and replaces:
        return "what is there in LIVE is replaced only with --env LIVE"
    try:
        locate_database(environment)
    except ConfigurationError as error:
        return str(error)
    return None


@db.command(epilog="\b\nExamples:\n  cream-store db stamp\n  cream-store db stamp --env LIVE --json")
@environment_option
@json_option
def stamp(environment: Environment | None, as_json: bool) -> None:
    """Show which environment the database says it belongs to."""
    from cream_store.database import open_database
    from cream_store.schema import read_stamp

    database = open_database(environment=environment)
    found = read_stamp(database)
    database.close_pool()
    if as_json:
        echo_json({"environment": database.environment, "url": database.url.display, "stamp": found})
    else:
        click.echo(f"{database.url.display}: {found or 'no stamp yet; the first push writes it'}")


@db.command(epilog="\b\nExamples:\n  cream-store db health\n  cream-store db health --env LIVE --json")
@environment_option
@json_option
def health(environment: Environment | None, as_json: bool) -> None:
    """Tell whether the database answers. The exit code is 1 when it does not."""
    from cream_store.database import open_database
    from cream_store.errors import StoreError

    database = open_database(environment=environment)
    version = reason = None
    try:
        version = database.fetch_all(database.version_query)[0][0]
    except StoreError as error:
        reason = str(error)
    pool = database.pool_stats()
    database.close_pool()
    if as_json:
        echo_json(
            {
                "environment": database.environment,
                "url": database.url.display,
                "healthy": reason is None,
                "reason": reason,
                "kind": database.kind,
                "version": version,
                "pool": {"total": pool.total, "idle": pool.idle, "waiting": pool.waiting, "size": pool.size},
            }
        )
    else:
        state = f"healthy, {database.kind} {version}" if reason is None else f"not healthy: {reason}"
        click.echo(f"{database.environment} {database.url.display}: {state}")
    if reason is not None:
        raise click.exceptions.Exit(1)


def _mention_unused(allowed: tuple[str, ...], plan: Plan) -> None:
    """Says which permissions met nothing: done before, or misspelt."""
    for name in sorted({*allowed} - {step.name for step in plan.steps}):
        click.echo(f"note: there is no step {name}", err=True)


def _confirm_reset(store: Store, yes: bool, confirm: str | None) -> None:
    database = store.database
    what = f"every row of {len(store.rows)} tables in {store.environment} {database.url.display}"
    if store.environment is Environment.LIVE:
        if confirm != database.url.name:
            raise click.UsageError(
                f"this deletes {what}; to do it, type the database's name: --env LIVE --confirm {database.url.name}"
            )
    elif store.environment is Environment.PAPER and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"this deletes {what}; without a terminal to ask on, say --yes")
        click.confirm(f"Delete {what}?", abort=True)


def _described(store: Store, plan: Plan, *, changed: bool) -> dict[str, Any]:
    """The plan as programs read it. Keys are only ever added."""
    return {
        "environment": store.environment,
        "url": store.database.url.display,
        "matches": not plan.steps,
        "changed": changed and bool(plan.accepted),
        "steps": [
            {
                "step": step.name,
                "action": step.action,
                "subject": step.subject,
                "risk": step.risk,
                "accepted": step in plan.accepted,
                "reason": step.reason,
                "sql": list(step.sql),
            }
            for step in plan.steps
        ],
    }


def _show(store: Store, plan: Plan, *, dry_run: bool) -> None:
    where = f"{store.environment} {store.database.url.display}"
    for step in plan.blocked:
        click.echo(f"blocked  {step.name}: {step.reason}")
    for step in plan.refused:
        how = f"\n         to do it: --allow {step.name}" if step.risk == "lossy" else ""
        click.echo(f"refused  {step.name}: {step.reason}{how}")
    if not plan.steps:
        click.echo(f"{where}: up to date, nothing to do")
    elif plan.blocked:
        click.echo(f"{where}: nothing was changed")
    else:
        verb = "would be done" if dry_run else "done"
        for step in plan.accepted:
            click.echo(f"{'would do' if dry_run else 'done':8} {step.name}: {step.reason}")
        click.echo(f"{where}: {len(plan.accepted)} steps {verb}, {len(plan.refused)} refused")


def _exit_with(plan: Plan, *, is_done: bool) -> None:
    if plan.blocked or plan.refused or (plan.steps and not is_done):
        raise click.exceptions.Exit(DIFFERENT)


def _seed(store: Store, *, force: bool, only: str | None, is_quiet: bool) -> list[dict[str, str]]:
    def report(section: str) -> None:
        if not is_quiet:
            click.echo(f"{store.environment}: {section} ...", err=True)

    return [
        {"section": name, "outcome": outcome} for name, outcome in store.seed(force=force, only=only, report=report)
    ]


def _show_outcomes(reports: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Environment", "Section", "Outcome")
    for report in reports:
        if "skipped" in report:
            table.add_row(report["environment"], "-", escape(f"skipped: {report['skipped']}"))
        for section in report.get("sections", []):
            table.add_row(report["environment"], section["section"], section["outcome"])
    Console().print(table if table.rows else "Nothing was seeded.")
