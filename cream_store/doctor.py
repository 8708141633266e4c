"""What is wrong with the configured environments and their databases, and what to do about it.

diagnosis = diagnose()
for examination in diagnosis.environments: ...

Nothing is changed, and no SQLite file is made. Each check stands for itself: one that fails hides no other, unless it
leaves nothing to look at.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from cream_store.backend import Database
from cream_store.clock import utc_now
from cream_store.database import open_database
from cream_store.environment import DATABASE_VARIABLES, Environment
from cream_store.errors import EnvironmentMismatchError, SchemaError, StoreError
from cream_store.plugins import Plugin, load_plugins
from cream_store.schema import read_stamp
from cream_store.store import Store
from cream_store.url import Kind, mask_password

OLDEST_VERSIONS: Final[dict[Kind, tuple[int, ...]]] = {"postgresql": (15,), "sqlite": (3, 35)}
"""The oldest servers that cream-store works with: on SQLite, the first one with RETURNING."""

SKEW_TO_MEND: Final = timedelta(seconds=1)
"""So far apart, the clocks may tell the order of events wrongly."""
SKEW_THAT_MISLEADS: Final = timedelta(minutes=1)
"""So far apart, cooldowns, expiries and the order of rows can't be relied on."""

STEPS_NAMED: Final = 3
"""Differences between schema and models that are named; more are only counted."""


class Severity(StrEnum):
    """How bad a finding is, the least first."""

    OK = "ok"
    SKIPPED = "skipped"  # another finding leaves nothing to look at
    WARNING = "warning"  # it works, but not as it should
    ERROR = "error"  # something does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what to do about it. Never with a password."""

    severity: Severity
    message: str
    advice: str = ""


Findings = dict[str, Finding]
"""Findings by the name of their check, in the order of the checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found in one environment."""

    environment: Environment
    url: str | None  # without its password; None when there is no usable one
    findings: Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found in the process and in each environment."""

    process: Findings
    environments: tuple[Examination, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are that bad."""
        every = [self.process, *(examination.findings for examination in self.environments)]
        return sum(finding.severity is severity for findings in every for finding in findings.values())


def diagnose(environment: Environment | None = None, plugins: Iterable[str] | None = None) -> Diagnosis:
    """Examines one environment; by default the current one and all whose variable is set (see `DATABASE_VARIABLES`).

    `plugins`: names of those whose tables are expected; by default those in `CREAM_PLUGINS`, else all.
    """
    process: Findings = {}
    loaded: Sequence[Plugin] | None = None
    current: Environment | None = None
    try:
        current = Environment.current()
        process["environment"] = Finding(Severity.OK, f"the current one is {current}")
    except StoreError as error:
        process["environment"] = Finding(Severity.ERROR, str(error), "correct CREAM_ENV")
    try:
        loaded = load_plugins(plugins)
        process["plugins"] = Finding(Severity.OK, ", ".join(plugin.name for plugin in loaded) or "none is installed")
    except StoreError as error:
        process["plugins"] = Finding(
            Severity.ERROR,
            str(error),
            "correct CREAM_PLUGINS or --plugin, or mend the installation; see `plugins list`",
        )
    chosen = [environment] if environment else [one for one in Environment if one is current or _has_variable(one)]
    return Diagnosis(process=process, environments=tuple(_examine(one, loaded) for one in chosen))


def _has_variable(environment: Environment) -> bool:
    return bool(os.environ.get(DATABASE_VARIABLES[environment], "").strip())


def _examine(environment: Environment, plugins: Sequence[Plugin] | None) -> Examination:
    try:
        database = open_database(environment=environment)
    except StoreError as error:
        failed = Finding(Severity.ERROR, str(error), f"set or correct {DATABASE_VARIABLES[environment]}")
        return Examination(environment=environment, url=None, findings={"configuration": failed})
    try:
        return Examination(
            environment=environment, url=database.url.display, findings=_examine_database(database, plugins)
        )
    finally:
        database.close_pool()


def _examine_database(database: Database, plugins: Sequence[Plugin] | None) -> Findings:
    findings = {"configuration": _configuration(database)}
    if _is_missing(database):
        missing = f"there is no file {database.url.target} yet"
        return findings | _without_connection(Finding(Severity.WARNING, missing, _how_to_push(database)))
    try:
        readable = _readable(database)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        advice = f"start the server, or correct {database.location.source}"
        return findings | _without_connection(Finding(Severity.ERROR, _described(error), advice))
    checks: dict[str, Callable[[], Finding]] = {
        "connection": lambda: _connection(readable),
        "version": lambda: _version(readable),
        "stamp": lambda: _stamp(database, readable),
        "schema": lambda: _schema(database, readable, plugins),
        "pool": lambda: _pool(readable),
        "clock": lambda: _clock(readable),
    }
    try:
        return findings | {name: _finding_of(check) for name, check in checks.items()}
    finally:
        readable.close_pool()


def _is_missing(database: Database) -> bool:
    """Whether looking would make an SQLite file."""
    target = database.url.target
    return database.kind == "sqlite" and target != ":memory:" and not Path(target).exists()


def _readable(database: Database) -> Database:
    """The database, under the environment of its stamp: a wrong stamp is a finding, and hides no other."""
    try:
        database.fetch_all("SELECT 1")
    except EnvironmentMismatchError:
        for other in Environment:
            stamped = type(database)(other, database.location)
            with suppress(EnvironmentMismatchError):
                stamped.fetch_all("SELECT 1")
                return stamped
        raise
    return database


def _without_connection(connection: Finding) -> Findings:
    skipped = Finding(Severity.SKIPPED, "not checked without a connection")
    return {"connection": connection} | dict.fromkeys(("version", "stamp", "schema", "pool", "clock"), skipped)


