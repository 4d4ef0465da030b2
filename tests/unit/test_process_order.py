"""The order of `dbt build`, made of a manifest's edges, is dbt's."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.adapters.dbt.process.project.build_order import build_order
from dbtorch.core.model.graph import Kind, Node
from tests.unit.test_build_order import as_dbt_draws_it


@given(data=st.data(), size=st.integers(1, 9))
def test_everything_comes_after_what_dbt_puts_before_it(data, size):
    names = [f"model.{i}" for i in range(size)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    models = nx.DiGraph(data.draw(st.lists(st.sampled_from(pairs))) if pairs else [])
    models.add_nodes_from(names)
    tested = data.draw(st.lists(st.sets(st.sampled_from(names), min_size=1, max_size=3)))
    tests = {f"test.{i}": parents for i, parents in enumerate(tested)}
    graph = as_dbt_draws_it(models, tests)
    selected = frozenset(name for name in graph if data.draw(st.integers(0, 3)))

    edges = [*models.edges, *((parent, test) for test in tests for parent in tests[test])]
    nodes = [Node(id=id, kind=Kind.MODEL, name=id) for id in names]
    nodes += [Node(id=id, kind=Kind.TEST, name=id) for id in tests]
    found = nx.DiGraph(build_order(nodes, edges, selected))
    found.add_nodes_from(selected)

    assert set(found) == selected
    assert {n: nx.ancestors(found, n) for n in selected} == {
        n: nx.ancestors(graph, n) & selected for n in selected
    }


@pytest.mark.parametrize("left_out", ["", "model.b"])
def test_unit_tests_come_before_their_model_and_after_what_it_reads(left_out):
    nodes = [Node(id=f"model.{name}", kind=Kind.MODEL, name=name) for name in "abc"]
    nodes += [Node(id=f"unit_test.{name}", kind=Kind.UNIT_TEST, name=name) for name in "xy"]
    edges = [("model.a", "model.b"), ("model.b", "model.c")]
    edges += [("model.c", "unit_test.x"), ("model.c", "unit_test.y")]
    selected = frozenset(node.id for node in nodes) - {left_out}

    before = "model.a" if left_out else "model.b"
    expected = {(before, "model.c"), ("unit_test.x", "model.c"), ("unit_test.y", "model.c")}
    expected |= {(before, "unit_test.x"), (before, "unit_test.y")}
    expected |= set() if left_out else {("model.a", "model.b")}
    assert set(build_order(nodes, edges, selected)) == expected
