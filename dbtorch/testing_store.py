"""The in-memory double of the store."""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dbtorch.adapters.processes import this_host
from dbtorch.core.events import Changed, Outcome
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
from dbtorch.core.measure import LAST, ROW_COUNT, ROWS_AFFECTED, Measured, Rows, relation_of
from dbtorch.core.measure import median as middle
from dbtorch.core.standing import Standing
from dbtorch.core.state import FailureClass, RunState, State
from dbtorch.ports import LeaseHeld, LeaseLost, StoreError
from dbtorch.testing_outbox import MemoryOutbox


@dataclass(slots=True)
class _Kept:
    """What is known of one run."""

    run: RunRecord
    nodes: dict[str, NodeRecord] = field(default_factory=dict)  # in plan order
    attempts: dict[str, dict[int, AttemptRecord]] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    measures: dict[tuple[str, str], Measured] = field(default_factory=dict)  # by relation, name


class MemoryStore(MemoryOutbox):
    """Implements `Store` and forgets everything with the process."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._runs: dict[str, _Kept] = {}
        self._leases: dict[str, Lease] = {}

    # ---------------------------------------------------------------- writing

    def begin(
        self,
        run: RunRecord,
        nodes: Sequence[Node],
        changes: Sequence[Changed] = (),
        *,
        lease: Lease | None = None,
    ) -> None:
        """Write a run and its nodes, all pending; one that goes on is as ``changes`` leave it."""
        run = replace(run, options=_json(run.options), nodes=(), transitions=(), actions=())
        with self._lock:
            self._fence(lease)
            kept = self._runs.setdefault(run.run_id, _Kept(run))
            kept.run = replace(run, started_at=kept.run.started_at)
            known, kept.nodes = kept.nodes, {}
            for node in nodes:
                kept.nodes[node.id] = _merged(node, known.pop(node.id, None))
            kept.nodes.update(known)
            for change in changes:
                _record(kept, change)

    def record(
        self, run_id: str, changes: Sequence[Changed], *, lease: Lease | None = None
    ) -> None:
        """Write changes, and what they say about nodes and attempts."""
        with self._lock:
            if not changes:
                return
            self._fence(lease)
            kept = self._kept(run_id)
            for change in changes:
                _record(kept, change)

    def end(
        self, run_id: str, state: RunState, at: datetime, *, lease: Lease | None = None
    ) -> None:
        """Write how a run ended."""
        with self._lock:
            self._fence(lease)
            kept = self._kept(run_id)
            kept.run = replace(kept.run, state=state, finished_at=at)

    # ---------------------------------------------------------------- actions

    def act(self, run_id: str, action: Action) -> int:
        """Append an action; answers its ordinal. Raises `StoreError` for an unknown run."""
        with self._lock:
            kept = self._kept(run_id)
            ordinal = len(kept.actions) + 1
            kept.actions.append(replace(action, ordinal=ordinal))
            return ordinal

    def handled(self, run_id: str, ordinal: int, at: datetime) -> None:
        """Write when an action took effect; the first time counts."""
        with self._lock:
            actions = self._kept(run_id).actions
            for place, action in enumerate(actions):
                if action.ordinal == ordinal and action.handled_at is None:
                    actions[place] = replace(action, handled_at=at)

    def actions(self, run_id: str, *, after: int = 0) -> list[Action]:
        """Actions of a run with an ordinal greater than ``after``, in order."""
        with self._lock:
            kept = self._runs.get(run_id)
            return [] if kept is None else [a for a in kept.actions if a.ordinal > after]

    # ---------------------------------------------------------------- reading

    def run(self, run_id: str, *, transitions: bool = True) -> RunRecord | None:
        """One run with its nodes in plan order, attempts and transitions; None for none."""
        with self._lock:
            kept = self._runs.get(run_id)
            if kept is None:
                return None
            nodes = [
                replace(node, attempts=tuple(_ordered(kept.attempts.get(node.id, {}))))
                for node in kept.nodes.values()
            ]
            return replace(
                kept.run,
                nodes=tuple(nodes),
                transitions=tuple(kept.transitions) if transitions else (),
                actions=tuple(kept.actions),
            )

    def runs(
        self, *, limit: int = 20, pipeline: str | None = None, state: RunState | None = None
    ) -> list[RunSummary]:
        """The newest runs first."""
        with self._lock:
            found = [
                _summary(kept)
                for kept in self._newest()
                if pipeline in (None, kept.run.pipeline) and state in (None, kept.run.state)
            ]
        return found[:limit]

    def find(self, prefix: str) -> list[str]:
        """Ids of runs that start with this, newest first; "latest" is the newest run."""
        with self._lock:
            ids = [kept.run.run_id for kept in self._newest()]
        return ids[:1] if prefix == "latest" else [id for id in ids if id.startswith(prefix)]

    def attempts(self, run_id: str, node_id: str) -> list[AttemptRecord]:
        """Attempts of a node, in order."""
        with self._lock:
            kept = self._runs.get(run_id)
            return _ordered(kept.attempts.get(node_id, {})) if kept is not None else []

    def durations(
        self, project: str, target: str, *, last: int = 10
    ) -> dict[str, tuple[float, ...]]:
        """Seconds of each node's last successes on this target, the newest first."""
        found: defaultdict[str, list[tuple[datetime, float]]] = defaultdict(list)
        with self._lock:
            for kept in self._runs.values():
                if (kept.run.project, kept.run.target) == (project, target):
                    for node_id, attempts in kept.attempts.items():
                        found[node_id] += _successes(attempts.values())
        newest = {id: sorted(times, reverse=True)[:last] for id, times in found.items() if times}
        return {id: tuple(seconds for _, seconds in times) for id, times in newest.items()}

    def standing(self, project: str, target: str = "") -> Standing:
        """How a project stands on a target; on that of its newest run when none is named."""
        with self._lock:
            mine = [kept for kept in reversed(self._newest()) if kept.run.project == project]
            target = target or (mine[-1].run.target if mine else "")
            mine = [kept for kept in mine if kept.run.target == target]
            last = {(kept.run.pipeline, kept.run.state): kept for kept in mine}
            newest = {kept.run.pipeline: kept for kept in mine}
            runs = sorted(last.values(), key=mine.index)
            successes: dict[str, datetime] = {}
            checks: list[tuple[str, AttemptRecord]] = []
            for kept in mine:
                for id, attempts in kept.attempts.items():
                    ends = [at for at, _ in _successes(attempts.values())]
                    if ends:
                        successes[id] = max([*ends, *([successes[id]] if id in successes else [])])
                    if id.startswith("source."):
                        checks += [(id, one) for one in attempts.values() if one.finished_at]
        checks.sort(key=lambda check: str(check[1].finished_at))
        return Standing(
            target=target,
            runs=tuple(replace(_summary(kept), counts={}) for kept in runs),
            successes=successes,
            ends={
                id: replace(node, attempts=())
                for kept in sorted(newest.values(), key=mine.index)
                for id, node in kept.nodes.items()
            },
            checks=dict(checks),
        )

    def measured(
        self,
        project: str,
        target: str,
        node_id: str,
        measure: str,
        *,
        last: int,
        but: str = "",
        settled: str = "",
    ) -> list[Measured]:
        """What the last runs measured, the newest first."""
        with self._lock:
            found = [
                kept.measures[node_id, measure]
                for kept in self._runs.values()
                if (kept.run.project, kept.run.target) == (project, target)
                and kept.run.run_id != but
                and (node_id, measure) in kept.measures
                and not (settled in kept.nodes and kept.nodes[settled].state is State.FAILED)
            ]
        return sorted(found, key=lambda one: one.measured_at, reverse=True)[:last]

    def rows(self, run_id: str, node_id: str = "") -> dict[str, Rows]:
        """Rows of each relation in a run, and what was usual until then."""
        with self._lock:
            kept = self._runs.get(run_id)
            measures = kept.measures if kept is not None else {}
        told: dict[str, Rows] = {}
        for name in (ROW_COUNT, ROWS_AFFECTED):
            for (relation, measure), one in measures.items():
                if kept is not None and measure == name and node_id in ("", relation):
                    series = self.measured(
                        kept.run.project, kept.run.target, relation, name, last=10**6
                    )
                    before = [e.number for e in series if e.measured_at < one.measured_at]
                    usual = middle([number for number in before if number is not None][:LAST])
                    told[relation] = Rows(rows=int(one.number or 0), usual=usual)
        return told

    # ---------------------------------------------------------------- leases

    def acquire(self, lease: Lease, *, now: datetime) -> None:
        """Take a lease that is free, expired, or held by a dead process. Raises `LeaseHeld`."""
        with self._lock:
            held = self._leases.get(lease.name)
            if held is not None and not _may_take(lease, held, now):
                raise LeaseHeld(held)
            self._leases[lease.name] = lease

    def renew(self, lease: Lease, *, now: datetime) -> bool:
        """Prolong a lease; False when somebody else has it by now."""
        with self._lock:
            held = self._leases.get(lease.name)
            if held is None or not _mine(held, lease):
                return False
            self._leases[lease.name] = replace(held, expires_at=now + lease.lifetime)
            return True

    def release(self, lease: Lease) -> None:
        """Give a lease back; silent when it is somebody else's."""
        with self._lock:
            held = self._leases.get(lease.name)
            if held is not None and _mine(held, lease):
                del self._leases[lease.name]

    def holder(self, name: str) -> Lease | None:
        """Who has a lease, expired or not."""
        with self._lock:
            return self._leases.get(name)

    def close(self) -> None:
        """Nothing to close; what was written can still be read."""

    def _fence(self, lease: Lease | None) -> None:
        if lease is None:
            return
        held = self._leases.get(lease.name)
        mine = held is not None and _mine(held, lease) and held.acquired_at == lease.acquired_at
        if not mine:
            raise LeaseLost(lease, held)

    def _kept(self, run_id: str) -> _Kept:
        if run_id not in self._runs:
            raise StoreError(f"there is no run {run_id}")
        return self._runs[run_id]

    def _newest(self) -> list[_Kept]:
        key = lambda kept: (kept.run.started_at, kept.run.run_id)
        return sorted(self._runs.values(), key=key, reverse=True)


