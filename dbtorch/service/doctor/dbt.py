"""Whose dbt it is, and what it is worth."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Generator
from dataclasses import dataclass

from dbtorch.adapters.dbt.dbtorch_worker.compatibility import TESTED
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.core.config import EngineType
from dbtorch.core.errors import MissingDbt, UsageError
from dbtorch.service.doctor.finding import Finding
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

#: The version in what dbt-core says of itself.
_VERSION = re.compile(r"\bCore: - installed: (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDbt:
    """How dbt is started."""

    command: tuple[str, ...]
    python: tuple[str, ...] = ()  # the interpreter of a dbt 1, with its options


def find_dbt(project: Project) -> Generator[Finding, None, FoundDbt | None]:
    """Answers how dbt is started; None where it cannot be."""
    try:
        chosen = choose_engine(project)
    except MissingDbt as error:
        yield Finding("dbt", False, error.looked, error.install)
        return None
    except UsageError as error:
        yield Finding("dbt", False, str(error))
        return None
    yield Finding("engine", True, f"{chosen.type}: {chosen.why}")
    yield Finding("environment", True, "; ".join((str(chosen.dbt), *project.dbt.passed)))
    if chosen.type is EngineType.PROCESS:
        finding = _executable(chosen.executable)
        yield finding
        python = Launcher.of(chosen.executable).python
        found = FoundDbt(command=(chosen.executable,), python=python)
        return found if finding.ok else None
    inventory = yield from _interpreter(project)
    python = (project.python,)
    command = (*python, "-c", "from dbt.cli.main import cli; cli()")
    return FoundDbt(command=command, python=python) if inventory else None


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
