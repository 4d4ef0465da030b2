"""Reads the pages of the documentation, for the tests that hold them to what the program does.

`CONTRIBUTING.md` says what each kind of fenced block is held to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What a reader may open, by its path below the root of the repository.
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted(ROOT.glob("*.md")),
        ROOT / "sample_project" / "README.md",
    )
}

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```|~~~)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
#: A first line that says of what file a block is.
_NAMED = re.compile(r"(?:#|--) ([\w./-]+\.(?:ya?ml|sql|py|csv))\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page; ``line`` is where it begins."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, *languages: str) -> list[Block]:
    """The fenced blocks of a page in these languages, in their order."""
    text = PAGES[page].read_text(encoding="utf-8")
    return [block for block in _blocks(page, text) if block.language in languages]


def blocks_of(page: str) -> list[Block]:
    """All of them, whatever their language."""
    return list(_blocks(page, PAGES[page].read_text(encoding="utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        written = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(page=page, line=line, language=match["language"].strip(), text=written)


def every(*languages: str) -> list[Block]:
    """The same of all pages."""
    return [block for page in PAGES for block in blocks(page, *languages)]


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", PAGES[page].read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line of a ``console`` block, and the lines it says it prints."""

    at: str
    line: str
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A block whose first line names the file that it is."""

    path: str
    text: str


def story(page: str) -> list[Command | File]:
    """What a reader does on a page: files that are written and commands that are typed, in order."""
    text = PAGES[page].read_text(encoding="utf-8")
    found: list[Command | File] = []
    for block in _blocks(page, text):
        if block.language == "console":
            found += _typed(block)
        elif named := _NAMED.match(block.text):
            found.append(File(path=named[1], text=block.text))
    return found


def commands(page: str) -> list[Command]:
    """The commands alone."""
    return [one for one in story(page) if isinstance(one, Command)]


def _typed(block: Block) -> Iterator[Command]:
    """The commands of one block; a line that ends with a backslash goes on in the next."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.replace("\\\n", " ").partition("\n")
        yield Command(at=str(block), line=line.strip(), shown=tuple(printed.splitlines()))
