"""Going on with a run: what stays, what runs again, and why. Pure: records in, changes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dbtorch.app.earlier import differs, is_marked, where
from dbtorch.core.history.records import UNWATCHED, AttemptRecord, NodeRecord, RunRecord
from dbtorch.core.model.events import NOTHING_EXECUTED, Changed
from dbtorch.core.model.graph import EVERY_TIME, Graph, Kind, Node
from dbtorch.core.model.policy import OnFailure, Trigger
from dbtorch.core.model.reason import NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan
from dbtorch.core.run.machine import PreviousState

#: Kinds that build nothing: those after them need not run again because of them.
_ONLY_LOOKS = frozenset(
    {Kind.TEST, Kind.UNIT_TEST, Kind.EXPOSURE, Kind.SOURCE, Kind.CHECK, *EVERY_TIME}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSpec:
    """What somebody asks for when a run goes on; by default, what did not succeed."""

    again: frozenset[str] = frozenset()  # these, and what depends on them, whatever their state
    never: frozenset[str] = frozenset()  # these stay as they are, if they have ended
    nothing_else: bool = False  # what ended otherwise stays as it is
    gone: frozenset[str] = frozenset()  # their relations are not there any more
    why: str = ""  # what was asked for, of nodes of ``again``


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePlan:
    """What a run goes on with."""

    prior: Mapping[str, PreviousState] = field(default_factory=dict)
    changes: tuple[Changed, ...] = ()  # to be written before anything starts
    anew: frozenset[str] = frozenset()  # run again, and nothing that they have built so far counts
    unsettled: frozenset[str] = frozenset()  # microbatch models that nobody knows how far are built
    nodes: tuple[Node, ...] = ()  # of the plan; those that stay with the code they ran with
    before: tuple[NodeRecord, ...] = ()  # as they are after ``changes``
    changed: tuple[str, ...] = ()  # succeeded with other code, and run again
    gone: tuple[str, ...] = ()  # had not ended well, and are in no plan any more
    blocked: Mapping[str, str] = field(default_factory=dict)  # asked for -> the failure before it
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # dbt's, of what stays


def start(plan: Plan) -> ResumePlan:
    """A run that begins."""
    return ResumePlan(nodes=tuple(plan.graph.nodes.values()))


def resume(earlier: RunRecord, plan: Plan, wish: ResumeSpec, now: datetime) -> ResumePlan:
    """How a run goes on whose supervisor has ended, or is gone."""
    from dbtorch.app.takeover import take_over

    taken = take_over(earlier)
    known = {node.id: node for node in taken.nodes}
    open_ends = {node.id for node in earlier.nodes if not node.state.final}
    again, blocked, builders = _again(plan, known, open_ends, wish)
    stays = {id for id in known if id in plan.graph and id not in again}
    stays -= {id for id in stays if plan.graph.nodes[id].kind in EVERY_TIME}
    moves = [*_moves(plan.graph, known, again, blocked, now)]
    moved = {change.node_id: change for change in moves}
    after = tuple(_after(node, moved.get(node.id)) for node in known.values())
    return ResumePlan(
        prior={
            node.id: PreviousState(node.state, node.last_attempt, stays=node.id in stays)
            for node in after
        }
        | {
            id: PreviousState(State.UPSTREAM_FAILED, 0, stays=True)
            for id in blocked.keys() - known.keys()
        },
        changes=(*taken.changes, *moves),
        anew=frozenset(
            id for id in again if id in wish.gone or _is_anew(known.get(id), plan.graph, builders)
        ),
        unsettled=frozenset(_unsettled(earlier, known)) - wish.gone,
        nodes=tuple(
            replace(node, checksum=known[id].checksum) if id in stays else node
            for id, node in plan.graph.nodes.items()
        ),
        before=after,
        changed=tuple(id for id, why in again.items() if why.kind is ReasonKind.CODE_CHANGED),
        gone=tuple(node.id for node in _without_success(known, plan.graph) if _is_shown(node)),
        blocked=blocked,
        results={id: _result(known[id]) for id in stays if _has_result(known[id])},
    )


def unwatched(earlier: RunRecord | None, plan: Plan) -> dict[str, list[str]]:
    """What the options of a run say of microbatch models whose batches may be built unheard of."""
    known = set(earlier.options.get(UNWATCHED, ()) if earlier is not None else ())
    if plan.batches is not None:
        known |= {id for id, node in plan.graph.nodes.items() if node.splits}
    return {UNWATCHED: sorted(known)} if known else {}


def _unsettled(earlier: RunRecord, known: Mapping[str, NodeRecord]) -> Iterator[str]:
    for id in earlier.options.get(UNWATCHED, ()):
        node = known.get(id)
        if node is not None and not node.state.ok and any(map(_may_have_built, node.attempts)):
            yield id


def _may_have_built(attempt: AttemptRecord) -> bool:
    return not attempt.details.get(NOTHING_EXECUTED)


# -------------------------------------------------------------------- what runs again


def _again(
    plan: Plan, known: Mapping[str, NodeRecord], open_ends: set[str], wish: ResumeSpec
) -> tuple[dict[str, Reason], dict[str, str], dict[str, str]]:
    """Nodes that run, with the reason where there is one, and those that something blocks.

    And, for each behind which something builds anew, the nearest that does.
    """
    again: dict[str, Reason] = {}
    blocked: dict[str, str] = {}
    builders: dict[str, str] = {}  # node that runs -> the nearest one that builds something anew
    doubted, stale = _doubted(known), _feeders_of_stale(plan.graph, known)
    for id in plan.graph.order():
        node = plan.graph.nodes[id]
        if node.kind in EVERY_TIME:
            continue
        why = _why(node, known.get(id), wish, doubted, stale.get(id, ""))
        parents = plan.graph.parents(id)
        builder = next((builders[parent] for parent in parents if parent in builders), None)
        if node.kind is Kind.SOURCE:
            if id in wish.again:
                again[id] = why or NO_REASON
                builders[id] = id
            elif builder is not None:
                builders[id] = builder
            continue
        if why is None and builder is not None and not _must_stay(known.get(id), wish):
            why = Reason(ReasonKind.UPSTREAM_RUNS_AGAIN, (builder,))
        if why is None and (id not in known or id in open_ends):
            why = NO_REASON
        if why is None:
            continue
        barrier = _barrier(id, plan, known, again, blocked)
        if barrier is not None:
            blocked[id] = barrier
            continue
        again[id] = why
        if node.kind not in _ONLY_LOOKS:
            builders[id] = id
        elif builder is not None:
            builders[id] = builder
    _check_anew(plan.graph, known, again)
    return again, blocked, builders


def _doubted(known: Mapping[str, NodeRecord]) -> set[str]:
    """Nodes that are recorded as good because dbt said so, and by what else it did are not."""
    reasons = [node.reason for node in known.values()]
    return {id for why in reasons if why.kind is ReasonKind.CONTRADICTED for id in why.nodes}


def _feeders_of_stale(graph: Graph, known: Mapping[str, NodeRecord]) -> dict[str, str]:
    """Step -> a source that it fills, and that was found not to be fresh."""
    looked = (node for node in known.values() if node.kind is Kind.SOURCE and node.attempts)
    return {
        step: source.id
        for source in looked
        if source.state in (State.SKIPPED, State.FAILED) and source.id in graph
        for step in graph.parents(source.id)
        if graph.nodes[step].kind is Kind.STEP
    }


def _is_anew(before: NodeRecord | None, graph: Graph, builders: Mapping[str, str]) -> bool:
    """Whether a node that runs again begins from its start: it was done, or builds on another."""
    if before is None:
        return False
    return before.state.ok or not builders.keys().isdisjoint(graph.parents(before.id))


def _check_anew(graph: Graph, known: Mapping[str, NodeRecord], again: dict[str, Reason]) -> None:
    """A source is as fresh as it is now: it is checked before whatever runs, in each execution."""
    for id, node in graph.nodes.items():
        marked = id in known and known[id].state.ok and is_marked(known[id])
        if (
            node.kind is Kind.SOURCE
            and not marked
            and not again.keys().isdisjoint(graph.children(id))
        ):
            again.setdefault(id, NO_REASON)


def _why(
    node: Node, before: NodeRecord | None, wish: ResumeSpec, doubted: set[str], stale: str
) -> Reason | None:
    """Why a node runs for its own sake; None when it does not. ``stale`` is what it feeds."""
    if node.id in wish.never:
        return None
    if node.id in wish.again:
        return Reason(ReasonKind.REQUESTED, text=wish.why)
    if before is None or wish.nothing_else:
        return None
    if not before.state.ok:
        return NO_REASON
    if stale:
        return Reason(ReasonKind.FEEDS_STALE, (stale,))
    if node.id in doubted:
        return Reason(ReasonKind.CONTRADICTED, (node.id,), "dbt contradicted its own success")
    if differs(before, node) and not is_marked(before):
        return Reason(ReasonKind.CODE_CHANGED, text=where(node))
    if node.id in wish.gone:
        return Reason(ReasonKind.RELATION_GONE)
    return None


def _must_stay(before: NodeRecord | None, wish: ResumeSpec) -> bool:
    return before is not None and before.id in wish.never and before.state.final


def _barrier(
    id: str,
    plan: Plan,
    known: Mapping[str, NodeRecord],
    again: Mapping[str, Reason],
    blocked: Mapping[str, str],
) -> str | None:
    """A failure that stays, and that a node cannot run behind."""
    if plan.policy(id).trigger is not Trigger.ALL_SUCCESS:
        return None
    for parent in plan.graph.parents(id):
        if parent in blocked:
            return blocked[parent]
        if parent in again or parent not in known:
            continue
        if plan.graph.nodes[parent].kind in (*EVERY_TIME, Kind.SOURCE):
            continue  # it is checked anew
        state = known[parent].state
        forgiven = plan.policy(parent).on_failure is OnFailure.CONTINUE and state is State.FAILED
        if not state.ok and not forgiven:
            return parent
    return None


def _moves(
    graph: Graph,
    known: Mapping[str, NodeRecord],
    again: Mapping[str, Reason],
    blocked: Mapping[str, str],
    now: datetime,
) -> Iterator[Changed]:
    """Nodes that go back to the start, and those that will never end by themselves."""
    for id, node in graph.nodes.items():
        before = known.get(id)
        if id in blocked:
            if before is None or not before.state.final:
                reason = Reason(ReasonKind.UPSTREAM_FAILED, (blocked[id],))
                yield _change(before or _fresh(node), State.UPSTREAM_FAILED, now, reason)
        elif before is None or before.state is State.PENDING:
            continue
        elif id in again or node.kind in EVERY_TIME:
            yield _change(before, State.PENDING, now, again.get(id, NO_REASON))
    for gone in _without_success(known, graph):
        yield _change(gone, State.REMOVED, now, Reason(ReasonKind.REMOVED))


def _without_success(known: Mapping[str, NodeRecord], graph: Graph) -> list[NodeRecord]:
    """Nodes that are in no plan any more and have not ended well: nothing is expected of them."""
    return [
        node
        for id, node in known.items()
        if id not in graph and not node.state.ok and node.state is not State.REMOVED
    ]


# -------------------------------------------------------------------- small questions


def _change(node: NodeRecord, state: State, at: datetime, reason: Reason) -> Changed:
    return Changed(
        node_id=node.id,
        attempt=node.last_attempt,
        before=node.state,
        state=state,
        at=at,
        reason=reason,
    )


def _after(node: NodeRecord, change: Changed | None) -> NodeRecord:
    if change is None:
        return node
    return replace(node, state=change.state, reason=change.reason, retry_at=None)


def _fresh(node: Node) -> NodeRecord:
    return NodeRecord(id=node.id, kind=node.kind, name=node.name, state=State.PENDING)


def _is_shown(node: NodeRecord) -> bool:
    return node.kind not in EVERY_TIME


def _has_result(node: NodeRecord) -> bool:
    return node.kind not in (Kind.STEP, Kind.CHECK)


def _result(node: NodeRecord) -> dict[str, Any]:
    """Dbt's result of a node that stays; where a person decided, no result that dbt never saw."""
    last = node.attempts[-1] if node.attempts else None
    if last is not None and last.state.ok == node.state.ok and "status" in last.details:
        return {**last.details, "message": last.message}
    status = "error" if node.state is State.FAILED else "skipped"
    return {"status": status, "message": str(node.reason)}
