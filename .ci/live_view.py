"""Draws ``docs/live-view.svg``: a moment of the live view of a real run.

python .ci/live_view.py

It runs a copy of the sample project, breaks a model of it and runs it again, on a terminal of its
own, and draws the fullest screen that it saw. The second run knows how long things take.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fcntl import ioctl
from html import escape
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "live-view.svg"
COLUMNS, LINES = 120, 22
_BROKEN = Path("sample_project", "models", "marts", "core", "dim_products.sql")
_GENERATED = shutil.ignore_patterns(
    "target", "logs", "exports", ".dbtorch", "*.duckdb*", "__pycache__"
)
_PIECES = re.compile(
    r"\x1b\[(?P<number>\d*)(?P<order>[A-Za-z])|(?P<text>[^\x1b\r\n]+)|(?P<break>\r\n|\r|\n)"
)
_COLOURS = {"1": "b", "2": "d", "31": "r", "32": "g", "33": "y", "36": "c"}
_STYLE = """\
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d4d4d4;white-space:pre}
.b{font-weight:bold}.d{fill:#8a8a8a}.r{fill:#f48771}.g{fill:#89d185}.y{fill:#e2c08d}.c{fill:#6fc3df}"""

Part = tuple[str, str]  # text, and its class in the picture


@dataclass
class Screen:
    """What a terminal shows; it knows the few orders that the live view gives."""

    rows: list[list[Part]] = field(default_factory=lambda: [[]])
    at: int = 0
    colour: str = ""

    def feed(self, text: str) -> None:
        """Take in what was printed."""
        for piece in _PIECES.finditer(text):
            if piece["text"]:
                self.rows[self.at].append((piece["text"], self.colour))
            elif piece["break"] is not None:
                self._break(piece["break"])
            else:
                self._order(piece["order"], piece["number"])

    def _break(self, text: str) -> None:
        if text == "\r":
            return  # every redraw goes to the beginning of a line, and clears what is below
        self.at += 1
        if self.at == len(self.rows):
            self.rows.append([])

    def _order(self, order: str, number: str) -> None:
        if order == "A":
            self.at = max(0, self.at - int(number or 1))
        elif order == "J":
            del self.rows[self.at + 1 :]
            self.rows[self.at] = []
        elif order == "m":
            self.colour = _COLOURS.get(number, "")

    def shown(self) -> list[list[Part]]:
        """The lines that fit, broken where the terminal ends."""
        return [line for row in self.rows if row for line in _broken(row)][-LINES:]


def _broken(row: list[Part]) -> Iterator[list[Part]]:
    """A line as the rows of a terminal that it takes."""
    line: list[Part] = []
    room = COLUMNS
    for text, style in row:
        rest = text
        while len(rest) > room:
            yield [*line, (rest[:room], style)]
            line, rest, room = [], rest[room:], COLUMNS
        line.append((rest, style))
        room -= len(rest)
    yield line


def screens(command: list[str], folder: Path) -> Iterator[list[list[Part]]]:
    """Every screen of a run, on a terminal of its own."""
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, pack("HHHH", LINES, COLUMNS, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "TZ": "UTC"}
    run = subprocess.Popen(
        command, cwd=folder, env=environ, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    screen = Screen()
    while True:
        ready, _, _ = select.select([master], [], [], 0.1)
        try:
            written = os.read(master, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        if written:
            screen.feed(written.decode("utf-8", "replace"))
            yield screen.shown()
        elif run.poll() is not None:
            break
    run.wait()
    os.close(master)


def told(rows: list[list[Part]]) -> list[list[Part]]:
    """The screen from the first node on: the line of the start names folders of this machine."""
    texts = ["".join(part for part, _ in row) for row in rows]
    begun = (at for at, text in enumerate(texts) if re.match(r"\d\d:\d\d:\d\d  (?!START)", text))
    return rows[next(begun, 0) :]


def fullness(rows: list[list[Part]]) -> list[bool | int]:
    """How much a screen has to show: the bar and a failure before anything else."""
    text = "\n".join("".join(part for part, _ in row) for row in rows)
    return [*(word in text for word in ("━", "FAIL", " left", " running")), len(rows)]


def picture(rows: list[list[Part]]) -> str:
    """The screen as SVG; a browser needs nothing else for it."""
    width, height = COLUMNS * 8 + 32, len(rows) * 19 + 28
    lines = []
    for number, row in enumerate(rows):
        spans = "".join(
            f'<tspan class="{style}">{escape(text)}</tspan>' if style else escape(text)
            for text, style in row
        )
        lines.append(f'<text x="16" y="{number * 19 + 28}">{spans}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="The live view of a run">\n<style>{_STYLE}</style>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#1e1e1e"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def main() -> None:
    """Run the sample, break it, run it again and draw."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("sample_project", "profiles"):
            shutil.copytree(ROOT / part, folder / part, ignore=_GENERATED)
        command = [sys.executable, "-m", "dbtorch", "run", "--project-dir", "sample_project"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        broken = folder / _BROKEN
        broken.write_text(broken.read_text().replace("sum(quantity)", "sum(quantty)"))
        best = max(screens(command, folder), key=fullness)
    PICTURE.write_text(picture(told(best)), encoding="utf-8")


if __name__ == "__main__":
    main()
