"""What a page about one run shows: the run, what is usual, what matters, and logs of failures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.history.records import (
    AttemptRecord,
    NodeRecord,
    RunChanges,
    RunRecord,
    seconds_at_work,
)
from dbtorch.core.history.summary import Summary, summarize
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import RunState, State
from dbtorch.core.plan import SESSION_CLOSE
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.history.log_text import end_of
from dbtorch.service.history.lookup import IsAlive, resolve_run
from dbtorch.service.history.run import RunReport, show_run, usual_seconds
from dbtorch.service.history.run_json import node_json, run_json

#: A sequence number that no change comes after, to ask how a run stands.
NOTHING_AFTER = 1 << 40

#: Bytes of one log, and of all logs, that are within the page.
_LOG, _LOGS = 48 << 10, 900 << 10

#: Characters of one message or output, and of all of them, that are within the page.
_TEXT, _TEXTS = 6_000, 500_000

_SESSION = {SESSION_CLOSE: "dbt session, closing"}


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The end of a log of an attempt that did not go well."""

    text: str
    left_out: int  # bytes before it
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A run at a moment, as a page shows it."""

    report: RunReport
    summary: Summary
    usual: Mapping[str, float]  # node -> seconds that it takes as a rule
    logs: Mapping[str, KeptLog]  # by node and attempt, as of `log_key`
    sequence: int  # of the last change that is seen on it, or of an earlier one

    @property
    def run(self) -> RunRecord:
        """The run itself."""
        return self.report.record

    @property
    def took(self) -> float:
        """Seconds that its executions took, so far where it goes on."""
        run = self.run
        if self.report.state == RunState.RUNNING:
            return seconds_at_work(run, self.report.at)
        ends = (one.finished_at or one.queued_at for node in run.nodes for one in node.attempts)
        return seconds_at_work(run, run.finished_at or max(ends, default=run.started_at))


def run_page(
    store: Store,
    run: str,
    *,
    project_dir: Path,
    logs: bool = True,
    clock: Clock | None = None,
    is_alive: IsAlive | None = None,
    environ: Mapping[str, str] = os.environ,
) -> RunPage:
    """Everything about the run that ``run`` means, with ``logs`` the ends of those of failures.

    Raises `NotFound`, `StoreError`, and `UsageError` for a log that cannot be read.
    """
    run = resolve_run(store, run)
    before = store.run_changes(run, after=NOTHING_AFTER)  # first: what comes meanwhile comes again
    report = show_run(store, run, clock=clock, is_alive=is_alive, transitions=False)
    record = report.record
    usual = usual_seconds(store, record)
    return RunPage(
        report=report,
        summary=summarize(record, latest=False),
        usual={node.id: usual[node.id] for node in record.nodes if node.id in usual},
        sequence=before.sequence if before is not None else 0,
        logs=dict(_logs(record, RunFiles(state_dir(project_dir, environ), record.run_id)))
        if logs
        else {},
    )


def log_key(node: NodeRecord, attempt: AttemptRecord) -> str:
    """What the log of an attempt is called within a page."""
    return f"{node.id}#{attempt.number}"


def page_json(page: RunPage) -> dict[str, Any]:
    """The JSON of the run without what is empty, and what a page needs besides.

    ``edges`` are pairs of places in ``nodes``, those of the session left out.
    """
    said = run_json(page.report)
    goes_on = page.report.state == RunState.RUNNING  # they may still come
    said["nodes"] += [one for one in said.pop("session") if one["attempts"] or goes_on]
    room = _Room(_TEXTS)
    records = {node.id: node for node in page.run.nodes}
    for node in said["nodes"]:
        _fit(node, records[node["id"]], room)
    places = {node["id"]: place for place, node in enumerate(said["nodes"])}
    for node in said["nodes"]:
        del node["name"]  # its label says that
        node["usual"] = page.usual.get(node["id"])
    said["nodes"] = [_filled_node(node) for node in said["nodes"]]
    found: dict[str, Any] = _filled(said)
    found.update(
        at=page.report.at.isoformat(),
        sequence=page.sequence,
        resumed_at=page.run.resumed_at.isoformat() if page.run.resumed_at else None,
        seconds=page.took,
        critical_path=[one.id for one in page.summary.critical_path],
        edges=[
            (places[before], places[after])
            for before, after in page.run.edges
            if before in places and after in places
        ],
        logs={
            key: {"text": log.text, "left_out": log.left_out, "path": log.path}
            for key, log in page.logs.items()
        },
    )
    return found


def changes_json(changes: RunChanges, state: str) -> dict[str, Any]:
    """What has changed in a run, in the shapes of `page_json`; ``state`` is the run's, seen now."""
    room, nodes = _Room(_TEXTS), [node_json(node) for node in changes.nodes]
    for node, record in zip(nodes, changes.nodes, strict=True):
        _fit(node, record, room)
    said = {
        "sequence": changes.sequence,
        "state": state,
        "finished_at": changes.finished_at.isoformat() if changes.finished_at else None,
        "resumed_at": changes.resumed_at.isoformat() if changes.resumed_at else None,
    }
    return {**_filled(said), "nodes": [_filled_node(node) for node in nodes]}


def _fit(node: dict[str, Any], record: NodeRecord, room: _Room) -> None:
    """Name a node as pages do, and cut what is endless."""
    session = record.kind is Kind.SESSION
    node["label"] = _SESSION.get(record.id, "dbt session") if session else label(record)
    for attempt in node["attempts"]:
        attempt["message"] = room.kept(attempt["message"])
        if attempt["output"] is not None and len(str(attempt["output"])) > _TEXT:
            attempt["output"] = room.kept(str(attempt["output"]))


class _Room:
    """What is left for long texts: the first ones are kept, of later ones their first lines."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def kept(self, text: str | None) -> str | None:
        if not text:
            return text
        most = _TEXT if self._left > 0 else 200
        self._left -= min(len(text), most)
        rest = len(text) - most
        return text if rest <= 0 else f"{text[:most]}\n({rest} characters left out)"


def _filled(said: dict[str, Any]) -> dict[str, Any]:
    """The same without what is None or an empty list, which is most of a node."""
    return {key: one for key, one in said.items() if one is not None and one != []}


def _filled_node(said: dict[str, Any]) -> dict[str, Any]:
    """The same of a node and of its attempts, without what goes without saying."""
    for attempt in said["attempts"]:
        if not attempt["lost"]:
            del attempt["lost"]
        if attempt["started_at"]:
            del attempt["queued_at"]
    said["attempts"] = [_filled(attempt) for attempt in said["attempts"]]
    return _filled(said)


def _logs(run: RunRecord, files: RunFiles) -> Iterator[tuple[str, KeptLog]]:
    left = _LOGS
    failed = [node for node in run.nodes if node.state is State.FAILED]
    retried = [node for node in run.nodes if node.state is not State.FAILED]
    for node in (*failed, *retried):
        for attempt in reversed(node.attempts):
            if attempt.state is State.FAILED and left > 0:
                path = files.path(node.id, attempt.number)
                text, before = end_of(path, min(_LOG, left))
                left -= len(text.encode())
                if text:
                    yield log_key(node, attempt), KeptLog(text, before, str(path))