# -------------------------------------------------------------------- a run goes on


def _merged(node: Node, known: NodeRecord | None) -> NodeRecord:
    record = NodeRecord(
        id=node.id,
        kind=node.kind,
        name=node.name,
        state=State.PENDING,
        path=node.path,
        materialized=node.materialized,
        owner=node.owner,
        runbook=node.runbook,
        group=node.group,
        checksum=node.checksum,
    )
    if known is None:
        return record
    return replace(
        record,
        state=known.state,
        reason=known.reason,
        updated_at=known.updated_at,
        retry_at=known.retry_at,
    )


# -------------------------------------------------------------------- changes


def _record(kept: _Kept, change: Changed) -> None:
    node = kept.nodes.get(change.node_id)
    if node is not None:
        kept.nodes[node.id] = replace(
            node,
            state=change.state,
            reason=change.reason,
            updated_at=change.at,
            retry_at=change.retry_at,
        )
    kept.transitions.append(
        Transition(
            node_id=change.node_id,
            attempt=change.attempt,
            before=change.before,
            state=change.state,
            at=change.at,
            reason=change.reason,
        )
    )
    for measure in change.outcome.measures if change.outcome is not None else ():
        kept.measures[relation_of(change.node_id), measure.name] = Measured(
            run_id=kept.run.run_id,
            measured_at=change.at,
            number=measure.number,
            detail=_json(measure.detail),
        )
    attempts = kept.attempts.setdefault(change.node_id, {})
    if change.before.active and change.state is State.PENDING:
        attempts.pop(change.attempt + 1, None)  # handed out, and left out by dbt: it was none
    attempt = _attempt_after(attempts.get(change.attempt), change)
    if attempt is not None:
        attempts[change.attempt] = attempt


