"""What pages about nodes show: how one has done from run to run, and which ones need a look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.node_code import NodeCode, read_node_code
from dbtorch.core.errors import EngineError, NotFound
from dbtorch.core.history.records import AttemptRecord
from dbtorch.core.history.trend import Sample, Trend, trend
from dbtorch.core.model.measure import ROW_COUNT, ROWS_AFFECTED
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import State
from dbtorch.core.text.json_text import to_json
from dbtorch.ports.store import Store
from dbtorch.service.health.health import target_path
from dbtorch.service.project.known_secrets import scrubber_of_environment

#: Runs that are looked at for one node, those of them that are shown, and runs for all nodes.
_RUNS, _SHOWN, _OF_ALL = 600, 60, 30

#: Samples of all nodes, about: of large projects fewer runs are looked at, but never fewer than so.
_SAMPLES, _FEWEST = 20_000, 8

#: Failures of a node, the newest, and characters of what each says.
_FAILURES, _TEXT = 5, 2_000

#: Nodes of a list.
_LISTED = 25


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that failed."""

    run_id: str
    attempt: AttemptRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePage:
    """One node, over its last runs on a target."""

    target: str
    trend: Trend
    samples: tuple[Sample, ...]  # the oldest first
    rows: Mapping[str, float]  # that it wrote or has, by run
    failures: tuple[Failed, ...]  # the newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesPage:
    """The nodes of a project that need a look."""

    target: str
    runs: int  # that were looked at
    slower: tuple[Trend, ...]  # since when they take much longer, the most seconds first
    flaky: tuple[Trend, ...]
    failing: tuple[Trend, ...]
    slowest: tuple[Trend, ...]


def node_page(store: Store, target: str, node_id: str) -> NodePage:
    """How a node has done. Raises `NotFound` for one of which no run is known, `StoreError`."""
    samples = store.samples(target, runs=_RUNS, node_id=node_id)
    if not samples:
        raise NotFound(f"no run on target {target} has a node {node_id!r}")
    return NodePage(
        target=target,
        trend=trend(samples),
        samples=tuple(samples[-_SHOWN:]),
        rows=_rows(store, target, node_id),
        failures=tuple(islice(_failures(store, samples), _FAILURES)),
    )


def _failures(store: Store, samples: Sequence[Sample]) -> Iterator[Failed]:
    for one in reversed(samples):
        if any(tried.state is State.FAILED for tried in one.tries):
            for attempt in reversed(store.attempts(one.run_id, one.node_id)):
                if attempt.state is State.FAILED:
                    yield Failed(one.run_id, attempt)


def _rows(store: Store, target: str, node_id: str) -> dict[str, float]:
    for measure in (ROWS_AFFECTED, ROW_COUNT):
        found = store.measured(target, node_id, measure, last=_SHOWN)
        if rows := {one.run_id: one.number for one in found if one.number is not None}:
            return rows
    return {}


def nodes_page(store: Store, target: str) -> NodesPage:
    """Which nodes need a look, by the last runs on a target. Raises `StoreError`."""
    by_node: dict[str, list[Sample]] = {}
    runs = set()
    count = sum(sum(one.counts.values()) for one in store.runs(limit=1)) or 1
    for one in store.samples(target, runs=max(_FEWEST, min(_OF_ALL, _SAMPLES // count))):
        by_node.setdefault(one.node_id, []).append(one)
        runs.add(one.run_id)
    trends = [trend(samples) for samples in by_node.values()]
    return NodesPage(
        target=target,
        runs=len(runs),
        slower=_most(trends, lambda one: one.slower.since - one.slower.before if one.slower else 0),
        flaky=_most(trends, lambda one: one.flaky),
        failing=_most(trends, lambda one: one.failed),
        slowest=_most(trends, lambda one: one.seconds or 0.0),
    )


def _most(trends: Iterable[Trend], of: Callable[[Trend], float]) -> tuple[Trend, ...]:
    found = sorted((one for one in trends if of(one) > 0), key=of, reverse=True)
    return tuple(found[:_LISTED])


def node_json(page: NodePage, code: NodeCode | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """The same for a page that draws it, with the node's code; secrets are hidden in both."""
    hide, last = scrubber_of_environment(environ), page.trend.last
    return {
        **trend_json(page.trend),
        "target": page.target,
        "path": last.path,
        "materialized": last.materialized,
        "runbook": last.runbook,
        "group": last.group,
        "history": [
            {
                "run_id": one.run_id,
                "pipeline": one.pipeline,
                "at": one.started_at.isoformat(),
                "commit": one.git_commit,
                "state": one.state.value,
                "seconds": one.seconds,
                "rows": page.rows.get(one.run_id),
                "tries": [
                    {"state": tried.state.value, "class": tried.failure_class}
                    for tried in one.tries
                ],
            }
            for one in page.samples
        ],
        "failures": [
            {
                "run_id": one.run_id,
                "attempt": one.attempt.number,
                "at": one.attempt.queued_at.isoformat(),
                "class": one.attempt.failure_class,
                "message": one.attempt.message[:_TEXT],
            }
            for one in page.failures
        ],
        "code": None
        if code is None
        else {
            "raw": hide(code.raw),
            "compiled": hide(code.compiled),
            "description": code.description,
            "relation": code.relation,
            "tags": code.tags,
            "config": {key: hide(to_json(value)) for key, value in code.config.items()},
            "columns": code.columns,
            "tests": code.tests,
        },
    }


def trend_json(found: Trend) -> dict[str, Any]:
    """How a node has done, in numbers."""
    slower, last = found.slower, found.last
    return {
        "id": last.node_id,
        "label": label(last),
        "kind": last.kind.value,
        "owner": last.owner,
        "runs": found.runs,
        "failed": found.failed,
        "flaky": found.flaky,
        "usual": found.seconds,
        "classes": dict(found.classes),
        "slower": None
        if slower is None
        else {
            "before": slower.before,
            "since": slower.since,
            "factor": slower.factor,
            "run_id": slower.sample.run_id,
            "at": slower.sample.started_at.isoformat(),
            "commit": slower.sample.git_commit,
        },
    }


def code_of(project_dir: Path, node_id: str, environ: Mapping[str, str]) -> NodeCode | None:
    """A node's code as dbt's last artifacts have it; None where they do not, or are damaged."""
    try:
        return read_node_code(target_path(project_dir, environ), node_id)
    except EngineError:
        return None
