"""Where nodes are drawn: whatever the graph, nothing overlaps and edges lead from left to right."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.core.layout import layout


def ids(count):
    return [f"n{number}" for number in range(count)]


@st.composite
def graphs(draw):
    """Up to some dozen nodes, each after some of those before it."""
    count = draw(st.integers(0, 60))
    pairs = [
        (f"n{draw(st.integers(0, number - 1))}", f"n{number}")
        for number in range(1, count)
        for _ in range(draw(st.integers(0, 3)))
    ]
    return ids(count), pairs


def crossings(found, edges):
    """How many edges of the same two layers cross."""
    ends = [(found.places[a], found.places[b]) for a, b in dict.fromkeys(edges)]
    return sum(
        a[0] == c[0] and b[0] == d[0] and (a[1] - c[1]) * (b[1] - d[1]) < 0
        for place, (a, b) in enumerate(ends)
        for c, d in ends[:place]
    )


def no_overlap(places):
    columns = {}
    for column, row in places.values():
        columns.setdefault(column, []).append(row)
    for rows in columns.values():
        rows.sort()
        assert all(low - high >= 0.98 for high, low in itertools.pairwise(rows))


@given(graphs())
def test_nothing_overlaps_and_edges_lead_to_the_right(graph):
    nodes, edges = graph
    found = layout(nodes, edges)
    assert set(found.places) == set(nodes)
    no_overlap(found.places)
    for before, after in edges:
        assert found.places[before][0] < found.places[after][0]
    for column, row in found.places.values():
        assert 0 <= column < found.columns
        assert 0 <= row <= found.rows - 0.99


@given(graphs(), st.data())
def test_cycles_are_drawn_as_well(graph, data):
    nodes, edges = graph
    back = [
        (b, a)
        for a, b in data.draw(
            st.lists(st.sampled_from(edges), max_size=5) if edges else st.just([])
        )
    ]
    found = layout(nodes, [*edges, *back])
    assert set(found.places) == set(nodes)
    no_overlap(found.places)


def test_a_chain_is_straight_and_a_tree_has_no_crossings():
    chain = [(f"n{number}", f"n{number + 1}") for number in range(9)]
    assert {row for _, row in layout(ids(10), chain).places.values()} == {0.0}
    tree = [(f"n{(number - 1) // 2}", f"n{number}") for number in range(1, 31)]
    mixed = random.Random(1).sample(tree, len(tree))
    found = layout(random.Random(2).sample(ids(31), 31), mixed)
    assert crossings(found, mixed) == 0


def test_an_edge_over_several_layers_is_led_around_what_is_between():
    found = layout(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    ((bend,),) = found.bends.values()
    assert bend[0] == found.places["b"][0] == 1
    assert abs(bend[1] - found.places["b"][1]) >= 0.7


def test_what_nothing_leads_to_stands_before_what_reads_it():
    found = layout(
        ["a", "b", "c", "d", "late"], [("a", "b"), ("b", "c"), ("c", "d"), ("late", "d")]
    )
    assert found.places["late"][0] == found.places["c"][0]


def test_a_layer_of_hundreds_is_broken_into_columns():
    found = layout(ids(901), [("n0", f"n{number}") for number in range(1, 901)])
    assert found.rows < 60
    assert found.columns > 10
    no_overlap(found.places)
    assert found.bends == {}


def test_nodes_without_edges_stand_beneath_the_others():
    found = layout(["a", "lonely", "b", "alone"], [("a", "b")])
    assert found.places == {"a": (0, 0.0), "b": (1, 0.0), "lonely": (0, 1.0), "alone": (1, 1.0)}
    assert (found.columns, found.rows) == (2, 2.0)
    assert layout([], []).places == {}


def test_an_edge_to_something_else_is_an_error():
    with pytest.raises(KeyError, match="b"):
        layout(["a"], [("a", "b")])
