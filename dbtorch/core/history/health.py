"""How a project stands: how old its pipelines, sources and tables are, and whether that is well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dbtorch.core.config import PipelineSpec
from dbtorch.core.failures.message import gist
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunSummary
from dbtorch.core.model.freshness import Thresholds, span, status_of
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.state import RunState, State

#: Kinds that somebody builds, so that they have an age.
BUILT = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT, Kind.STEP)

_UNCHECKED = "runtime error"  # dbt's word for a source that it cannot check


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFacts:
    """What the history knows of one project on one target."""

    target: str = ""  # empty when there is no history
    runs: tuple[RunSummary, ...] = ()  # the last one of each pipeline in each state; no counts
    successes: Mapping[str, datetime] = field(default_factory=dict)  # when nodes last ended well
    ends: Mapping[str, NodeRecord] = field(default_factory=dict)  # how each node last ended
    checks: Mapping[str, AttemptRecord] = field(default_factory=dict)  # the last one of each source


#: What has a health beside the kinds of nodes.
PIPELINE = "pipeline"


class Health(StrEnum):
    """What is to be thought of something."""

    OK = "ok"  # as old as it may be, or nobody said how old that is
    LATE = "late"  # a source beyond warn_after
    STALE = "stale"  # older than it may be
    GATED = "gated"  # the last run left out what waits for sources that are not fresh
    FAILED = "failed"  # the last run failed
    UNKNOWN = "unknown"  # never seen, or not for long


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One pipeline, source, or node that is built."""

    kind: str
    id: str
    name: str
    health: Health
    age: float | None = None  # seconds; of a source, of its newest row
    limit: float | None = None  # seconds
    why: str = ""
    since: datetime | None = None  # the last success, or the newest row of a source
    checked_at: datetime | None = None  # of a source

    @property
    def healthy(self) -> bool | None:
        """None where nobody knows."""
        if self.health is Health.UNKNOWN:
            return None
        return self.health in (Health.OK, Health.LATE)

    @property
    def label(self) -> str:
        """``model fct_orders``."""
        return f"{self.kind} {self.name}"


def last_ends(found: Iterable[NodeRecord]) -> dict[str, NodeRecord]:
    """How each node stands, of records in the order of their runs.

    A failure is over when the node has ended well, not when it was left out once more.
    """
    ends: dict[str, NodeRecord] = {}
    for node in found:
        before = ends.get(node.id)
        open_failure = before is not None and before.state is State.FAILED
        if not (open_failure and node.state in _LEFT_OUT):
            ends[node.id] = node
    return ends


_LEFT_OUT = (State.SKIPPED, State.CANCELLED, State.UPSTREAM_FAILED)


def pipeline_item(
    spec: PipelineSpec, runs: Iterable[RunSummary], now: datetime, *, alive: bool
) -> Item:
    """How a pipeline stands: its last runs of everything say that, those of a part do not.

    ``alive`` says whether somebody drives the last of them.
    """
    every = sorted((r for r in runs if r.pipeline == spec.name), key=lambda r: r.started_at)
    mine = [run for run in every if not run.partial]
    good = [run for run in mine if run.state is RunState.SUCCESS]
    since = good[-1].started_at if good else None
    age = (now - since).total_seconds() if since is not None else None
    health, why = _health(mine, alive=alive)
    why = "; ".join(filter(None, (why, _since_then(every))))
    if spec.max_age is not None and (age is None or age > spec.max_age):
        health, late = Health.STALE, _too_old(age, spec.max_age, "no run of it succeeded yet")
        why = f"{late}; {why}" if why and every else late
    return Item(
        kind=PIPELINE,
        id=f"{PIPELINE}.{spec.name}",
        name=spec.name,
        health=health,
        age=age,
        limit=spec.max_age,
        why=why,
        since=since,
    )


def _health(mine: Sequence[RunSummary], *, alive: bool) -> tuple[Health, str]:
    """What the runs of everything say; one that goes on, or was cancelled, mends nothing yet."""
    if not mine:
        return Health.UNKNOWN, "never run on this target"
    last = mine[-1]
    if last.state is RunState.RUNNING and not alive:
        return Health.FAILED, f"run {last.run_id} was interrupted"
    judged = next((run for run in reversed(mine) if run.state in _HEALTH), None)
    health, why = (Health.UNKNOWN, "") if judged is None else _HEALTH[judged.state]
    told = [f"run {judged.run_id} {why}"] if judged is not None and why else []
    told += [f"run {last.run_id} {_NOW[last.state]}"] if last is not judged else []
    return health, "; ".join(told)


