"""A reader who does what a page says, from top to bottom, in an empty directory."""

from __future__ import annotations

import doctest
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.documentation.pages import Block, Command, blocks_of

NOT_RUN = {
    "scripts/": "makes an environment of its own and installs into it from the package registry",
    "pip install cream-store": "installs from the package registry",
    "pip install 'cream-store": "installs from the package registry",
    "cream-store studio": "a server, which does not end; test_plugin.py and tests/studio run it",
    "pgbouncer pgbouncer.ini": "a server, which does not end; test_pgbouncer.py runs it",
}
"""What is in the commands that no page is run with, and why."""


def why_not_run(command: Command) -> str | None:
    """The reason why a page is read without a command; None for one that is run."""
    line, _, _ = command.line.partition("  # ")
    return next((reason for part, reason in NOT_RUN.items() if part in line), None)


class Reader:
    """Somebody with this interpreter and its packages, in a directory of their own."""

    def __init__(self, directory: Path, variables: Mapping[str, str] | None = None) -> None:
        self.directory = directory / "page"
        self.directory.mkdir()
        self._state = directory / "state.sh"  # the shell's variables, from one command to the next
        self._state.touch()
        self._environment = directory / "environment"
        self._python = sys.executable
        self._installs = False
        self.variables = {
            **os.environ,
            "COLUMNS": "88",
            "NO_COLOR": "1",
            # What a page installs is its own; the rest is there already.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to write "no isolation" in a variable
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_QUIET": "1",
            **(variables or {}),
        }
        self.use_programs_of(Path(sys.executable).parent)

    def use_programs_of(self, directory: Path) -> None:
        """Finds programs there first."""
        self.variables["PATH"] = f"{directory}{os.pathsep}{self.variables['PATH']}"

    def program(self, name: str) -> str:
        """Where a program is that the reader starts by its name."""
        found = shutil.which(name, path=self.variables["PATH"])
        assert found, name
        return found

    def read(self, page: Path) -> None:
        """Writes the files, runs the rest. Where the page installs its files, its commands run them."""
        blocks = blocks_of(page)
        self._installs = any("pip install --editable ." in one.line for block in blocks for one in block.commands)
        if self._installs:
            self._make_environment()
        for block in blocks:
            self._do(block)

    def _make_environment(self) -> None:
        """A virtual environment for what the page installs, which sees all that is installed here."""
        venv.create(self._environment, symlinks=True)
        programs = self._environment / "bin"
        [packages] = (self._environment / "lib").glob("python*/site-packages")
        seen = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (packages / "seen.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in seen))
        self._python = str(programs / "python")
        script = programs / "cream-store"
        script.write_text(f"#!{self._python}\nfrom cream_store.cli import main\nmain()\n")
        script.chmod(0o755)
        self.use_programs_of(programs)

    def _do(self, block: Block) -> None:
        if block.file:
            self._write(block.file, block)
        if block.language == "python" and not (block.file and self._installs):
            is_test = block.file is not None and Path(block.file).name.startswith("test_")
            how = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if is_test else ["-W", "error", "-c"]
            self._run([self._python, *how, str(block.file) if is_test else block.code], block.code)
        for command in block.commands:
            if not why_not_run(command):
                self.type(command)

    def _write(self, file: str, block: Block) -> None:
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, encoding="utf-8")
        if block.language == "python" and path.parent != self.directory:
            (path.parent / "__init__.py").touch()

    def type(self, command: Command) -> str:
        """What a command prints, which must be what the page shows."""
        keep = f"code=$?\nexport -p | grep -v -E ' (OLD)?PWD| SHLVL' >{self._state}\nexit $code"
        script = f". {self._state}\n{command.line}\n{keep}"
        printed = self._run(["bash", "-c", script], command.line, command.exit_codes)
        if command.output:
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            checker = doctest.OutputChecker()
            difference = checker.output_difference(doctest.Example(command.line, command.output), printed, flags)
            assert checker.check_output(command.output, printed, flags), f"{command.line}\n{difference}"
        return printed

    def _run(self, arguments: list[str], what: str, exit_codes: frozenset[int] = frozenset({0})) -> str:
        done = subprocess.run(
            arguments,
            cwd=self.directory,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode in exit_codes, f"{what}\n{done.stdout}\nexit code {done.returncode}"
        return done.stdout
