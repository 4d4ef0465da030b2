"""What the documentation types is executed, page by page, and prints what the page says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.workspace import Workspace
from tests.pages import PAGES, ROOT, Command, File, commands, story
from tests.zygote.shell import command_for_shells

#: What a checkout does not have.
GENERATED = shutil.ignore_patterns(
    "target", "logs", "exports", ".dbtorch", "__pycache__", "*.duckdb*"
)

#: After each command a line with this, its number and its exit code.
END = "~~~~end~~~~"

#: What differs from run to run, by what it is.
VARIES = {
    "RUN": r"\d{8}T\d{6}Z-[0-9a-f]{6}",
    "TIME": r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d",
    "VERSION": r"\d+\.\d+\.\d+\w*",
    "TOOK": r"(\d+m )?\d+(\.\d+)?s\b",
    " ": r"[ \t]+",
}


def script(page: str) -> Iterator[str]:
    """The page as one shell session."""
    number = 0
    for one in story(page):
        if isinstance(one, File):
            path = shlex.quote(one.path)
            yield f"mkdir -p $(dirname {path})\ncat > {path} <<'{END}'\n{one.text}{END}"
        else:
            yield f"{one.line}\ncode=$?; echo; echo {END} {number} $code"
            number += 1


def printed(page: str, workspace: Workspace) -> list[tuple[str, int]]:
    """What each command of a page printed, and its exit code."""
    environ = workspace.environ()
    with command_for_shells() as bin:
        done = subprocess.run(
            ["bash", "-c", "exec 2>&1\n" + "\n".join(script(page))],
            cwd=workspace.dir,
            env={**environ, "PATH": f"{bin}:{environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=500,  # before pytest's own
            check=False,
        )
    parts = re.split(rf"\n?{END} \d+ (\d+)\n", done.stdout)
    return list(zip(parts[::2], map(int, parts[1::2]), strict=False))


def alike(text: str) -> str:
    """The text without what differs from run to run."""
    for name, pattern in VARIES.items():
        text = re.sub(pattern, name, text)
    return text


def pattern(shown: tuple[str, ...]) -> str:
    """A regular expression for what a page shows of what is printed."""
    lines = (line.replace("…", "...") for line in shown if line.strip())
    parts = (
        r"(?:.*\n)*?"
        if line.strip() == "..."
        else re.escape(alike(line.strip())).replace(r"\ \.\.\.", "( .*)?").replace(r"\.\.\.", ".*")
        + r"\n"
        for line in lines
    )
    return "".join(parts)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_what_a_page_types_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    for name in ("sample_project", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / "it" / name, ignore=GENERATED)
    workspace = Workspace(tmp_path / "it", bare=True)
    typed = commands(page)
    ended = printed(page, workspace)
    assert len(ended) == len(typed)
    wrong = []
    for command, (text, code) in zip(typed, ended, strict=True):
        try:
            holds(command, text, code)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n\n".join(wrong)


def holds(command: Command, text: str, code: int) -> None:
    """Fail where a command printed something else than the page says."""
    said = "".join(f"{alike(line.strip())}\n" for line in text.splitlines() if line.strip())
    if command.shown and not re.fullmatch(pattern(command.shown), said):
        raise AssertionError(f"{command.at}: $ {command.line} (exit code {code})\n{text}")
    refused = any(line.startswith("Error:") for line in command.shown)
    assert code in ((2,) if refused else (0, 1, 3)), f"{command.at}: exit {code}\n{text}"


def test_other_output_and_other_exit_codes_are_noticed() -> None:
    shown = ("12:00:00  OK  a ... [1/2]", "...", "done in 1.2s")
    one = Command(at="it", line="dbtorch run", shown=shown)
    holds(one, "12:34:56 OK  a of b [1/2]\nx\n\ny\ndone in 3s\n", 0)
    for text, code in (
        ("12:34:56 OK  a of b [1/3]\ndone in 3s", 0),
        ("12:34:56 OK  a of b [1/2]\ndone in 3s\nand more", 0),
        ("12:34:56 OK  a of b [1/2]\ndone in 3s", 2),
    ):
        with pytest.raises(AssertionError):
            holds(one, text, code)
