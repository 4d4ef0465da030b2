"""Looks at everything a run needs, and says what to do about what is missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.errors import DbtorchError, UsageError
from dbtorch.core.failures.message import sentence
from dbtorch.core.history.records import Lease
from dbtorch.core.text.phrases import many
from dbtorch.service.doctor.dbt import FoundDbt, find_dbt
from dbtorch.service.doctor.debug import asking
from dbtorch.service.doctor.finding import Finding
from dbtorch.service.project.artifacts import artifacts_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, configured_store, open_project, top_level
from dbtorch.service.project.store_scope import identity_of
from dbtorch.service.tell import Tell, nobody
from dbtorch.version import VERSION

_NO_LEASE = Lease(
    name="doctor",
    run_id="doctor",
    host="",
    pid=0,
    acquired_at=datetime.min.replace(tzinfo=UTC),
    expires_at=datetime.min.replace(tzinfo=UTC),
)

#: In the place of a run's id, where it is tried whether files can be uploaded.
_PROBE = "doctor"


def examine(options: RunOptions, *, warn: Tell = nobody) -> Iterator[Finding]:
    """Look at everything, one thing after the other; nothing is left changed.

    ``warn`` is told what dbt warns of.
    """
    yield Finding("dbtorch", True, f"{VERSION} on Python {platform.python_version()}")
    try:
        project = open_project(options.project_dir)
    except DbtorchError as error:
        yield Finding("project", False, str(error), "fix that, then ask again")
        return
    where = project.config.origin.file
    yield Finding("project", True, f"{project.name} in {project.dir}")
    yield Finding("dbtorch.yml", True, f"{where}, valid" if where else "none; defaults apply")
    dbt = yield from find_dbt(project)
    packages = _packages(project.dir)
    if packages is not None:
        yield packages
    if dbt is not None:
        readable = packages is None or packages.ok  # dbt would only say that again
        yield from _answers(project, options, dbt, warn, readable=readable)
    history = _store(project, options)
    yield history
    yield _writable("permissions", state_dir(project.dir))
    logs = _writable("logs", state_dir(project.dir) / "runs")
    if logs.ok or history.ok:  # history and logs are in one folder: what is wrong is said once
        yield logs
    yield _writable("artifacts", project.dir / "target")
    uploads = _uploads(project, options)
    if uploads is not None:
        yield uploads


def _answers(
    project: Project, options: RunOptions, dbt: FoundDbt, warn: Tell, *, readable: bool
) -> Iterator[Finding]:
    """What dbt says: it connects and reads the project at the same time, as both take seconds."""
    if dbt.python and not project.config.engine.patches:
        yield Finding("patches", True, "none: engine.patches is false")
    warnings: list[str] = []
    try:
        with asking(project, options, dbt) as question:
            parsed = _parses(options, warnings.append) if readable else None
            found = list(question.findings())
    except UsageError as error:
        yield Finding("connection", False, *str(error).split("; ", 1))
        return
    yield from found
    if found[-1].ok and parsed is not None:  # or it would say what the connection says
        for warning in warnings:
            warn(warning)
        yield parsed


def _packages(folder: Path) -> Finding | None:
    """Whether dbt's packages are installed; None where the project names none."""
    import yaml

    wanted: list[str] = []
    for name in ("packages.yml", "dependencies.yml"):
        try:
            said = yaml.safe_load((folder / name).read_bytes())
        except (OSError, ValueError, yaml.YAMLError):
            continue  # a broken one is what the project cannot be read for
        named = said.get("packages") if isinstance(said, dict) else None
        wanted += [name] * len(named) if isinstance(named, list) else []
    if not wanted:
        return None
    path = folder / (top_level(folder, "packages-install-path") or "dbt_packages")
    there = [one for one in path.glob("*") if one.is_dir()] if path.is_dir() else []
    found = f"{wanted[0]} names {many(len(wanted), 'package')}, {path.name} has {len(there)}"
    return Finding("packages", len(there) >= len(wanted), found, "run `dbt deps`")


def _parses(options: RunOptions, warn: Tell) -> Finding:
    """Let dbt read the whole project, as a run does first."""
    from dbtorch.service.planning.preview import open_session

    try:
        with open_session(options, warn=warn) as (_, _, selected):
            nodes = len(selected.nodes)
    except DbtorchError as error:
        return Finding("parse", False, sentence(error), "fix that; `dbtorch validate` asks again")
    return Finding("parse", True, f"dbt reads the project: {many(nodes, 'node')}")


def _store(project: Project, options: RunOptions) -> Finding:
    from dbtorch.adapters.store import open_store
    from dbtorch.core.errors import NoHistory, StoreError

    url = configured_store(options.database_url, project.dir)
    default = state_dir(project.dir) / "dbtorch.db"
    if url is None and not default.exists():
        folder = _writable("history", default.parent)
        none_yet = Finding("history", True, f"none yet; the first run makes {default}")
        return none_yet if folder.ok else folder
    try:
        identity = identity_of(project, url, options.dbt_args)
        store = open_store(url, project.dir, create=False, writes=True, identity=identity)
        try:
            known = len(store.runs(limit=1000))
            store.release(_NO_LEASE)  # changes nothing, and fails where nothing may be changed
        finally:
            store.close()
    except StoreError as error:
        if isinstance(error, NoHistory):
            return Finding("history", True, str(error))
        return Finding("history", False, str(error), "fix that, or name another --database-url")
    kind = "Postgres" if url and url.startswith("postgres") else url or str(default)
    runs = many(known, "run") if known < 1000 else "over 1000 runs"
    return Finding("history", True, f"{kind}, {runs}")


def _uploads(project: Project, options: RunOptions) -> Finding | None:
    """Whether files of runs can be kept where every machine reads them, if that is wanted."""
    from dbtorch.ports.artifacts import ArtifactsError

    try:
        artifacts = artifacts_of(project, options)
        if artifacts is None:
            return None
        artifacts.put(_PROBE, "probe", [b"written by dbtorch doctor\n"])
        artifacts.remove(_PROBE)
    except (UsageError, ArtifactsError) as error:
        advice = "fix that, or name another --artifacts-url"
        return Finding("uploads", False, str(error), advice)
    return Finding("uploads", True, f"{artifacts.url} can be written")


def _writable(check: str, folder: Path) -> Finding:
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding(check, True, f"{folder} can be written")
    if not nearest.is_dir():
        return Finding(check, False, f"{nearest} is no folder", "move it out of the way")
    advice = "give this user the right to, or set --target-path and --database-url elsewhere"
    return Finding(check, False, f"{nearest} cannot be written", advice)
