"""Gates that are closed in a run, and which nodes they hold back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from dbtorch.core.model.gate import Require
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan


class Gates:
    """The gates of a plan: sources whose freshness lets what is built on them run, or not."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stale: set[str] = set()  # those that are closed, and the nodes they hold back
        self._behind: set[str] = set()  # what was left behind gates that stay

    def is_gate(self, id: str) -> bool:
        """Whether a node is one."""
        return self._plan.policy(id).gate is not None

    def is_behind(self, id: str) -> bool:
        """Whether a node is a closed gate, or held back by one."""
        return id in self._stale

    def hold_back(self, states: Mapping[str, State]) -> bool:
        """Whether a gate kept nodes from running."""
        nodes = (id for id in self._stale | self._behind if not self.is_gate(id))
        return any(states[id] is State.SKIPPED for id in nodes)

    def verdict(
        self, id: str, state: State, *, first_check: datetime, now: datetime
    ) -> State | datetime:
        """What a look at a source, which ended in ``state``, comes to, or when to look again."""
        gate = self._plan.policy(id).gate
        found = state if gate is None else gate.verdict(state, first_check=first_check, now=now)
        if isinstance(found, State) and gate is not None and not found.ok:
            self._stale.add(id)
        return found

    def blocks(self, parent: str, child: str) -> bool:
        """Whether a node that does not let others run holds this child back by itself."""
        return parent not in self._stale or not self._needs_all(child)

    def closed_for(self, id: str) -> str | None:
        """The stale parent that holds back a node which needs all of its sources to be stale."""
        graph = self._plan.graph
        stale = self._stale & set(graph.parents(id)) if self._needs_all(id) else None
        if not stale:
            return None
        gates = {gate for gate in graph.ancestors(id) if self.is_gate(gate)}
        return min(stale) if gates <= self._stale else None

    def inherit(self, child: str, parent: str) -> None:
        """A child is closed as its parent was."""
        if parent in self._stale:
            self._stale.add(child)

    def adopt(self, id: str) -> None:
        """A gate stays closed, as an earlier execution has left it."""
        self._behind |= self._plan.graph.descendants(id)

    def _needs_all(self, id: str) -> bool:
        """Whether a node is held back only when all the sources before it are stale."""
        return self._plan.policy(id).require is Require.ALL
