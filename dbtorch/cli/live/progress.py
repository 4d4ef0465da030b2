"""Where a run is, counted from its changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, Plan


class Progress:
    """The state of every node, ends of the session left out of all counts."""

    def __init__(self, plan: Plan, run: RunRecord, before: Progress | None = None) -> None:
        """Nodes that ended well before count as done.

        Those are nodes of ``run`` when it is resumed, and of ``before`` when it was planned again.
        """
        self.nodes = {
            id: node for id, node in plan.graph.nodes.items() if node.kind is not Kind.SESSION
        }
        self.states: dict[str, State] = dict.fromkeys(self.nodes, State.PENDING)
        done = {node.id: node.state for node in run.nodes}
        for id, state in (done | (before.states if before else {})).items():
            if id in self.nodes and state.ok and self.nodes[id].kind is not Kind.OPERATION:
                self.states[id] = state
        self.counts: Counter[State] = Counter(self.states.values())
        self.done = sum(state.final for state in self.states.values())
        self.running: dict[str, datetime] = {}  # id -> since when, oldest first
        self.retrying: dict[str, tuple[datetime, int]] = {}  # id -> next try, its number
        self._plan = plan

    @property
    def total(self) -> int:
        """How many nodes there are."""
        return len(self.nodes)

    def apply(self, change: Changed) -> float | None:
        """Take note of a change; answers how long the attempt that ended had run."""
        id = change.node_id
        if id in self.nodes:
            before, self.states[id] = self.states[id], change.state
            self.counts[before] -= 1
            self.counts[change.state] += 1
            self.done += change.state.final - before.final
        since = self.running.pop(id, None)
        self.retrying.pop(id, None)
        if change.state is State.RUNNING:
            self.running[id] = change.at
        if change.state is State.UP_FOR_RETRY:
            self.retrying[id] = (change.retry_at or change.at, change.attempt + 1)
        return (change.at - since).total_seconds() if since is not None else None

    def is_session(self, id: str) -> bool:
        """Whether this is an end of the session, which is no node to anybody else."""
        return id not in self.nodes

    def is_source(self, id: str) -> bool:
        """Whether this is a source that is checked."""
        return id in self.nodes and self.nodes[id].kind is Kind.SOURCE

    def label(self, id: str) -> str:
        """``model stg_orders``; what the session does has words of its own."""
        if id in self.nodes:
            return label(self.nodes[id])
        return "dbt session closes" if id == SESSION_CLOSE else "dbt session opens"

    def allowed(self, change: Changed) -> int:
        """How many attempts a node may have, for a failure such as the one that just happened."""
        failure_class = change.outcome.failure_class if change.outcome else None
        retries = self._plan.policy(change.node_id).retry.retries
        allowed = 1 + retries.get(failure_class or FailureClass.UNKNOWN, 0)
        if self._plan.graph.nodes[change.node_id].kind is Kind.OPERATION:
            allowed = 1  # dbt runs hooks, and runs them once
        waits = change.state is State.UP_FOR_RETRY
        return max(allowed, change.attempt + waits)

    def open_ids(self) -> Iterable[str]:
        """Nodes that have not ended."""
        return (id for id, state in self.states.items() if not state.final)
