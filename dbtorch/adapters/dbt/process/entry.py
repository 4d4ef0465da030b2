"""How a dbt executable is started and made to tell its events, by what its file is.

Neither generation is asked: that would take as long as a build of a small project.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.dbt.bootstrap import bootstrap

#: One JSON object a line, with everything in it: every dbt has these.
JSON_LINES = ("--log-format", "json", "--log-level", "debug", "--no-use-colors")

#: The teller prints such lines instead of dbt (`dbtorch_worker.teller`).
_TOLD = ("--log-level", "none", "--no-use-colors")

#: What the script imports that dbt-core installs as its command.
_DBT_CORE = b"dbt.cli.main"

#: The first line of a script, and of one whose interpreter is too long a path for that.
_FIRST_LINE = re.compile(rb"\A#!([^\n]+)")
_LONG_PATH = re.compile(rb"""\A#!/bin/sh\n'''exec' "?([^"\n]+?)"? "\$0" """)

#: Bytes of a script that say what it is.
_HEAD = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A way to start dbt."""

    executable: str  # as somebody would call it
    command: tuple[str, ...]  # what is started, before dbt's own words
    talk: tuple[str, ...] = JSON_LINES  # words that make it tell its events
    waits: bool = False  # can be started before it is known what it builds
    reads_first: bool = False  # one that waits has read the project by then

    @property
    def kind(self) -> str:
        """What is known of it, for people."""
        if self.reads_first:
            return "a binary, so dbt 2"
        return "dbt-core's own script" if self.waits else "of which nothing is known"

    @classmethod
    def of(cls, executable: str) -> Entry:
        """What can be seen of an executable.

        - A binary is dbt 2: it waits for its state once it has read the project.
        - The script of dbt-core is run by its own interpreter, with our teller around it, which
          imports dbt and then waits.
        - Of anything else, say a script around a container, nothing is known.
        """
        found = shutil.which(executable)
        if found is not None and not is_script(Path(found)):
            return cls(executable=executable, command=(executable,), waits=True, reads_first=True)
        python = () if found is None else _python_of(Path(found))
        if found is None or not python:
            return cls(executable=executable, command=(executable,))
        command = (*python, *bootstrap("teller", "main()"), found)
        return cls(executable=executable, command=command, talk=_TOLD, waits=True)


def is_script(path: Path) -> bool:
    """Whether a file begins as scripts do; one that cannot be read counts as one."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _python_of(path: Path) -> tuple[str, ...]:
    """The interpreter of dbt-core's own script, with its options; nothing for another script."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return ()
    if _DBT_CORE not in head:
        return ()
    if found := _LONG_PATH.match(head):
        return (found[1].decode(errors="surrogateescape"),)
    found = _FIRST_LINE.match(head)
    words = () if found is None else tuple(found[1].decode(errors="surrogateescape").split())
    words = words[1:] if words and Path(words[0]).name == "env" else words
    return words if words and Path(words[0]).name.startswith("python") else ()
