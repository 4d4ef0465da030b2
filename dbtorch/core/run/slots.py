"""Which ready nodes start: pools and their slots, and the order of those that compete for them."""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Iterator, Mapping

from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan

#: States a node starts from.
WAITING = (State.PENDING, State.UP_FOR_RETRY)


class Slots:
    """Free places in the pools. A pool nobody limited has any number of them."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        self._size = dict(pools)
        self._used: Counter[str] = Counter()
        self._held: set[str] = set()

    def hold(self, pool: str, hold: bool) -> None:
        """Give, or give no longer, any places of this pool."""
        (self._held.add if hold else self._held.discard)(pool)

    def lacking(self, wanted: Mapping[str, int]) -> set[str]:
        """Pools that cannot give what is wanted now; wanting more than a pool has means all."""
        full = {
            pool
            for pool, count in wanted.items()
            if pool in self._size
            and self._used[pool] + min(count, self._size[pool]) > self._size[pool]
        }
        return full | (self._held & wanted.keys())

    def size(self, pool: str) -> int:
        """Places that there are."""
        return self._size.get(pool, sys.maxsize)

    def free(self, pool: str) -> int:
        """Places that nobody occupies."""
        return self.size(pool) - self._used[pool]

    def take(self, wanted: Mapping[str, int]) -> None:
        """Occupy places."""
        for pool, count in wanted.items():
            self._used[pool] += min(count, self._size.get(pool, count))

    def put_back(self, wanted: Mapping[str, int]) -> None:
        """Give places back."""
        for pool, count in wanted.items():
            self._used[pool] -= min(count, self._size.get(pool, count))


class Ready:
    """Nodes that could start, best first: by priority, then by the longest remaining path.

    Nodes that want the same slots share one heap, so a full pool is looked at once and not once
    for each node that waits for it.
    """

    def __init__(self, plan: Plan, states: Mapping[str, State]) -> None:
        self._plan = plan
        self._states = states
        remaining = plan.graph.longest_paths(plan.cost())
        self._rank = {
            id: (-plan.policy(id).priority, -remaining[id], place)
            for place, id in enumerate(plan.graph.order())
        }
        self._heaps: dict[frozenset[tuple[str, int]], list[tuple[tuple[int, float, int], str]]] = {}
        self._known: set[str] = set()

    def add(self, id: str) -> None:
        """Let a node compete for slots; adding it twice changes nothing."""
        if id in self._known:
            return
        self._known.add(id)
        wanted = frozenset(self._plan.wanted(id).items())
        heapq.heappush(self._heaps.setdefault(wanted, []), (self._rank[id], id))

    def __bool__(self) -> bool:
        return bool(self._known)

    def take(self, slots: Slots) -> Iterator[str]:
        """Take nodes as long as their slots are free.

        A node that must wait for a pool keeps it from the nodes behind it, so one that wants a
        whole pool gets its turn.
        """
        reserved: set[str] = set()
        while (best := self._best(reserved)) is not None:
            wanted = dict(best)
            lacking = slots.lacking(wanted)
            if lacking:
                reserved |= lacking
                continue
            _, id = heapq.heappop(self._heaps[best])
            self._known.discard(id)
            slots.take(wanted)
            yield id

    def like(self, id: str) -> list[str]:
        """Nodes that could start as well, and want the same slots."""
        wanted = frozenset(self._plan.wanted(id).items())
        return [other for _, other in self._heaps.get(wanted, ()) if self._competes(other)]

    def all(self) -> list[str]:
        """Nodes that could start."""
        return [id for id in self._known if self._competes(id)]

    def remove(self, id: str) -> None:
        """Let a node compete no longer."""
        self._known.discard(id)

    def _competes(self, id: str) -> bool:
        return id in self._known and self._states[id] in WAITING

    def _best(self, reserved: set[str]) -> frozenset[tuple[str, int]] | None:
        tops = []
        for wanted, heap in self._heaps.items():
            while heap and not self._competes(heap[0][1]):
                self._known.discard(heapq.heappop(heap)[1])
            if heap and not any(pool in reserved for pool, _ in wanted):
                tops.append((heap[0][0], wanted))
        return min(tops, key=lambda top: top[0])[1] if tops else None
