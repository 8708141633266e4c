"""`cream-store doctor`: each thing that can be wrong, done for real, is found, and named with what to do about it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cream_store import Database, Environment, clock_set_to
from cream_store.cli import cli
from cream_store.doctor import judge_version
from cream_store.environment import DATABASE_VARIABLES
from cream_store.testing.servers import PASSWORD, private_server
from cream_store.url import Kind
from tests.conftest import POSTGRESQL_BACK_ENDS, templates

OF_A_DATABASE = ["configuration", "connection", "version", "stamp", "schema", "pool", "clock"]

Databases = Callable[..., Database]


@pytest.fixture
def databases(back_end: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Databases]:
    """Gives an environment a database, on each back end: as `stamped` for an environment, with tables or without."""
    monkeypatch.setenv("CREAM_PLUGINS", "config")
    with ExitStack() as stack:

        def database_of(
            environment: Environment, *, stamped: Environment | None = None, plugins: tuple[str, ...] = ("config",)
        ) -> Database:
            store = stack.enter_context(templates(back_end, plugins, stamped or environment).copy())
            monkeypatch.setenv(DATABASE_VARIABLES[environment], store.database.location.url)
            return store.database

        yield database_of


@pytest.fixture
def paper(databases: Databases) -> Database:
    """PAPER's database, with tables."""
    return databases(Environment.PAPER)