def _finding_of(check: Callable[[], Finding]) -> Finding:
    """What a check finds, or why it failed."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # the other checks are of use nevertheless
        return Finding(Severity.ERROR, f"the check failed: {_described(error)}")


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, StoreError) else mask_password(f"{type(error).__name__}: {error}")


# The checks


def _configuration(database: Database) -> Finding:
    if database.location.is_live_fallback:
        return Finding(
            Severity.WARNING,
            "PAPER has no database of its own and works in LIVE's (DATABASE_URL)",
            "set DATABASE_URL_PAPER",
        )
    if database.location.source == "embedded":
        return Finding(Severity.OK, "an embedded file, as no variable names a database")
    return Finding(Severity.OK, f"from {database.location.source}")


def _connection(database: Database) -> Finding:
    started = time.perf_counter()
    database.fetch_all("SELECT 1")
    return Finding(Severity.OK, f"answers in {1000 * (time.perf_counter() - started):.1f} ms")


def _version(database: Database) -> Finding:
    [(version,)] = database.fetch_all(database.version_query)
    return judge_version(database.kind, version)


def judge_version(kind: Kind, version: str) -> Finding:
    """Whether a server's version, such as `15.14 (Debian 15.14-0+deb12u1)`, is one that cream-store works with."""
    name = _NAMES[kind]
    numbers = re.match(r"\d+(\.\d+)*", version)
    oldest = OLDEST_VERSIONS[kind]
    needed = f"{name} {'.'.join(map(str, oldest))} or newer"
    if numbers is None:
        return Finding(Severity.WARNING, f"{name} says that its version is {version!r}", f"make sure it is {needed}")
    if tuple(map(int, numbers[0].split("."))) < oldest:
        return Finding(Severity.ERROR, f"{name} {numbers[0]} is too old", f"upgrade to {needed}")
    return Finding(Severity.OK, f"{name} {numbers[0]}")


def _stamp(database: Database, readable: Database) -> Finding:
    stamp = read_stamp(readable)
    if stamp is None:
        return Finding(Severity.WARNING, "the database does not say whose it is yet", _how_to_push(database))
    try:
        database.refuse_other_environment(stamp)
    except EnvironmentMismatchError as error:
        return Finding(Severity.ERROR, str(error), f"correct {database.location.source}")
    return Finding(Severity.OK, f"{stamp}'s database")


def _schema(database: Database, readable: Database, plugins: Sequence[Plugin] | None) -> Finding:
    if plugins is None:
        return Finding(Severity.SKIPPED, "not compared, as the plugins can't be loaded")
    if readable is not database:
        return Finding(Severity.SKIPPED, f"not compared, as it is {readable.environment}'s")
    store = Store(database, plugins)
    if not store.rows:
        return Finding(Severity.SKIPPED, "nothing to compare, as no plugin has tables")
    there = database.existing_tables([*store.owners])
    absent = len(store.rows) - len(there)
    if absent:
        missing = f"{absent} of {len(store.rows)} tables are missing" if there else "no table is there"
        return Finding(Severity.ERROR, missing, _how_to_push(database))
    try:
        steps = store.plan().steps
    except SchemaError as error:  # a service's role may well lack the right to compare
        return Finding(Severity.WARNING, f"all tables are there, but could not be compared: {error}")
    if not steps:
        return Finding(Severity.OK, f"{len(store.rows)} tables as the plugins declare them")
    named = ", ".join(step.name for step in steps[:STEPS_NAMED])
    more = f" and {len(steps) - STEPS_NAMED} more" if len(steps) > STEPS_NAMED else ""
    return Finding(
        Severity.WARNING,
        f"the tables differ from what the plugins declare: {named}{more}",
        f"see `cream-store db diff --env {database.environment}`; {_how_to_push(database)}",
    )


def _pool(database: Database) -> Finding:
    size = database.pool_stats().size
    if database.kind == "sqlite":
        return Finding(Severity.OK, f"{size} connections at most; writers take turns")
    [(limit,)] = database.fetch_all(_LIMIT_OF_CONNECTIONS)
    if size > limit:
        return Finding(
            Severity.ERROR,
            f"the pool may grow to {size} connections, and the server gives this user {limit} at most",
            f"lower pool_size in {database.location.source}, or raise the server's max_connections or the limit of the"
            " role or database",
        )
    room = f"room for {limit // size} such process{'es' if limit // size > 1 else ''}"
    return Finding(Severity.OK, f"{size} connections at most, of {limit} that the server gives: {room}")


def _clock(database: Database) -> Finding:
    if database.kind == "sqlite":
        return Finding(Severity.OK, "this machine's")
    before = utc_now()
    [(there,)] = database.fetch_all("SELECT clock_timestamp()")
    here = before + (utc_now() - before) / 2
    apart = abs(there - here)
    if apart <= SKEW_TO_MEND:
        return Finding(Severity.OK, "the server's and this machine's agree")
    seconds = apart.total_seconds()
    return Finding(
        Severity.WARNING if apart <= SKEW_THAT_MISLEADS else Severity.ERROR,
        f"the server's clock is {seconds:,.1f} s {'ahead of' if there > here else 'behind'} this machine's",
        "synchronise both clocks by NTP",
    )


def _how_to_push(database: Database) -> str:
    # What DATABASE_URL names is LIVE's to push, also when PAPER works there.
    environment = Environment.LIVE if database.location.is_live_fallback else database.environment
    return f"run `cream-store db push --env {environment}`"


_NAMES: Final[dict[Kind, str]] = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

_LIMIT_OF_CONNECTIONS: Final = """
    SELECT least(
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
    )
"""
"""The fewest connections of what the server, the role and the database allow; least() passes over NULL."""