def _attempt_after(attempt: AttemptRecord | None, change: Changed) -> AttemptRecord | None:
    """What a change makes of an attempt; None when there is none."""
    runs = change.state is State.RUNNING
    ends = change.state.final or change.state is State.UP_FOR_RETRY
    if change.state is State.QUEUED:
        return AttemptRecord(number=change.attempt, state=State.QUEUED, queued_at=change.at)
    if change.before is State.PENDING and (runs or change.outcome is not None):
        # A hook: nobody queues it.
        attempt = AttemptRecord(number=change.attempt, state=change.state, queued_at=change.at)
    if attempt is None:
        return None
    if runs:
        return replace(attempt, state=State.RUNNING, started_at=change.at)
    if ends and (change.outcome is not None or change.before.active):
        return _closed(attempt, change)
    return attempt


def _closed(attempt: AttemptRecord, change: Changed) -> AttemptRecord:
    failed = change.state in (State.FAILED, State.UP_FOR_RETRY)
    state = State.FAILED if failed else change.state
    unknown = Outcome(
        state=state, message=change.reason, failure_class=FailureClass.UNKNOWN if failed else None
    )
    outcome = change.outcome or unknown
    return replace(
        attempt,
        state=state,
        finished_at=change.at,
        failure_class=outcome.failure_class,
        message=outcome.message,
        rows_affected=outcome.rows_affected,
        output=_json(outcome.output),
        details=_json(outcome.details),
    )


# -------------------------------------------------------------------- small questions


def _json(value: Any) -> Any:
    """What becomes of a value on its way through JSON, and a copy of it."""
    return json.loads(json.dumps(value, default=str))


def _ordered(attempts: Mapping[int, AttemptRecord]) -> list[AttemptRecord]:
    return [attempts[number] for number in sorted(attempts)]


def _successes(attempts: Iterable[AttemptRecord]) -> list[tuple[datetime, float]]:
    return [
        (attempt.finished_at, attempt.seconds)
        for attempt in attempts
        if attempt.state in (State.SUCCESS, State.WARN)
        and attempt.finished_at is not None
        and attempt.seconds is not None
    ]


def _summary(kept: _Kept) -> RunSummary:
    counts: defaultdict[State, int] = defaultdict(int)
    for node in kept.nodes.values():
        if node.kind is not Kind.SESSION:
            counts[node.state] += 1
    return RunSummary(
        run_id=kept.run.run_id,
        pipeline=kept.run.pipeline,
        target=kept.run.target,
        logical_date=kept.run.logical_date,
        state=kept.run.state,
        started_at=kept.run.started_at,
        finished_at=kept.run.finished_at,
        counts=dict(counts),
    )


def _may_take(lease: Lease, held: Lease, now: datetime) -> bool:
    return _mine(held, lease) or held.expires_at <= now or _is_dead(held)


def _mine(held: Lease, lease: Lease) -> bool:
    return (held.run_id, held.host, held.pid) == (lease.run_id, lease.host, lease.pid)


def _is_dead(held: Lease) -> bool:
    """Whether the holder is known to be gone; nothing is known about other machines."""
    if held.host != this_host() or held.pid <= 0 or os.name != "posix":
        return False
    try:
        os.kill(held.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
