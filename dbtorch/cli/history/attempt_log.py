"""`dbtorch logs`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dbtorch.adapters.run_files import RunFiles
from dbtorch.cli.errors import OK, UsageError
from dbtorch.cli.history.lookup import find_node, read_run
from dbtorch.cli.history.run_json import attempt_json
from dbtorch.cli.render.words import blamed, took
from dbtorch.core.graph import Kind
from dbtorch.core.history import AttemptRecord, NodeRecord, RunRecord
from dbtorch.ports import Store


def logs(
    store: Store,
    run: str,
    node: str,
    *,
    attempt: int | None = None,
    project_dir: Path,
    format: str = "text",
    echo: Callable[[str], Any],
) -> int:
    """Print the log of an attempt, the last one by default. Answers the exit code.

    Raises `UsageError` for a run, node or attempt that is not there.
    """
    record = read_run(store, run)
    found = find_node(record, node)
    tried = _attempt(record, found, attempt)
    files = RunFiles(project_dir, record.run_id)
    path = files.path(found.id, tried.number)
    if format == "json":
        echo(json.dumps(_json(record, found, tried, path)))
        return OK
    echo(_heading(found, tried, path))
    if tried.output is not None:
        echo(f"# output {json.dumps(tried.output)}")
    for line in _content(found, tried, path, files):
        echo(line)
    return OK


def _attempt(run: RunRecord, node: NodeRecord, number: int | None) -> AttemptRecord:
    if not node.attempts:
        why = f": {blamed(node.reason)}" if node.reason else ""
        raise UsageError(f"{node.id} was never started in run {run.run_id} ({node.state}{why})")
    if number is None:
        return node.attempts[-1]
    for attempt in node.attempts:
        if attempt.number == number:
            return attempt
    known = ", ".join(str(attempt.number) for attempt in node.attempts)
    raise UsageError(f"{node.id} has no attempt {number} in run {run.run_id}; it has {known}")


def _heading(node: NodeRecord, attempt: AttemptRecord, path: Path) -> str:
    tried = f"attempt {attempt.number} of {node.attempts[-1].number}"
    return f"# {node.id}, {tried}, {attempt.state}, {took(attempt.seconds)}, {path}"


def _content(
    node: NodeRecord, attempt: AttemptRecord, path: Path, files: RunFiles
) -> Iterator[str]:
    """The log, line by line; what the history remembers where there is none."""
    lines = 0
    for line in _read(path):
        lines += 1
        yield line
    if lines:
        return
    missing = "the log is empty" if path.exists() else "the log is not on this machine"
    printed = node.kind is not Kind.STEP and files.dbt_log.exists()
    hint = f"; dbt's own output is in {files.dbt_log}" if printed else ""
    yield f"# {missing}{hint}"
    if attempt.message:
        yield attempt.message


def _read(path: Path) -> Iterator[str]:
    """Lines of a file, also of one that is no text; nothing of one that is not there."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _json(run: RunRecord, node: NodeRecord, attempt: AttemptRecord, path: Path) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "node_id": node.id,
        "path": str(path),
        "exists": path.exists(),
        "log": "\n".join(_read(path)),
        "attempt": attempt_json(attempt),
    }
