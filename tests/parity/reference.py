"""Runs `dbt build` and `dbtorch run` as a user would, and reads what they left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbtorch.cli.text.run import run_json_text
from dbtorch.core.errors import DbtorchError
from dbtorch.service.history.run import show_run
from dbtorch.service.history.store import open_history
from tests.parity.normal import normal
from tests.parity.project import Project

#: Seconds; a run that takes longer hangs.
_PATIENCE = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """An entry of run_results.json, without what is different each time."""

    id: str
    status: str
    failures: int | None
    message: str | None
    relation: str | None
    compiled: bool | None
    code: str | None
    response: dict[str, str]  # the adapter's
    batches: tuple[int, int]  # that succeeded and failed
    rest: str  # every other field, and the names of all


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What manifest.json says and a comparison has to know."""

    nodes: frozenset[str] = frozenset()
    ephemeral: frozenset[str] = frozenset()
    tested: dict[str, str] = field(default_factory=dict)  # unit test -> its model


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What `dbt build` left."""

    exit_code: int
    output: str
    results: tuple[NodeResult, ...] | None  # None: no run_results.json
    facts: Facts
    about: dict[str, str]  # fields of both artifacts that are about the whole

    def statuses(self) -> dict[str, str]:
        """dbt's status of every node."""
        return {result.id: result.status for result in self.results or ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A node as `dbtorch show latest` shows it."""

    id: str
    kind: str
    state: str
    reason: str
    attempts: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(BuildResult):
    """What `dbtorch run` left: the same, and what it says about the nodes itself."""

    state: str
    shown: dict[str, Shown]


def dbt_build(project: Project, args: Sequence[str] = ()) -> BuildResult:
    """Run `dbt build` in a process of its own."""
    _forget_results(project)
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()"]
    ended = call(project, [*command, "build", *_where(project), *args])
    return BuildResult(
        exit_code=ended.returncode,
        output=_output(ended),
        results=_results(project),
        facts=_facts(project),
        about=_about(project),
    )


def dbtorch_run(project: Project, args: Sequence[str] = ()) -> RunResult:
    """Run `dbtorch run` with the same arguments, and ask it what came of it."""
    _forget_results(project)
    command = [sys.executable, "-m", "dbtorch", "run"]
    started_at = datetime.now(UTC)
    ended = call(project, [*command, *_where(project), *args])
    record = _latest(project, since=started_at)
    return RunResult(
        exit_code=ended.returncode,
        output=f"{_output(ended)}\n{record.get('why', '')}",
        results=_results(project),
        facts=_facts(project),
        about=_about(project),
        state=record["state"],
        shown={node["id"]: _shown(node) for node in record["nodes"]},
    )


def _latest(project: Project, *, since: datetime) -> dict[str, Any]:
    """The record of the run that was just made; empty when it made none.

    Bad input and a selection without nodes leave no record.
    """
    why = ""
    try:
        with open_history(str(project.path), None, environ=project.environ()) as store:
            found: dict[str, Any] = json.loads(run_json_text(show_run(store, "latest")))
        if datetime.fromisoformat(found["started_at"]) >= since:
            return found
    except DbtorchError as error:
        why = str(error)
    return {"state": "", "nodes": [], "why": why}


def _where(project: Project) -> list[str]:
    return ["--project-dir", str(project.path), "--profiles-dir", str(project.profiles)]


def call(project: Project, command: list[str]) -> subprocess.CompletedProcess[str]:
    """From the folder above: nothing may depend on where the command is called."""
    with subprocess.Popen(
        command,
        cwd=project.path.parent,
        env=project.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a worker ends with its supervisor
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise AssertionError(f"{command} hangs\n{stdout}\n{stderr}") from None
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _output(ended: subprocess.CompletedProcess[str]) -> str:
    return f"{ended.stdout}\n{ended.stderr}".strip()


def _forget_results(project: Project) -> None:
    (project.target_path / "run_results.json").unlink(missing_ok=True)


def _load(file: Path) -> Any:
    return json.loads(file.read_text()) if file.exists() else None


def _results(project: Project) -> tuple[NodeResult, ...] | None:
    artifact = _load(project.target_path / "run_results.json")
    if artifact is None:
        return None
    results = [_result(project, result) for result in artifact["results"]]
    return tuple(sorted(results, key=lambda result: result.id))


def _result(project: Project, result: dict[str, Any]) -> NodeResult:
    def same(text: str | None) -> str | None:
        return None if text is None else normal(text, project)

    code = same(result["compiled_code"])
    if code and result["unique_id"].startswith("operation."):
        # a hook that reads results meets them in the order in which they ended
        code = "\n".join(sorted(code.splitlines()))
    batches = result["batch_results"] or {"successful": (), "failed": ()}
    return NodeResult(
        id=result["unique_id"],
        status=result["status"],
        failures=result["failures"],
        message=same(result["message"]),
        relation=same(result["relation_name"]),
        compiled=result["compiled"],
        code=code,
        response={k: normal(str(v), project) for k, v in result["adapter_response"].items()},
        batches=(len(batches["successful"]), len(batches["failed"])),
        rest=normal(_rest(result), project),
    )


#: Fields of a result that are times, or compared one by one.
_TOLD = (
    "status",
    "failures",
    "message",
    "relation_name",
    "compiled",
    "compiled_code",
    "batch_results",
)
_TIMES = ("execution_time", "timing", "thread_id", "adapter_response")


def _rest(result: dict[str, Any]) -> str:
    others = {key: value for key, value in result.items() if key not in (*_TOLD, *_TIMES)}
    # of what was skipped, and never began, the thread is whoever said so
    began = result["status"] not in ("skipped", "no-op")
    said = {
        "names": sorted(result),
        "timing": [(timing["name"], sorted(timing)) for timing in result["timing"]]
        if began
        else [],
        "thread": bool(result["thread_id"]),
        **others,
    }
    return json.dumps(said, sort_keys=True)


#: Fields about the whole that are times, ids, paths, or how wide a terminal is.
_DIFFERENT = frozenset(
    {
        *("generated_at", "invocation_id", "invocation_started_at", "run_started_at", "user_id"),
        *("project_dir", "profiles_dir", "log_path", "printer_width"),
    }
)


def _about(project: Project) -> dict[str, str]:
    logs = sorted(path.name for path in project.path.glob("*.wal"))
    found: dict[str, Any] = {
        "logs of database files": " ".join(logs)
    }  # one that is closed has none
    for name in ("run_results.json", "manifest.json"):
        artifact = _load(project.target_path / name) or {}
        for part in ("metadata", "args"):
            for key, value in artifact.get(part, {}).items():
                known = _in_order(value) if key == "invocation_command" else value
                text = _WHERE.sub("", json.dumps(known, sort_keys=True))
                different = "" if key in _DIFFERENT else normal(text, project)
                found[f"{name}: {part}.{key}"] = different
        found |= {f"{name}: {key}": "" for key in artifact}
    return found


def _in_order(command: str) -> str:
    """A command without the order in which its options were typed, or how often: it is the same."""
    verb, *options = re.split(r" (?=-)", command)
    said: dict[str, list[str]] = {}
    for option in options:
        name, _, values = option.partition(" ")
        said.setdefault(name, []).append(values)
    return " ".join([verb, *(" ".join([name, *said[name]]).rstrip() for name in sorted(said))])


#: Where the project is, which is said in two ways.
_WHERE = re.compile(r" --(?:project|profiles)-dir [^ \"]+")


def _facts(project: Project) -> Facts:
    manifest = _load(project.target_path / "manifest.json")
    if manifest is None:
        return Facts()
    return Facts(
        nodes=frozenset(manifest["nodes"]),
        ephemeral=frozenset(
            id
            for id, node in manifest["nodes"].items()
            if node["config"].get("materialized") == "ephemeral"
        ),
        tested={id: test["depends_on"]["nodes"][0] for id, test in manifest["unit_tests"].items()},
    )


def _shown(node: dict[str, Any]) -> Shown:
    return Shown(
        id=node["id"],
        kind=node["kind"],
        state=node["state"],
        reason=node["reason"] or "",
        attempts=tuple(node["attempts"]),
    )
