"""Plugins: found, selected, ordered, loaded - and refused with an error that names the culprit.

The plugins here are real ones: a module and the metadata of a distribution, in a directory on the import path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cream_plugins.core_trading import CyclesRepository, DecisionsRepository
from cream_store import Environment, PluginError, Store, load_plugins
from cream_store.plugins import discover
from tests.conftest import templates


class Shelf:
    """A directory on the import path, on which distributions are put."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, code: str = "", *, module: str | None = None, distribution: str | None = None) -> None:
        """Puts a distribution there that provides one plugin."""
        module = module or name.replace("-", "_")
        distribution = distribution or f"{name}-dist"
        (self._directory / f"{module}.py").write_text(textwrap.dedent(code))
        metadata = self._directory / f"{distribution}-1.5.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(f"[cream_store.plugins]\n{name} = {module}\n")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    directory = tmp_path / "shelf"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    known = set(sys.modules)
    yield Shelf(directory)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(directory)):
            del sys.modules[name]


def requiring(*names: str) -> str:
    """The code of a plugin without tables that requires others."""
    return f"""
        from cream_store import hookimpl

        @hookimpl
        def cream_store_requires():
            return {list(names)}
    """


def owning(*tables: str) -> str:
    """The code of a plugin that owns tables."""
    return f"""
        from cream_store import Row, TextField, hookimpl

        def row(name):
            class SomeRow(Row):
                key = TextField(primary_key=True)

                class Meta:
                    table_name = name

            return SomeRow

        ROWS = [row(name) for name in {list(tables)}]

        @hookimpl
        def cream_store_rows():
            return ROWS
    """


class TestDiscovery:
    def test_nothing_is_imported(self, shelf: Shelf) -> None:
        shelf.put("bomb", "raise SystemExit('imported')")
        assert "bomb" in discover()

    def test_plugins_are_listed_by_name(self, shelf: Shelf) -> None:
        shelf.put("zebra")
        shelf.put("aardvark")
        assert list(discover()) == sorted(discover())
        assert {"aardvark", "core-trading", "zebra"} <= set(discover())

    def test_two_plugins_of_one_name_are_an_error_that_names_both(self, shelf: Shelf) -> None:
        shelf.put("twin", module="twin_one", distribution="one")
        shelf.put("twin", module="twin_two", distribution="two")
        with pytest.raises(PluginError, match=r"two plugins are named 'twin': twin_.* of (one|two)") as refused:
            discover()
        assert "twin_one of one" in str(refused.value)
        assert "twin_two of two" in str(refused.value)

    def test_one_plugin_that_is_seen_twice_is_one(self, shelf: Shelf) -> None:
        """An editable installation and its source directory may both be on the import path."""
        shelf.put("twin", distribution="one")
        shelf.put("twin", distribution="two")
        assert [plugin.name for plugin in load_plugins(["twin"])] == ["twin"]


