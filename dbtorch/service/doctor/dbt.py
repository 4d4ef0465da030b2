"""Whose dbt it is, what it is worth, and whether it can connect."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.dbt.dbtorch_worker.compatibility import TESTED
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.core.config import EngineType
from dbtorch.core.errors import MissingDbt, UsageError
from dbtorch.service.doctor.finding import Finding
from dbtorch.service.project.dbt_options import PROFILE_OPTIONS
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.profiles import profiles_args
from dbtorch.service.project.project import Project
from dbtorch.service.wiring.engines import choose_engine

#: Asks an interpreter which dbt it has; standard library only.
_INVENTORY = """
import importlib.metadata, json
found = {}
for dist in importlib.metadata.distributions():
    name = (dist.metadata["Name"] or "").lower()
    if name == "dbt-core" or name == "dbt" or name.startswith("dbt-"):
        found[name] = dist.version
print(json.dumps(found))
"""

#: What dbt writes in front of a line.
_STAMP = re.compile(r"^\d\d:\d\d:\d\d  ")

#: How dbt 2 begins a line that says what went wrong.
_ERROR = re.compile(r"\[error\] (?:\[\w+ \(dbt\d+\)\]: )?|error: ")

#: The version in what dbt-core says of itself.
_VERSION = re.compile(r"\bCore: - installed: (\S+)")

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


def find_dbt(project: Project) -> Generator[Finding, None, list[str]]:
    """Answers how dbt is started; with nothing where it cannot be."""
    try:
        chosen = choose_engine(project)
    except MissingDbt as error:
        yield Finding("dbt", False, error.looked, error.install)
        return []
    except UsageError as error:
        yield Finding("dbt", False, str(error))
        return []
    yield Finding("engine", True, f"{chosen.type}: {chosen.why}")
    yield Finding("environment", True, "; ".join((str(chosen.dbt), *project.dbt.passed)))
    if chosen.type is EngineType.PROCESS:
        finding = _executable(chosen.executable)
        yield finding
        if not finding.ok:
            return []
        yield from _patches(project, Launcher.of(chosen.executable).python)
        return [chosen.executable]
    inventory = yield from _interpreter(project)
    if inventory:
        yield from _patches(project, (project.python,))
    return [project.python, "-c", "from dbt.cli.main import cli; cli()"] if inventory else []


def _patches(project: Project, python: tuple[str, ...]) -> Iterator[Finding]:
    """Which of dbt's own work is done with fewer detours; without ``python`` it is no dbt 1."""
    if python:
        wanted = project.config.engine.patches
        found = _patched(python) if wanted else "none: engine.patches is false"
        yield Finding("patches", True, found)


def _patched(python: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            [*python, *bootstrap("patches", "report()")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        why_not: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return f"not known: {python[0]} cannot be asked: {_why(error)}"
    on = ", ".join(name for name, why in why_not.items() if not why) or "none"
    off = [f"; not {name}: {why}" for name, why in why_not.items() if why]
    return f"{on}{''.join(off)}"


def _executable(path: str) -> Finding:
    """Which dbt the process engine calls."""
    advice = "name dbt with engine.executable in dbtorch.yml, or leave engine.type to `auto`"
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("dbt", False, f"{path} cannot be started: {_why(error)}", advice)
    words = " ".join((done.stdout + done.stderr).split())
    if done.returncode != 0:
        why = words[-200:] or f"it ends with exit code {done.returncode}, and without a word"
        return Finding("dbt", False, f"{path} does not say its version: {why}", advice)
    said = _VERSION.search(words)
    version = words[:100] if said is None else f"dbt-core {said[1]}"
    return Finding("dbt", True, f"{version}: {path}, {Launcher.of(path).kind}")


def _interpreter(project: Project) -> Generator[Finding, None, bool]:
    """Answers whether dbt-core is there."""
    python = project.python
    try:
        done = subprocess.run(
            [python, "-c", _INVENTORY], capture_output=True, text=True, check=True, timeout=60
        )
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield Finding(
            "interpreter",
            False,
            f"{python} cannot be asked: {_why(error)}",
            "let engine.python in dbtorch.yml name an interpreter that has dbt",
        )
        return False
    yield Finding("interpreter", True, python)
    core = found.get("dbt-core")
    if core is None:
        yield Finding(
            "dbt",
            False,
            f"{python} has no dbt-core",
            "install dbt-core and an adapter there, or let engine.python name one that has them",
        )
        return False
    tested = core.startswith(tuple(f"{version}." for version in TESTED))
    adapters = [f"{name} {found[name]}" for name in sorted(found) if _is_adapter(name)]
    yield Finding(
        "dbt",
        tested,
        f"dbt-core {core}, {', '.join(adapters) or 'no adapter'}",
        f"dbtorch is tested with dbt-core {TESTED[0]} to {TESTED[-1]}; install one of them",
    )
    return True


def _why(error: Exception) -> str:
    """Why an interpreter did not answer, without the program it was asked with."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with exit status {error.returncode}"
    return "it gives no answer"


def _is_adapter(name: str) -> bool:
    parts = ("core", "common", "adapters", "extractor", "protos", "semantic-interfaces")
    return name.startswith("dbt-") and name.removeprefix("dbt-") not in parts


def connect(project: Project, options: RunOptions, command: list[str]) -> Finding:
    """Let dbt connect with the profile, by its own `dbt debug`."""
    args = [*command, "debug", "--connection", "--project-dir", str(project.dir)]
    args += ["--no-use-colors", "--log-level-file", "error"]
    advice = "check profiles.yml and --target; `dbt debug` shows all of it"
    try:
        args += _profile_args(project, options)
        done = subprocess.run(
            args,
            env={**os.environ, "RUST_BACKTRACE": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    except UsageError as error:
        return Finding("connection", False, *str(error).split("; ", 1))
    except subprocess.TimeoutExpired:
        return Finding("connection", False, "no answer within 5 minutes", advice)
    said = (done.stdout + done.stderr).splitlines()
    lines = [_STAMP.sub("", line).strip() for line in said]
    if done.returncode == 0:
        adapter = next((x for x in lines if x.startswith("adapter type:")), "")  # dbt 2: none
        who = adapter.partition(": ")[2] or "the warehouse"
        return Finding("connection", True, f"{who} answers")
    text = _trouble(lines) or done.stderr.strip()[-500:] or "dbt debug failed"
    return Finding("connection", False, text, advice)


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
