"""The order of `dbt build`, from the edges of a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbtorch.core.model.graph import Graph, Kind, Node

_TESTS = (Kind.TEST, Kind.UNIT_TEST)


def build_order(
    nodes: Iterable[Node], edges: Iterable[tuple[str, str]], selected: frozenset[str]
) -> list[tuple[str, str]]:
    """Edges between selected nodes, by dbt's rules.

    A test blocks what comes after all of its parents; a unit test runs after what its model reads,
    and before the model; what is not selected is passed through.
    """
    plain = Graph(nodes, edges)
    tests = [id for id, node in plain.nodes.items() if node.kind is Kind.TEST]
    unit_tests = [id for id, node in plain.nodes.items() if node.kind is Kind.UNIT_TEST]
    blocking = (edge for test in tests for edge in _blocked(plain, test))
    graph = Graph(plain.nodes.values(), [*_without(plain, unit_tests), *blocking])
    found = {
        (id, after): None
        for id in graph.order()
        if id in selected
        for after in sorted(graph.nearest(id, selected))
    }
    around = [
        edge
        for id in unit_tests
        if id in selected
        for edge in _around_model(plain, id, selected, found)
    ]
    return [*found, *around]


def _without(graph: Graph, ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    left_out = set(ids)
    return (edge for edge in graph.edges() if left_out.isdisjoint(edge))


def _blocked(graph: Graph, test: str) -> list[tuple[str, str]]:
    """From a test to the nearest nodes that come after all of its parents."""
    parents = graph.parents(test)
    if len(parents) < 2:  # most tests: what comes next comes after its one parent
        near = [id for parent in parents for id in graph.children(parent)]
        return [(test, id) for id in near if graph.nodes[id].kind not in _TESTS]
    after = set.intersection(*(graph.descendants(parent) for parent in parents))
    blocked = {id for id in after if graph.nodes[id].kind not in _TESTS}
    return [(test, id) for id in sorted(blocked) if blocked.isdisjoint(graph.parents(id))]


def _around_model(
    graph: Graph, unit_test: str, selected: frozenset[str], found: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """From what its model comes after to a unit test, and from there to the model."""
    models = [id for id in graph.parents(unit_test) if graph.nodes[id].kind is Kind.MODEL]
    edges = [(unit_test, model) for model in models if model in selected]
    before = [(first, unit_test) for first, then in found if then in models]
    return [*before, *edges]