class TestSelection:
    def test_all_that_are_installed_are_the_default(self, shelf: Shelf) -> None:
        shelf.put("other")
        assert {plugin.name for plugin in load_plugins()} == set(discover())

    def test_names_select(self, shelf: Shelf) -> None:
        shelf.put("bomb", "raise RuntimeError")
        assert [plugin.name for plugin in load_plugins(["core-trading"])] == ["core-trading"]
        assert load_plugins([]) == []

    @pytest.mark.parametrize("value", ["one,core-trading", " one , core-trading ,", ",one,,core-trading"])
    def test_a_variable_selects(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        shelf.put("one")
        shelf.put("bomb", "raise RuntimeError")
        monkeypatch.setenv("CREAM_PLUGINS", value)
        assert [plugin.name for plugin in load_plugins()] == ["core-trading", "one"]

    @pytest.mark.parametrize("value", ["", "  ", ","])
    def test_an_empty_variable_selects_nothing_in_particular(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("CREAM_PLUGINS", value)
        assert {plugin.name for plugin in load_plugins()} == set(discover())

    def test_names_come_before_the_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREAM_PLUGINS", "nonsense")
        assert [plugin.name for plugin in load_plugins(["core-trading"])] == ["core-trading"]

    @pytest.mark.parametrize("name", ["core_trading", "CORE-TRADING", "", "core-trading,thesis"])
    def test_an_unknown_name_is_an_error_that_lists_the_known_ones(self, shelf: Shelf, name: str) -> None:
        shelf.put("zebra")
        with pytest.raises(PluginError, match=f"unknown plugin '{name}'; installed plugins: .*core-trading, .*zebra"):
            load_plugins([name])

    def test_an_unknown_name_in_the_variable_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CREAM_PLUGINS", "core-trading,nonsense")
        with pytest.raises(PluginError, match="unknown plugin 'nonsense'"):
            Store.open()


class TestOrder:
    def test_requirements_come_first_then_names_decide(self, shelf: Shelf) -> None:
        shelf.put("a", requiring("z"))
        shelf.put("m", requiring("a"))
        shelf.put("b")
        shelf.put("z")
        assert [plugin.name for plugin in load_plugins(["m", "b"])] == ["b", "z", "a", "m"]
        assert [plugin.name for plugin in load_plugins(["b", "a", "m"])] == ["b", "z", "a", "m"]

    def test_what_a_plugin_requires_is_loaded_with_it(self, shelf: Shelf) -> None:
        shelf.put("extra", requiring("core-trading"))
        [first, second] = load_plugins(["extra"])
        assert (first.name, second.name) == ("core-trading", "extra")
        assert second.requires == ("core-trading",)

    def test_a_missing_requirement_is_an_error_that_says_who_wants_it(self, shelf: Shelf) -> None:
        shelf.put("extra", requiring("auth2"))
        with pytest.raises(
            PluginError, match=r"'extra' requires plugin 'auth2', which is not installed; .*core-trading"
        ):
            load_plugins(["extra"])

    @pytest.mark.parametrize("circle", [["a"], ["a", "b"], ["a", "b", "c"]])
    def test_a_circle_of_requirements_is_an_error_that_shows_it(self, shelf: Shelf, circle: list[str]) -> None:
        for name, required in zip(circle, [*circle[1:], circle[0]], strict=True):
            shelf.put(name, requiring(required))
        with pytest.raises(PluginError, match=r"in a circle: .*a.* -> "):
            load_plugins(["a"])


class TestFaultyPlugins:
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
            ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
            ("def broken(:", "SyntaxError"),
        ],
    )
    def test_one_that_cant_be_imported_is_named_with_the_reason(self, shelf: Shelf, code: str, reason: str) -> None:
        shelf.put("faulty", code)
        with pytest.raises(
            PluginError, match=f"'faulty' \\(faulty of faulty-dist\\) can't be imported: {reason}"
        ) as bad:
            load_plugins(["core-trading", "faulty"])
        assert bad.value.__cause__ is not None

    @pytest.mark.parametrize(
        ("hook", "reason"),
        [
            ("def cream_store_rowz(): return []", "unknown hook 'cream_store_rowz'"),
            ("def cream_store_rows(database): return []", "cream_store_rows"),
            ("def cream_store_rows(): raise KeyError('x')", "KeyError: 'x'"),
            ("def cream_store_rows(): return 5", "not iterable"),
            ("def cream_store_rows(): pass", "cream_store_rows returns nothing"),
            ("def cream_store_rows(): return [int]", "cream_store_rows returns a list with <class 'int'>"),
            ("def cream_store_rows(): return ['orders']", "cream_store_rows returns a list with 'orders'"),
            ("def cream_store_repositories(): return [object()]", "cream_store_repositories returns a list with"),
            ("def cream_store_requires(): return 'core-trading'", "cream_store_requires returns text, not a list"),
            ("def cream_store_requires(): return [None]", "cream_store_requires returns a list with None"),
            ("def cream_store_seed_steps(): return [print]", "cream_store_seed_steps returns a list with"),
            ("def cream_store_demo(store, tale): return []", "Argument(s) {'tale'}"),
        ],
    )
    def test_one_with_a_wrong_hook_is_named_with_the_reason(self, shelf: Shelf, hook: str, reason: str) -> None:
        shelf.put("faulty", f"from cream_store import hookimpl\n@hookimpl\n{hook}\n")
        with pytest.raises(PluginError, match=r"'faulty' \(faulty of faulty-dist\) is faulty: .*") as bad:
            load_plugins(["faulty"])
        assert reason in str(bad.value)

    def test_two_that_own_one_table_are_an_error_that_names_all_three(self, shelf: Shelf) -> None:
        shelf.put("one", owning("mine", "ours"))
        shelf.put("two", owning("ours", "yours"))
        with pytest.raises(PluginError, match="plugins 'one' and 'two' both own table 'ours'"):
            load_plugins(["two", "one"])
        assert [plugin.tables for plugin in load_plugins(["two"])] == [("ours", "yours")]

    def test_nobody_can_own_our_tables(self, shelf: Shelf) -> None:
        shelf.put("thief", owning("decisions"))
        with pytest.raises(PluginError, match="plugins 'core-trading' and 'thief' both own table 'decisions'"):
            load_plugins(["thief", "core-trading"])

    def test_one_that_lists_a_table_twice_is_an_error(self, shelf: Shelf) -> None:
        shelf.put("one", owning("mine", "mine"))
        with pytest.raises(PluginError, match="plugin 'one' lists table 'mine' twice"):
            load_plugins(["one"])

    def test_a_faulty_plugin_does_no_harm_to_those_that_do_without_it(self, shelf: Shelf) -> None:
        shelf.put("faulty", "raise RuntimeError")
        with Store.open(["core-trading"], environment="TEST", url="sqlite:///:memory:") as store:
            assert store.push()


