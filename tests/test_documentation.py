"""What the documentation shows is run, so that it stays true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """The Python blocks of a page, each with the name of the file that the sentence before it says it is."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"(?:`(\w+/\w+\.py)`[^\n]*:\n\n)?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES if blocks(page)])
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for file, block in blocks(page):
        if file:  # a file of the reader's own, which later blocks import
            path = tmp_path / file
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(block, encoding="utf-8")
        is_test = Path(file).name.startswith("test_")
        run = ["-m", "pytest", "-q", "-p", "no:cacheprovider", file] if is_test else ["-W", "error", "-c", block]
        done = subprocess.run(
            [sys.executable, *run],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
