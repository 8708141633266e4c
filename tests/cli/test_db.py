"""`cream-store db`: what operators and CI jobs rely on - output, exit codes, and what is never done unasked."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cream_store import Database, Environment, Store
from cream_store.cli import cli
from tests.conftest import BACK_ENDS, templates

ROOT = Path(__file__).parents[2]
TABLES = 4  # of the plugin config, which all of these tests use

VARIABLES = {
    Environment.PAPER: "DATABASE_URL_PAPER",
    Environment.LIVE: "DATABASE_URL",
    Environment.TEST: "TEST_DATABASE_URL",
}

Databases = Callable[[Environment], Database]


@pytest.fixture(params=BACK_ENDS[:2])  # how old the server is makes no difference here
def back_end(request: pytest.FixtureRequest) -> str:
    """SQLite, and one PostgreSQL."""
    name: str = request.param
    return name


@pytest.fixture
def databases(back_end: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Databases]:
    """Gives an environment a database without tables, on each back end."""
    monkeypatch.setenv("CREAM_PLUGINS", "config")
    with ExitStack() as stack:

        def database_of(environment: Environment) -> Database:
            store: Store = stack.enter_context(templates(back_end, (), environment).copy())
            monkeypatch.setenv(VARIABLES[environment], store.database.location.url)
            return store.database

        yield database_of


@pytest.fixture
def paper(databases: Databases) -> Database:
    """The database of PAPER, without tables."""
    return databases(Environment.PAPER)


@pytest.fixture
def pushed(paper: Database) -> Database:
    """The database of PAPER, with tables."""
    run("push")
    return paper


def run(*arguments: str, exit_code: int = 0) -> Result:
    """Runs `cream-store db`, which has to end with that exit code."""
    result = CliRunner().invoke(cli, ["db", *arguments], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def run_json(*arguments: str, exit_code: int = 0) -> Any:
    """Runs `cream-store db ... --json` and reads what it prints."""
    return json.loads(run(*arguments, "--json", exit_code=exit_code).stdout)


def add_note(database: Database) -> None:
    """A column that no model declares, with one value."""
    database.change("INSERT INTO universe_configs (environment, source) VALUES ('PAPER', 'static')")
    database.change("ALTER TABLE universe_configs ADD COLUMN note TEXT")
    database.change("UPDATE universe_configs SET note = 'x'")


def count_rows(database: Database) -> int:
    """How many universes are configured."""
    [(count,)] = database.fetch_all("SELECT count(*) FROM universe_configs")
    return int(count)


NOTE = "drop-column:universe_configs.note"


class TestPush:
    def test_makes_the_tables_and_then_finds_nothing_to_do(self, paper: Database) -> None:
        first = run("push").output
        assert "done     create-table:trading_config: it is missing" in first
        assert "refused" in first.splitlines()[-1]
        assert "up to date, nothing to do" in run("push").output

    def test_tells_programs_what_it_did(self, paper: Database) -> None:
        made = run_json("push")
        assert made["environment"] == "PAPER"
        assert made["url"] == paper.url.display
        assert (made["matches"], made["changed"]) == (False, True)
        step = next(step for step in made["steps"] if step["step"] == "create-table:trading_config")
        assert step == {
            "step": "create-table:trading_config",
            "action": "create-table",
            "subject": "trading_config",
            "risk": "safe",
            "accepted": True,
            "reason": "it is missing",
            "sql": step["sql"],
        }
        assert step["sql"][0].startswith('CREATE TABLE "trading_config"')
        again = run_json("push")
        assert (again["matches"], again["changed"], again["steps"]) == (True, False, [])

    def test_that_is_dry_changes_nothing(self, paper: Database) -> None:
        output = run("push", "--dry-run", exit_code=2).output
        assert "would do create-table:trading_config: it is missing" in output
        assert run_json("push", "--dry-run", exit_code=2)["changed"] is False
        assert paper.existing_tables(["trading_config"]) == []

    def test_refuses_what_would_lose_data_and_does_the_rest(self, pushed: Database) -> None:
        add_note(pushed)
        pushed.change("DROP INDEX idx_universe_configs_status")
        output = run("push", exit_code=2).output
        assert f"refused  {NOTE}: no loaded plugin declares it; 1 rows have a value in it" in output
        assert f"to do it: --allow {NOTE}" in output
        assert "done     create-index:universe_configs.idx_universe_configs_status" in output
        assert pushed.fetch_all("SELECT note FROM universe_configs") == [("x",)]
        [step] = run_json("push", exit_code=2)["steps"]
        assert (step["step"], step["risk"], step["accepted"]) == (NOTE, "lossy", False)

    def test_does_it_when_it_is_allowed(self, pushed: Database) -> None:
        add_note(pushed)
        assert f"done     {NOTE}" in run("push", "--allow", NOTE).output
        assert count_rows(pushed) == 1
        run("diff")

    def test_says_when_there_is_nothing_to_allow(self, pushed: Database) -> None:
        assert f"note: there is no step {NOTE}" in run("push", "--allow", NOTE).stderr

    def test_refuses_to_allow_what_is_no_step(self, pushed: Database) -> None:
        assert "is no step that could be allowed" in run("push", "--allow", "note", exit_code=1).output

    def test_does_nothing_while_a_step_is_blocked(self, pushed: Database) -> None:
        pushed.change("DROP INDEX idx_universe_configs_env_active")
        pushed.change("DROP INDEX idx_universe_configs_status")
        for _ in range(2):
            pushed.change(
                "INSERT INTO universe_configs (environment, source, status) VALUES ('PAPER', 'static', 'active')"
            )
        output = run("push", exit_code=2).output
        assert "blocked  create-index:universe_configs.idx_universe_configs_env_active" in output
        assert "2 stored rows" in output
        assert "nothing was changed" in output
        made = run_json("push", exit_code=2)
        assert made["changed"] is False
        assert {step["risk"] for step in made["steps"]} == {"blocked", "safe"}
        assert "idx_universe_configs_status" in run("diff", exit_code=2).output

    def test_takes_only_the_plugins_that_it_is_told(self, paper: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CREAM_PLUGINS")
        run("push", "--plugin", "config")
        assert len(paper.existing_tables(["trading_config", "cycles"])) == 1
        assert "unknown plugin 'nope'" in run("push", "--plugin", "nope", exit_code=1).output


class TestLive:
    def test_has_to_be_named(self, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
        live = databases(Environment.LIVE)
        monkeypatch.setenv("CREAM_ENV", "LIVE")
        for command in (["push"], ["reset", "--yes"], ["reset", "--confirm", live.url.name]):
            assert "--env LIVE" in run(*command, exit_code=2).output
        assert live.existing_tables(["trading_config"]) == []
        run("push", "--env", "LIVE")
        assert live.existing_tables(["trading_config"])
        run("diff")

    def test_is_not_changed_as_the_database_that_paper_falls_back_to(self, databases: Databases) -> None:
        live = databases(Environment.LIVE)
        run("push", "--env", "LIVE")
        live.change("DROP INDEX idx_universe_configs_status")
        for command in ("push", "reset"):
            assert "is LIVE's; set DATABASE_URL_PAPER" in run(command, exit_code=2).output
        run("push", "--dry-run", exit_code=2)
        assert len(run_json("diff", "--env", "LIVE", exit_code=2)["steps"]) == 1

    def test_is_not_opened_as_another_environment(self, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
        live = databases(Environment.LIVE)
        run("push", "--env", "LIVE")
        monkeypatch.setenv("DATABASE_URL_PAPER", live.location.url)
        output = run("push", exit_code=1).output
        assert "belongs to environment LIVE" in output
        assert "opened it for PAPER" in output


class TestDiff:
    def test_prints_the_statements(self, paper: Database) -> None:
        output = run("diff", exit_code=2).output
        assert 'CREATE TABLE "trading_config"' in output
        assert "-- create-table:trading_config (safe): it is missing" in output
        assert paper.existing_tables(["trading_config"]) == []

    def test_ends_well_when_there_is_none(self, pushed: Database) -> None:
        assert run("diff").output == "-- no difference\n"
        made = run_json("diff")
        assert (made["matches"], made["changed"], made["steps"]) == (True, False, [])

    def test_shows_what_a_push_would_leave_out(self, pushed: Database) -> None:
        add_note(pushed)
        output = run("diff", exit_code=2).output
        assert f"-- left out; to do it: --allow {NOTE}" in output
        assert "ALTER TABLE" not in output.replace('ALTER TABLE "universe_configs" RENAME', "")
        assert run_json("diff", "--allow", NOTE, exit_code=2)["steps"][0]["accepted"] is True


class TestReset:
    def test_asks_nobody_without_a_terminal(self, pushed: Database) -> None:
        add_note(pushed)
        output = run("reset", exit_code=2).output
        assert f"every row of {TABLES} tables in PAPER" in output
        assert "--yes" in output
        assert count_rows(pushed) == 1

    def test_empties_the_tables_and_brings_them_up_to_date(self, pushed: Database) -> None:
        add_note(pushed)
        pushed.change("CREATE VIEW universes AS SELECT id FROM universe_configs")
        assert f"reset, {TABLES} empty tables" in run("reset", "--yes").output
        assert count_rows(pushed) == 0
        assert pushed.fetch_all("SELECT * FROM universes") == []
        run("diff")

    def test_tells_programs_what_it_did(self, pushed: Database) -> None:
        made = run_json("reset", "--yes", "--seed")
        assert (made["matches"], made["changed"]) == (True, True)
        assert {section["outcome"] for section in made["seeded"]} == {"created"}
        assert count_rows(pushed) == 1

    def test_of_live_needs_the_name_of_the_database(self, databases: Databases) -> None:
        live = databases(Environment.LIVE)
        run("push", "--env", "LIVE")
        live.change("INSERT INTO universe_configs (environment, source) VALUES ('LIVE', 'static')")
        for more in ([], ["--yes"], ["--confirm", "other"]):
            output = run("reset", "--env", "LIVE", *more, exit_code=2).output
            assert f"--confirm {live.url.name}" in output
        assert count_rows(live) == 1
        run("reset", "--env", "LIVE", "--confirm", live.url.name)
        assert count_rows(live) == 0

    def test_of_a_test_database_is_just_done(self, databases: Databases) -> None:
        test = databases(Environment.TEST)
        run("push", "--env", "TEST")
        test.change("INSERT INTO universe_configs (environment, source) VALUES ('PAPER', 'static')")
        run("reset", "--env", "TEST")
        assert count_rows(test) == 0

    @pytest.mark.parametrize(("answer", "exit_code", "rows"), [("y", 0, 0), ("n", 1, 1), ("", 1, 1)])
    def test_asks_on_a_terminal(self, pushed: Database, answer: str, exit_code: int, rows: int) -> None:
        add_note(pushed)
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "cream_store", "db", "reset"],
            cwd=ROOT,
            stdin=theirs,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.write(ours, f"{answer}\n".encode())
        output, _ = process.communicate()
        os.close(ours)
        os.close(theirs)
        assert "Delete every row of 4 tables in PAPER" in output
        assert process.returncode == exit_code
        assert count_rows(pushed) == rows


class TestSeed:
    def test_stores_what_is_missing_in_every_environment_that_has_a_database(self, databases: Databases) -> None:
        paper, live = databases(Environment.PAPER), databases(Environment.LIVE)
        run("push", "--env", "PAPER")
        run("push", "--env", "LIVE")
        result = run("seed")
        assert "PAPER: trading_config ..." in result.stderr
        assert "LIVE: universe_configs ..." in result.stderr
        assert result.stdout.count("created") == 2 * TABLES
        assert (count_rows(paper), count_rows(live)) == (1, 1)
        assert run("seed").stdout.count("skipped") == 2 * TABLES

    def test_skips_an_environment_without_a_database(self, pushed: Database) -> None:
        paper, live = run_json("seed")
        assert {section["outcome"] for section in paper["sections"]} == {"created"}
        assert live == {"environment": "LIVE", "skipped": live["skipped"]}
        assert "set DATABASE_URL" in live["skipped"]

    def test_of_a_named_environment_without_a_database_fails(self, pushed: Database) -> None:
        assert "set DATABASE_URL" in run("seed", "--env", "LIVE", exit_code=1).output

    def test_replaces_nothing_in_live_unless_it_is_named(self, databases: Databases) -> None:
        databases(Environment.PAPER)
        live = databases(Environment.LIVE)
        run("push", "--env", "PAPER")
        run("push", "--env", "LIVE")
        run("seed")
        before = live.fetch_all("SELECT id FROM universe_configs")
        paper, skipped = run_json("seed", "--force")
        assert "replaced" in {section["outcome"] for section in paper["sections"]}
        assert "--env LIVE" in skipped["skipped"]
        assert live.fetch_all("SELECT id FROM universe_configs") == before
        [forced] = run_json("seed", "--env", "LIVE", "--force")
        assert "replaced" in {section["outcome"] for section in forced["sections"]}

    def test_takes_only_the_section_that_it_is_told(self, pushed: Database) -> None:
        [report] = run_json("seed", "--env", "PAPER", "--only", "universe_configs")
        assert report["sections"] == [{"section": "universe_configs", "outcome": "created"}]
        assert pushed.fetch_all("SELECT count(*) FROM trading_config") == [(0,)]
        output = run("seed", "--env", "PAPER", "--only", "nope", exit_code=1).output
        assert "trading_config" in output

    def test_without_tables_says_what_to_do(self, paper: Database) -> None:
        assert "cream-store db push" in run("seed", "--env", "PAPER", exit_code=1).output

    def test_that_fails_leaves_the_environment_as_it_was(self, pushed: Database) -> None:
        # The last section's table is not there.
        pushed.change("DROP TABLE constraints_config")
        run("seed", "--env", "PAPER", exit_code=1)
        assert count_rows(pushed) == 0


class TestStamp:
    def test_is_shown(self, pushed: Database) -> None:
        assert run("stamp").output == f"{pushed.url.display}: PAPER\n"
        assert run_json("stamp") == {"environment": "PAPER", "url": pushed.url.display, "stamp": "PAPER"}

    def test_is_missing_before_the_first_push(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL_PAPER", f"sqlite:///{tmp_path}/new.db")
        assert "no stamp yet" in run("stamp").output
        assert run_json("stamp")["stamp"] is None


@pytest.mark.parametrize(("script", "exit_code"), [("db_push.py", 0), ("db_reset.py", 2), ("db_seed.py", 1)])
def test_the_scripts_are_the_commands(paper: Database, script: str, exit_code: int) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), "--env", "PAPER"]
    finished = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert finished.returncode == exit_code, finished.stderr