class TestStore:
    def test_loading_again_gives_the_same(self) -> None:
        assert load_plugins(["core-trading"]) == load_plugins(["core-trading", "core-trading"])

    def test_a_store_gives_the_repositories_of_its_plugins_only(self, shelf: Shelf) -> None:
        shelf.put("other")
        for names, loaded in ((["other"], "other"), ([], "none")):
            store = Store.open(names, environment="TEST", url="sqlite:///:memory:")
            with pytest.raises(PluginError, match=f"CyclesRepository belongs to no loaded plugin; loaded: {loaded}"):
                store[CyclesRepository]

    def test_its_repositories_work_on_its_database(self, store: Store) -> None:
        assert store[DecisionsRepository].database is store.database

    def test_its_tables_are_those_of_its_plugins_in_order(self, shelf: Shelf) -> None:
        shelf.put("other", owning("b", "a"))
        with Store.open(["other"], environment="TEST", url="sqlite:///:memory:") as store:
            assert [row._meta.table_name for row in store.rows] == ["b", "a"]
            assert store.owners == {"b": "other", "a": "other"}


WHEEL = {
    "cream_plugins/weather/__init__.py": """
        from cream_plugins.weather.reports import Report, ReportRow, ReportsRepository
    """,
    "cream_plugins/weather/reports.py": '''
        """Weather reports: a table that refers to one of ours."""

        from __future__ import annotations

        from decimal import Decimal
        from uuid import UUID

        from cream_plugins.core_trading import CycleRow
        from cream_store import Changes, Filters, ForeignKey, NumericField, Record, Repository, Row, TextField
        from cream_store import UUIDv7Field, field, new_id, record


        class ReportRow(Row):
            id = UUIDv7Field(primary_key=True)
            cycle = ForeignKey(CycleRow)
            sky = TextField()
            temperature = NumericField(4, 1, null=True)

            class Meta:
                table_name = "weather_reports"


        @record
        class Report(Record):
            id: UUID = field(default_factory=new_id)
            cycle_id: UUID
            sky: str
            temperature: Decimal | None = None


        class ReportsRepository(Repository[Report, Filters, Changes]):
            row = ReportRow
    ''',
    "cream_plugins/weather/plugin.py": """
        from cream_plugins.weather.reports import ReportRow, ReportsRepository
        from cream_store import hookimpl
        from cream_store.seeding import SeedOutcome, SeedStep


        @hookimpl
        def cream_store_rows():
            return [ReportRow]


        @hookimpl
        def cream_store_repositories():
            return [ReportsRepository]


        @hookimpl
        def cream_store_requires():
            return ["core-trading"]


        @hookimpl
        def cream_store_seed_steps():
            return [SeedStep("weather", lambda database, force: SeedOutcome.SKIPPED)]
    """,
    "cream_weather-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: cream-weather\nVersion: 2.0\n",
    "cream_weather-2.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "cream_weather-2.0.dist-info/entry_points.txt": "[cream_store.plugins]\nweather = cream_plugins.weather.plugin\n",
}

