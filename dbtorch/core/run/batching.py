"""Which nodes dbt is given together: the largest closed part of the graph that nothing holds back.

For an engine that hands dbt a part of the graph at a time; within it the order is dbt's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from dbtorch.core.model.graph import BUILT, Graph, Kind
from dbtorch.core.plan import Plan


class BatchKind(StrEnum):
    """What dbt is asked to do with nodes; one batch is of one lane."""

    BUILD = "build"
    FRESHNESS = "freshness"
    CHECK = "check"  # of relations


_LANES = {
    **dict.fromkeys(BUILT, BatchKind.BUILD),
    Kind.SOURCE: BatchKind.FRESHNESS,
    Kind.CHECK: BatchKind.CHECK,
}


def lane_of(plan: Plan, id: str) -> BatchKind | None:
    """The lane of a node that others may go with; None for one that goes alone."""
    if plan.batches is None or id in plan.apart:
        return None
    return _LANES.get(plan.graph.nodes[id].kind)


def carve(
    plan: Plan,
    roots: Iterable[str],
    *,
    lane: Callable[[str], BatchKind | None],
    waits: Callable[[str], bool],
    passed: Callable[[str], bool],
) -> tuple[str, ...]:
    """The roots and all that can go with them, in the plan's order.

    ``roots`` are ready, and of one lane. A node joins when it ``waits``, is of their lane, and each
    of its parents has ``passed`` or is among them.
    """
    chosen = set(roots)
    lanes = {lane(id) for id in chosen}
    missing: dict[str, int] = {}
    stack = list(chosen)
    while stack:
        id = stack.pop()
        for child in plan.graph.children(id):
            if child in chosen or not waits(child) or lane(child) not in lanes:
                continue
            if child not in missing:
                missing[child] = sum(not passed(parent) for parent in plan.graph.parents(child))
            missing[child] -= 1
            if missing[child] == 0:
                chosen.add(child)
                stack.append(child)
    return tuple(id for id in plan.graph.order() if id in chosen)


def lines_of(graph: Graph, ids: Sequence[str]) -> dict[str, int]:
    """A number for each node; nodes of one number come one after another.

    So dbt has no more of them under way at once than there are numbers (there may be fewer: the
    fewest are not looked for). ``ids`` have parents before children.
    """
    members = set(ids)
    coming = {id: sum(child in members for child in graph.children(id)) for id in ids}
    lines: dict[str, int] = {}
    ends: dict[str, list[int]] = {}  # lines that those after a node may go on with
    count = 0
    for id in ids:
        mine: list[int] = []
        for parent in graph.parents(id):
            if parent not in members:
                continue
            coming[parent] -= 1
            if coming[parent] == 0:
                mine += ends.pop(parent)
            elif not mine and ends[parent]:
                mine.append(ends[parent].pop())
        if not mine:
            mine.append(count)
            count += 1
        lines[id], ends[id] = mine[0], mine
    return lines
