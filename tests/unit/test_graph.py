"""The graph: order, reach, paths, and what it says about cycles."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.core.model.graph import CycleError, Graph, Kind, Node


def graph(ids, edges=()):
    return Graph([Node(id=id, kind=Kind.MODEL, name=id) for id in ids], edges)


@st.composite
def dags(draw):
    ids = [f"n{i}" for i in range(draw(st.integers(1, 15)))]
    pairs = [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs))) if pairs else []
    return graph(draw(st.permutations(ids)), edges)


@given(dags())
def test_parents_come_before_children(found):
    place = {id: index for index, id in enumerate(found.order())}
    assert len(place) == len(found)
    assert all(place[before] < place[after] for before, after in found.edges())


@given(dags())
def test_ancestors_and_descendants_mirror_each_other(found):
    for id in found.nodes:
        assert all(id in found.ancestors(other) for other in found.descendants(id))


@given(dags())
def test_a_path_costs_at_least_as_much_as_what_follows_it(found):
    cost = dict.fromkeys(found.nodes, 1.0)
    remaining = found.longest_paths(cost)
    assert all(remaining[a] >= remaining[b] + 1 for a, b in found.edges())
    path = found.critical_path(cost)
    assert len(path) == max(remaining.values())
    assert all(after in found.children(before) for before, after in pairwise(path))


def test_a_cycle_is_named_in_its_own_order():
    with pytest.raises(CycleError) as caught:
        graph("abcd", [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])
    cycle = caught.value.cycle
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b", "c"}
    assert "a -> b" in str(caught.value)


def test_a_node_before_itself_is_a_cycle():
    with pytest.raises(CycleError, match="a -> a"):
        graph("a", [("a", "a")])


def test_nearest_stops_at_the_first_member_on_each_path():
    found = graph("abcde", [("a", "b"), ("b", "c"), ("c", "d"), ("b", "e")])
    assert found.nearest("a", {"c", "d", "e"}) == {"c", "e"}
    assert found.nearest("d", {"a"}) == set()


def test_an_empty_graph_has_no_path():
    assert graph("").critical_path({}) == ()


def test_ties_keep_the_order_they_were_given_in():
    assert graph("cab").order() == ("c", "a", "b")
