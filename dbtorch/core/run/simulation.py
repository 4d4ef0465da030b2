"""What a plan comes to if every node takes as long as expected: the run machine, played through."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dbtorch.core.model.events import Attempt, Batch, Ended, Finished, Outcome, Started
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import State
from dbtorch.core.plan import Plan
from dbtorch.core.run.machine import Run

_START = datetime(2000, 1, 1, tzinfo=UTC)
_DONE = Outcome(state=State.SUCCESS)


@dataclass(frozen=True, slots=True)
class Forecast:
    """When nodes start, in seconds from the beginning and in this order, and when all is over."""

    starts: dict[str, float]
    seconds: float
    critical_path: tuple[str, ...]
    critical_seconds: float


def forecast(plan: Plan) -> Forecast:
    """Play the plan through. Ends of the session and hooks are left out of the answer."""
    run = Run(replace(plan, batches=None), random=lambda: 0.0)
    cost = plan.cost()
    starts: dict[str, float] = {}
    ends: list[tuple[datetime, int, Attempt]] = []
    now = _START
    while not run.finished:
        for batch in run.due(now).batches:
            for attempt in batch.attempts:
                starts[attempt.node_id] = (now - _START).total_seconds()
                run.record(Started(attempt), now)
                end = now + timedelta(seconds=cost[attempt.node_id])
                heapq.heappush(ends, (end, batch.id, attempt))
        if not ends:
            break  # nothing can start: a plan the run itself will complain about
        now, _, attempt = heapq.heappop(ends)
        run.record(Finished(attempt, _DONE), now)
    shown = {id for id, node in plan.graph.nodes.items() if is_shown(node.kind)}
    path = tuple(id for id in plan.graph.critical_path(cost) if id in shown)
    return Forecast(
        starts={id: at for id, at in starts.items() if id in shown},
        seconds=(now - _START).total_seconds(),
        critical_path=path,
        critical_seconds=sum(cost[id] for id in path),
    )


def batches(plan: Plan) -> list[tuple[str, ...]]:
    """What dbt would be given together if nothing failed; nothing where it gets single nodes."""
    if plan.batches is None:
        return []
    run = Run(plan, random=lambda: 0.0)
    cost = plan.cost()
    found: list[tuple[str, ...]] = []
    ends: list[tuple[datetime, int, Batch]] = []
    now = _START
    while not run.finished:
        for batch in run.due(now).batches:
            ids = {attempt.node_id for attempt in batch.attempts}
            if any(plan.graph.nodes[id].kind not in (Kind.STEP, Kind.SESSION) for id in ids):
                found.append(tuple(id for id in plan.graph.order() if id in ids))
            seconds = plan.graph.longest_paths({id: cost[id] for id in ids})
            end = now + timedelta(seconds=max(seconds[id] for id in ids))
            heapq.heappush(ends, (end, batch.id, batch))
        if not ends:
            break
        now, _, batch = heapq.heappop(ends)
        for attempt in batch.attempts:
            run.record(Finished(attempt, _DONE), now)
        run.record(Ended(batch, ""), now)
    return found


def is_shown(kind: Kind) -> bool:
    """Whether nodes of a kind appear in graphs and plans."""
    return kind not in (Kind.SESSION, Kind.OPERATION)
