"""A plan as a value: what would run, in which order, why, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbtorch.app.planning import Planned
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.naming import names_among
from dbtorch.core.run.simulation import forecast, is_shown
from dbtorch.core.text.phrases import and_more, many

#: Names that a reason lists before it only counts.
_LISTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """A node that would run."""

    id: str
    name: str
    kind: str  # model, test, seed, snapshot, source, step, check, ...
    why: str  # one phrase: what it comes after, or that it was selected
    after: tuple[str, ...]  # ids of what it waits for
    starts_after: float  # seconds from the start of the run, by what nodes took so far
    expected_seconds: float | None  # the median of earlier runs; None when there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do."""

    nodes: tuple[PlannedNode, ...]  # in the order in which they would start
    expected_seconds: float  # from the first start to the last end
    critical_path: tuple[str, ...]  # ids; what the run takes at least
    left_out: str  # which steps stay out, in one sentence; empty for none
    warnings: tuple[str, ...]  # what nobody has to mend now, one sentence each
    target: str
    graph: Graph  # of what would run
    project: Graph  # all of dbt's nodes and all steps, whatever is selected

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[PlannedNode]:
        return iter(self.nodes)


def plan_of(planned: Planned, *, left_out: str, warnings: tuple[str, ...], target: str) -> Plan:
    """The plan for people and programs."""
    plan = planned.plan
    found = forecast(plan)
    names = names_among(plan.graph.nodes.values())
    return Plan(
        nodes=tuple(
            PlannedNode(
                id=id,
                name=plan.graph.nodes[id].name,
                kind=plan.graph.nodes[id].kind.value,
                why=why(plan.graph, id, names),
                after=tuple(node.id for node in _shown(plan.graph, plan.graph.parents(id))),
                starts_after=start,
                expected_seconds=plan.expected.get(id),
            )
            for id, start in found.starts.items()
        ),
        expected_seconds=found.seconds,
        critical_path=tuple(found.critical_path),
        left_out=left_out,
        warnings=warnings,
        target=target,
        graph=plan.graph,
        project=planned.project,
    )


def why(graph: Graph, id: str, names: Mapping[str, str]) -> str:
    """Why a node runs where it does; ``names`` has what nodes are called, by id."""
    parents = _shown(graph, graph.parents(id))
    after = "after " + listed(parents, names) if parents else ""
    kind = graph.nodes[id].kind
    if kind in (Kind.STEP, Kind.SOURCE):
        children = _shown(graph, graph.children(id))
        feeds = "feeds " + listed(children, names) if children else ""
        return "; ".join(filter(None, (after, feeds))) or kind.value
    return after or "selected"


def listed(nodes: list[Node], called: Mapping[str, str], at_most: int = _LISTED) -> str:
    """Names; tests beside other nodes only count, because they say least about why."""
    others = [node for node in nodes if node.kind not in (Kind.TEST, Kind.UNIT_TEST)]
    tests = len(nodes) - len(others) if others else 0
    told = others or nodes
    names = tuple(called[node.id] for node in told[:at_most])
    counted = f", {many(tests, 'test')}" if tests else ""
    return f"{and_more(names, len(told))}{counted}"


def _shown(graph: Graph, ids: frozenset[str] | set[str] | tuple[str, ...]) -> list[Node]:
    return [graph.nodes[id] for id in ids if is_shown(graph.nodes[id].kind)]