#: What a run that has come to its end says of its pipeline.
_HEALTH = {
    RunState.SUCCESS: (Health.OK, ""),
    RunState.FAILED: (Health.FAILED, "failed"),
    RunState.GATED: (Health.GATED, "was gated: what waits for its sources did not run"),
}

_NOW = {RunState.RUNNING: "is running", RunState.CANCELLED: "was cancelled"}


def _since_then(runs: Sequence[RunSummary]) -> str:
    """What to say of a run of a part that came after all those of everything."""
    if not runs or not runs[-1].partial:
        return ""
    return f"run {runs[-1].run_id} was of a part only"


def built_item(
    node: Node,
    max_age: float | None,
    since: datetime | None,
    last: NodeRecord | None,
    now: datetime,
) -> Item:
    """How a node stands that is built; ``last`` is what became of it in the last run."""
    age = (now - since).total_seconds() if since is not None else None
    health, why = (
        (Health.OK, "") if age is not None else (Health.UNKNOWN, "never built on this target")
    )
    if max_age is not None and (age is None or age > max_age):
        health, why = Health.STALE, _too_old(age, max_age, why)
    if max_age is None and last is not None and last.state is State.FAILED:
        health, why = Health.FAILED, ""  # nobody said that an older table will do
    if last is not None and last.state in _BAD:
        reason = f": {gist(str(last.reason))}" if last.reason else ""
        said = f"in its last run {last.state.value.replace('_', ' ')}{reason}"
        why = f"{why}; {said}" if why else said
    return Item(
        kind=node.kind.value,
        id=node.id,
        name=node.name,
        health=health,
        age=age,
        limit=max_age,
        why=why,
        since=since,
    )


_BAD = (State.FAILED, State.UPSTREAM_FAILED, State.SKIPPED, State.CANCELLED)

#: Kinds that look at what others build.
LOOKS = (Kind.TEST, Kind.UNIT_TEST, Kind.CHECK)


def failed_item(end: NodeRecord, name: str) -> Item:
    """How a test or check stands that failed when it was last run."""
    reason = f": {str(end.reason).splitlines()[0]}" if end.reason else ""
    why = f"in its last run failed{reason}"
    return Item(kind=end.kind.value, id=end.id, name=name, health=Health.FAILED, why=why)


def newest_row(check: AttemptRecord) -> datetime | None:
    """When the newest row of a source was loaded, as a check of it found."""
    said: Mapping[str, Any] = check.details.get("source") or {}
    return _moment(said.get("max_loaded_at"))


def source_item(
    node: Node, limits: Thresholds | None, check: AttemptRecord | None, now: datetime
) -> Item:
    """How a source stands, by the last check of it.

    One that was fresh then and would no longer be, had nothing come since, is unknown.
    """
    said: Mapping[str, Any] = (check.details.get("source") if check is not None else None) or {}
    since = newest_row(check) if check is not None else None
    status = status_of(said) or _UNCHECKED
    at = check.finished_at if check is not None else None
    age = (now - since).total_seconds() if since is not None else None
    limit = limits.error_after if limits is not None else None
    why = check.message if check is not None else "never checked on this target"
    if check is None:
        health = Health.UNKNOWN
    elif status in (_UNCHECKED, "error"):
        health = Health.STALE
    elif age is not None and limit is not None and age > limit:
        health = Health.UNKNOWN
        why = f"it was fresh when it was checked {span((now - (at or now)).total_seconds())} ago"
    else:
        health = Health.LATE if status == "warn" else Health.OK
        why = why if health is Health.LATE else ""
    return Item(
        kind=Kind.SOURCE.value,
        id=node.id,
        name=node.name,
        health=health,
        age=age,
        limit=limit,
        why=why.splitlines()[0] if why else "",
        since=since,
        checked_at=at,
    )


def _too_old(age: float | None, limit: float, never: str) -> str:
    return never if age is None else f"{span(age)} old, allowed {span(limit)}"


def _moment(text: Any) -> datetime | None:
    """A time as dbt writes it; None for none, and for the year 1 of a table without rows."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None and found.year > 1 else None
