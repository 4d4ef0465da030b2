"""Records as rows and back. Times are text that sorts, JSON is text that is readable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from dbtorch.adapters.store.database import Row
from dbtorch.core.graph import Kind, Node
from dbtorch.core.history import (
    Action,
    AttemptRecord,
    Lease,
    NodeRecord,
    RunRecord,
    RunSummary,
    Transition,
)
from dbtorch.core.state import FailureClass, RunState, State

_JSON = json.JSONEncoder(default=str)  # json.dumps would make one each time


def moment(at: datetime | None) -> str | None:
    """A time as ISO-8601 in UTC, always with microseconds, so that text order is time order."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def clean(text: str) -> str:
    """Text that both databases take: without NUL and without half characters."""
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    return whole.replace("\0", "\ufffd")


def dumped(value: Any) -> str:
    """Any value as JSON; what JSON does not know becomes text."""
    return _JSON.encode(value)


def run_values(run: RunRecord) -> dict[str, Any]:
    """Parameters for the row of a run."""
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "project": run.project,
        "target": run.target,
        "logical_date": moment(run.logical_date),
        "data_interval_start": moment(run.data_interval_start),
        "data_interval_end": moment(run.data_interval_end),
        "state": run.state.value,
        "started_at": moment(run.started_at),
        "finished_at": moment(run.finished_at),
        "run_type": run.trigger,
        "command": dumped(run.command),
        "dbt_args": dumped(run.dbt_args),
        "dbtorch_version": run.dbtorch_version,
        "dbt_version": run.dbt_version,
        "adapter": run.adapter,
        "manifest_hash": run.manifest_hash,
        "git_commit": run.git_commit,
        "git_dirty": None if run.git_dirty is None else int(run.git_dirty),
        "host": run.host,
        "pid": run.pid,
        "edges": dumped(run.edges),
        "options": dumped(run.options),
    }


def node_values(run_id: str, ordinal: int, node: Node) -> dict[str, Any]:
    """Parameters for the row of a node, its state left out."""
    return {
        "run_id": run_id,
        "node_id": node.id,
        "ordinal": ordinal,
        "kind": node.kind.value,
        "name": clean(node.name),
        "path": clean(node.path),
        "materialized": clean(node.materialized),
        "owner": clean(node.owner),
        "runbook": clean(node.runbook),
        "node_group": clean(node.group),
        "checksum": node.checksum,
    }


def lease_values(lease: Lease) -> dict[str, Any]:
    """Parameters for the row of a lease."""
    return {
        "name": lease.name,
        "run_id": lease.run_id,
        "host": lease.host,
        "pid": lease.pid,
        "acquired_at": moment(lease.acquired_at),
        "expires_at": moment(lease.expires_at),
    }


def action_values(run_id: str, action: Action) -> dict[str, Any]:
    """Parameters for the row of an action, its ordinal left out."""
    return {
        "run_id": run_id,
        "at": moment(action.at),
        "actor": clean(action.actor),
        "action": action.action,
        "node_id": action.node_id,
        "state": action.state,
        "reason": clean(action.reason),
        "handled_at": moment(action.handled_at),
    }


def run_record(
    row: Row,
    nodes: Iterable[NodeRecord],
    moves: Iterable[Transition],
    actions: Iterable[Action] = (),
) -> RunRecord:
    """A run from its row, with its nodes, transitions and actions."""
    return RunRecord(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        project=row["project"],
        target=row["target"],
        logical_date=_time(row["logical_date"]),
        data_interval_start=_time(row["data_interval_start"]),
        data_interval_end=_time(row["data_interval_end"]),
        state=RunState(row["state"]),
        started_at=_time(row["started_at"]),
        finished_at=_maybe(row["finished_at"]),
        trigger=row["run_type"],
        command=tuple(json.loads(row["command"])),
        dbt_args=tuple(json.loads(row["dbt_args"])),
        dbtorch_version=row["dbtorch_version"],
        dbt_version=row["dbt_version"],
        adapter=row["adapter"],
        manifest_hash=row["manifest_hash"],
        git_commit=row["git_commit"],
        git_dirty=None if row["git_dirty"] is None else bool(row["git_dirty"]),
        host=row["host"],
        pid=row["pid"],
        edges=tuple((before, after) for before, after in json.loads(row["edges"])),
        options=json.loads(row["options"]),
        nodes=tuple(nodes),
        transitions=tuple(moves),
        actions=tuple(actions),
    )


def node_record(row: Row, attempts: Iterable[AttemptRecord]) -> NodeRecord:
    """A node from its row, with its attempts."""
    return NodeRecord(
        id=row["node_id"],
        kind=Kind(row["kind"]),
        name=row["name"],
        state=State(row["state"]),
        reason=row["reason"],
        path=row["path"],
        materialized=row["materialized"],
        owner=row["owner"],
        runbook=row["runbook"],
        group=row["node_group"],
        updated_at=_maybe(row["updated_at"]),
        retry_at=_maybe(row["retry_at"]),
        attempts=tuple(attempts),
        checksum=row["checksum"],
    )


def attempt_record(row: Row) -> AttemptRecord:
    """An attempt from its row."""
    failure_class = row["failure_class"]
    return AttemptRecord(
        number=row["number"],
        state=State(row["state"]),
        queued_at=_time(row["queued_at"]),
        started_at=_maybe(row["started_at"]),
        finished_at=_maybe(row["finished_at"]),
        failure_class=None if failure_class is None else FailureClass(failure_class),
        message=row["message"],
        rows_affected=row["rows_affected"],
        output=json.loads(row["output"]),
        details=json.loads(row["details"]),
    )


def attempt_of(row: Row) -> tuple[str, AttemptRecord]:
    """A node's id, and an attempt at it."""
    return row["node_id"], attempt_record(row)


def transition(row: Row) -> Transition:
    """A transition from its row."""
    return Transition(
        node_id=row["node_id"],
        attempt=row["attempt"],
        before=State(row["before"]),
        state=State(row["state"]),
        at=_time(row["at"]),
        reason=row["reason"],
    )


def action(row: Row) -> Action:
    """An action from its row."""
    return Action(
        action=row["action"],
        at=_time(row["at"]),
        actor=row["actor"],
        node_id=row["node_id"],
        state=row["state"],
        reason=row["reason"],
        ordinal=row["ordinal"],
        handled_at=_maybe(row["handled_at"]),
    )


def summary(row: Row, counts: Mapping[State, int]) -> RunSummary:
    """A line of the list of runs from its row."""
    return RunSummary(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        target=row["target"],
        logical_date=_time(row["logical_date"]),
        state=RunState(row["state"]),
        started_at=_time(row["started_at"]),
        finished_at=_maybe(row["finished_at"]),
        counts=counts,
    )


def lease(row: Row) -> Lease:
    """A lease from its row."""
    return Lease(
        name=row["name"],
        run_id=row["run_id"],
        host=row["host"],
        pid=row["pid"],
        acquired_at=_time(row["acquired_at"]),
        expires_at=_time(row["expires_at"]),
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
