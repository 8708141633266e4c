"""The site: built from the pages and the docstrings, whole, and without anything from elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import runpy
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import cream_store
from cream_store.plugins import load_plugins
from cream_store.row import Row
from tests.documentation.pages import ROOT

OURS = [plugin.name for plugin in load_plugins() if plugin.distribution == "cream-store"]


def test_the_pages_of_the_reference_are_what_the_modules_export_today() -> None:
    for path, text in runpy.run_path(str(ROOT / "scripts" / "reference_pages.py"))["pages"]().items():
        assert path.read_text(encoding="utf-8") == text, "run scripts/reference_pages.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built so that any warning is an error."""
    needed = ("mkdocs", "material", "mkdocstrings_handlers")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}: pip install cream-store[docs]")
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def described_in(site: Path) -> set[str]:
    """The Python names that the reference has an entry for: the inventory that it gives to other sites."""
    _, _, packed = (site / "objects.inv").read_bytes().partition(b"zlib.\n")
    return {line.split(" ", 1)[0] for line in zlib.decompress(packed).decode().splitlines()}


def path_of(value: object) -> str:
    return f"{value.__module__}.{value.__qualname__}"  # type: ignore[attr-defined]  # a class or a function


def test_the_reference_has_everything_that_the_core_exports(site: Path) -> None:
    exported = [getattr(cream_store, name) for name in dir(cream_store)]
    public = {path_of(value) for value in exported if inspect.isclass(value) or inspect.isfunction(value)}
    assert {name for name in public if name.startswith("cream_store.")} - described_in(site) == set()


@pytest.mark.parametrize("module", OURS)
def test_the_reference_has_every_method_of_every_repository(site: Path, module: str) -> None:
    described = described_in(site)
    package = importlib.import_module(f"cream_plugins.{module.replace('-', '_')}")
    for value in (getattr(package, name) for name in package.__all__):
        if inspect.isclass(value) and not issubclass(value, Row):
            assert path_of(value) in described
            if value.__name__.endswith("Repository"):
                methods = [
                    name for name in vars(value) if not name.startswith("_") and inspect.isroutine(vars(value)[name])
                ]
                assert {f"{path_of(value)}.{name}" for name in methods} - described == set()


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    fetched = re.compile(
        r"""<(?:script|img|iframe|link[^>]*rel="(?:stylesheet|icon|preconnect)")[^>]*(?:src|href)="(https?:)?//"""
    )
    assert [page.name for page in pages if fetched.search(page.read_text(encoding="utf-8"))] == []
