"""Synthetic days of pipelines that run daily, to try the forecast of deadlines on.

Graphs of several shapes, lognormal durations that spread differently from node to node, days that
differ in pace, and now and then one on which everything takes much longer. What happens is played
by the run itself (`dbtorch.core.run.machine`), not by the forecast.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median

from dbtorch.core.model.deadline import Deadline, Deadlines
from dbtorch.core.model.events import Attempt, Finished, Outcome, Started
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.model.state import State
from dbtorch.core.plan import THREADS, Plan, with_session
from dbtorch.core.run.forecast import Forecast
from dbtorch.core.run.machine import Run
from dbtorch.core.run.timekeeper import Timekeeper

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
REMEMBERED = 10  # successes of a node that the history is asked for

#: How many days in a hundred are slow, and how much.
SLOW_DAYS = 0.1
SLOWER = (1.3, 2.5)

#: Spread of the pace of ordinary days, and of single nodes.
PACE = 0.08
NOISE = (0.1, 0.4)

#: Deadlines, by the median end.
TIGHT = (1.05, 1.1, 1.2, 1.35)

_DONE = Outcome(state=State.SUCCESS)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one day came to; times are seconds from the start of the run."""

    ended: float
    deadline: float
    at_risk: float | None
    missed: float | None

    @property
    def caught(self) -> bool:
        """Whether the miss was foreseen."""
        return self.missed is not None and self.at_risk is not None and self.at_risk < self.missed

    @property
    def false(self) -> bool:
        """Whether a miss was foreseen that never came."""
        return self.missed is None and self.at_risk is not None


@dataclass
class Pipeline:
    """A graph, what its nodes usually take, and what they took on the last days."""

    graph: list[tuple[str, tuple[str, ...]]]  # node, parents
    usual: dict[str, float]  # median seconds
    noise: dict[str, float]
    threads: int
    chance: random.Random
    past: dict[str, list[float]] = field(default_factory=dict)

    def durations(self) -> dict[str, float]:
        """What nodes take on the next day."""
        pace = self.chance.gauss(0.0, PACE)
        if self.chance.random() < SLOW_DAYS:
            pace += math.log(self.chance.uniform(*SLOWER))
        return {
            id: seconds * math.exp(pace + self.chance.gauss(0.0, self.noise[id]))
            for id, seconds in self.usual.items()
        }

    def plan(self) -> Plan:
        """The plan of the day, by what history says."""
        nodes = [Node(id=id, kind=Kind.MODEL, name=id) for id, _ in self.graph]
        edges = [(parent, id) for id, parents in self.graph for parent in parents]
        policies = {node.id: Policy(slots={THREADS: 1}) for node in nodes}
        graph, policies = with_session(
            nodes, edges, frozenset(self.usual), policies, retry=Retry.times(0)
        )
        expected = {id: median(seconds) for id, seconds in self.past.items()}
        return Plan(
            graph=graph, policies=policies, pools={THREADS: self.threads}, expected=expected
        )

    def remember(self, durations: Mapping[str, float]) -> None:
        """A day is over."""
        for id, seconds in durations.items():
            self.past[id] = [seconds, *self.past.get(id, ())][:REMEMBERED]


def pipelines(seed: int, count: int, *, seconds: float) -> Iterator[Pipeline]:
    """Random ones: chains, fans, layers; ``seconds`` is about what a node takes."""
    chance = random.Random(seed)
    for number in range(count):
        size = chance.randint(8, 60)
        shape = (_chains, _fan, _layers)[number % 3]
        graph = shape(size, chance)
        usual = {id: seconds * chance.lognormvariate(-0.3, 0.8) for id, _ in graph}
        noise = {id: chance.uniform(*NOISE) for id in usual}
        yield Pipeline(
            graph, usual, noise, chance.choice((2, 4, 8)), random.Random(chance.random())
        )


def days(pipeline: Pipeline, count: int) -> Iterator[Told]:
    """Days of a pipeline, after as many as its history remembers; one deadline for all."""
    ends = []
    for _ in range(REMEMBERED):
        durations = pipeline.durations()
        ends.append(play(pipeline.plan(), durations, {}, math.inf).ended)
        pipeline.remember(durations)
    deadline = median(ends) * pipeline.chance.choice(TIGHT)
    for _ in range(count):
        durations = pipeline.durations()
        yield play(pipeline.plan(), durations, pipeline.past, deadline)
        pipeline.remember(durations)


def play(
    plan: Plan, durations: Mapping[str, float], past: Mapping[str, list[float]], deadline: float
) -> Told:
    """One day."""
    run, now = Run(plan, random=lambda: 0.0), START
    at = START + timedelta(seconds=min(deadline, 10**8))
    forecast = Forecast(plan, past) if past else None
    keeper = Timekeeper(Deadlines(run=Deadline(at=at)), forecast)
    ends: list[tuple[datetime, int, Attempt]] = []
    told: dict[bool, float] = {}
    while not run.finished:
        due = run.due(now)
        keeper.note(due.changes)
        for batch in due.batches:
            for attempt in batch.attempts:
                keeper.note(run.record(Started(attempt), now))
                takes = timedelta(seconds=durations.get(attempt.node_id, 0.0))
                heapq.heappush(ends, (now + takes, batch.id, attempt))
        wakes = keeper.wakes_at(now)
        if wakes is not None and wakes < ends[0][0]:
            now = max(now, wakes)
            for late in keeper.look(now):
                told[late.missed] = (now - START).total_seconds()
        else:
            now, _, attempt = heapq.heappop(ends)
            keeper.note(run.record(Finished(attempt, _DONE), now))
    return Told(
        ended=(now - START).total_seconds(),
        deadline=deadline,
        at_risk=told.get(False),
        missed=told.get(True),
    )


def _chains(size: int, chance: random.Random) -> list[tuple[str, tuple[str, ...]]]:
    """A few long chains that meet in the end."""
    count = chance.randint(1, 5)
    graph = [
        (f"m{number}", (f"m{number - count}",) if number >= count else ()) for number in range(size)
    ]
    last = tuple(f"m{number}" for number in range(max(0, size - count), size))
    return [*graph, ("mart", last)]


def _fan(size: int, chance: random.Random) -> list[tuple[str, tuple[str, ...]]]:
    """One, many, one."""
    middle = [(f"m{number}", ("first",)) for number in range(size)]
    return [("first", ()), *middle, ("mart", tuple(id for id, _ in middle))]


def _layers(size: int, chance: random.Random) -> list[tuple[str, tuple[str, ...]]]:
    """What a project looks like: everything reads a few of what came shortly before."""
    graph: list[tuple[str, tuple[str, ...]]] = []
    for number in range(size):
        near = range(max(0, number - 12), number)
        parents = chance.sample(near, min(len(near), chance.randint(0, 3)))
        graph.append((f"m{number}", tuple(f"m{parent}" for parent in parents)))
    return graph
