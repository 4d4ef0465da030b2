"""What dbt answers itself: whether it can connect, and which of its own work it is spared."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.install_command import missing_adapter
from dbtorch.core.errors import UsageError
from dbtorch.service.doctor.dbt import FoundDbt
from dbtorch.service.doctor.finding import Finding
from dbtorch.service.project.dbt_options import PROFILE_OPTIONS
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.profiles import profiles_args
from dbtorch.service.project.project import Project

#: What dbt writes in front of a line.
_STAMP = re.compile(r"^\d\d:\d\d:\d\d  ")

#: How dbt 2 begins a line that says what went wrong.
_ERROR = re.compile(r"\[error\] (?:\[\w+ \(dbt\d+\)\]: )?|error: ")

#: Lines of `dbt debug` around what went wrong.
_EMPTY_WORDS = frozenset(
    {
        "Profile loading failed for the following reason:",
        "Runtime Error",
        "dbt was unable to connect to the specified database.",
        "The database returned the following error:",
        "The following error was returned:",
    }
)


#: Seconds for an answer.
_PATIENCE = 300

_ADVICE = "check profiles.yml and --target; `dbt debug` shows all of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A `dbt debug` under way, which says first what dbt is spared where it is a dbt 1."""

    process: subprocess.Popen[str]
    asks_patches: bool
    python: str = ""  # the interpreter of a dbt 1

    def findings(self) -> Iterator[Finding]:
        """Wait for the answer; the connection comes last."""
        try:
            out, err = self.process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            yield Finding("connection", False, "no answer within 5 minutes", _ADVICE)
            return
        if self.asks_patches:
            first, _, out = out.partition("\n")
            yield Finding("patches", True, _patched(first))
        yield _connection(self.process.returncode, out, err, self.python)


@contextmanager
def asking(project: Project, options: RunOptions, dbt: FoundDbt) -> Iterator[Question]:
    """Ask dbt, in the background: it takes its time to start. Nothing is left of it afterwards.

    Raises `UsageError` for options that dbt would not understand, and where it cannot be started.
    """
    args = ["debug", "--connection", "--project-dir", str(project.dir)]
    args += ["--no-use-colors", "--log-level-file", "error"]
    args += _profile_args(project, options)
    asks_patches = bool(dbt.python) and project.config.engine.patches
    command = dbt.command
    if asks_patches:  # in one process: to import dbt is most of the work
        option, code = bootstrap("patches", "report()")
        command = (*dbt.python, option, f"{code}; from dbt.cli.main import cli; cli()")
    with _started([*command, *args]) as process:
        try:
            python = "".join(dbt.python[:1])
            yield Question(process=process, asks_patches=asks_patches, python=python)
        finally:
            process.kill()


def _started(words: list[str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            words,
            env={**os.environ, "RUST_BACKTRACE": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        raise UsageError(f"dbt cannot be started: {error.strerror}; {_ADVICE}") from error


def _patched(answer: str) -> str:
    try:
        why_not: dict[str, str] = json.loads(answer)
    except ValueError:
        return "not known: dbt gives no answer"
    on = ", ".join(name for name, why in why_not.items() if not why) or "none"
    off = [f"; not {name}: {why}" for name, why in why_not.items() if why]
    return f"{on}{''.join(off)}"


def _connection(code: int, out: str, err: str, python: str) -> Finding:
    lines = [_STAMP.sub("", line).strip() for line in (out + err).splitlines()]
    if code == 0:
        adapter = next((x for x in lines if x.startswith("adapter type:")), "")  # dbt 2: none
        who = adapter.partition(": ")[2] or "the warehouse"
        return Finding("connection", True, f"{who} answers")
    if missing := missing_adapter(out + err, python):
        return Finding("connection", False, *missing.split("; ", 1))
    text = _trouble(lines) or err.strip()[-500:] or "dbt debug failed"
    return Finding("connection", False, text, _ADVICE)


def _trouble(lines: list[str]) -> str:
    """What `dbt debug` says behind "1 check failed:", in dbt 2 from "[error]" on, in one line."""
    failed = (place for place, line in enumerate(lines) if "check failed" in line or _begins(line))
    start = next(failed, 0)
    lines = [_ERROR.sub("", line) for line in lines[start:] if "check failed" not in line]
    said = itertools.takewhile(lambda line: not line.startswith(("Check your", "====")), lines)
    return " ".join(line.removeprefix(">") for line in said if line and line not in _EMPTY_WORDS)


def _begins(line: str) -> bool:
    return _ERROR.match(line) is not None


def _profile_args(project: Project, options: RunOptions) -> list[str]:
    kept = []
    words = list(options.dbt_args_for(project.config))
    for name in PROFILE_OPTIONS:
        if name in words:
            kept += [name, words[words.index(name) + 1]]
    return kept + profiles_args(project, kept, os.environ, Path.cwd())
