"""Which sources a run checks, and before what."""

from dataclasses import replace

import pytest

from dbtorch.app.planning import make_plan
from dbtorch.app.step_wiring import Choice
from dbtorch.cli.text.plan import plan_text
from dbtorch.core.errors import PlanError
from dbtorch.core.model.freshness import FreshnessSpec, GateSettings, SourceGates, Thresholds
from dbtorch.core.model.gate import Gate, OnStale, Require
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.settings import Settings
from tests.unit.test_planning import INGEST, config, plan_of, selected

ORDERS, VISITS = "source.shop.orders", "source.shop.visits"
DAY = Thresholds(error_after=86_400.0)
ENDS = {SESSION_OPEN, SESSION_CLOSE}


def found(ids=None, limits=None):
    limits = {ORDERS: DAY, VISITS: DAY} if limits is None else limits
    return replace(selected(ids), freshness=limits)


def spec(pattern, **said):
    gates = SourceGates(pattern=pattern, settings=GateSettings(**said), where="dbtorch.yml:3")
    return FreshnessSpec(sources=(gates,))


def test_a_check_comes_after_the_producer_and_before_exactly_what_reads_the_source():
    planned = plan_of(config(INGEST, freshness=FreshnessSpec()), found())
    graph = planned.plan.graph
    assert set(graph.parents(ORDERS)) - ENDS == {"step.ingest"}
    assert set(graph.children(ORDERS)) - ENDS == {"model.stg_orders"}
    assert set(graph.children(VISITS)) - ENDS == {"model.stg_visits"}
    assert {ORDERS, VISITS} <= planned.on_engine
    assert planned.plan.policy(ORDERS).gate == Gate()
    assert planned.plan.limits == {ORDERS: DAY, VISITS: DAY}


def test_what_is_read_through_nodes_that_do_not_run_is_checked_for_those_that_do():
    everywhere = config(freshness=FreshnessSpec())
    graph = plan_of(everywhere, found(["model.mart", "test.mart"])).plan.graph
    assert set(graph.children(ORDERS)) - ENDS == {"model.mart"}
    assert VISITS not in graph


def test_a_test_alone_checks_nothing():
    everywhere = config(freshness=FreshnessSpec())
    assert ORDERS not in plan_of(everywhere, found(["test.mart"])).plan.graph


def test_without_a_word_only_sources_with_a_gate_of_their_own_are_checked():
    said = {ORDERS: Settings(gate=GateSettings(on_error=OnStale.FAIL))}
    plan = make_plan(found(), config(), said, {}, Choice()).plan
    assert plan.policy(ORDERS).gate == Gate(on_error=OnStale.FAIL)
    assert VISITS not in plan.graph
    assert ORDERS not in plan_of(config(), found()).plan.graph


@pytest.mark.parametrize(
    ("configuration", "choice", "limits"),
    [
        (config(freshness=None), {}, None),  # freshness: false
        (config(freshness=FreshnessSpec()), {"freshness": False}, None),  # --no-freshness
        (config(freshness=FreshnessSpec()), {}, {}),  # dbt has no freshness for it
        (config(freshness=FreshnessSpec()), {}, {ORDERS: replace(DAY, checkable=False)}),
    ],
)
def test_no_gate_no_node(configuration, choice, limits):
    assert ORDERS not in plan_of(configuration, found(limits=limits), **choice).plan.graph


def test_what_is_said_of_a_source_is_its_gate_and_what_it_requires_a_models():
    said = replace(spec("shop.*", on_error=OnStale.FAIL), require=Require.ALL)
    plan = plan_of(config(freshness=said), found()).plan
    assert plan.policy(ORDERS).gate == Gate(on_error=OnStale.FAIL)
    assert plan.policy("model.mart").require is Require.ALL


def test_a_source_s_own_word_wins_over_the_file_and_each_key_counts_by_itself():
    own = {ORDERS: Settings(gate=GateSettings(on_error=OnStale.WAIT, patience=60.0))}
    said = replace(
        spec("shop.*", on_error=OnStale.FAIL, every=5.0),
        default=GateSettings(on_warn=OnStale.SKIP, every=9.0, then=OnStale.WARN),
    )
    plan = make_plan(found(), config(freshness=said), own, {}, Choice()).plan
    shared = Gate(on_warn=OnStale.SKIP, every=5.0, then=OnStale.WARN)
    assert plan.policy(ORDERS).gate == replace(shared, on_error=OnStale.WAIT, patience=60.0)
    assert plan.policy(VISITS).gate == replace(shared, on_error=OnStale.FAIL)


@pytest.mark.parametrize(
    ("pattern", "limits", "why"),
    [
        ("shop.ordres", None, 'names no source; did you mean "shop.orders"?'),
        ("crm.*", None, "names no source"),
        ("shop.orders", {}, "dbt does not check source shop.orders: give it freshness"),
    ],
)
def test_a_gate_that_would_never_close_is_an_error(pattern, limits, why):
    with pytest.raises(PlanError, match=r"dbtorch\.yml:3: ") as error:
        plan_of(config(freshness=spec(pattern)), found(limits=limits))
    assert why in str(error.value)


def test_a_plan_shows_what_happens_behind_each_source():
    said = spec("shop.orders", on_error=OnStale.WAIT, patience=7200.0)
    limits = {ORDERS: Thresholds(warn_after=43_200.0, error_after=86_400.0)}
    text = plan_text(plan_of(config(INGEST, freshness=said), found(limits=limits)).plan)
    row = next(line for line in text.splitlines() if "source shop.orders" in line)
    assert "after ingest; feeds stg_orders" in row
    assert "warn after 12 h: warn; error after 24 h: wait 2h 00m (every 1m 00s), then skip" in row
