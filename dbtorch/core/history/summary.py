"""What there is to say about a run that has ended. Pure: records in, a summary out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from dbtorch.core.failures.message import tidy
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunRecord
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.graph import LOOKERS, Graph, Kind, Node
from dbtorch.core.model.naming import names_among, short_name
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import SESSION_CLOSE

if TYPE_CHECKING:
    from dbtorch.core.history.uploaded import Uploaded

#: Names of blocked nodes, and of slowest nodes, that a summary lists.
LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A node that failed, and everything a person needs to act on it."""

    id: str
    kind: Kind
    name: str
    message: str  # readable, and not too long
    more_lines: int  # of the message, left out here
    attempts: int
    failure_class: FailureClass | None
    path: str
    owner: str
    runbook: str
    group: str
    log: str  # where the last attempt's log is; empty when there was none
    blocked: int  # nodes that did not run because of it; tests and checks are not counted
    behind: int  # the same, tests and checks counted
    behind_names: tuple[str, ...]  # the most important of them
    called: str = ""  # what it is called where no other node of the run is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A node that succeeded and has something to complain about."""

    id: str
    kind: Kind
    name: str
    message: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Nodes that did not run, all for the same reason."""

    state: State
    reason: Reason
    count: int
    names: tuple[str, ...]
    behind_failures: bool = False  # failures of the summary name all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A node and the seconds its attempts ran."""

    id: str
    kind: Kind
    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A node that needed more than one attempt to succeed."""

    id: str
    kind: Kind
    name: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a summary says, in the order it says it."""

    run_id: str
    pipeline: str
    target: str
    state: RunState
    partial: bool  # the run was of a part of its pipeline
    waits: Mapping[str, tuple[str, ...]]  # source that is not fresh -> what it held back
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None  # wall time
    command: tuple[str, ...]  # of this execution, as typed
    latest: bool  # no run has begun since, so that "latest" means this one
    counts: Mapping[State, int]  # ends of the session left out
    failures: tuple[Failure, ...]
    warnings: tuple[Warned, ...]
    left_out: tuple[LeftOut, ...]  # largest first
    dbt_warnings: tuple[DbtWarning, ...] = ()  # besides those of nodes
    retried: tuple[Retried, ...]
    slowest: tuple[Timed, ...]
    critical_path: tuple[Timed, ...]  # the most expensive path, by what its nodes really took
    critical_seconds: float
    critical_share: float | None  # of the wall time
    reload: tuple[str, ...] = ()  # steps that produce what a gate found stale
    uploaded: Uploaded | None = None  # None where files stay on the machine
    link: str = ""  # to the run in a browser


def summarize(
    run: RunRecord,
    *,
    log_path: Callable[[str, int], object] | None = None,
    since: datetime | None = None,
    gone_since: datetime | None = None,
    command: Sequence[str] | None = None,
    latest: bool = True,
    uploaded: Uploaded | None = None,
    link: str = "",
) -> Summary:
    """Sum up a run.

    ``since`` is when the last execution of a resumed run began; times before it do not count. Of
    nodes that had gone before ``gone_since`` a person knows.
    """
    graph = graph_of(run)
    nodes = [node for node in run.nodes if node.kind is not Kind.SESSION]
    since = since or run.started_at
    wall = (run.finished_at - since).total_seconds() if run.finished_at else None
    times = {node.id: _seconds(node, since) for node in nodes}
    ran = [node for node in nodes if times[node.id] > 0]
    slowest = sorted(ran, key=lambda node: -times[node.id])[:LISTED]
    path = [id for id in graph.critical_path(times) if times.get(id, 0.0) > 0]
    on_path = sum(times[id] for id in path)
    by_id = {node.id: node for node in ran}
    return Summary(
        run_id=run.run_id,
        pipeline=run.pipeline,
        target=run.target,
        state=run.state,
        partial=run.partial,
        waits=run.waits,
        started_at=since,
        finished_at=run.finished_at,
        seconds=wall,
        command=run.command if command is None else tuple(command),
        latest=latest,
        counts=Counter(node.state for node in nodes),
        failures=tuple(failures_of(run, graph, log_path=log_path)),
        warnings=tuple(_warned(node) for node in nodes if node.state is State.WARN),
        left_out=tuple(left_out(_not_gone_before(run.nodes, gone_since or since), graph)),
        dbt_warnings=run.dbt_warnings,
        retried=tuple(
            Retried(id=node.id, kind=node.kind, name=_name(node), attempts=len(node.attempts))
            for node in nodes
            if node.state.ok and _in_the_end(node.attempts, since)
        ),
        slowest=tuple(_timed(node, times[node.id]) for node in slowest),
        critical_path=tuple(_timed(by_id[id], times[id]) for id in path),
        critical_seconds=on_path,
        critical_share=min(1.0, on_path / wall) if wall else None,
        reload=_producers_of_stale(nodes, graph),
        uploaded=uploaded,
        link=link,
    )


