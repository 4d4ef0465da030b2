"""The edges of `dbt build` that the supervisor gets: fewer, and the same order."""

from itertools import pairwise

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.adapters.dbt.dbtorch_worker.selection import build_order


def as_dbt_draws_it(models: nx.DiGraph, tests: dict[str, set[str]]) -> nx.DiGraph:
    """Each test comes after its parents, and before all that has every one of them upstream."""
    graph = models.copy()
    for test, parents in tests.items():
        graph.add_edges_from((parent, test) for parent in parents)
        blocked = [n for n in models if parents <= nx.ancestors(models, n)]
        graph.add_edges_from((test, node) for node in blocked)
    return graph


@given(data=st.data(), size=st.integers(1, 9))
def test_what_a_test_blocks_far_away_is_blocked_by_what_lies_between(data, size):
    names = [f"model.{i}" for i in range(size)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    models = nx.DiGraph(data.draw(st.lists(st.sampled_from(pairs))) if pairs else [])
    models.add_nodes_from(names)
    tested = data.draw(st.lists(st.sets(st.sampled_from(names), min_size=1, max_size=3)))
    tests = {f"test.{i}": parents for i, parents in enumerate(tested)}
    graph = as_dbt_draws_it(models, tests)

    fewer = nx.DiGraph(build_order(graph))
    fewer.add_nodes_from(graph)

    assert set(models.edges) <= set(fewer.edges)
    assert {n: nx.ancestors(fewer, n) for n in graph} == {n: nx.ancestors(graph, n) for n in graph}


def test_a_chain_needs_one_edge_a_test():
    names = [f"model.{i}" for i in range(50)]
    models = nx.DiGraph(list(pairwise(names)))
    graph = as_dbt_draws_it(models, {f"test.{i}": {name} for i, name in enumerate(names)})

    assert len(graph.edges) > 1_300
    assert len(build_order(graph)) == 49 + 50 + 49
