"""How a project stands: how old its pipelines, sources and tables are, and whether that is well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dbtorch.core.config import PipelineSpec
from dbtorch.core.freshness import Thresholds, span
from dbtorch.core.graph import Kind, Node
from dbtorch.core.history import AttemptRecord, NodeRecord, RunSummary
from dbtorch.core.state import RunState, State

#: Kinds that somebody builds, so that they have an age.
BUILT = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT, Kind.STEP)

_UNCHECKED = "runtime error"  # dbt's word for a source that it cannot check


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the history knows of one project on one target."""

    target: str = ""  # empty when there is no history
    runs: tuple[RunSummary, ...] = ()  # the last one of each pipeline in each state; no counts
    successes: Mapping[str, datetime] = field(default_factory=dict)  # when nodes last ended well
    ends: Mapping[str, NodeRecord] = field(default_factory=dict)  # in the last run of each pipeline
    checks: Mapping[str, AttemptRecord] = field(default_factory=dict)  # the last one of each source


class Health(StrEnum):
    """What is to be thought of something."""

    OK = "ok"  # as old as it may be, or nobody said how old that is
    LATE = "late"  # a source beyond warn_after
    STALE = "stale"  # older than it may be
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


def pipeline_item(
    spec: PipelineSpec, runs: Iterable[RunSummary], now: datetime, *, alive: bool
) -> Item:
    """How a pipeline stands; ``alive`` says whether somebody drives its last run."""
    mine = sorted((r for r in runs if r.pipeline == spec.name), key=lambda r: r.started_at)
    good = [run for run in mine if run.state is RunState.SUCCESS]
    since = good[-1].started_at if good else None
    age = (now - since).total_seconds() if since is not None else None
    health, why = Health.OK, ""
    last = mine[-1] if mine else None
    if last is None:
        health, why = Health.UNKNOWN, "it never ran here"
    elif last.state is RunState.RUNNING and not alive:
        health, why = Health.FAILED, f"run {last.run_id} was interrupted"
    elif last.state is RunState.FAILED:
        health, why = Health.FAILED, f"run {last.run_id} failed"
    elif last.state is not RunState.SUCCESS:
        why = f"run {last.run_id} {_NOW[last.state]}"
    if spec.max_age is not None and (age is None or age > spec.max_age):
        health, late = Health.STALE, _too_old(age, spec.max_age, "no run of it succeeded yet")
        why = f"{late}; {why}" if why and mine else late
    return Item(
        kind="pipeline",
        id=f"pipeline.{spec.name}",
        name=spec.name,
        health=health,
        age=age,
        limit=spec.max_age,
        why=why,
        since=since,
    )


_NOW = {RunState.RUNNING: "is running", RunState.CANCELLED: "was cancelled"}


def built_item(
    node: Node,
    max_age: float | None,
    since: datetime | None,
    last: NodeRecord | None,
    now: datetime,
) -> Item:
    """How a node stands that is built; ``last`` is what became of it in the last run."""
    age = (now - since).total_seconds() if since is not None else None
    health, why = (Health.OK, "") if age is not None else (Health.UNKNOWN, "never built here")
    if max_age is not None and (age is None or age > max_age):
        health, why = Health.STALE, _too_old(age, max_age, why)
    if last is not None and last.state in _BAD:
        reason = f": {last.reason.splitlines()[0]}" if last.reason else ""
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


def source_item(
    node: Node, limits: Thresholds | None, check: AttemptRecord | None, now: datetime
) -> Item:
    """How a source stands, by the last check of it.

    One that was fresh then and would no longer be, had nothing come since, is unknown.
    """
    said: Mapping[str, Any] = (check.details.get("source") if check is not None else None) or {}
    since = _moment(said.get("max_loaded_at"))
    status = str(said.get("status") or _UNCHECKED)
    at = check.finished_at if check is not None else None
    age = (now - since).total_seconds() if since is not None else None
    limit = limits.error_after if limits is not None else None
    why = check.message if check is not None else "never checked here"
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
        kind="source",
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
