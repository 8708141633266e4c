"""The pages of the documentation, taken apart into what a reader would copy from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"(?P<before>[^\n]*)\n\n?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_EXTENSIONS = {"python": "py", "toml": "toml", "sql": "sql", "ini": "ini"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what it says, and the file that the line before it says it is."""

    language: str
    code: str
    file: str | None

    @property
    def commands(self) -> list[Command]:
        """What a `console` block has the reader type."""
        return list(_commands(self.code)) if self.language == "console" else []


@dataclass(frozen=True)
class Command:
    """A line after `$`, with the lines that it is to print as far as they are shown."""

    line: str
    output: str = ""

    @property
    def exit_codes(self) -> frozenset[int]:
        """0, or what its comment says: `# exit code 2` must be, `# exit code 2 when ...` may be."""
        _, _, comment = self.line.partition("  # ")
        if not (said := re.search(r"exit code (\d)( when)?", comment)):
            return frozenset({0})
        return frozenset({int(said[1]), 0} if said[2] else {int(said[1])})


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [
        Block(found["language"], found["code"], _file_named_in(found["before"], found["language"]))
        for found in _FENCE.finditer(page.read_text(encoding="utf-8"))
    ]


def _file_named_in(sentence: str, language: str) -> str | None:
    """The first file of the language in a sentence that ends with a colon: "The hooks are in `notes/plugin.py`:"."""
    extension = _EXTENSIONS.get(language)
    if extension is None or not sentence.endswith(":"):
        return None
    named = re.search(rf"`([\w./-]+\.{extension})`", sentence)
    return named[1] if named else None


def _commands(code: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", code.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        yield Command(line, output)