def graph_of(run: RunRecord) -> Graph:
    """The graph a run was about."""
    known = {node.id for node in run.nodes}
    nodes = [Node(id=node.id, kind=node.kind, name=node.name, path=node.path) for node in run.nodes]
    edges = [(before, after) for before, after in run.edges if before in known and after in known]
    return Graph(nodes, edges)


def failures_of(
    run: RunRecord, graph: Graph, *, log_path: Callable[[str, int], object] | None = None
) -> Iterable[Failure]:
    """Failed nodes in plan order, a failed dbt session among them."""
    states = {node.id: node.state for node in run.nodes}
    failed = [node for node in run.nodes if node.state is State.FAILED]
    names = names_among(run.nodes) if failed else {}
    for node in failed:
        if node.id == SESSION_CLOSE and any(n.kind is Kind.OPERATION for n in failed):
            continue  # the hook that failed says it better
        behind = [
            id
            for id in graph.descendants(node.id)
            if states[id] is State.UPSTREAM_FAILED and graph.nodes[id].kind is not Kind.SESSION
        ]
        yield replace(
            _failure(node, log_path),
            called=node.id if node.kind is Kind.SESSION else names[node.id],
            blocked=sum(graph.nodes[id].kind not in LOOKERS for id in behind),
            behind=len(behind),
            behind_names=tuple(by_importance(behind, graph, names)[:LISTED]),
        )


_LEFT_OUT = (State.SKIPPED, State.UPSTREAM_FAILED, State.CANCELLED, State.REMOVED)


def _not_gone_before(nodes: Iterable[NodeRecord], since: datetime) -> Iterable[NodeRecord]:
    """Nodes without those that had gone before."""
    for node in nodes:
        gone = node.state is State.REMOVED
        if not (gone and node.updated_at is not None and node.updated_at < since):
            yield node


def left_out(nodes: Iterable[NodeRecord], graph: Graph) -> list[LeftOut]:
    """Nodes that were skipped, blocked or cancelled, grouped by reason."""
    groups: dict[tuple[State, str], list[str]] = {}
    reasons: dict[tuple[State, str], Reason] = {}
    by_id = {node.id: node for node in nodes}
    failed = [node.id for node in by_id.values() if node.state is State.FAILED]
    behind = {id for one in failed for id in graph.descendants(one)}
    for node in by_id.values():
        if node.state not in _LEFT_OUT or node.kind is Kind.SESSION:
            continue
        if not _is_gate(node, graph, by_id):
            reason = _run_wide(node, by_id)
            group = (node.state, tidy(str(reason))[0])
            groups.setdefault(group, []).append(node.id)
            reasons.setdefault(group, reason)
    found = [
        LeftOut(
            state=group[0],
            reason=reasons[group],
            count=len(ids),
            names=tuple(by_importance(ids, graph)[:LISTED]),
            behind_failures=group[0] is State.UPSTREAM_FAILED and behind.issuperset(ids),
        )
        for group, ids in groups.items()
    ]
    return sorted(found, key=lambda group: -group.count)


