"""Which part of a run's graph is shown: what leads where once tests that are well are left out."""

import pytest

from dbtorch.core.errors import UsageError
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import State
from dbtorch.service.history.graph_page import Asked, By, RunGraph, picture
from dbtorch.service.history.run import show_run
from tests.unit.story import WRONG, Told, check, model, plan, step

A, B, C, D, T = model("a"), model("b"), model("c"), model("d"), check("of_a")


def graph(edges, outcomes=None, nodes=(A, T, B, C, D)):
    ids = {node.name: node.id for node in nodes}
    a_plan = plan(nodes, [(ids[before], ids[after]) for before, after in edges])
    report = show_run(Told(outcomes, a_plan=a_plan).store, "latest")
    return RunGraph(report.record, report.state, {})


def drawn(found, asked):
    """Edges between names."""
    said = picture(found, asked)
    names = [
        box["group"] if "group" in box else found.nodes[box["node"]].name for box in said["boxes"]
    ]
    return {f"{names[edge['from']]}>{names[edge['to']]}" for edge in said["edges"]}


#: A test of ``a`` holds up everything behind it; ``d`` reads ``a`` and ``c``.
BLOCKS = [
    *[("a", "of_a"), ("of_a", "b"), ("of_a", "c"), ("of_a", "d")],
    *[("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")],
]


def test_what_tests_only_add_is_no_edge_and_what_the_project_says_is():
    found = graph(BLOCKS)
    everything = Asked(everything=True)
    assert drawn(found, everything) == {"a>b", "b>c", "c>d", "a>d"}
    with_tests = Asked(everything=True, tests=True)
    assert drawn(found, with_tests) == {"a>b", "b>c", "c>d", "a>d", "a>of_a", "of_a>b"}


def test_a_test_that_alone_stands_between_two_leads_from_one_to_the_other():
    found = graph([("a", "of_a"), ("of_a", "b")])
    assert drawn(found, Asked(everything=True)) == {"a>b"}


def test_a_test_that_complains_is_shown():
    complains = Outcome(state=State.WARN, message="3 rows")
    found = graph(BLOCKS, {T.id: [complains]})
    assert drawn(found, Asked()) == {"a>of_a", "of_a>b", "a>b"}


def test_it_is_about_what_failed_and_grows_by_sides():
    found = graph([("a", "b"), ("b", "c"), ("c", "d")], {C.id: [WRONG]})
    assert drawn(found, Asked()) == {"b>c", "c>d"}
    b = found.ids.index(B.id)
    assert drawn(found, Asked(focus=(found.ids.index(C.id),), before=(b,))) == {"a>b", "b>c", "c>d"}
    boxes = {box["node"]: box for box in picture(found, Asked())["boxes"]}
    assert (boxes[b]["before"], boxes[b]["after"]) == (1, 0)


def test_groups_count_what_leads_between_them():
    load, mart = step("load"), model("m", "models/marts")
    found = graph([("load", "a"), ("load", "b"), ("a", "m"), ("b", "m")], nodes=(load, A, B, mart))
    by_folder = picture(found, Asked(by=By.FOLDER))
    counts = {edge["count"] for edge in by_folder["edges"]}
    assert drawn(found, Asked(by=By.FOLDER)) == {
        "steps>models/staging",
        "models/staging>models/marts",
    }
    assert counts == {2}
    opened = Asked(by=By.FOLDER, open=frozenset({"models/staging"}))
    assert "a>models/marts" in drawn(found, opened)


@pytest.mark.parametrize("asked", [Asked(focus=(5,)), Asked(before=(99,)), Asked(after=(5,))])
def test_a_place_that_is_none_is_refused(asked):
    with pytest.raises(UsageError, match="the run has 5 nodes, which are counted from 0"):
        picture(graph([("a", "b")]), asked)