USE_IT = """
import json, sys
from cream_store import Environment, Store, utc_now
from cream_plugins.core_trading import Cycle, CyclesRepository
from cream_plugins.weather import Report, ReportsRepository

with Store.open(environment="TEST", url=sys.argv[1], plugins=["weather"]) as store:
    pushed = len(store.push().accepted), len(store.push().accepted)
    with store.transaction():
        cycle = store[CyclesRepository].create(Cycle(environment=Environment.PAPER))
        report = store[ReportsRepository].create(Report(cycle_id=cycle.id, sky="clear"))
    found = store[ReportsRepository].find_by_id(report.id) == report
    print(json.dumps({
        "pushed": pushed, "found": found, "seeded": store.seed(),
        "plugins": [plugin.name for plugin in store.plugins], "tables": list(store.owners),
    }))
"""


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def run(directory: Path, *arguments: str) -> str:
    """What Python says when it is run in a directory, with the directory's packages on its import path."""
    path = os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the foreign package was installed, as pip does it."""
    directory = tmp_path_factory.mktemp("foreign")
    wheel = directory / "cream_weather-2.0-py3-none-any.whl"
    files = {name: textwrap.dedent(text).encode() for name, text in WHEEL.items()}
    records = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files["cream_weather-2.0.dist-info/RECORD"] = "\n".join(
        [*records, "cream_weather-2.0.dist-info/RECORD,,\n"]
    ).encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    run(directory, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target=site", str(wheel))
    return directory / "site"


class TestForeignDistribution:
    """Somebody else's package that adds a module to our namespace is as good as ours."""

    def test_it_is_listed_like_ours(self, site: Path) -> None:
        listed = {
            plugin["name"]: plugin for plugin in json.loads(run(site, "-m", "cream_store", "plugins", "list", "--json"))
        }
        assert listed["weather"] == {
            "name": "weather",
            "distribution": "cream-weather",
            "version": "2.0",
            "requires": ["core-trading"],
            "tables": ["weather_reports"],
            "repositories": ["ReportsRepository"],
        }
        assert listed["core-trading"].keys() == listed["weather"].keys()
        assert listed["core-trading"]["distribution"] == "cream-store"

    def test_it_is_pushed_seeded_and_used_like_ours(self, site: Path, back_end: str) -> None:
        with templates(back_end, ("core-trading",), Environment.TEST).copy() as store:
            used = json.loads(run(site, "-c", USE_IT, store.database.location.url))
        assert used["pushed"][0] > 0
        assert used["pushed"][1] == 0
        assert used["found"]
        assert used["seeded"] == [["weather", "skipped"]]
        assert used["plugins"] == ["core-trading", "weather"]
        assert used["tables"][-1] == "weather_reports"

    def test_without_it_nothing_is_different(self, tmp_path: Path) -> None:
        listed = json.loads(run(tmp_path, "-m", "cream_store", "plugins", "list", "--json"))
        assert "weather" not in [plugin["name"] for plugin in listed]


def test_one_name_where_a_list_belongs_is_refused() -> None:
    with pytest.raises(PluginError, match=r"write \['core-trading'\]"):
        load_plugins("core-trading")