def _producers_of_stale(nodes: Iterable[NodeRecord], graph: Graph) -> tuple[str, ...]:
    """Steps that produce sources whose gates hold something back."""
    by_id = {node.id: node for node in nodes}
    skipped = (node for node in by_id.values() if node.state is State.SKIPPED)
    stale = [node.id for node in skipped if _is_gate(node, graph, by_id)]
    before = [graph.nodes[step] for id in stale for step in graph.parents(id)]
    return tuple(dict.fromkeys(node.name for node in before if node.kind is Kind.STEP))


def _is_gate(node: NodeRecord, graph: Graph, nodes: Mapping[str, NodeRecord]) -> bool:
    """Whether a node is a source that says why those after it did not run: they are counted."""
    if node.kind is not Kind.SOURCE or not node.attempts:
        return False
    return any(nodes[id].state is node.state for id in graph.children(node.id) if id in nodes)


def _run_wide(node: NodeRecord, nodes: Mapping[str, NodeRecord]) -> Reason:
    """The reason of a node; what ended the whole run counts, not the node it came through."""
    through = nodes.get(node.reason.cause)
    if through is None or through.state is not node.state:
        return node.reason
    whole_run = node.state is State.CANCELLED or through.reason.kind is ReasonKind.FAIL_FAST
    return through.reason if whole_run else node.reason


def _failure(node: NodeRecord, log_path: Callable[[str, int], object] | None) -> Failure:
    last = node.attempts[-1] if node.attempts else None
    message, more = tidy((last.message if last else "") or str(node.reason))
    return Failure(
        id=node.id,
        kind=node.kind,
        name=_name(node),
        message=message,
        more_lines=more,
        attempts=len(node.attempts),
        failure_class=last.failure_class if last else None,
        path=node.path,
        owner=node.owner,
        runbook=node.runbook,
        group=node.group,
        log=str(log_path(node.id, last.number)) if last and log_path else "",
        blocked=0,
        behind=0,
        behind_names=(),
    )


def _in_the_end(attempts: Sequence[AttemptRecord], since: datetime) -> bool:
    """Whether the last attempt succeeded, in this execution, after one that had not."""
    if attempts and attempts[-1].queued_at < since:
        return False
    return len(attempts) > 1 and attempts[-1].state.ok and not attempts[-2].state.ok


def _name(node: NodeRecord) -> str:
    if node.kind is not Kind.SESSION:
        return short_name(node)
    return "dbt session, closing" if node.id == SESSION_CLOSE else "dbt session"


def _warned(node: NodeRecord) -> Warned:
    message = node.attempts[-1].message if node.attempts else str(node.reason)
    return Warned(
        id=node.id, kind=node.kind, name=_name(node), message=tidy(message)[0], owner=node.owner
    )


def _timed(node: NodeRecord, seconds: float) -> Timed:
    return Timed(id=node.id, kind=node.kind, name=_name(node), seconds=seconds)


def _seconds(node: NodeRecord, since: datetime) -> float:
    return sum(_ran(attempt) for attempt in node.attempts if attempt.queued_at >= since)


def _ran(attempt: AttemptRecord) -> float:
    return attempt.seconds or 0.0


def by_importance(
    ids: Iterable[str], graph: Graph, names: Mapping[str, str] | None = None
) -> list[str]:
    """Names, those first whose absence people notice: exposures, pushes, marts; tests last.

    ``names`` are those of all nodes, for who has them already.
    """
    wanted = set(ids)
    if not wanted:
        return []
    nodes = [graph.nodes[id] for id in graph.order() if id in wanted]
    nodes = [node for node in nodes if node.kind is not Kind.SESSION]
    nodes.sort(key=lambda node: _importance(node, graph))
    names = names_among(graph.nodes.values()) if names is None else names
    return [names[node.id] for node in nodes]


def _importance(node: Node, graph: Graph) -> int:
    if node.kind is Kind.EXPOSURE:
        return 0
    if node.kind is Kind.MODEL:
        if "mart" in node.path:
            return 1
        read = any(graph.nodes[id].kind is Kind.MODEL for id in graph.children(node.id))
        return 3 if read else 2
    return {Kind.STEP: 1, Kind.TEST: 6, Kind.UNIT_TEST: 6, Kind.CHECK: 6, Kind.OPERATION: 7}.get(
        node.kind, 4
    )
