"""When a run will be over: what is left of it, played through with durations as they were.

A node takes about as long as its past successes: lognormal around their median. All nodes of a run
share a pace (the warehouse is slow today), which is learned from those that have ended. What is
left is played through several times, pools and all, with the same draws each time it is asked.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import NormalDist, median

from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan

#: Spread of a node's durations that little is known of, and of the pace of whole days: standard
#: deviations of their logarithms, "a third longer or shorter".
SPREAD = 0.3

#: As many samples is that guess worth beside what history says.
_GUESS_IS_WORTH = 2

#: A node without history: seconds, and a spread that says that nobody knows.
_UNKNOWN = 1.0
_UNKNOWN_SPREAD = 1.0

#: The pace is never known better than this.
_LEAST_PACE_SPREAD = 0.05

#: Share of the nodes left whose durations history must know before anything is said.
_KNOWN = 0.5

#: A node this many spreads beyond its usual time follows no usual law any more: it may hang.
_HANGS = 3.0

#: Nodes played in all, and how often at least and at most: some 50 ms for 2,000 nodes.
_WORK = 6_000
_FEWEST, _MOST = 3, 40

_SHORTEST = 0.01  # seconds; what is shorter says nothing
_NORMAL = NormalDist()
_DRAWS = 8191


@dataclass(frozen=True, slots=True)
class Usual:
    """How long a node takes: the middle, as a logarithm of seconds, and the spread around it."""

    middle: float
    spread: float
    known: bool = True

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Usual:
        """What past durations say; medians, so that a day on which all was slow says little."""
        if not seconds:
            return cls(math.log(_UNKNOWN), _UNKNOWN_SPREAD, known=False)
        logs = [math.log(max(_SHORTEST, one)) for one in seconds]
        count, middle = len(logs), median(logs)
        # 1.4826 makes a standard deviation of a normal distribution's median deviation.
        found = 1.4826 * median(abs(one - middle) for one in logs)
        variance = (count * found**2 + _GUESS_IS_WORTH * SPREAD**2) / (count + _GUESS_IS_WORTH)
        variance *= 1 + math.pi / 2 / count  # the median itself is an estimate
        return cls(middle, math.sqrt(variance))


@dataclass(frozen=True, slots=True)
class Outlook:
    """When something will be over, in seconds from now, each way it may go."""

    seconds: tuple[float, ...]
    #: Of what holds it up, the node with the most time still to come, and that time in seconds.
    costliest: Callable[[], tuple[str, float]] = field(default=lambda: ("", 0.0), compare=False)

    @property
    def expected(self) -> float:
        """The middle one."""
        return median(self.seconds)

    def chance_after(self, left: float) -> float:
        """How probable it is that it takes longer than this; smoothed, in logarithms."""
        if left <= 0:
            return 1.0
        logs = [math.log(max(_SHORTEST, one)) for one in self.seconds]
        mean = sum(logs) / len(logs)
        spread = math.sqrt(sum((one - mean) ** 2 for one in logs) / max(1, len(logs) - 1))
        width = max(0.01, 1.06 * spread * len(logs) ** -0.2)  # Silverman's rule of thumb
        beyond = math.log(left)
        return sum(_NORMAL.cdf((one - beyond) / width) for one in logs) / len(logs)

    def surely(self, chance: float) -> float:
        """Seconds that it takes longer than with this probability, to a twentieth or so."""
        low, high = _SHORTEST, max(self.seconds)
        while high > 1.05 * low:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.chance_after(middle) >= chance else (low, middle)
        return low


@dataclass(slots=True)
class _Play:
    """One way it may go, by the places of nodes."""

    ends: dict[int, float]  # in their order
    takes: list[float]  # what is left of each
    after: list[int]  # what had to end before it could start; -1: nothing


class Forecast:
    """What is left of one run. Told changes; answers when parts of it will be over."""

    def __init__(
        self,
        plan: Plan,
        durations: Mapping[str, Sequence[float]],
        states: Mapping[str, State] | None = None,
    ) -> None:
        """``durations`` are seconds of past successes, ``states`` what an earlier one left."""
        graph = plan.graph
        hooks = {id for id, node in graph.nodes.items() if node.kind is Kind.OPERATION}
        self._ids = [id for id in graph.order() if id not in hooks]  # parents come first
        self._places = {id: place for place, id in enumerate(self._ids)}
        places = self._places
        self._children = [
            [places[child] for child in graph.children(id) if child in places] for id in self._ids
        ]
        self._ends = {p for p, id in enumerate(self._ids) if graph.nodes[id].kind is Kind.SESSION}
        cost = plan.cost()
        self._usual = [
            Usual.of(durations.get(id, ())) if durations.get(id) or cost[id] > 0
            # what takes no time and is unknown: sources, ends of the session
            else Usual(math.log(_SHORTEST), SPREAD, known=False)
            for id in self._ids
        ]  # fmt: skip
        self._counts = [cost[id] > 0 for id in self._ids]
        worth = [math.exp(u.middle) for u, counts in zip(self._usual, self._counts, strict=True)
                 if counts]  # fmt: skip
        self._mean = sum(worth) / len(worth) if worth else 1.0
        remaining = graph.longest_paths({id: math.exp(self._usual[places[id]].middle)
                                         for id in self._ids})  # fmt: skip
        ranks = [(-plan.policy(id).priority, -remaining[id], p) for p, id in enumerate(self._ids)]
        self._by_rank = [place for _, _, place in sorted(ranks)]
        self._rank = sorted(range(len(self._ids)), key=self._by_rank.__getitem__)
        self._slots(plan)
        self._open: set[int] = set(range(len(self._ids)))
        self._waits = [sum(parent in places for parent in graph.parents(id)) for id in self._ids]
        self._since: dict[int, datetime | None] = {}  # None: queued, not running yet
        self._again: dict[int, datetime] = {}
        self._pace_sum = self._pace_weight = 0.0
        chance = random.Random(20000)
        self._draws = [chance.gauss(0.0, 1.0) for _ in range(_DRAWS)]
        for id, state in (states or {}).items():
            if state.final and id in places:
                self._close(places[id])

    def note(self, changes: Iterable[Changed]) -> None:
        """Take note of what changed."""
        for change in changes:
            place = self._places.get(change.node_id)
            if place is None:
                continue
            started = self._since.pop(place, None)
            self._again.pop(place, None)
            if change.state is State.QUEUED:
                self._since[place] = None
            elif change.state is State.RUNNING:
                self._since[place] = change.at
            elif change.state is State.UP_FOR_RETRY and change.retry_at is not None:
                self._again[place] = change.retry_at
            elif change.state.final:
                if change.state in (State.SUCCESS, State.WARN) and started is not None:
                    self._learn(place, (change.at - started).total_seconds())
                self._close(place)

    def is_over(self, id: str) -> bool:
        """Whether a node has ended, or is no part of the run."""
        return self._places.get(id, -1) not in self._open

    def outlook(self, now: datetime, subjects: Iterable[str]) -> dict[str, Outlook]:
        """When each of these nodes will be over, "" for the run; empty when history knows little.

        What has not failed is taken to succeed; nobody waits in it for a source to become fresh.
        """
        work = [place for place in self._open if self._counts[place]]
        known = sum(self._usual[place].known for place in work)
        if not self._open or known < _KNOWN * len(work):
            return {}
        rounds = max(_FEWEST, min(_MOST, _WORK // len(self._open)))
        plays = [self._play(number, self._pace(number, rounds), now) for number in range(rounds)]
        return {id: self._outlook(id, plays) for id in subjects if not id or not self.is_over(id)}

    # ---------------------------------------------------------------- what is known

    def _slots(self, plan: Plan) -> None:
        """Number pools, and kinds of wishes for their slots."""
        pools = {name: number for number, name in enumerate(plan.pools)}
        self._sizes = [plan.pools[name] for name in pools]
        wishes: dict[tuple[tuple[int, int], ...], int] = {}
        self._wish = []
        for id in self._ids:
            wanted = tuple(
                (pools[name], min(count, plan.pools[name]))
                for name, count in plan.policy(id).slots.items()
                if name in pools
            )
            self._wish.append(wishes.setdefault(wanted, len(wishes)))
        self._wishes = list(wishes)

    def _close(self, place: int) -> None:
        if place in self._open:
            self._open.discard(place)
            for child in self._children[place]:
                self._waits[child] -= 1

    def _learn(self, place: int, seconds: float) -> None:
        """What a node took says something about the pace of this run, the more the longer it is."""
        usual = self._usual[place]
        if not usual.known or not self._counts[place]:
            return
        ratio = math.log(max(_SHORTEST, seconds)) - usual.middle
        weight = min(1.0, math.exp(usual.middle) / self._mean) / usual.spread**2
        self._pace_sum += weight * max(-1.5, min(1.5, ratio))
        self._pace_weight += weight

    def _pace(self, number: int, rounds: int) -> float:
        """The pace in one of several rounds, spread evenly over what it may be; a logarithm."""
        weight = self._pace_weight + 1 / SPREAD**2
        spread = max(_LEAST_PACE_SPREAD, math.sqrt(1 / weight))
        return self._pace_sum / weight + spread * _NORMAL.inv_cdf((number + 0.5) / rounds)

    def _takes(self, number: int, pace: float) -> list[float]:
        """What each node that has not ended takes this time, in seconds."""
        takes, draws, exp = [0.0] * len(self._ids), self._draws, math.exp
        offset = number * 1999
        for place in self._open:
            usual = self._usual[place]
            draw = draws[(place * 613 + offset) % _DRAWS]
            takes[place] = exp(usual.middle + pace + usual.spread * draw)
        return takes

    def _left(self, place: int, takes: float, pace: float, gone: float) -> float:
        """What is left of a node that runs, given that it has not ended yet.

        ``takes`` is what it would have taken this time, had it just begun.
        """
        if gone <= _SHORTEST:
            return takes
        usual = self._usual[place]
        above = 1 - _NORMAL.cdf((math.log(takes) - usual.middle - pace) / usual.spread)
        at = (math.log(gone) - usual.middle - pace) / usual.spread
        if at > _HANGS:  # what has lasted long lasts long: half of it ends within 0.41 of its age
            return float(gone * max(above, 1e-9) ** -0.5 - gone)
        later = _NORMAL.inv_cdf(min(1 - 1e-12, 1 - (1 - _NORMAL.cdf(at)) * above))
        return max(0.0, math.exp(usual.middle + pace + usual.spread * later) - gone)

    # ---------------------------------------------------------------- playing it through

    def _play(self, number: int, pace: float, now: datetime) -> _Play:
        """Start by rank what has its slots, as the run does."""
        takes = self._takes(number, pace)
        play = _Play({}, takes, [-1] * len(takes))
        waits, free, again = self._waits.copy(), self._sizes.copy(), self._again
        ready: list[list[int]] = [[] for _ in self._wishes]  # by wish: ranks, best first
        events: list[tuple[float, int]] = []  # ends of nodes; retries that are due as ~place
        for place in self._open:
            if place in self._since:
                since = self._since[place]
                gone = (now - since).total_seconds() if since is not None else 0.0
                takes[place] = self._left(place, takes[place], pace, gone)
                events.append((takes[place], place))
                for pool, count in self._wishes[self._wish[place]]:
                    free[pool] -= count
            elif place in again:
                events.append((max(0.0, (again[place] - now).total_seconds()), ~place))
            elif waits[place] == 0:
                ready[self._wish[place]].append(self._rank[place])
        heapq.heapify(events)
        for heap in ready:
            heapq.heapify(heap)
        self._go(play, ready, free, waits, events)
        return play

    def _go(
        self,
        play: _Play,
        ready: list[list[int]],
        free: list[int],
        waits: list[int],
        events: list[tuple[float, int]],
    ) -> None:
        push, pop, wishes, wish_of = heapq.heappush, heapq.heappop, self._wishes, self._wish
        rank, by_rank, takes, after = self._rank, self._by_rank, play.takes, play.after
        children, still_open, again, ends = self._children, self._open, self._again, play.ends
        at, cause = 0.0, -1
        while True:
            while (wish := _next(ready, wishes, free)) >= 0:
                place = by_rank[pop(ready[wish])]
                for pool, count in wishes[wish]:
                    free[pool] -= count
                after[place] = cause
                push(events, (at + takes[place], place))
            if not events:
                return
            at, cause = pop(events)
            if cause < 0:
                push(ready[wish_of[~cause]], rank[~cause])
                cause = -1
                continue
            ends[cause] = at
            for pool, count in wishes[wish_of[cause]]:
                free[pool] += count
            for child in children[cause]:
                waits[child] -= 1
                if not waits[child] and child in still_open and child not in again:
                    push(ready[wish_of[child]], rank[child])

    def _outlook(self, id: str, plays: Sequence[_Play]) -> Outlook:
        place = self._places[id] if id else -1
        lasts = [place if id else next(reversed(play.ends)) for play in plays]
        seconds = [play.ends[last] for play, last in zip(plays, lasts, strict=True)]
        middle = sorted(range(len(plays)), key=seconds.__getitem__)[len(plays) // 2]
        return Outlook(tuple(seconds), lambda: self._costliest(plays[middle], lasts[middle]))

    def _costliest(self, play: _Play, last: int) -> tuple[str, float]:
        """Of the chain of nodes that had to end one after the other, the one that takes longest."""
        chain = [last]
        while (before := play.after[chain[-1]]) >= 0:
            chain.append(before)
        shown = [place for place in chain if place not in self._ends]
        if not shown:
            return "", 0.0
        found = max(shown, key=play.takes.__getitem__)
        return self._ids[found], play.takes[found]


def _next(
    ready: list[list[int]], wishes: list[tuple[tuple[int, int], ...]], free: list[int]
) -> int:
    """The wish whose best node may start; what waits for a pool keeps it from those behind it."""
    wish, top, others = -1, 0, False
    for other, heap in enumerate(ready):
        if heap:
            others = wish >= 0
            if wish < 0 or heap[0] < top:
                wish, top = other, heap[0]
    if wish < 0:
        return -1
    for pool, count in wishes[wish]:
        if free[pool] < count:
            return _behind(ready, wishes, free) if others else -1
    return wish


def _behind(
    ready: list[list[int]], wishes: list[tuple[tuple[int, int], ...]], free: list[int]
) -> int:
    reserved: set[int] = set()
    for _, wish in sorted((heap[0], wish) for wish, heap in enumerate(ready) if heap):
        lacking = {pool for pool, count in wishes[wish] if free[pool] < count}
        if not lacking and not any(pool in reserved for pool, _ in wishes[wish]):
            return wish
        reserved |= lacking
    return -1
