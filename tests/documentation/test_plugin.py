"""A stranger's plugin, made and installed as docs/plugins.md has it, is as good as ours."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.documentation.pages import DOCS, Command
from tests.documentation.reader import Reader


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody who followed the page to its end: its own commands push, seed, show and test the plugin."""
    directory = tmp_path_factory.mktemp("stranger")
    reader = Reader(directory, {"CREAM_HOME": str(directory)})
    reader.read(DOCS / "plugins.md")
    return reader


def test_it_is_listed_like_ours(stranger: Reader) -> None:
    listed = {
        plugin["name"]: plugin for plugin in json.loads(stranger.type(Command("cream-store plugins list --json")))
    }
    assert listed["levels"] == {
        "name": "levels",
        "distribution": "cream-levels",
        "version": "1.0",
        "requires": ["core-trading"],
        "tables": ["price_levels"],
        "repositories": ["PriceLevelsRepository"],
    }
    assert listed["levels"].keys() == listed["core-trading"].keys()


def test_its_schema_matches(stranger: Reader) -> None:
    assert stranger.type(Command("cream-store db diff --plugin levels")) == "-- no difference\n"


def test_its_command_is_named_in_the_help(stranger: Reader) -> None:
    assert "levels   from cream_levels" in stranger.type(Command("cream-store --help"))


def test_it_stands_in_the_studio(stranger: Reader) -> None:
    if missing := [name for name in ("flask", "waitress") if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs {' and '.join(missing)}: pip install cream-store[studio]")
    with studio(stranger) as address:
        browser = build_opener(HTTPCookieProcessor(CookieJar()))
        browser.open(address, timeout=30)  # lets this browser in
        first, table = (
            browser.open(f"{address.partition('?')[0]}{path}", timeout=30).read().decode()
            for path in ("", "tables/price_levels")
        )
    assert "Waiting levels by kind" in first  # the plugin's own view
    assert "to begin with" in table  # the row that was seeded


@contextmanager
def studio(stranger: Reader) -> Iterator[str]:
    """The address that lets one browser into a studio that runs for a while."""
    process = subprocess.Popen(
        ["cream-store", "studio", "--plugin", "levels", "--no-browser"],
        executable=stranger.program("cream-store"),
        cwd=stranger.directory,
        env={**stranger.variables, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
