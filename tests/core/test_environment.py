"""Which environment a process works in, which database that means, and that neither is ever mistaken."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cream_plugins.core_trading import Cycle, CycleRow, CyclesRepository
from cream_store import (
    ConfigurationError,
    Environment,
    EnvironmentMismatchError,
    InvalidDataError,
    Store,
    close_db,
    get_db,
    health_check,
    open_database,
    utc_now,
)
from cream_store.environment import data_directory, locate_database
from tests.conftest import templates

LIVE_URL, PAPER_URL, TEST_URL = "postgresql://live/db", "postgresql://paper/db", "postgresql://test/db"


@pytest.fixture(autouse=True)
def _not_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process warns once; each test is to see that."""
    monkeypatch.setattr("cream_store.environment._live_fallback_warned", False)


class TestCurrentEnvironment:
    def test_paper_is_the_default(self) -> None:
        assert Environment.current() is Environment.PAPER

    @pytest.mark.parametrize("name", ["LIVE", "live", " Live ", "TEST", "paper"])
    def test_cream_env_chooses(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv("CREAM_ENV", name)
        assert Environment.current() == name.strip().upper()

    def test_node_env_test_means_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NODE_ENV", "test")
        assert Environment.current() is Environment.TEST

    @pytest.mark.parametrize("name", ["production", "development", ""])
    def test_other_values_of_node_env_mean_nothing(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv("NODE_ENV", name)
        assert Environment.current() is Environment.PAPER

    def test_cream_env_comes_before_node_env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NODE_ENV", "test")
        monkeypatch.setenv("CREAM_ENV", "LIVE")
        assert Environment.current() is Environment.LIVE

    def test_an_empty_variable_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREAM_ENV", "")
        assert Environment.current() is Environment.PAPER

    @pytest.mark.parametrize("name", ["prod", "LIVE2", "PAPER,LIVE", " "])
    def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("CREAM_ENV", name)
        for use in (Environment.current, get_db, open_database, lambda: Store.open(plugins=[])):
            with pytest.raises(ConfigurationError, match=r"unknown environment .*: PAPER, LIVE, TEST"):
                use()
        assert not health_check()

    def test_an_argument_is_held_to_the_same(self) -> None:
        with pytest.raises(ConfigurationError, match="unknown environment 'prod'"):
            get_db("prod")
        with pytest.raises(ConfigurationError, match="unknown environment 'prod'"):
            Store.open(plugins=[], environment="prod")
        assert Store.open(plugins=[], environment="test", url="sqlite:///:memory:").environment is Environment.TEST


class TestRouting:
    """Which variables choose which database; see the table in the documentation."""

    @pytest.mark.parametrize(
        ("environment", "variables", "url", "source"),
        [
            (Environment.PAPER, {"DATABASE_URL_PAPER": PAPER_URL}, PAPER_URL, "DATABASE_URL_PAPER"),
            (
                Environment.PAPER,
                {"DATABASE_URL_PAPER": PAPER_URL, "DATABASE_URL": LIVE_URL, "TEST_DATABASE_URL": TEST_URL},
                PAPER_URL,
                "DATABASE_URL_PAPER",
            ),
            (Environment.PAPER, {"DATABASE_URL": LIVE_URL}, LIVE_URL, "DATABASE_URL"),
            (Environment.PAPER, {"DATABASE_URL_PAPER": "", "DATABASE_URL": LIVE_URL}, LIVE_URL, "DATABASE_URL"),
            (Environment.PAPER, {"DATABASE_URL_PAPER": f" {PAPER_URL}\n"}, PAPER_URL, "DATABASE_URL_PAPER"),
            (Environment.PAPER, {"CREAM_HOME": "/srv/cream"}, "sqlite:////srv/cream/paper.db", "embedded"),
            (
                Environment.PAPER,
                {"CREAM_HOME": "/srv/cream", "TEST_DATABASE_URL": TEST_URL},
                "sqlite:////srv/cream/paper.db",
                "embedded",
            ),
            (
                Environment.LIVE,
                {"DATABASE_URL": LIVE_URL, "DATABASE_URL_PAPER": PAPER_URL, "TEST_DATABASE_URL": TEST_URL},
                LIVE_URL,
                "DATABASE_URL",
            ),
            (
                Environment.TEST,
                {"DATABASE_URL": LIVE_URL, "DATABASE_URL_PAPER": PAPER_URL, "TEST_DATABASE_URL": TEST_URL},
                TEST_URL,
                "TEST_DATABASE_URL",
            ),
        ],
    )
    def test_the_variables_choose(
        self, environment: Environment, variables: dict[str, str], url: str, source: str
    ) -> None:
        location = locate_database(environment, variables)
        assert (location.url, location.source) == (url, source)
        assert location.is_live_fallback is (environment is Environment.PAPER and source == "DATABASE_URL")

    @pytest.mark.parametrize(
        ("environment", "variables", "variable"),
        [
            (Environment.LIVE, {}, "DATABASE_URL"),
            (Environment.LIVE, {"DATABASE_URL_PAPER": PAPER_URL, "TEST_DATABASE_URL": TEST_URL}, "DATABASE_URL"),
            (Environment.LIVE, {"DATABASE_URL": "  "}, "DATABASE_URL"),
            (Environment.TEST, {}, "TEST_DATABASE_URL"),
            (Environment.TEST, {"DATABASE_URL": LIVE_URL, "DATABASE_URL_PAPER": PAPER_URL}, "TEST_DATABASE_URL"),
        ],
    )
    def test_live_and_test_never_fall_through(
        self, environment: Environment, variables: dict[str, str], variable: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"{environment} has no database: set {variable}"):
            locate_database(environment, variables)

    def test_the_process_asks_its_own_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREAM_ENV", "LIVE")
        with pytest.raises(ConfigurationError, match="set DATABASE_URL"):
            get_db()
        monkeypatch.setenv("DATABASE_URL", LIVE_URL)
        assert get_db().location.url == LIVE_URL
        assert get_db().environment is Environment.LIVE

    def test_after_closing_the_configuration_is_read_anew(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        before = get_db()
        monkeypatch.setenv("DATABASE_URL_PAPER", f"sqlite:///{tmp_path}/other.db")
        assert get_db() is before
        close_db()
        assert get_db().location.url.endswith("other.db")


class TestPaperOnTheLiveDatabase:
    def test_it_is_warned_of_once(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "cream_store"):
            for _ in range(3):
                locate_database(Environment.PAPER, {"DATABASE_URL": LIVE_URL})
        assert [record.message for record in caplog.records] == [
            "PAPER uses DATABASE_URL because DATABASE_URL_PAPER is not set; set it to keep PAPER data apart"
        ]

    def test_nothing_else_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        locate_database(Environment.PAPER, {"DATABASE_URL_PAPER": PAPER_URL, "DATABASE_URL": LIVE_URL})
        locate_database(Environment.PAPER, {})
        locate_database(Environment.LIVE, {"DATABASE_URL": LIVE_URL})
        assert not caplog.records


class TestEmbeddedDatabase:
    def test_cream_home_says_where_it_lies(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        home = tmp_path / "of 50% #1 [a+b]?" / "deep"
        monkeypatch.setenv("CREAM_HOME", str(home))
        assert get_db().fetch_all("SELECT 1") == [(1,)]
        assert [path.name for path in home.glob("*.db")] == ["paper.db"]

    def test_a_tilde_means_the_users_home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert data_directory({"CREAM_HOME": "~/cream"}) == tmp_path / "cream"

    def test_a_relative_home_is_one_of_the_working_directory(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert data_directory({"CREAM_HOME": "cream"}) == tmp_path / "cream"

    def test_else_it_lies_in_the_users_data_directory(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert data_directory({}) == tmp_path / ".local" / "share" / "cream-store"
        assert data_directory({"XDG_DATA_HOME": "/srv/data"}) == Path("/srv/data/cream-store")

    def test_nothing_is_made_before_it_is_used(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("CREAM_HOME", str(tmp_path / "cream"))
        get_db()
        assert not (tmp_path / "cream").exists()

    def test_a_process_without_any_variable_has_a_database(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", "from cream_store import db; print(db.fetch_all('SELECT 1'), db.environment)"],
            env={"HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout == "[(1,)] PAPER\n"
        assert (tmp_path / ".local" / "share" / "cream-store" / "paper.db").exists()


def cycle(environment: str) -> Cycle:
    return Cycle(environment=Environment(environment))


@contextmanager
def store_of(back_end: str, environment: str) -> Iterator[Store]:
    """A fresh database of an environment, with a row of PAPER and one of LIVE that another program wrote."""
    with templates(back_end, None, Environment(environment)).copy() as store:
        rows = [{"environment": one, "started_at": utc_now()} for one in ("PAPER", "LIVE")]
        CycleRow.insert_many(rows).execute(store.database)
        yield store


class TestGuard:
    """A row of one environment is never written to the database of another."""

    @pytest.mark.parametrize(("own", "other"), [("PAPER", "LIVE"), ("LIVE", "PAPER")])
    def test_a_row_of_the_other_environment_is_refused(self, back_end: str, own: str, other: str) -> None:
        with store_of(back_end, own) as store:
            cycles = store[CyclesRepository]
            for write in (
                lambda: cycles.create(cycle(other)),
                lambda: cycles.create_many([cycle(own), cycle(other)]),
                lambda: cycles.upsert(cycle(other)),
                lambda: cycles.upsert_many([cycle(own), cycle(other)]),
            ):
                with pytest.raises(EnvironmentMismatchError, match=f"{other} can't be written to the {own}") as refused:
                    write()
                assert refused.value.code == "INVALID_DATA"
                assert (refused.value.table, refused.value.columns) == ("cycles", ("environment",))
            assert cycles.count({"environment": own}) == cycles.count({"environment": other}) == 1

    @pytest.mark.parametrize(("own", "mine"), [("PAPER", ["PAPER"]), ("LIVE", ["LIVE"]), ("TEST", ["LIVE", "PAPER"])])
    def test_only_the_own_environment_is_seen_unless_another_is_asked_for(
        self, back_end: str, own: str, mine: list[str]
    ) -> None:
        with store_of(back_end, own) as store:
            cycles = store[CyclesRepository]
            assert sorted(found.environment for found in cycles.find_all()) == mine
            assert sorted(found.environment for found in cycles.find_many().data) == mine
            assert cycles.count() == len(mine)
            assert [found.environment for found in cycles.find_all({"environment": "LIVE"})] == ["LIVE"]
            assert [found.environment for found in cycles.find_all({"environment": " paper "})] == ["PAPER"]

    def test_a_row_of_the_own_environment_is_taken(self, back_end: str) -> None:
        for environment in ("PAPER", "LIVE"):
            with store_of(back_end, environment) as store:
                store[CyclesRepository].create(cycle(environment))
                assert store[CyclesRepository].count() == 2

    def test_a_test_database_takes_both(self, store: Store) -> None:
        cycles = store[CyclesRepository]
        cycles.create_many([cycle("PAPER"), cycle("LIVE")])
        assert cycles.count() == 2

    def test_no_row_belongs_to_test(self, store: Store) -> None:
        with pytest.raises(InvalidDataError, match=r"cycles\.environment"):
            store[CyclesRepository].create(cycle("TEST"))

    def test_the_environment_of_a_row_does_not_change(self, store: Store) -> None:
        cycles = store[CyclesRepository]
        created = cycles.create(cycle("PAPER"))
        with pytest.raises(InvalidDataError, match="environment can't be changed"):
            cycles.update(created.id, {"environment": "LIVE"})  # type: ignore[typeddict-unknown-key]  # that is the test
        assert cycles.find_by_id(created.id) == created

    @pytest.mark.parametrize("environment", ["TEST", "prod", "", 5, ["PAPER"]])
    def test_only_an_environment_can_be_asked_for(self, store: Store, environment: str) -> None:
        with pytest.raises(InvalidDataError):
            store[CyclesRepository].find_many({"environment": environment})
