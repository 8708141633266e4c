"""What the documentation shows is run, so that it stays true: each page from top to bottom, in an empty directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from cream_store.testing.servers import Installation, available_servers, private_server
from tests.documentation.pages import PAGES, blocks_of, name_of
from tests.documentation.reader import NOT_RUN, Reader, why_not_run

RUN = ("python", "console")
WRITTEN = ("toml", "sql", "ini")
"""These are files that a command of the page takes, so they have a name."""
SHOWN = ("text", "yaml", "typescript")
"""Output, the configuration of other programs, and what a program looked like before."""
START_UP = "_CREAM_STORE_COMPLETE"
"""`sh` blocks are lines for the start-up files of three shells; tests/cli/test_completion.py runs what is in them."""

VARIABLES = {"README.md": {"DATABASE_URL_PAPER": "sqlite:///paper.db", "DATABASE_URL": "sqlite:///live.db"}}
"""What a page takes for granted. The others set their variables themselves."""
ON_POSTGRESQL = ("docs/operations.md",)
"""These pages speak to the server that libpq finds."""
READ_ELSEWHERE = ("docs/plugins.md",)
"""This one is followed by test_plugin.py, which looks at what comes of it."""


def pages(*, on_postgresql: bool) -> list[object]:
    """The pages with something to run."""
    return [
        pytest.param(page, id=name_of(page))
        for page in PAGES
        if any(block.language in RUN for block in blocks_of(page))
        and name_of(page) not in READ_ELSEWHERE
        and (name_of(page) in ON_POSTGRESQL) == on_postgresql
    ]


@pytest.mark.parametrize("page", pages(on_postgresql=False))
def test_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    Reader(tmp_path, VARIABLES.get(name_of(page))).read(page)


@pytest.mark.parametrize("server", [pytest.param(server, id=server.name) for server in available_servers()[:1]])
@pytest.mark.parametrize("page", pages(on_postgresql=True))
def test_a_page_about_postgresql_runs_from_top_to_bottom(page: Path, server: Installation, tmp_path: Path) -> None:
    """On the newest server: what the pages show is the same for all of them."""
    running = private_server(server.name)
    reader = Reader(tmp_path, {"PGHOST": str(running.directory), "PGPORT": str(running.port), "PGUSER": "postgres"})
    reader.use_programs_of(server.bin_dir)
    reader.read(page)


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES])
def test_every_block_of_a_page_is_run_or_known_not_to_be(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in (*RUN, *WRITTEN, *SHOWN, "sh"), block.code
        assert block.language not in WRITTEN or block.file, f"which file is this?\n{block.code}"
        assert block.language != "sh" or START_UP in block.code, block.code
        assert block.language != "console" or block.commands, block.code


def test_all_that_is_not_run_is_there() -> None:
    commands = [command for page in PAGES for block in blocks_of(page) for command in block.commands]
    assert {why_not_run(command) for command in commands} - {None} == set(NOT_RUN.values())
