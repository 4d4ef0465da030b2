"""Which tasks a pipeline is in Airflow: one a node, or one for several. Knows no Airflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import CycleError, Graph, Kind, Node
from dbtorch.core.model.naming import called_apart, label, names_among
from dbtorch.core.model.policy import OnFailure
from dbtorch.core.plan import Plan
from dbtorch.core.run.simulation import is_shown

#: The task that runs the pipeline, and the one that tells of what was built: dbt has no such names.
RUN, ASSETS = "dbtorch-run", "dbtorch-assets"

#: A task's name is not longer in Airflow, with some room.
LONGEST = 200

_TESTS = (Kind.TEST, Kind.UNIT_TEST, Kind.CHECK)
_RELATIONS = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)


class Granularity(StrEnum):
    """What is one task."""

    NODE = "node"
    MODEL_WITH_TESTS = "model_with_tests"  # with those that are of nothing else
    LAYER = "layer"  # what is in one folder right below that of models
    PIPELINE = "pipeline"  # all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task that shows how nodes end."""

    id: str
    nodes: tuple[str, ...]  # ids, parents before children
    after: tuple[str, ...]  # ids of the tasks before it
    folder: tuple[str, ...]  # TaskGroups that it is in, the outermost first
    needs_success: bool  # False: a node before it may fail, and those after it run all the same
    owner: str
    doc: str  # Markdown


def tasks_of(plan: Plan, granularity: Granularity, project: str) -> tuple[TaskSpec, ...]:
    """The tasks of a plan, those before others first; ``project`` is dbt's name of it.

    Raises `UsageError` where layers need each other, so that none can be the first.
    """
    if granularity is Granularity.PIPELINE:
        return ()
    nodes = {id: node for id, node in plan.graph.nodes.items() if is_shown(node.kind)}
    edges = [(one, other) for one, other in plan.graph.edges() if one in nodes and other in nodes]
    graph = Graph(nodes.values(), edges)
    key = _GROUPS[granularity](graph, project)
    members: dict[str, list[str]] = {}
    for id in graph.order():
        members.setdefault(key[id], []).append(id)
    order = _order(graph, key, granularity)
    names = _task_ids(graph, members)
    return tuple(
        TaskSpec(
            id=names[group],
            nodes=tuple(members[group]),
            after=tuple(names[before] for before in order.parents(group)),
            folder=_folder(graph.nodes[members[group][0]], project)
            if granularity is not Granularity.LAYER
            else (),
            needs_success=all(_blocks(plan, id) for id in _before(graph, members[group])),
            owner=next(filter(None, (graph.nodes[id].owner for id in members[group])), ""),
            doc=_doc([graph.nodes[id] for id in members[group]]),
        )
        for group in order.order()
    )


def is_relation(node: Node) -> bool:
    """Whether a node leaves something in the warehouse that others may wait for."""
    return node.kind in _RELATIONS and node.materialized != "ephemeral"


def _blocks(plan: Plan, id: str) -> bool:
    return plan.policy(id).on_failure is OnFailure.BLOCK


def _before(graph: Graph, ids: list[str]) -> set[str]:
    return {parent for id in ids for parent in graph.parents(id)} - set(ids)


# -------------------------------------------------------------------- what belongs together


def _by_node(graph: Graph, _project: str) -> dict[str, str]:
    return {id: id for id in graph.nodes}


def _with_tests(graph: Graph, _project: str) -> dict[str, str]:
    """A test belongs to the one node that it is of; one of several is a task of its own."""
    found = {}
    for id, node in graph.nodes.items():
        of = graph.children(id) if node.kind is Kind.UNIT_TEST else graph.parents(id)
        alone = node.kind in _TESTS and len(of) == 1 and graph.nodes[of[0]].kind not in _TESTS
        found[id] = of[0] if alone else id
    return found


def _by_layer(graph: Graph, project: str) -> dict[str, str]:
    """Tests go with the last layer of what they are of."""
    found = {id: _layer(node, project) for id, node in graph.nodes.items()}
    rest = {id for id, node in graph.nodes.items() if node.kind not in _TESTS}
    inner = Graph(
        (graph.nodes[id] for id in graph.order() if id in rest),
        [edge for edge in graph.edges() if rest.issuperset(edge)],
    )
    rank = {group: n for n, group in enumerate(_order(inner, found, Granularity.LAYER).order())}
    for id in graph.nodes.keys() - rest:
        near = [one for one in (*graph.parents(id), *graph.children(id)) if one in rest]
        is_unit = graph.nodes[id].kind is Kind.UNIT_TEST
        of = [one for one in graph.children(id) if one in rest] if is_unit else graph.parents(id)
        layers = [found[one] for one in of or near if one in rest]
        found[id] = max(layers, key=rank.__getitem__, default=id)
    return found


def _layer(node: Node, project: str) -> str:
    if node.kind in (Kind.STEP, Kind.SOURCE):  # a gate holds back what is behind it, and no more
        return node.id
    if node.package and node.package != project:
        return node.package
    parts = node.path.split("/")
    return parts[1] if len(parts) > 2 else parts[0] or node.kind.value


_GROUPS: Mapping[Granularity, Callable[[Graph, str], dict[str, str]]] = {
    Granularity.NODE: _by_node,
    Granularity.MODEL_WITH_TESTS: _with_tests,
    Granularity.LAYER: _by_layer,
}


def _order(graph: Graph, key: Mapping[str, str], granularity: Granularity) -> Graph:
    """What comes after what among groups. Raises `UsageError` for those that need each other."""
    if granularity is Granularity.NODE:
        return graph
    groups = dict.fromkeys(key[id] for id in graph.order())
    edges = {(key[one], key[other]): (one, other) for one, other in graph.edges()}
    pairs = [pair for pair in edges if pair[0] != pair[1]]
    try:
        return Graph((Node(id=one, kind=Kind.MODEL, name=one) for one in groups), pairs)
    except CycleError as error:
        steps = [edges[pair] for pair in pairwise(error.cycle)]
        through = ", ".join(f"{after} comes after {before}" for before, after in steps)
        raise UsageError(
            f"the layers {' -> '.join(error.cycle)} need each other ({through}), so none can be a"
            f" task that comes first: use granularity {Granularity.MODEL_WITH_TESTS.value!r}"
            f" instead of {granularity.value!r}"
        ) from error


# -------------------------------------------------------------------- what tasks are called


def _task_ids(graph: Graph, members: Mapping[str, list[str]]) -> dict[str, str]:
    """Ids of tasks, by group: names of nodes where they are clear, and the same each time."""
    names = names_among(graph.nodes.values())
    texts = {group: names.get(group, group) for group in members}
    ours = {RUN: RUN, ASSETS: ASSETS}
    found = called_apart({**texts, **ours}, key, longest=LONGEST)
    return {group: found[group] for group in texts}


def key(text: str) -> str:
    """An id as Airflow takes it."""
    return re.sub(r"[^\w.-]+", "-", text)


def _folder(node: Node, project: str) -> tuple[str, ...]:
    inside = tuple(node.path.split("/")[1:-1]) if node.kind is not Kind.STEP else ()
    return (node.package, *inside) if node.package not in ("", project) else inside


def _doc(nodes: list[Node]) -> str:
    parts = []
    for node in nodes:
        said = [f"**{label(node)}**"]
        said += [node.description] if node.description else []
        said += [f"Runbook: {node.runbook}"] if node.runbook else []
        parts.append("\n\n".join(said))
    return "\n\n".join(parts)
