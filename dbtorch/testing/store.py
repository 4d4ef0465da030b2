"""The in-memory double of the store."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dbtorch.core.errors import StoreError
from dbtorch.core.history.health import HealthFacts, last_ends
from dbtorch.core.history.records import (
    Action,
    AttemptRecord,
    Lease,
    NodeRecord,
    RunRecord,
    RunSummary,
    Transition,
)
from dbtorch.core.history.retention import RunAge, outlived
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import (
    Changed,
    MicrobatchesPlanned,
    Outcome,
    Progress,
    Window,
)
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.measure import (
    LAST,
    ROW_COUNT,
    ROWS_AFFECTED,
    Measured,
    Rows,
    relation_of,
    rows_of,
)
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.ports import LeaseHeld, LeaseLost
from dbtorch.testing.ledger import MemoryLedger, is_held
from dbtorch.testing.outbox import ANYBODY, MemoryOutbox


@dataclass(slots=True)
class _Kept:
    """What is known of one run."""

    run: RunRecord
    project_id: str = ""
    nodes: dict[str, NodeRecord] = field(default_factory=dict)  # in plan order
    attempts: dict[str, dict[int, AttemptRecord]] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    measures: dict[tuple[str, str], Measured] = field(default_factory=dict)  # by relation, name
    microbatches: dict[str, dict[Window, bool]] = field(default_factory=dict)  # whether built


class MemoryStore(MemoryOutbox, MemoryLedger):
    """Implements `Store` and forgets everything with the process."""

    def __init__(
        self,
        identity: Identity = ANYBODY,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``clock`` is the database's, by which leases are over."""
        MemoryOutbox.__init__(self, identity)
        MemoryLedger.__init__(self)
        self.clock = clock
        self._lock = threading.RLock()
        self._runs: dict[str, _Kept] = {}
        self._leases: dict[str, Lease] = {}

    def of(self, identity: Identity) -> MemoryStore:
        """The same history as another project sees it."""
        other = copy(self)
        other.identity = identity
        return other

    def apart(self) -> MemoryStore:
        """The store itself: it waits for nobody."""
        return self

    # ---------------------------------------------------------------- writing

    def begin(
        self,
        run: RunRecord,
        nodes: Sequence[Node],
        changes: Sequence[Changed] = (),
        *,
        anew: Collection[str] = (),
        lease: Lease | None = None,
        tick: str = "",
    ) -> None:
        """Write a run and its nodes, all pending; one that goes on is as ``changes`` leave it."""
        run = replace(run, options=_json(run.options), nodes=(), transitions=(), actions=())
        run = replace(run, place=self.identity.place(run.target))
        mine = self.identity.project_id
        with self._lock:
            self._fence(lease)
            kept = self._runs.get(run.run_id, _Kept(run, mine))
            if kept.project_id != mine:
                raise StoreError(f"run {run.run_id} is another project's; nothing was written")
            if tick:
                self._start_tick(tick, run.run_id)
            self._runs[run.run_id] = kept
            kept.run = replace(run, started_at=kept.run.started_at, command=kept.run.command)
            known, kept.nodes = kept.nodes, {}
            for node in nodes:
                kept.nodes[node.id] = _merged(node, known.pop(node.id, None))
            kept.nodes.update(known)
            for change in changes:
                _record(kept, change)
            for id in anew:
                kept.microbatches[id] = dict.fromkeys(kept.microbatches.get(id, ()), False)

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

    def note(
        self, run_id: str, progress: Sequence[Progress], *, lease: Lease | None = None
    ) -> None:
        """Write what attempts are about to build, and have built."""
        with self._lock:
            self._fence(lease)
            kept = self._kept(run_id)
            for event in progress:
                known = kept.microbatches.setdefault(event.attempt.node_id, {})
                if isinstance(event, MicrobatchesPlanned):
                    known.update(dict.fromkeys(event.windows, False))
                elif event.window in known:
                    known[event.window] = True

    def end(
        self,
        run_id: str,
        state: RunState,
        at: datetime,
        *,
        lease: Lease | None = None,
        dbt_warnings: Sequence[DbtWarning] | None = None,
    ) -> None:
        """Write how a run ended, and what dbt warned of; None leaves that as it is."""
        with self._lock:
            self._fence(lease)
            kept = self._kept(run_id)
            said = kept.run.dbt_warnings if dbt_warnings is None else tuple(dbt_warnings)
            kept.run = replace(kept.run, state=state, finished_at=at, dbt_warnings=said)
            self._end_tick(run_id, state, at)

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
            kept = self._known(run_id)
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
                if self._is_here(kept.run)
                and pipeline in (None, kept.run.pipeline)
                and state in (None, kept.run.state)
            ]
        return found[:limit]

    def outlived(self, before: datetime) -> list[str]:
        """Runs that `prune` would remove."""
        with self._lock:
            held = {lease.run_id for lease in self._leases.values()}
            mine = (
                kept.run
                for kept in self._runs.values()
                if kept.project_id == self.identity.project_id
            )
            return outlived([_age(run, held=run.run_id in held) for run in mine], before)

    def prune(self, before: datetime, *, most: int) -> list[str]:
        """Remove runs that ended before a time, the oldest first; answers which."""
        with self._lock:
            gone = self.outlived(before)[:most]
            for run_id in gone:
                del self._runs[run_id]
            self._forget_messages(gone, before)
            self._forget_ticks(before)
            return gone

    def find(self, prefix: str) -> list[str]:
        """Ids of runs that start with this, newest first; "latest" is the newest run."""
        with self._lock:
            runs = [kept.run for kept in self._newest()]
        if prefix == "latest":
            return [run.run_id for run in runs if self._is_here(run)][:1]
        return [run.run_id for run in runs if run.run_id.startswith(prefix)]

    def outcomes(self, *, since: datetime) -> dict[str, RunState]:
        """How the runs stand, by id, of ticks from a time on."""
        with self._lock:
            known = {tick.run_id for _, tick in self._mine() if tick.scheduled_for >= since}
            mine = self.identity.project_id
            return {
                id: kept.run.state
                for id, kept in self._runs.items()
                if id in known and kept.project_id == mine
            }

    def adopt(self, target: str) -> None:
        """Nothing is older than the process."""

    def microbatches(self, run_id: str) -> dict[str, dict[Window, bool]]:
        """The batches that a run has planned of each microbatch model, and which are built."""
        with self._lock:
            kept = self._known(run_id)
            found = {} if kept is None else kept.microbatches
            return {id: dict(sorted(windows.items())) for id, windows in found.items() if windows}

    def attempts(self, run_id: str, node_id: str) -> list[AttemptRecord]:
        """Attempts of a node, in order."""
        with self._lock:
            kept = self._runs.get(run_id)
            return _ordered(kept.attempts.get(node_id, {})) if kept is not None else []

    def last_success_end(
        self, target: str, pipeline: str, *, before: datetime | None = None
    ) -> datetime | None:
        """Where the last interval ends of whole runs of a pipeline that succeeded on this target.

        With ``before`` those that end there or later do not count.
        """
        ends = [interval.end for interval in self.successful_intervals(target, pipeline)]
        return max((end for end in ends if before is None or end < before), default=None)

    def successful_intervals(self, target: str, pipeline: str) -> list[Interval]:
        """What whole runs stood for that succeeded, in the order in which they began."""
        with self._lock:
            return [
                Interval(run.data_interval_start, run.data_interval_end)
                for run in reversed([kept.run for kept in self._newest()])
                if self._is_of(run, target)
                and run.pipeline == pipeline
                and run.state is RunState.SUCCESS
                and not run.partial
            ]

    def durations(self, target: str, *, last: int = 10) -> dict[str, tuple[float, ...]]:
        """Seconds of each node's last successes on this target, the newest first."""
        found: defaultdict[str, list[tuple[datetime, float]]] = defaultdict(list)
        with self._lock:
            for kept in self._newest():
                if self._is_of(kept.run, target):
                    for node_id, attempts in kept.attempts.items():
                        found[node_id] += _successes(attempts.values())
        newest = {id: sorted(times, reverse=True)[:last] for id, times in found.items() if times}
        return {id: tuple(seconds for _, seconds in times) for id, times in newest.items()}

    def standing(self, target: str = "") -> HealthFacts:
        """How the project stands on a target; on that of its newest run when none is named."""
        with self._lock:
            mine = [kept for kept in reversed(self._newest()) if self._is_here(kept.run)]
            target = target or (mine[-1].run.target if mine else "")
            mine = [kept for kept in mine if self._is_of(kept.run, target)]
            last = {(k.run.pipeline, k.run.state, k.run.partial): k for k in mine}
            whole = {
                kept.run.pipeline: kept.run.started_at
                for kept in mine
                if not kept.run.partial and kept.run.state in _JUDGED
            }
            runs = sorted(last.values(), key=mine.index)
            successes: dict[str, datetime] = {}
            checks: list[tuple[str, AttemptRecord]] = []
            for kept in mine:
                for id, attempts in kept.attempts.items():
                    ends = [at for at, _ in _successes(attempts.values())]
                    if ends:
                        successes[id] = max([*ends, *([successes[id]] if id in successes else [])])
                    if id in kept.nodes and kept.nodes[id].kind is Kind.SOURCE:
                        checks += [(id, one) for one in attempts.values() if one.finished_at]
        checks.sort(key=lambda check: str(check[1].finished_at))
        return HealthFacts(
            target=target,
            runs=tuple(replace(_summary(kept), counts={}) for kept in runs),
            successes=successes,
            ends=last_ends(
                replace(node, attempts=())
                for kept in mine
                if kept.run.started_at >= whole.get(kept.run.pipeline, kept.run.started_at)
                for node in kept.nodes.values()
                if node.state.final
            ),
            checks=dict(checks),
        )

    def measured(
        self,
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
                for kept in self._newest()
                if self._is_of(kept.run, target)
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
                    series = self.measured(kept.run.target, relation, name, last=10**6)
                    before = [e.number for e in series if e.measured_at < one.measured_at]
                    node = kept.nodes.get(relation)
                    told[relation] = rows_of(
                        name,
                        one.number or 0,
                        before[:LAST],
                        materialized=node.materialized if node is not None else "",
                    )
        return told

    # ---------------------------------------------------------------- leases

    def acquire(self, lease: Lease, *, formerly: str = "") -> tuple[Lease, Lease | None]:
        """Take a lease that is free, over, or held by a dead process; answers who had it, too."""
        with self._lock:
            now, held = self.clock(), self._leases.get(lease.name)
            before = self._leases.get(formerly)
            if before is not None and not before.process and before.expires_at > now:
                raise LeaseHeld(before)
            if held is not None and not _mine(held, lease) and is_held(held, now):
                raise LeaseHeld(held)
            taken = replace(lease, acquired_at=now, expires_at=now + lease.lifetime)
            self._leases[lease.name] = taken
            return taken, held

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False when somebody else has it by now."""
        with self._lock:
            held = self._leases.get(lease.name)
            if held is None or not _mine(held, lease):
                return False
            expires_at = self.clock() + lease.lifetime
            self._leases[lease.name] = replace(held, expires_at=expires_at)
            return True

    def release(self, lease: Lease) -> None:
        """Give a lease back; silent when it is somebody else's."""
        with self._lock:
            held = self._leases.get(lease.name)
            if held is not None and _mine(held, lease):
                del self._leases[lease.name]

    def holder(self, name: str) -> Lease | None:
        """Who has a lease, over or not."""
        with self._lock:
            return self._leases.get(name)

    def driver(self, run_id: str) -> Lease | None:
        """Who drives a run at this moment, as far as can be known."""
        with self._lock:
            found = (lease for lease in self._leases.values() if lease.run_id == run_id)
            return next((lease for lease in found if is_held(lease, self.clock())), None)

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
        kept = self._known(run_id)
        if kept is None:
            raise StoreError(f"there is no run {run_id}")
        return kept

    def _known(self, run_id: str) -> _Kept | None:
        kept = self._runs.get(run_id)
        mine = kept is not None and kept.project_id == self.identity.project_id
        return kept if mine else None

    def _newest(self) -> list[_Kept]:
        mine = [k for k in self._runs.values() if k.project_id == self.identity.project_id]
        return sorted(mine, key=lambda k: (k.run.started_at, k.run.run_id), reverse=True)

    def _is_here(self, run: RunRecord) -> bool:
        """Whether the target of a run is the one that has this name here."""
        return run.target not in self.identity.places or self._is_of(run, run.target)

    def _is_of(self, run: RunRecord, target: str) -> bool:
        return run.target == target and run.place == self.identity.place(target)


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
        state=state,
        message=str(change.reason),
        failure_class=FailureClass.UNKNOWN if failed else None,
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
        lost=outcome.lost,
    )


# -------------------------------------------------------------------- small questions


def _json(value: Any) -> Any:
    """What becomes of a value on its way through JSON, and a copy of it."""
    return json.loads(json.dumps(value, default=str))


_JUDGED = (RunState.SUCCESS, RunState.FAILED, RunState.GATED)


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
        trigger=kept.run.trigger,
        partial=kept.run.partial,
        resumed_at=kept.run.resumed_at,
        seconds_before=kept.run.seconds_before,
    )


def _mine(held: Lease, lease: Lease) -> bool:
    mine = (lease.run_id, lease.host, lease.pid, lease.process)
    return (held.run_id, held.host, held.pid, held.process) == mine


def _age(run: RunRecord, *, held: bool) -> RunAge:
    return RunAge(
        run_id=run.run_id,
        place=run.place or run.target,
        pipeline=run.pipeline,
        started_at=run.started_at,
        ended_at=run.finished_at,
        interval=Interval(run.data_interval_start, run.data_interval_end),
        whole_success=run.state is RunState.SUCCESS and not run.partial,
        held=held,
    )