@pytest.fixture
def on_postgresql(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """PAPER's database, with tables, on each PostgreSQL."""
    monkeypatch.setenv("CREAM_PLUGINS", "config")
    with templates(postgresql, ("config",), Environment.PAPER).copy() as store:
        monkeypatch.setenv("DATABASE_URL_PAPER", store.database.location.url)
        yield store.database


def run(*arguments: str, exit_code: int) -> Result:
    """Runs `cream-store doctor`, which has to end with that exit code."""
    result = CliRunner().invoke(cli, ["doctor", *arguments], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def diagnosed(*arguments: str, exit_code: int) -> Any:
    """What `cream-store doctor --json` prints."""
    return json.loads(run(*arguments, "--json", exit_code=exit_code).stdout)


def findings(*arguments: str, exit_code: int) -> dict[str, Any]:
    """The findings in the only environment that was examined, by their checks."""
    [examination] = diagnosed(*arguments, exit_code=exit_code)["environments"]
    return {finding["check"]: finding for finding in examination["findings"]}


def bad(found: dict[str, Any]) -> dict[str, str]:
    """The severities other than ok, by the checks."""
    return {check: finding["severity"] for check, finding in found.items() if finding["severity"] != "ok"}


def with_pool_size(url: str, size: int) -> str:
    """The URL with another size of the pool."""
    return f"{url}{'&' if '?' in url else '?'}pool_size={size}"


def test_all_is_well(paper: Database) -> None:
    found = findings(exit_code=0)

    assert list(found) == OF_A_DATABASE
    assert bad(found) == {}
    assert found["stamp"]["message"] == "PAPER's database"
    assert found["schema"]["message"] == "4 tables as the plugins declare them"
    assert "all is well" in run(exit_code=0).output


def test_it_changes_nothing(databases: Databases) -> None:
    database = databases(Environment.PAPER, plugins=())

    run(exit_code=1)

    assert database.existing_tables(["trading_config"]) == []


class TestConfiguration:
    def test_every_environment_that_has_a_variable_is_examined(self, databases: Databases) -> None:
        for environment in Environment:
            databases(environment)

        report = diagnosed(exit_code=0)

        assert [one["environment"] for one in report["environments"]] == ["PAPER", "LIVE", "TEST"]
        assert (report["errors"], report["warnings"]) == (0, 0)

    def test_the_current_one_is_examined_also_without_a_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREAM_ENV", "LIVE")

        found = findings(exit_code=1)

        assert list(found) == ["configuration"]
        assert "LIVE is always explicit" in found["configuration"]["message"]
        assert found["configuration"]["advice"] == "set or correct DATABASE_URL"

    def test_one_that_was_named_is_examined_alone(self, databases: Databases) -> None:
        databases(Environment.LIVE)
        databases(Environment.PAPER)

        assert bad(findings("--env", "LIVE", exit_code=0)) == {}

    def test_an_unknown_environment_hides_no_other(self, paper: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREAM_ENV", "PRODUCTION")

        report = diagnosed(exit_code=1)

        assert [finding["severity"] for finding in report["process"]] == ["error", "ok"]
        assert "unknown environment 'PRODUCTION'" in report["process"][0]["message"]
        assert {finding["severity"] for finding in report["environments"][0]["findings"]} == {"ok"}

    def test_an_unknown_plugin_hides_only_the_schema(self, paper: Database) -> None:
        report = diagnosed("--plugin", "confg", exit_code=1)

        assert report["process"][1]["severity"] == "error"
        assert "unknown plugin 'confg'" in report["process"][1]["message"]
        [schema] = [one for one in report["environments"][0]["findings"] if one["severity"] != "ok"]
        assert (schema["check"], schema["severity"]) == ("schema", "skipped")

    def test_paper_in_lives_database_is_a_warning(self, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
        databases(Environment.LIVE)

        found = findings("--env", "PAPER", exit_code=2)

        assert bad(found) == {"configuration": "warning"}
        assert found["configuration"]["advice"] == "set DATABASE_URL_PAPER"

    @pytest.mark.parametrize("url", ["mysql://root:{}@localhost/x", "postgresql://u:{}@h:port/x", "{}"])
    def test_an_unusable_url_is_an_error_that_shows_no_password(
        self, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", url.format("hunter2"))

        shown, printed = run(exit_code=1).output, run("--json", exit_code=1).output

        assert "set or correct DATABASE_URL_PAPER" in shown
        assert "hunter2" not in shown + printed


class TestConnection:
    def test_a_dead_server_leaves_nothing_else_to_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", "postgresql://u:hunter2@127.0.0.1:1/cream")

        result = run(exit_code=1)
        found = findings(exit_code=1)

        assert "can't connect to postgresql://u:***@127.0.0.1:1/cream" in found["connection"]["message"]
        assert found["connection"]["advice"] == "start the server, or correct DATABASE_URL_PAPER"
        assert {found[check]["severity"] for check in OF_A_DATABASE[2:]} == {"skipped"}
        assert "hunter2" not in result.output
        assert "1 error, 0 warnings" in result.output

    @pytest.mark.parametrize("server", [name for name in POSTGRESQL_BACK_ENDS if name.startswith("postgres")])
    def test_a_wrong_password_is_not_shown(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", private_server(server).tcp_url("postgres", "hunter2"))

        shown, found = run(exit_code=1).output, findings(exit_code=1)

        assert "password authentication failed" in found["connection"]["message"]
        assert "hunter2" not in shown + json.dumps(found)

    @pytest.mark.parametrize("server", [name for name in POSTGRESQL_BACK_ENDS if name.startswith("postgres")])
    def test_the_right_password_is_not_shown_either(self, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", private_server(server).tcp_url("postgres", PASSWORD))

        shown, found = run(exit_code=1).output, findings(exit_code=1)

        assert found["connection"]["severity"] == "ok"
        assert not any(piece in shown + json.dumps(found) for piece in ("p@ss", "p%40ss"))

    def test_a_file_that_is_no_database_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("no database at all, but long enough to be read as one" * 20)
        monkeypatch.setenv("DATABASE_URL_PAPER", f"sqlite:///{path}")

        assert "is it a database?" in findings(exit_code=1)["connection"]["message"]

    def test_a_file_that_is_not_there_is_not_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "new" / "paper.db"
        monkeypatch.setenv("DATABASE_URL_PAPER", f"sqlite:///{path}")

        found = findings(exit_code=2)

        assert found["connection"]["severity"] == "warning"
        assert found["connection"]["advice"] == "run `cream-store db push --env PAPER`"
        assert not path.parent.exists()


@pytest.mark.parametrize(
    ("kind", "version", "severity"),
    [
        ("postgresql", "18.1", "ok"),
        ("postgresql", "15.14 (Debian 15.14-0+deb12u1)", "ok"),
        ("postgresql", "19beta1", "ok"),
        ("postgresql", "14.20", "error"),
        ("postgresql", "9.6.24", "error"),
        ("sqlite", "3.35.0", "ok"),
        ("sqlite", "3.9.2", "error"),
        ("sqlite", "4.0", "ok"),
        ("postgresql", "unknown", "warning"),
    ],
)
def test_a_server_that_is_too_old_is_an_error(kind: Kind, version: str, severity: str) -> None:
    finding = judge_version(kind, version)

    assert finding.severity == severity
    assert bool(finding.advice) == (severity != "ok")


class TestStamp:
    @pytest.mark.parametrize(
        ("environment", "owner"),
        [(Environment.LIVE, Environment.PAPER), (Environment.TEST, Environment.LIVE), ("PAPER", Environment.TEST)],
    )
    def test_another_environments_database_is_an_error_that_hides_nothing_else(
        self, databases: Databases, environment: str, owner: Environment
    ) -> None:
        databases(Environment(environment), stamped=owner)

        found = findings("--env", environment, exit_code=1)

        assert bad(found) == {"stamp": "error", "schema": "skipped"}
        assert (
            f"belongs to environment {owner}, but this process opened it for {environment}" in found["stamp"]["message"]
        )
        assert found["stamp"]["advice"] == f"correct {DATABASE_VARIABLES[Environment(environment)]}"

    def test_no_environments_stamp_is_an_error(self, paper: Database) -> None:
        with paper.transaction():
            schema = "" if paper.kind == "sqlite" else "cream_store."
            table = "cream_store_metadata" if paper.kind == "sqlite" else "metadata"
            paper.change(f"UPDATE {schema}{table} SET value = 'STAGING' WHERE key = 'environment'")
        paper.close_pool()

        assert "belongs to environment STAGING" in findings(exit_code=1)["connection"]["message"]


class TestSchema:
    def test_a_database_that_was_never_pushed(self, databases: Databases, tmp_path: Path) -> None:
        database = databases(Environment.PAPER, plugins=())

        found = findings(exit_code=1)

        assert found["schema"]["severity"] == "error"
        assert found["schema"]["message"] == "no table is there"
        assert found["schema"]["advice"] == "run `cream-store db push --env PAPER`"
        assert database.existing_tables(["trading_config"]) == []

    def test_a_missing_table_is_an_error(self, paper: Database) -> None:
        paper.change("DROP TABLE universe_configs")

        found = findings(exit_code=1)

        assert bad(found) == {"schema": "error"}
        assert found["schema"]["message"] == "1 of 4 tables are missing"

    def test_another_difference_is_a_warning_that_names_it(self, paper: Database) -> None:
        paper.change("ALTER TABLE universe_configs ADD COLUMN note TEXT")

        found = findings(exit_code=2)

        assert bad(found) == {"schema": "warning"}
        assert "drop-column:universe_configs.note" in found["schema"]["message"]
        assert "db diff --env PAPER" in found["schema"]["advice"]

    def test_only_the_named_plugins_tables_are_expected(self, paper: Database) -> None:
        assert "missing" in findings("--plugin", "config", "--plugin", "thesis", exit_code=1)["schema"]["message"]
        assert bad(findings("--plugin", "config", exit_code=0)) == {}

    def test_a_role_that_may_not_compare_is_told(
        self, on_postgresql: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        role = f"doctor_{os.getpid()}"
        monkeypatch.setenv("DATABASE_URL_PAPER", re.sub("//[^@]*@", f"//{role}@", on_postgresql.location.url))
        on_postgresql.change(f"CREATE ROLE {role} LOGIN")
        try:
            found = findings(exit_code=2)
        finally:
            on_postgresql.change(f"DROP ROLE {role}")

        assert bad(found) == {"schema": "warning"}
        assert "GRANT CREATE ON DATABASE" in found["schema"]["message"]


class TestPool:
    def test_more_connections_than_the_server_gives_are_an_error(
        self, on_postgresql: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", with_pool_size(on_postgresql.location.url, 900))

        found = findings(exit_code=1)

        assert bad(found) == {"pool": "error"}
        assert "the pool may grow to 900 connections" in found["pool"]["message"]
        assert "lower pool_size in DATABASE_URL_PAPER" in found["pool"]["advice"]

    def test_the_limit_of_the_database_counts(self, on_postgresql: Database) -> None:
        on_postgresql.change(f'ALTER DATABASE "{on_postgresql.url.name}" CONNECTION LIMIT 4')

        assert "gives this user 4 at most" in findings(exit_code=1)["pool"]["message"]

    def test_room_is_told(self, on_postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", with_pool_size(on_postgresql.location.url, 60))

        assert findings(exit_code=0)["pool"]["message"].startswith("60 connections at most, of ")


class TestClock:
    @pytest.mark.parametrize(
        ("ahead", "message", "severity", "exit_code"),
        [
            (timedelta(seconds=20), "s behind this machine's", "warning", 2),
            (timedelta(seconds=-20), "s ahead of this machine's", "warning", 2),
            (timedelta(hours=1), "s behind this machine's", "error", 1),
            (timedelta(hours=-1), "s ahead of this machine's", "error", 1),
        ],
    )
    def test_clocks_that_differ_are_found(
        self, on_postgresql: Database, ahead: timedelta, message: str, severity: str, exit_code: int
    ) -> None:
        with clock_set_to(lambda: datetime.now(UTC) + ahead):
            found = findings(exit_code=exit_code)

        assert bad(found) == {"clock": severity}
        assert found["clock"]["message"].endswith(message)
        assert "NTP" in found["clock"]["advice"]
