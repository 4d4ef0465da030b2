"""What the file of a command named ``dbt`` says of itself; it is not started for that."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

#: What the script imports that dbt-core installs as its command.
_DBT_CORE = b"dbt.cli.main"

#: The first line of a script, and of one whose interpreter is too long a path for that, or is
#: wherever the script is (``uv venv --relocatable``).
_FIRST_LINE = re.compile(rb"\A#!([^\n]+)")
_LONG_PATH = re.compile(rb"""\A#!/bin/sh\n'''exec' ([^\n]+?) "\$0" """)
_BESIDE = re.compile(r"""\A"\$\(dirname -- "\$\(realpath -- "\$0"\)"\)"/(.+)\Z""")

#: Bytes of a script that say what it is.
_HEAD = 4096


def is_script(path: Path) -> bool:
    """Whether a file begins as scripts do; one that cannot be read counts as one."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def interpreter_of(path: Path) -> tuple[str, ...]:
    """The interpreter of dbt-core's own script, with its options; nothing for another script."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return ()
    if _DBT_CORE not in head:
        return ()
    if found := _LONG_PATH.match(head):
        return _executed(found[1].decode(errors="surrogateescape"), path)
    found = _FIRST_LINE.match(head)
    words = () if found is None else tuple(found[1].decode(errors="surrogateescape").split())
    words = words[1:] if words and Path(words[0]).name == "env" else words
    return words if words and Path(words[0]).name.startswith("python") else ()


def _executed(text: str, script: Path) -> tuple[str, ...]:
    """The interpreter that a shell is told to execute."""
    beside = _BESIDE.match(text)
    try:
        (name,) = shlex.split(beside[1] if beside else text)
    except ValueError:
        return ()
    return (str(script.resolve().parent / name) if beside else name,)
