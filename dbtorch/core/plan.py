"""A plan: graph, policies and expectations of one run, fixed before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Breaker, Policy, Retry, Trigger
from dbtorch.core.model.state import FailureClass

if TYPE_CHECKING:  # most runs check nothing
    from dbtorch.core.checks.relation_checks import RelationChecks

#: Seconds expected of a node that has no history.
UNKNOWN_DURATION = 1.0

#: Pool that every engine node takes one slot of; its size is dbt's ``threads``.
THREADS = "threads"

#: Pool that every step takes one slot of.
STEPS = "steps"

#: Pool that every batch takes one slot of; its size is the number that may be at work at once.
BATCHES = "batches"

#: Pool that every look of a step that waits takes one slot of, and how many it has.
LOOKS, AT_ONCE = "looks", 8

SESSION_OPEN = "session.open"
SESSION_CLOSE = "session.close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Graph + selection + policies."""

    graph: Graph
    policies: Mapping[str, Policy]
    pools: Mapping[str, int] = field(default_factory=dict)  # name -> slots; unlimited if missing
    expected: Mapping[str, float] = field(default_factory=dict)  # id -> seconds, from history
    fail_fast: bool = False
    breaker: Breaker | None = None
    limits: Mapping[str, Thresholds] = field(default_factory=dict)  # of the sources it checks
    checks: Mapping[str, RelationChecks] = field(
        default_factory=dict
    )  # by the id of the checking node
    batches: int | None = None  # that run side by side; None where dbt gets node by node
    apart: frozenset[str] = frozenset()  # nodes that are a batch of their own

    def policy(self, id: str) -> Policy:
        """Policy of a node; the default one when nothing was said about it."""
        return self.policies.get(id, _DEFAULT)

    def slots(self) -> dict[str, int]:
        """Places in the pools. Where only one batch may be at work, it has all threads."""
        if self.batches is None:
            return dict(self.pools)
        threads = {THREADS: 1} if self.batches == 1 else {}
        return {**self.pools, **threads, BATCHES: self.batches}

    def wanted(self, id: str) -> Mapping[str, int]:
        """Places that a node takes when it starts. The session's ends begin when no dbt is left."""
        slots = self.policy(id).slots
        if self.batches is None or not self.is_dbts(id):
            return slots
        is_end = self.graph.nodes[id].kind is Kind.SESSION
        return {**slots, BATCHES: self.batches if is_end else 1}

    def is_hook(self, id: str) -> bool:
        """Whether a node is a hook, which dbt runs by itself."""
        return self.graph.nodes[id].kind is Kind.OPERATION

    def is_dbts(self, id: str) -> bool:
        """Whether the engine executes a node."""
        slots = self.policy(id).slots
        return THREADS in slots and STEPS not in slots

    def is_last(self, id: str) -> bool:
        """Whether a node is the end of the session."""
        session = self.graph.nodes[id].kind is Kind.SESSION
        return session and self.policy(id).trigger is Trigger.ALL_DONE

    def is_covered(self, id: str) -> bool:
        """Whether the circuit breaker is about a node."""
        return self.is_dbts(id) and not self.is_last(id)

    def cost(self) -> dict[str, float]:
        """Seconds expected of every node."""
        return {id: self._cost(node) for id, node in self.graph.nodes.items()}

    def _cost(self, node: Node) -> float:
        if node.kind in (Kind.SESSION, Kind.OPERATION, Kind.SOURCE, Kind.EXPOSURE, Kind.CHECK):
            return self.expected.get(node.id, 0.0)
        return self.expected.get(node.id, UNKNOWN_DURATION)


_DEFAULT = Policy()

#: A worker that dies while it closes the session leaves artifacts to be written by another one.
_CLOSE_AGAIN = Retry(retries={FailureClass.TRANSIENT: 2}, delay=0.0)


def with_session(
    nodes: Iterable[Node],
    edges: Iterable[tuple[str, str]],
    on_engine: frozenset[str],
    policies: Mapping[str, Policy],
    *,
    retry: Retry,
    owner: str = "",
) -> tuple[Graph, dict[str, Policy]]:
    """Put the two ends of the dbt session into the graph.

    The session opens when the first engine node waits for nothing else (so a step may write to
    the warehouse before), and closes when the last one has ended. ``owner`` is told of both.
    """
    nodes = list(nodes)
    edges = list(edges)
    members = [node for node in nodes if node.id in on_engine and node.kind is not Kind.OPERATION]
    if not members:
        return Graph(nodes, edges), dict(policies)
    opening = Node(id=SESSION_OPEN, kind=Kind.SESSION, name="open", owner=owner)
    closing = Node(id=SESSION_CLOSE, kind=Kind.SESSION, name="close", owner=owner)
    edges += [(opening.id, node.id) for node in members]
    edges += [(node.id, closing.id) for node in (opening, *members)]
    ends = {
        # Steps that want the database file for themselves go first: dbt may still be parsing.
        opening.id: Policy(
            retry=retry, slots={THREADS: 1}, trigger=Trigger.ON_DEMAND, priority=-(10**9)
        ),
        closing.id: Policy(retry=_CLOSE_AGAIN, slots={THREADS: 1}, trigger=Trigger.ALL_DONE),
    }
    return Graph([*nodes, opening, closing], edges), {**policies, **ends}
