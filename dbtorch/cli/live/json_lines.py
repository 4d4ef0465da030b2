"""One JSON object a line, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dbtorch.cli.live.output import Output
from dbtorch.cli.text.terminal import SCHEMA_VERSION, to_json
from dbtorch.core.failures.message import tidy
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.dbt_warnings import warnings_json
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Kind
from dbtorch.core.plan import Plan
from dbtorch.ports.loop import Clock

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Failure, Summary, Timed
    from dbtorch.core.history.uploaded import Uploaded
    from dbtorch.core.model.dbt_warnings import DbtWarning
    from dbtorch.core.model.used_dbt import UsedDbt


class JsonLines:
    """Implements `Renderer`: every change is an object with ``ts``, ``event`` and ``run_id``."""

    def __init__(self, output: Output, clock: Clock) -> None:
        self._output = output
        self._clock = clock
        self._run_id: str | None = None
        self._plan: Plan | None = None

    def start(self, plan: Plan, run: RunRecord, dbt: UsedDbt | None = None) -> None:
        """``run_started``."""
        self._run_id = run.run_id
        self._plan = plan
        self._write(
            "run_started",
            self._clock.now(),
            schema_version=SCHEMA_VERSION,
            pipeline=run.pipeline,
            project=run.project,
            target=run.target,
            partial=run.partial,
            logical_date=run.logical_date.isoformat(),
            dbt_version=run.dbt_version,
            dbt=None if dbt is None else {"path": dbt.path, "found": dbt.where},
            nodes=sum(node.kind is not Kind.SESSION for node in plan.graph.nodes.values()),
        )

    def changed(self, changes: Sequence[Changed]) -> None:
        """``node`` for each change; ``session`` for those of dbt's session."""
        for change in changes:
            node = self._plan.graph.nodes[change.node_id] if self._plan else None
            kind = node.kind if node else None
            event = "session" if kind is Kind.SESSION else "node"
            self._write(event, change.at, **_change(change), kind=kind)

    def note(self, text: str, *, level: str) -> None:
        """``note``."""
        self._write("note", self._clock.now(), level=level, message=text)

    def warned(self, warning: DbtWarning) -> None:
        """``dbt_warning``."""
        (said,) = warnings_json([warning])
        del said["count"]  # it is known at the end
        self._write("dbt_warning", self._clock.now(), **said)

    def tick(self, now: datetime) -> None:
        """Nothing is said about time that passes."""

    def finish(self, summary: Summary) -> None:
        """``run_finished`` with the summary."""
        self._write("run_finished", self._clock.now(), **summary_json(summary))

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, event: str, at: datetime, **fields: Any) -> None:
        head = {"ts": at.isoformat(), "event": event, "run_id": self._run_id}
        self._output.line(to_json({**head, **fields}))


def _change(change: Changed) -> dict[str, Any]:
    outcome = change.outcome
    return {
        "node_id": change.node_id,
        "attempt": change.attempt,
        "state": change.state.value,
        "before": change.before.value,
        "reason": str(change.reason),
        **change.reason.as_json(),
        "cause": change.cause or None,
        "failure_class": outcome.failure_class.value if outcome and outcome.failure_class else None,
        "rows_affected": outcome.rows_affected if outcome else None,
        "retry_at": change.retry_at.isoformat() if change.retry_at else None,
    }


def summary_json(summary: Summary) -> dict[str, Any]:
    """A summary as JSON."""
    return {
        "pipeline": summary.pipeline,
        "target": summary.target,
        "state": summary.state.value,
        "partial": summary.partial,
        "started_at": summary.started_at.isoformat(),
        "finished_at": summary.finished_at.isoformat() if summary.finished_at else None,
        "seconds": summary.seconds,
        "counts": counts_json(summary.counts),
        "failures": [_failure(failure) for failure in summary.failures],
        "warnings": [
            {"node_id": warned.id, "message": warned.message} for warned in summary.warnings
        ],
        "dbt_warnings": warnings_json(summary.dbt_warnings),
        "left_out": [
            {
                "state": group.state.value,
                "reason": tidy(str(group.reason))[0],
                **group.reason.as_json(),
                "count": group.count,
            }
            for group in summary.left_out
        ],
        "waits": {source: list(nodes) for source, nodes in summary.waits.items()},
        "slowest": [_timed(node) for node in summary.slowest],
        "critical_path": [_timed(node) for node in summary.critical_path],
        "critical_seconds": round(summary.critical_seconds, 6),
        "uploaded": uploaded_json(summary.uploaded),
    }


def uploaded_json(uploaded: Uploaded | None) -> dict[str, Any] | None:
    """What has become of a run's files; None where they stay on the machine."""
    if uploaded is None:
        return None
    return {
        "url": uploaded.url,
        "files": uploaded.files,
        "left": uploaded.left,
        "error": uploaded.error or None,
    }


def counts_json(counts: Mapping[Any, int]) -> dict[str, int]:
    """Counts per state; states without a node are left out."""
    return {str(state.value): count for state, count in counts.items() if count}


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "node_id": failure.id,
        "message": failure.message,
        "attempts": failure.attempts,
        "failure_class": failure.failure_class.value if failure.failure_class else None,
        "owner": failure.owner or None,
        "runbook": failure.runbook or None,
        "log": failure.log or None,
        "blocked": failure.blocked,
    }


def _timed(node: Timed) -> dict[str, Any]:
    return {"node_id": node.id, "seconds": node.seconds}
