"""Going on with a run: what stays, what runs again, and why. Pure: records in, changes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dbtorch.app.takeover import attempts_of, take_over
from dbtorch.core.events import Changed
from dbtorch.core.graph import EVERY_TIME, Graph, Kind, Node
from dbtorch.core.history import NodeRecord, RunRecord
from dbtorch.core.plan import Plan
from dbtorch.core.policy import OnFailure, Trigger
from dbtorch.core.run import Prior
from dbtorch.core.state import State

#: Why a node of a resumed run will not end otherwise any more.
LEFT_OUT = "no longer part of the run"

#: Why a node runs again that succeeded with other code; what follows names the file.
CHANGED = "changed since it succeeded"

#: Kinds that build nothing: those after them need not run again because of them.
_ONLY_LOOKS = frozenset(
    {Kind.TEST, Kind.UNIT_TEST, Kind.EXPOSURE, Kind.SOURCE, Kind.CHECK, *EVERY_TIME}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for when a run goes on; by default, what did not succeed."""

    again: frozenset[str] = frozenset()  # these, and what depends on them, whatever their state
    never: frozenset[str] = frozenset()  # these stay as they are, if they have ended
    nothing_else: bool = False  # what ended otherwise stays as it is
    why: str = ""  # the reason that is written for nodes of ``again``


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What a run goes on with."""

    prior: Mapping[str, Prior] = field(default_factory=dict)
    changes: tuple[Changed, ...] = ()  # to be written before anything starts
    nodes: tuple[Node, ...] = ()  # of the plan; those that stay with the code they ran with
    before: tuple[NodeRecord, ...] = ()  # as they are after ``changes``
    changed: tuple[str, ...] = ()  # succeeded with other code, and run again
    gone: tuple[str, ...] = ()  # were part of the run, and are in no plan any more
    blocked: Mapping[str, str] = field(default_factory=dict)  # asked for -> the failure before it
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # dbt's, of what stays


def start(plan: Plan) -> Resumption:
    """A run that begins."""
    return Resumption(nodes=tuple(plan.graph.nodes.values()))


def resume(earlier: RunRecord, plan: Plan, wish: Wish, now: datetime) -> Resumption:
    """How a run goes on whose supervisor has ended, or is gone."""
    taken = take_over(earlier)
    known = {node.id: node for node in taken.nodes}
    open_ends = {node.id for node in earlier.nodes if not node.state.final}
    again, blocked = _again(plan, known, open_ends, wish)
    stays = {id for id in known if id in plan.graph and id not in again}
    stays -= {id for id in stays if plan.graph.nodes[id].kind in EVERY_TIME}
    moves = [*_moves(plan.graph, known, again, blocked, now)]
    moved = {change.node_id: change for change in moves}
    after = tuple(_after(node, moved.get(node.id)) for node in known.values())
    return Resumption(
        prior={
            node.id: Prior(node.state, attempts_of(node), stays=node.id in stays) for node in after
        }
        | {id: Prior(State.UPSTREAM_FAILED, 0, stays=True) for id in blocked.keys() - known.keys()},
        changes=(*taken.changes, *moves),
        nodes=tuple(
            replace(node, checksum=known[id].checksum) if id in stays else node
            for id, node in plan.graph.nodes.items()
        ),
        before=after,
        changed=tuple(id for id, why in again.items() if why.startswith(CHANGED)),
        gone=tuple(id for id in known if id not in plan.graph and _is_shown(known[id])),
        blocked=blocked,
        results={id: _result(known[id]) for id in stays if _has_result(known[id])},
    )


def differences(earlier: RunRecord, graph: Graph) -> list[str]:
    """What is not as it was when the run was planned, as a person would name it.

    Sorted, as a graph's nodes are in no order: dbt parses changed files in that of a set.
    """
    known = {node.id: node for node in earlier.nodes}
    changed = {
        _where(node)
        for id, node in graph.nodes.items()
        if id in known and _differs(known[id], node)
    }
    new = {
        f"{_where(node)} (new)"
        for id, node in graph.nodes.items()
        if id not in known and node.kind not in EVERY_TIME
    }
    gone = {f"{_where(node)} (gone)" for node in known.values() if _is_gone(node, graph)}
    return [*sorted(changed), *sorted(new), *sorted(gone)]


def outputs(earlier: RunRecord) -> dict[str, Any]:
    """What steps returned that succeeded, by name."""
    return {
        node.name: node.attempts[-1].output
        for node in earlier.nodes
        if node.kind is Kind.STEP and node.state.ok and not is_marked(node) and node.attempts
    }


def is_marked(node: NodeRecord) -> bool:
    """Whether a node's success is what a person said, and no attempt's."""
    said = node.state in (State.SUCCESS, State.WARN)
    return said and not (node.attempts and node.attempts[-1].state.ok)


# -------------------------------------------------------------------- what runs again


def _again(
    plan: Plan, known: Mapping[str, NodeRecord], open_ends: set[str], wish: Wish
) -> tuple[dict[str, str], dict[str, str]]:
    """Nodes that run, with the reason where there is one, and those that something blocks."""
    again: dict[str, str] = {}
    blocked: dict[str, str] = {}
    builders: dict[str, str] = {}  # node that runs -> the nearest one that builds something anew
    for id in plan.graph.order():
        node = plan.graph.nodes[id]
        if node.kind in EVERY_TIME:
            continue
        why = _why(node, known.get(id), wish) if id not in wish.never else None
        parents = plan.graph.parents(id)
        builder = next((builders[parent] for parent in parents if parent in builders), None)
        if node.kind is Kind.SOURCE:
            if id in wish.again:
                again[id] = why or ""
                builders[id] = id
            elif builder is not None:
                builders[id] = builder
            continue
        if why is None and builder is not None and not _must_stay(known.get(id), wish):
            why = f"{builder} runs again"
        if why is None and (id not in known or id in open_ends):
            why = ""
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
    return again, blocked


def _check_anew(graph: Graph, known: Mapping[str, NodeRecord], again: dict[str, str]) -> None:
    """A source is as fresh as it is now: it is checked before whatever runs, in each stretch."""
    for id, node in graph.nodes.items():
        marked = id in known and known[id].state.ok and is_marked(known[id])
        if (
            node.kind is Kind.SOURCE
            and not marked
            and not again.keys().isdisjoint(graph.children(id))
        ):
            again.setdefault(id, "")


def _why(node: Node, before: NodeRecord | None, wish: Wish) -> str | None:
    """Why a node runs for its own sake; None when it does not."""
    if node.id in wish.again:
        return wish.why
    if before is None or wish.nothing_else:
        return None
    if not before.state.ok:
        return ""
    if _differs(before, node) and not is_marked(before):
        return f"{CHANGED}: {_where(node)}"
    return None


def _must_stay(before: NodeRecord | None, wish: Wish) -> bool:
    return before is not None and before.id in wish.never and before.state.final


def _barrier(
    id: str,
    plan: Plan,
    known: Mapping[str, NodeRecord],
    again: Mapping[str, str],
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
    again: Mapping[str, str],
    blocked: Mapping[str, str],
    now: datetime,
) -> Iterator[Changed]:
    """Nodes that go back to the start, and those that will never end by themselves."""
    for id, node in graph.nodes.items():
        before = known.get(id)
        if id in blocked:
            if before is None or not before.state.final:
                reason = f"{blocked[id]} failed"
                yield _change(before or _fresh(node), State.UPSTREAM_FAILED, now, reason)
        elif before is None or before.state is State.PENDING:
            continue
        elif id in again or node.kind in EVERY_TIME:
            yield _change(before, State.PENDING, now, again.get(id, ""))
    for node_record in known.values():
        if node_record.id not in graph and not node_record.state.final:
            waits = node_record.state is State.PENDING
            yield (
                _change(node_record, State.SKIPPED, now, LEFT_OUT)
                if waits
                else _change(node_record, State.FAILED, now, node_record.reason)
            )


# -------------------------------------------------------------------- small questions


def _change(node: NodeRecord, state: State, at: datetime, reason: str) -> Changed:
    return Changed(
        node_id=node.id,
        attempt=attempts_of(node),
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


def _differs(before: NodeRecord, node: Node) -> bool:
    """Whether a node's code is another one; an older history may not know."""
    return bool(before.checksum and node.checksum) and before.checksum != node.checksum


def _where(node: Node | NodeRecord) -> str:
    return f"step {node.name}" if node.kind is Kind.STEP else node.path or node.id


def _is_gone(node: NodeRecord, graph: Graph) -> bool:
    return node.id not in graph and node.kind not in EVERY_TIME


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
    return {"status": status, "message": node.reason}


def names(ids: Iterable[str], graph: Graph) -> str:
    """Files of nodes, each once, in the order of the graph."""
    chosen = set(ids)
    found = [_where(graph.nodes[id]) for id in graph.order() if id in chosen]
    return ", ".join(dict.fromkeys(found))
