"""The command and its process: what it prints, how it ends, what it needs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from cream_store.cli import cli
from tests.core.notes import DEADLINE

COMMAND = (sys.executable, "-m", "cream_store", "studio", "--no-browser")


@contextmanager
def studio(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A studio on an embedded database, and the address that it printed."""
    environment = {**os.environ, "CREAM_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*COMMAND, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_it_prints_an_address_with_a_token_and_ends_cleanly_at_ctrl_c(tmp_path: Path) -> None:
    with studio(tmp_path) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", address)
        with urllib.request.urlopen(address, timeout=DEADLINE) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
        assert printed == ""
        assert "PAPER at sqlite:///" in said
        assert "Traceback" not in said


def test_it_answers_on_this_machine_alone(tmp_path: Path) -> None:
    with studio(tmp_path) as (_, address):
        port = int(address.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
        for other in others - {"127.0.0.1"}:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((str(other), port), timeout=5)


def test_the_port_may_be_chosen_and_must_be_free(tmp_path: Path) -> None:
    with studio(tmp_path) as (_, address):
        port = address.split(":")[2].split("/")[0]
        refused = subprocess.run(
            [*COMMAND, "--port", port],
            env={**os.environ, "CREAM_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1
        assert f"port {port} of 127.0.0.1 can't be used" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_to_write_live_is_said_to_mean_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/live.db")
    with studio(tmp_path, "--env", "LIVE", "--write") as (process, address):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{address.split('?')[0]}tables/cycles/new", timeout=DEADLINE)
        process.send_signal(signal.SIGINT)
        assert "--write means nothing here: LIVE is read-only." in process.communicate(timeout=DEADLINE)[1]


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "waitress", None)
    result = CliRunner().invoke(cli, ["studio"])
    assert result.exit_code == 1
    assert "pip install 'cream-store[studio]'" in result.output


def test_help_imports_no_web_framework() -> None:
    code = (
        "import sys; from cream_store.cli import cli; cli(['studio', '--help'], standalone_mode=False);"
        "print([name for name in ('flask', 'jinja2', 'waitress', 'peewee') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_plugins_that_show_something_import_no_web_framework() -> None:
    code = (
        "import sys; from cream_store import load_plugins; load_plugins();"
        "print([name for name in ('flask', 'jinja2', 'waitress') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_the_demo_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREAM_HOME", str(tmp_path))
    assert "  cream-store studio\n" in CliRunner().invoke(cli, ["demo", "--plugin", "core-trading"]).output
    monkeypatch.setenv("CREAM_STUDIO_COMMAND", "scripts/studio")
    said = CliRunner().invoke(cli, ["demo", "--plugin", "core-trading", "--env", "PAPER"]).output
    assert "  scripts/studio --env PAPER\n" in said
