"""Looks that ask the warehouse, through dbt: each is a dbt of its own, which takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dbtorch.adapters.conditions.http import word_of
from dbtorch.adapters.conditions.unknown import Unknown
from dbtorch.core.config import EngineType
from dbtorch.core.errors import DbtorchError
from dbtorch.core.failures.message import one_line
from dbtorch.core.schedule.news import Observation
from dbtorch.service.project.known_secrets import scrubber_of
from dbtorch.service.project.profiles import profiles_args
from dbtorch.service.project.project import Project
from dbtorch.service.wiring.engines import choose_engine

#: Seconds that an answer may take.
_PATIENCE = 300.0


def look_sql(
    project: Project, sql: str, target: str | None, environ: Mapping[str, str]
) -> Observation:
    """The first value that a query answers. Raises `Unknown`."""
    words = ["show", "--inline", sql, "--limit", "1", "--output", "json", "--quiet"]
    out = _asked(project, words, target, environ)
    at = out.find("{")
    try:
        shown = json.JSONDecoder().raw_decode(out[at:])[0]["show"]
    except (ValueError, KeyError, TypeError, IndexError):
        raise Unknown(f"dbt show does not answer the query: {one_line(out)[-300:]}") from None
    value = next(iter(shown[0].values()), None) if shown else None
    text = " ".join(sql.split())[:60]
    return Observation(words=word_of(value), text=f"{value} is the answer to {text}")


def look_source(
    project: Project, source: str, target: str | None, environ: Mapping[str, str]
) -> Observation:
    """When the newest row of a source was loaded. Raises `Unknown`."""
    words = ["freshness", "--select", f"source:{source}", "--format", "json"]
    words += ["--project-dir", str(project.dir), *(["--target", target] if target else [])]
    out = _output([sys.executable, "-m", "dbtorch", *words], project, environ)
    try:
        found = json.loads(out)["sources"]
        loaded_at = datetime.fromisoformat(found[0]["max_loaded_at"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise Unknown(f"source {source} cannot be checked: {one_line(out)[-300:]}") from None
    text = f"source {source} has rows of {loaded_at.isoformat(timespec='seconds')}"
    return Observation(words=loaded_at.isoformat(), text=text, at=loaded_at)


def _asked(
    project: Project, words: list[str], target: str | None, environ: Mapping[str, str]
) -> str:
    try:
        choice = choose_engine(project)
        profiles = profiles_args(project, (), environ, Path.cwd())
    except DbtorchError as error:
        raise Unknown(str(error)) from None
    command = [choice.executable]
    if choice.type is EngineType.SESSION:
        command = [project.python, "-c", "from dbt.cli.main import cli; cli()"]
    words += ["--project-dir", str(project.dir), *profiles]
    return _output([*command, *words, *(["--target", target] if target else [])], project, environ)


def _output(words: list[str], project: Project, environ: Mapping[str, Any]) -> str:
    try:
        done = subprocess.run(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unknown(f"dbt does not answer: {type(error).__name__}") from None
    if done.returncode not in (0, 3):  # dbtorch's for a source that is stale
        hide = scrubber_of(project, environ=environ)
        raise Unknown(one_line(hide(done.stderr + done.stdout))[-500:])
    return done.stdout
