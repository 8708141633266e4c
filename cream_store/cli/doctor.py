"""`cream-store doctor`"""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Any, Final

import click

from cream_store.cli.options import echo_json, environment_option, json_option, plugin_option
from cream_store.environment import Environment

if TYPE_CHECKING:
    from cream_store.doctor import Diagnosis, Findings

ERRORS, WARNINGS = 1, 2
"""Exit codes."""

_COLOURS: Final = {"ok": "green", "skipped": "bright_black", "warning": "yellow", "error": "red"}


@click.command(
    epilog="""\b
Examples:
  cream-store doctor                   the current environment and all whose variable is set
  cream-store doctor --env LIVE        one environment
  cream-store doctor --json            for a monitor, with the exit code

\b
Exit codes:
  0  all is well
  1  something does not work
  2  it works, but not as it should: there are warnings
"""
)
@environment_option
@plugin_option
@json_option
def doctor(environment: Environment | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """Look for what is wrong with the environments' databases, and say what to do about it.

    Checks the configuration and the plugins, and for each environment the connection, the server's version, the stamp,
    the schema, the pool's size against what the server allows, and the server's clock against this machine's. Changes
    nothing. Without --env: the current environment, and each whose variable is set (DATABASE_URL_PAPER, DATABASE_URL,
    TEST_DATABASE_URL).
    """
    from cream_store.doctor import Severity, diagnose

    diagnosis = diagnose(environment, plugins or None)
    errors, warnings = diagnosis.count(Severity.ERROR), diagnosis.count(Severity.WARNING)
    if as_json:
        echo_json(_described(diagnosis, errors, warnings))
    else:
        _show(diagnosis, errors, warnings)
    if errors or warnings:
        raise click.exceptions.Exit(ERRORS if errors else WARNINGS)


def _described(diagnosis: Diagnosis, errors: int, warnings: int) -> dict[str, Any]:
    """The diagnosis as programs read it. Keys are only ever added."""
    return {
        "errors": errors,
        "warnings": warnings,
        "process": _listed(diagnosis.process),
        "environments": [
            {
                "environment": examination.environment,
                "url": examination.url,
                "findings": _listed(examination.findings),
            }
            for examination in diagnosis.environments
        ],
    }


def _listed(findings: Findings) -> list[dict[str, str]]:
    return [
        {"check": check, "severity": finding.severity, "message": finding.message, "advice": finding.advice}
        for check, finding in findings.items()
    ]


def _show(diagnosis: Diagnosis, errors: int, warnings: int) -> None:
    click.secho("this process", bold=True)
    _show_findings(diagnosis.process)
    for examination in diagnosis.environments:
        click.secho(f"\n{examination.environment} {examination.url or '(no usable database URL)'}", bold=True)
        _show_findings(examination.findings)
    if errors or warnings:
        click.echo(f"\n{_counted(errors, 'error')}, {_counted(warnings, 'warning')}")
    else:
        click.echo("\nall is well")


def _show_findings(findings: Findings) -> None:
    for check, finding in findings.items():
        label = click.style(f"{finding.severity:8}", fg=_COLOURS[finding.severity])
        message = _wrapped(finding.message).removeprefix(_MARGIN)
        click.echo(f"  {label} {check:14} {message}")
        if finding.advice:
            click.echo(_wrapped(f"-> {finding.advice}"))


_MARGIN: Final = " " * 26


def _wrapped(text: str) -> str:
    """The text in the column beside the checks' names. URLs and commands are not broken up."""
    return textwrap.fill(
        " ".join(text.split()),
        width=max(shutil.get_terminal_size().columns, 60),
        initial_indent=_MARGIN,
        subsequent_indent=_MARGIN,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
