"""The tab key: what a shell with the README's line offers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"

# What bash does when the tab key is pressed behind these words.
PRESS_TAB = """
COMP_WORDS=({words}) COMP_CWORD={last}
_cream_store_completion cream-store
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# The command as it is installed beside the interpreter, wherever that is.
VARIABLES = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def offered(*words: str) -> set[str]:
    """What bash offers for the last of the words."""
    lines = re.findall(r"^.*_CREAM_STORE_COMPLETE=bash_source.*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    quoted = " ".join(f"'{word}'" for word in ("cream-store", *words))
    script = "\n".join([*lines, PRESS_TAB.format(words=quoted, last=len(words))])
    done = subprocess.run(["bash", "-c", script], env=VARIABLES, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("do",), {"doctor"}),
        (("db", "st"), {"stamp"}),
        (("db", "push", "--dry"), {"--dry-run"}),
        (("doctor", "--env", ""), {"PAPER", "LIVE", "TEST"}),
        (("doctor", "--env", "li"), {"LIVE"}),
        (("demo", "--plugin", "user"), {"user-settings"}),
        (("demo", "--plugin", "no-such"), set()),
    ],
)
def test_bash_completes(words: tuple[str, ...], expected: set[str]) -> None:
    assert offered(*words) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script(shell: str) -> None:
    """Whether or not the shell is installed, what it would read is printed."""
    variables = {**VARIABLES, "_CREAM_STORE_COMPLETE": f"{shell}_source"}
    done = subprocess.run(["cream-store"], env=variables, capture_output=True, text=True, check=True)
    assert "_cream_store_completion" in done.stdout
