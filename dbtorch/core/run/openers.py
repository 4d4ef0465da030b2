"""Nodes that run on demand: the session opens when somebody waits for nothing else."""

from __future__ import annotations

from collections import Counter

from dbtorch.core.model.policy import Trigger
from dbtorch.core.plan import Plan


class Openers:
    """Which node opens the way for which, and who still needs it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._opener_of = {
            child: id
            for id in plan.graph.nodes
            if plan.policy(id).trigger is Trigger.ON_DEMAND
            for child in plan.graph.children(id)
            if not plan.is_last(child)
        }
        self._needed_by = Counter(self._opener_of.values())

    def of(self, id: str) -> str | None:
        """Who opens the way for a node, if anybody does."""
        return self._opener_of.get(id)

    def release(self, id: str) -> str | None:
        """A node needs its opener no more; answers that one if this was the last."""
        opener = self._opener_of.get(id)
        if opener is None:
            return None
        self._needed_by[opener] -= 1
        return opener if self._needed_by[opener] == 0 else None

    def open_to_close(self) -> None:
        """Let the session open where an earlier execution has left it nothing to do but to close.

        Its on-run-end hooks are still to run: that execution has built everything and died.
        """
        for opener, count in self._needed_by.items():
            if count == 0:
                closing = (id for id in self._plan.graph.children(opener) if self._plan.is_last(id))
                self._opener_of |= dict.fromkeys(closing, opener)
