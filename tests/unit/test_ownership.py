"""Whose a node is, from near to far; a plan says it of each, so that everybody tells the same."""

import pytest

from dbtorch.app.planning import make_plan
from dbtorch.app.step_wiring import Choice
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.ownership import owned
from dbtorch.core.plan import SESSION_OPEN
from tests.unit.story import EDGES, SHOP
from tests.unit.test_planning import config, selected

KPIS = Node(id="exposure.shop.kpis", kind=Kind.EXPOSURE, name="kpis", owner="bi-team")
CHECK = Node(id="check.model.shop.fct_orders", kind=Kind.CHECK, name="fct_orders")
FOLDERS = {"models": "no", "models/staging/": "ana of stg"}


@pytest.mark.parametrize(
    ("node_id", "otherwise", "owner"),
    [
        ("model.shop.fct_orders", "", "ana"),  # its own
        ("test.shop.unique_kpis.a1b2c3", "", "bi-team"),  # the exposure behind what it tests
        ("model.shop.stg_rates", "", "ana of stg"),  # of the folder, if no exposure is behind
        ("step.export_kpis", "pipes", "pipes"),  # no folder speaks of it
        ("step.export_kpis", "", ""),
        (CHECK.id, "", "ana"),  # whoever owns what it checks
    ],
)
def test_owners_are_looked_for_from_near_to_far(node_id, otherwise, owner):
    edges = [edge for edge in EDGES if "stg_rates" not in edge[0]]
    edges += [("model.shop.fct_kpis", KPIS.id)]
    nodes = (*SHOP, KPIS, CHECK)
    found = owned(nodes, among=nodes, edges=edges, folders=FOLDERS, otherwise=otherwise)
    assert {node.id: node.owner for node in found}[node_id] == owner


def test_the_owner_of_a_pipeline_is_told_of_what_nobody_owns():
    plan = make_plan(selected(), config(), {}, {}, Choice(owner="data-eng")).plan
    assert {node.owner for node in plan.graph.nodes.values()} == {"data-eng"}
    assert plan.graph.nodes[SESSION_OPEN].owner == "data-eng"
