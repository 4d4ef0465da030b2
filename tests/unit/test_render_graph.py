"""Graphs and plans as text, Mermaid, DOT and JSON."""

import json
import re

import pytest

from dbtorch.cli.text.graph import graph_text
from dbtorch.cli.text.plan import plan_text
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy, Retry
from dbtorch.core.plan import THREADS
from dbtorch.core.run.simulation import forecast
from tests.unit.story import SHOP, model, plan, step


def named(name, kind=Kind.MODEL):
    return Node(id=f"{kind}.shop.{name}", kind=kind, name=name)


def test_text_lists_levels():
    assert graph_text(plan(), "text").splitlines() == [
        "LEVEL  KIND   NODE             AFTER",
        "    1  step   ingest_orders",
        "    1  step   ingest_rates",
        "    2  model  stg_orders       ingest_orders",
        "    2  model  stg_rates        ingest_rates",
        "    3  test   not_null_orders  stg_orders",
        "    4  model  fct_orders       stg_rates, 1 test",
        "    5  model  fct_kpis         fct_orders",
        "    6  test   unique_kpis      fct_kpis",
        "    7  step   export_kpis      unique_kpis",
        "",
        "4 models, 3 steps, 2 tests; 8 edges",
    ]


@pytest.mark.parametrize("format", ["text", "mermaid", "dot", "json"])
def test_session_and_hooks_are_left_out(format):
    hook = Node(id="operation.shop.grants", kind=Kind.OPERATION, name="grants")
    text = graph_text(plan([*SHOP, hook]), format)
    assert "session" not in text
    assert "grants" not in text


@pytest.mark.parametrize("format", ["text", "mermaid", "dot", "json"])
def test_an_empty_graph_can_be_drawn(format):
    assert graph_text(Graph([], []), format)


def test_mermaid_has_a_class_per_kind():
    lines = graph_text(plan(), "mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    assert '  n0["ingest_orders"]:::step' in lines
    assert "  n0 --> n2" in lines
    assert any(line.startswith("  classDef step ") for line in lines)
    assert not any("classDef seed" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("plain_name.v2", "plain_name.v2"),
        # would end the label
        ('say "hi"', "say #quot;hi#quot;"),
        # starts an entity
        ("#1", "#35;1"),
        # HTML, which Mermaid would render
        ("a<b> & c", "a#lt;b#gt; #amp; c"),
        # would turn the label into Markdown
        ("`code`", "#96;code#96;"),
        ("two\nlines", "two lines"),
        ("back\\slash", "back#92;slash"),
        # only words of ids are reserved; labels may hold anything
        ("end", "end"),
        ("[brackets](and) {more} |pipes|", "[brackets](and) {more} |pipes|"),
        ("größe", "größe"),
    ],
)
def test_labels_in_mermaid(name, label):
    assert f'n0["{label}"]:::model' in graph_text(Graph([named(name)], []), "mermaid")


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("plain", '"plain"'),
        ('say "hi"', r'"say \"hi\""'),
        # would escape the closing quote
        ("ends with \\", r'"ends with \\"'),
        # would be a line break aligned to the left
        (r"a\lb", r'"a\\lb"'),
        ("two\nlines", '"two lines"'),
        # keywords are only safe within quotes
        ("graph", '"graph"'),
        ("<b>", '"<b>"'),
    ],
)
def test_strings_in_dot(name, quoted):
    text = graph_text(Graph([named(name)], []), "dot")
    assert f"label={quoted}," in text
    rest = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    assert '"' not in rest  # every string is closed


def test_dot_has_every_node_and_edge():
    text = graph_text(plan(), "dot")
    assert text.startswith("digraph dbtorch {\n")
    assert text.endswith("\n}")
    assert text.count(" -> ") == 8
    assert '  "step.ingest_orders" -> "model.shop.stg_orders";' in text.splitlines()


