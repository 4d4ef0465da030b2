"""How long a run still takes."""

import pytest

from dbtorch.cli.live.estimate import Estimate
from dbtorch.cli.live.progress import Progress
from dbtorch.core.model.policy import Policy
from tests.unit.story import NOON, SHOP, Told, model, plan, record


def estimate_of(a_plan, changes=()):
    progress = Progress(a_plan, record(a_plan))
    estimate = Estimate(a_plan, progress)
    for change in changes:
        progress.apply(change)
        estimate.note(change.node_id, change.state)
    return estimate


def test_what_is_left_is_the_critical_path_when_that_is_longer():
    nodes = [model("a"), model("b"), model("c")]
    edges = [(nodes[0].id, nodes[1].id), (nodes[1].id, nodes[2].id)]
    a_plan = plan(nodes, edges, expected={node.id: 10.0 for node in nodes}, threads=4)
    assert estimate_of(a_plan).seconds_left(NOON) == 30.0


def test_what_is_left_is_the_work_of_the_fullest_pool_when_that_is_more():
    nodes = [model(f"m{i}") for i in range(10)]
    a_plan = plan(nodes, [], expected={node.id: 10.0 for node in nodes}, threads=4)
    assert estimate_of(a_plan).seconds_left(NOON) == 25.0
    crm = {node.id: Policy(slots={"crm": 1}) for node in nodes}
    a_plan = plan(nodes, [], expected=a_plan.expected, policies=crm, pools={"crm": 1})
    assert estimate_of(a_plan).seconds_left(NOON) == 100.0


def test_nothing_is_left_at_the_end():
    told = Told(a_plan=plan(expected={node.id: 1.0 for node in SHOP}))
    assert estimate_of(told.plan, told.changes).seconds_left(told.now) == 0.0


@pytest.mark.parametrize(("known", "says"), [(4, False), (5, True)])
def test_no_estimate_without_a_history(known, says):
    a_plan = plan(expected={node.id: 1.0 for node in SHOP[:known]})
    assert (estimate_of(a_plan).seconds_left(NOON) is not None) is says
