"""How long a run still takes, from what its nodes took before."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from dbtorch.cli.live.progress import Progress
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan

#: Share of the expected work whose duration history must know before anything is said.
_KNOWN = 0.5


class Estimate:
    """The larger of what is left of the critical path, and of the work of the fullest pool."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._cost = plan.cost()
        self._path = plan.graph.longest_paths(self._cost)
        self._work: Counter[str] = Counter()  # pool -> milliseconds of its slots still to come
        self._closed: set[str] = set()
        work = [id for id, cost in self._cost.items() if cost > 0]
        known = sum(id in plan.expected for id in work)
        self._useful = bool(work) and known >= _KNOWN * len(work)
        for id in progress.nodes:
            if progress.states[id].final:
                self._closed.add(id)
            else:
                self._count(id, 1)

    def note(self, id: str, state: State) -> None:
        """Take note of a node's new state."""
        if state.final and id in self._progress.nodes and id not in self._closed:
            self._closed.add(id)
            self._count(id, -1)

    def seconds_left(self, now: datetime) -> float | None:
        """Seconds until the end, as far as history knows; None when it knows too little."""
        if not self._useful:
            return None
        running = self._progress.running
        gone = {id: (now - since).total_seconds() for id, since in running.items()}
        return max(self._left_of_path(now, gone), self._left_of_work(gone))

    def _left_of_path(self, now: datetime, gone: dict[str, float]) -> float:
        longest = 0.0
        retrying = self._progress.retrying
        for id in self._progress.open_ids():
            left = self._path[id]
            if id in gone:
                left -= min(gone[id], self._cost[id])
            elif id in retrying:
                left += max(0.0, (retrying[id][0] - now).total_seconds())
            longest = max(longest, left)
        return longest

    def _left_of_work(self, gone: dict[str, float]) -> float:
        left = Counter(self._work)
        for id, seconds in gone.items():
            left.subtract(self._slot_time(id, min(seconds, self._cost[id])))
        sizes = self._plan.pools
        return max((left[pool] / 1000 / sizes[pool] for pool in left), default=0.0)

    def _count(self, id: str, sign: int) -> None:
        for pool, milliseconds in self._slot_time(id, self._cost[id]).items():
            self._work[pool] += sign * milliseconds

    def _slot_time(self, id: str, seconds: float) -> dict[str, int]:
        """Milliseconds of a pool's slots; whole ones, so that taking back leaves nothing over."""
        sizes = self._plan.pools
        return {
            pool: round(1000 * min(slots, sizes[pool]) * seconds)
            for pool, slots in self._plan.policy(id).slots.items()
            if sizes.get(pool)
        }
