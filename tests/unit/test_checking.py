"""Which relations a run checks, and between what."""

from dataclasses import replace

import pytest

from dbtorch.app.planning import make_plan
from dbtorch.app.step_wiring import Choice
from dbtorch.cli.text.plan import plan_text
from dbtorch.core.checks.relation_checks import (
    NullRate,
    PatternChecks,
    RowCount,
    SameSchema,
)
from dbtorch.core.errors import PlanError
from dbtorch.core.model.freshness import FreshnessSpec, GateSettings, Thresholds
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.policy import OnFailure
from dbtorch.core.model.state import FailureClass
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.settings import Settings
from tests.stores import a_node
from tests.unit.test_planning import INGEST, config, selected

ENDS = {SESSION_OPEN, SESSION_CLOSE}
ONE_ROW, SCHEMA = RowCount(min=1), SameSchema()
SAID = {"row_count": (ONE_ROW,)}


def models(pattern="*", checks=SAID, **more):
    return PatternChecks(
        pattern=pattern, sources=False, checks=checks, where="dbtorch.yml:3", **more
    )


def sources(pattern="shop.*", checks=SAID):
    return replace(models(pattern, checks), sources=True)


def planned(*patterns, steps=(), found=None, settings=None, choice=None, **more):
    configuration = config(*steps, checks=patterns, **more)
    return make_plan(found or selected(), configuration, settings or {}, {}, choice or Choice())


def around(plan, id):
    graph = plan.graph
    return set(graph.parents(id)) - ENDS, set(graph.children(id)) - ENDS


def test_a_check_is_between_a_model_and_all_that_needs_it():
    found = planned(models("mart"))
    assert around(found.plan, "check.model.mart") == ({"model.mart"}, {"exposure.kpis"})
    node = found.plan.graph.nodes["check.model.mart"]
    assert (node.kind, node.name) == (Kind.CHECK, "mart")
    assert node.id in found.on_engine
    # tests see it as it is, and do not wait
    assert around(found.plan, "test.mart")[0] == {"model.mart"}
    assert "check.model.stg_orders" not in found.plan.graph


def test_a_source_is_checked_after_the_producer_and_before_exactly_what_reads_it():
    found = planned(sources(), steps=[INGEST])
    check = "check.source.shop.orders"
    assert around(found.plan, check) == ({"step.ingest"}, {"model.stg_orders"})
    narrow = planned(sources(), found=selected(["model.mart"]))
    assert around(narrow.plan, check) == (set(), {"model.mart"})
    assert "check.source.shop.visits" not in narrow.plan.graph  # nothing that runs reads it


def test_a_step_behind_a_model_waits_for_its_checks():
    export = replace(INGEST, name="export", produces=(), after=("mart",))
    found = planned(models("mart"), steps=[export])
    assert "check.model.mart" in around(found.plan, "step.export")[0]


@pytest.mark.parametrize(
    ("patterns", "own", "checks"),
    [
        # a name wins over patterns, a later pattern over one before it, kind by kind
        ([models("mart"), models("*", {"row_count": (RowCount(min=9),)})], None, {ONE_ROW}),
        ([models("*"), models("m*", {"row_count": (RowCount(min=9),)})], None, {RowCount(min=9)}),
        ([models("*"), models("mart", {"schema": (SCHEMA,)})], None, {ONE_ROW, SCHEMA}),
        # what the model says wins over both
        ([models("mart")], {"row_count": (RowCount(max=2),)}, {RowCount(max=2)}),
        ([models("mart")], {"schema": (SCHEMA,)}, {ONE_ROW, SCHEMA}),
        ([], {"schema": (SCHEMA,)}, {SCHEMA}),
        # and may turn it off
        ([models("mart")], {"row_count": ()}, None),
        ([sources()], None, None),
    ],
)
def test_the_nearest_word_counts(patterns, own, checks):
    settings = {"model.mart": Settings(checks=own)} if own is not None else {}
    watches = planned(*patterns, settings=settings).plan.checks
    found = watches.get("check.model.mart")
    assert (set(found.checks) if found is not None else None) == checks


def test_nothing_is_checked_when_nobody_wants_it():
    assert planned(models(), choice=Choice(checks=False)).plan.checks == {}


@pytest.mark.parametrize(
    ("pattern", "checked"),
    [("dim", ["v1", "v2"]), ("dim.v2", ["v2"]), ("dim.*", ["v1", "v2"])],
)
def test_versions_of_a_model_are_checked_together_or_each_by_itself(pattern, checked):
    found = selected()
    versions = [replace(a_node(f"model.shop.dim.v{n}"), name="dim") for n in (1, 2)]
    members = found.selected | {node.id for node in versions}
    found = replace(found, nodes=(*found.nodes, *versions), selected=members)
    plan = planned(models(pattern), found=found).plan
    assert sorted(id.rpartition(".")[2] for id in plan.checks) == checked


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (
            models("matr"),
            'checks.models has "matr", which names no model, seed or snapshot; did you',
        ),
        (models("test*"), "names no model, seed or snapshot"),
        (sources("shop.ordres"), 'names no source; did you mean "shop.orders"?'),
        (models("eph"), "which is ephemeral: there is no relation that could be checked"),
    ],
)
def test_checks_that_would_never_run_are_an_error(pattern, why):
    found = selected()
    nodes = (*found.nodes, replace(a_node("model.eph"), materialized="ephemeral"))
    with pytest.raises(PlanError, match=r"dbtorch\.yml:3: ") as error:
        planned(pattern, found=replace(found, nodes=nodes))
    assert why in str(error.value)


def test_a_pattern_leaves_out_what_has_no_relation():
    found = selected()
    nodes = (*found.nodes, replace(a_node("model.eph"), materialized="ephemeral"))
    members = found.selected | {"model.eph"}
    plan = planned(models(), found=replace(found, nodes=nodes, selected=members)).plan
    assert sorted(plan.checks) == [
        "check.model.mart", "check.model.stg_orders", "check.model.stg_visits"
    ]  # fmt: skip


def test_a_check_has_the_policy_of_what_it_checks_and_is_no_gate():
    said = Settings(retries=5, on_failure=OnFailure.CONTINUE, pool="slow", gate=GateSettings())
    settings = {"source.shop.orders": said}
    for freshness in (None, FreshnessSpec()):
        found = replace(selected(), freshness={"source.shop.orders": Thresholds(error_after=1.0)})
        plan = planned(sources(), found=found, settings=settings, freshness=freshness).plan
        policy = plan.policy("check.source.shop.orders")
        assert (policy.gate, policy.on_failure) == (None, OnFailure.CONTINUE)
        assert policy.slots == {"threads": 1, "slow": 1}
        assert policy.retry.retries[FailureClass.TRANSIENT] == 5


def test_other_checks_are_other_code():
    def checksum(checks):
        plan = planned(models("mart", checks)).plan
        return plan.graph.nodes["check.model.mart"].checksum

    assert checksum(SAID) == checksum(dict(SAID))
    assert checksum(SAID) != checksum({"row_count": (RowCount(min=2),)})


def test_a_plan_says_what_is_looked_at():
    checks = {**SAID, "null_rate": (NullRate(column="id"),)}
    text = plan_text(planned(models("mart", checks)).plan)
    row = next(line for line in text.splitlines() if "check mart" in line)
    assert "after model mart" in row  # a test is called like that, too
    assert "row_count, null_rate(id)" in row
