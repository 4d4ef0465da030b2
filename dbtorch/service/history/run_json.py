"""Runs as JSON: the shape that other programs rely on."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from dbtorch.core.failures.message import gist
from dbtorch.core.history.records import (
    Action,
    AttemptRecord,
    NodeRecord,
    RunRecord,
    Verb,
    seconds_at_work,
)
from dbtorch.core.model.dbt_warnings import warnings_json
from dbtorch.core.model.deadline import Deadline, node_deadlines
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import Rows
from dbtorch.core.text.phrases import without_login
from dbtorch.service.history.run import RunReport
from dbtorch.service.history.runs import ListedRun


def summary_json(listed: ListedRun) -> dict[str, Any]:
    """A run of a list."""
    run = listed.run
    seconds = seconds_at_work(run, run.finished_at) if run.finished_at else None
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "target": run.target,
        "trigger": run.trigger,
        "partial": run.partial,
        "logical_date": run.logical_date.isoformat(),
        "state": listed.state,
        "started_at": run.started_at.isoformat(),
        "finished_at": _moment(run.finished_at),
        "seconds": seconds,
        "counts": {state.value: count for state, count in run.counts.items() if count},
    }


def run_json(report: RunReport) -> dict[str, Any]:
    """Everything about a run; ends of the dbt session are apart from its nodes."""
    run, rows = report.record, report.rows
    nodes = [node for node in run.nodes if node.kind is not Kind.SESSION]
    deadline = Deadline.recorded(run.options)
    counts = Counter(node.state.value for node in nodes)
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "project": run.project,
        "target": run.target,
        "logical_date": run.logical_date.isoformat(),
        "data_interval_start": (
            run.data_interval_start.isoformat() if run.data_interval_start is not None else None
        ),
        "data_interval_end": run.data_interval_end.isoformat(),
        "partition": run.partition.strip("-") or None,
        "previous_success_end": run.options.get("previous_success_end"),
        "state": report.state,
        "started_at": run.started_at.isoformat(),
        "finished_at": _moment(run.finished_at),
        "trigger": run.trigger,
        "triggered_by": run.options.get("triggered_by") or None,
        "params": run.options.get("params") or {},
        "partial": run.partial,
        "command": [without_login(word) for word in run.command],
        "dbtorch_version": run.dbtorch_version or None,
        "dbt_version": run.dbt_version or None,
        "adapter": run.adapter or None,
        "manifest_hash": run.manifest_hash or None,
        "git_commit": run.git_commit or None,
        "git_dirty": run.git_dirty,
        "host": run.host or None,
        "deadline": _moment(deadline.at) if deadline is not None else None,
        "deadline_missed": deadline is not None and (run.finished_at or report.at) > deadline.at,
        "deadline_at_risk": _told("", Verb.AT_RISK, run),
        "node_deadlines": [
            {
                "node_id": id,
                "deadline": at.isoformat(),
                "missed": _told(id, Verb.DEADLINE, run),
                "at_risk": _told(id, Verb.AT_RISK, run),
            }
            for id, at in node_deadlines(run.options).items()
        ],
        "counts": dict(counts),
        "dbt_warnings": warnings_json(run.dbt_warnings),
        "waits": {source: list(nodes) for source, nodes in run.waits.items()},
        "nodes": [node_json(node, rows.get(node.id)) for node in nodes],
        "actions": [_action(action) for action in run.actions],
        "session": [node_json(node) for node in run.nodes if node.kind is Kind.SESSION],
    }


def _told(id: str, verb: Verb, run: RunRecord) -> bool:
    return any(action.action == verb and action.node_id == id for action in run.actions)


def node_json(node: NodeRecord, rows: Rows | None = None) -> dict[str, Any]:
    """One node of a run."""
    why = str(node.reason)
    last = node.attempts[-1] if node.attempts and node.kind is Kind.CHECK else None
    return {
        "id": node.id,
        "kind": node.kind.value,
        "name": node.name,
        "state": node.state.value,
        "reason": (gist(why) or None) if why else None,  # all of it is the message of the attempt
        **node.reason.as_json(),
        "path": node.path or None,
        "materialized": node.materialized or None,
        "owner": node.owner or None,
        "runbook": node.runbook or None,
        "group": node.group or None,
        "retry_at": _moment(node.retry_at),
        "rows": rows.rows if rows is not None else None,
        "usual_rows": round(rows.usual) if rows is not None and rows.usual is not None else None,
        "checks": list(last.details.get("checks") or ()) if last is not None else [],
        "attempts": [attempt_json(attempt) for attempt in node.attempts],
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "action": str(action.action),
        "at": action.at.isoformat(),
        "actor": action.actor,
        "node_id": action.node_id or None,
        "state": action.state or None,
        "reason": action.reason or None,
        "handled_at": _moment(action.handled_at),
    }


def attempt_json(attempt: AttemptRecord) -> dict[str, Any]:
    """One attempt."""
    return {
        "number": attempt.number,
        "state": attempt.state.value,
        "lost": attempt.lost,
        "queued_at": attempt.queued_at.isoformat(),
        "started_at": _moment(attempt.started_at),
        "finished_at": _moment(attempt.finished_at),
        "failure_class": attempt.failure_class.value if attempt.failure_class else None,
        "message": attempt.message or None,
        "rows_affected": attempt.rows_affected,
        "output": attempt.output,
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