def test_json_has_nodes_and_edges():
    found = json.loads(graph_text(plan(), "json"))
    assert [node["id"] for node in found["nodes"]][:2] == [
        "step.ingest_orders",
        "step.ingest_rates",
    ]
    assert ["step.ingest_orders", "model.shop.stg_orders"] in found["edges"]
    assert len(found["edges"]) == 8


# ---------------------------------------------------------------- plans


def test_a_plan_tells_order_times_and_reasons():
    text = plan_text(plan(expected={node.id: 2.0 for node in SHOP} | {"step.ingest_orders": 6.0}))
    rows = text.splitlines()[1:10]
    assert rows[0].split() == ["1", "+0s", "6.00s", "step", "ingest_orders", "feeds", "stg_orders"]
    assert re.search(r"\+10s +2\.00s +model fct_orders +after stg_rates, 1 test$", rows[5])
    assert "Estimated   18.0s after dbt has started; history knows 9 of 9 nodes\n" in text
    assert "Critical    18.0s: ingest_orders > stg_orders > not_null_orders > " in text
    assert "9 nodes: 4 models, 3 steps, 2 tests" in text


def test_a_plan_says_what_it_does_not_know():
    text = plan_text(plan(expected={"step.ingest_orders": 6.0}))
    assert "history knows 1 of 9 nodes, the others (?) count as 1s" in text
    assert re.search(r"\+0s +\? +step ingest_rates", text)


def test_a_plan_names_what_is_special_about_a_node():
    special = Policy(
        retry=Retry.times(7),
        timeout=600,
        priority=3,
        slots={THREADS: 2, "heavy": 1},
    )
    text = plan_text(plan(policies={"model.shop.fct_orders": special}, pools={"heavy": 1}))
    (line,) = [line for line in text.splitlines() if "model fct_orders" in line]
    assert (
        "priority 3; alone with the database, pool heavy; retries 7 (after 10s, at most 5m 00s)"
        in line
    )
    assert line.endswith("timeout 10m 00s")
    assert text.count("retries 7") == 1
    assert "At once     2 in dbt (threads), 8 steps, heavy 1" in text


def test_selected_nodes_without_parents_say_so():
    assert re.search(r"model a +selected$", plan_text(plan([model("a")], [])), re.MULTILINE)


def test_an_empty_plan_says_so():
    assert plan_text(plan([], [])) == "The selection matches no nodes; nothing would run."


def test_a_plan_as_json():
    found = json.loads(plan_text(plan(expected={"step.ingest_orders": 6.0}), format="json"))
    assert [node["order"] for node in found["nodes"]] == list(range(1, 10))
    first = found["nodes"][0]
    assert (first["id"], first["expected_seconds"], first["critical"]) == (
        "step.ingest_orders",
        6.0,
        True,
    )
    assert found["nodes"][1]["expected_seconds"] is None
    assert found["estimated_seconds"] == found["critical_path_seconds"] == 12.0
    assert not any("session" in node["id"] for node in found["nodes"])


def test_nodes_are_forecast_by_priority_then_by_what_waits_for_them():
    nodes = [model("short"), model("long"), model("after_long"), model("urgent")]
    edges = [(nodes[1].id, nodes[2].id)]
    urgent = {nodes[3].id: Policy(priority=9, slots={THREADS: 1})}
    found = forecast(plan(nodes, edges, policies=urgent, threads=1))
    names = [id.rpartition(".")[2] for id in found.starts]
    assert names[:2] == ["urgent", "long"]
    assert found.seconds == 4.0


def test_pools_make_a_forecast_longer():
    steps = [step(f"s{i}") for i in range(4)]
    alone = {node.id: Policy(slots={"api": 1}) for node in steps}
    assert forecast(plan(steps, [], policies=alone, pools={"api": 1})).seconds == 4.0
    assert forecast(plan(steps, [])).seconds == 1.0


def test_a_large_plan_is_forecast_quickly():
    nodes = [model(f"m{i}") for i in range(5000)]
    edges = [(nodes[i // 3].id, nodes[i].id) for i in range(3, 5000)]
    assert len(forecast(plan(nodes, edges, threads=8)).starts) == 5000
