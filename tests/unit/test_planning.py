"""Steps within dbt's graph: what they precede, follow, and come along with."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbtorch.app.planning import graph_problems, make_plan
from dbtorch.app.step_wiring import Choice, texts_to_resolve
from dbtorch.core.config import Config, Origin, StepSpec
from dbtorch.core.errors import PlanError
from dbtorch.core.model.freshness import FreshnessSpec, SourceGates
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.state import State
from dbtorch.core.plan import STEPS, THREADS
from dbtorch.core.run.slots import Ready, Slots
from dbtorch.core.settings import Settings
from dbtorch.ports.engine import Selected

NODES = {
    "source.shop.orders": Kind.SOURCE,
    "source.shop.visits": Kind.SOURCE,
    "model.stg_orders": Kind.MODEL,
    "model.stg_visits": Kind.MODEL,
    "model.mart": Kind.MODEL,
    "test.mart": Kind.TEST,
    "test.mart_and_visits": Kind.TEST,
    "exposure.kpis": Kind.EXPOSURE,
}
EDGES = (
    ("source.shop.orders", "model.stg_orders"),
    ("source.shop.visits", "model.stg_visits"),
    ("model.stg_orders", "model.mart"),
    ("model.mart", "test.mart"),
    ("model.mart", "test.mart_and_visits"),
    ("model.stg_visits", "test.mart_and_visits"),
    ("model.mart", "exposure.kpis"),
)
RESOLVED = {
    "source:shop.orders": frozenset({"source.shop.orders"}),
    "source:shop.visits": frozenset({"source.shop.visits"}),
    "source:shop.*": frozenset({"source.shop.orders", "source.shop.visits"}),
    "mart": frozenset({"model.mart"}),
    "exposure:kpis": frozenset({"exposure.kpis"}),
    "stg_orders": frozenset({"model.stg_orders"}),
}


def selected(ids=None, sources=None, exclusive_file=None):
    members = frozenset(
        ids if ids is not None else [i for i in NODES if NODES[i] is not Kind.SOURCE]
    )
    every_source = {id for id in NODES if NODES[id] is Kind.SOURCE}
    return Selected(
        nodes=tuple(Node(id=id, kind=kind, name=id.split(".", 1)[1]) for id, kind in NODES.items()),
        edges=EDGES,
        selected=members,
        selected_edges=tuple((a, b) for a, b in EDGES if a in members and b in members),
        selected_sources=frozenset(every_source if sources is None else sources),
        resolved=RESOLVED,
        hooks=(),
        threads=4,
        fail_fast=False,
        target={"name": "dev", "type": "duckdb"},
        exclusive_file=exclusive_file,
        vars={},
        dbt_version="1.11.0",
        adapter="duckdb 1.11.0",
        project="shop",
        project_dir=Path(),
        target_path=Path("target"),
        manifest_hash="",
    )


def step(name, line=1, type="command", **fields):
    origin = Origin(file="dbtorch.yml", line=line)
    return StepSpec(name=name, type=type, action="true", origin=origin, **fields)


def config(*steps, **fields):
    return Config(steps={spec.name: spec for spec in steps}, **fields)


def plan_of(configuration, found=None, **choice):
    return make_plan(found or selected(), configuration, {}, {}, Choice(**choice))


INGEST = step("ingest", produces=("source:shop.orders",))


def test_a_producer_comes_before_exactly_the_readers_of_its_source():
    graph = plan_of(config(INGEST)).plan.graph
    assert graph.children("step.ingest") == ("model.stg_orders",)
    assert graph.parents("step.ingest") == ()


def test_a_producer_comes_before_what_reads_it_through_nodes_that_do_not_run():
    found = selected(["model.mart"])
    graph = plan_of(config(INGEST), found).plan.graph
    assert graph.children("step.ingest") == ("model.mart",)


def test_a_follower_waits_for_the_tests_that_would_block_a_model_there():
    graph = plan_of(config(step("export", after=("mart",)))).plan.graph
    # test.mart_and_visits has a parent that does not come before the step
    assert set(graph.parents("step.export")) == {"model.mart", "test.mart"}


def test_a_follower_of_an_exposure_waits_for_it():
    graph = plan_of(config(step("refresh", after=("exposure:kpis",)))).plan.graph
    assert set(graph.parents("step.refresh")) == {"exposure.kpis", "test.mart"}


def test_a_step_may_follow_a_step_and_stand_between_models():
    clean = step("clean", after=("step:ingest", "stg_orders"), produces=("source:shop.visits",))
    graph = plan_of(config(INGEST, clean)).plan.graph
    assert set(graph.parents("step.clean")) == {"step.ingest", "model.stg_orders"}
    assert graph.children("step.clean") == ("model.stg_visits",)


@pytest.mark.parametrize(
    ("ids", "sources", "taken"),
    [
        (["model.mart"], [], {"export"}),  # no source selected: nothing is ingested
        (["model.stg_orders"], ["source.shop.orders"], {"ingest"}),  # --select +stg_orders
        (["model.stg_visits"], [], set()),
        (["model.mart"], ["source.shop.orders"], {"ingest", "export", "report"}),
    ],
)
def test_steps_come_along_with_what_dbt_selects(ids, sources, taken):
    configuration = config(
        INGEST,
        step("export", after=("mart",)),
        step("report", after=("mart", "step:ingest")),
        step("alone"),
    )
    if taken == {"export"}:
        taken = {"export", "report", "ingest"}  # report leads back to the step before it
    planned = plan_of(configuration, selected(ids, sources), everything=False)
    kinds = {n.name for n in planned.plan.graph.nodes.values() if n.kind is Kind.STEP}
    assert kinds == taken


@pytest.mark.parametrize(
    ("ids", "sources", "choice", "taken", "held_back"),
    [
        # what comes after is told, and does not run
        (["model.mart"], [], {}, set(), ("export", "report")),
        # a source that is selected brings what produces it, and the steps before that
        (["model.stg_orders"], ["source.shop.orders"], {}, {"extract", "ingest"}, ()),
        # what is named runs, and nothing with it
        ([], [], {"named": {"ingest"}}, {"ingest"}, ("extract",)),
        (["model.mart"], [], {"named": {"export"}}, {"export"}, ("report",)),
        # what is left out does not, however it would have come along
        (["model.stg_orders"], ["source.shop.orders"], {"left_out": {"extract"}}, {"ingest"}, ()),
    ],
)
def test_a_step_runs_when_it_is_named_or_its_source_is(ids, sources, choice, taken, held_back):
    configuration = config(
        step("extract"),
        step("ingest", after=("step:extract",), produces=("source:shop.orders",)),
        step("export", after=("mart",)),
        step("report", after=("mart", "exposure:kpis")),
    )
    choice = {name: frozenset(value) for name, value in choice.items()}
    members = [*ids, "exposure.kpis"] if ids == ["model.mart"] else ids
    planned = plan_of(
        configuration, selected(members, sources), everything=False, downstream=False, **choice
    )
    nodes = planned.plan.graph.nodes.values()
    assert {node.name for node in nodes if node.kind is Kind.STEP} == taken
    assert planned.held_back == held_back


def test_no_steps_leaves_them_all_out():
    planned = plan_of(config(INGEST), steps=False)
    assert "step.ingest" not in planned.plan.graph


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        # an unknown source, with the nearest one
        (
            config(step("a", 7, produces=("source:shop.order",))),
            'dbtorch.yml:7: step a produces "source:shop.order", which nothing matches; '
            'did you mean "source:shop.orders"?',
        ),
        # an unknown step
        (
            config(INGEST, step("b", 9, after=("step:ingst",))),
            'dbtorch.yml:9: step b comes after "step:ingst", which nothing matches; '
            'did you mean "step:ingest"?',
        ),
        # a model cannot be produced
        (
            config(step("a", 3, produces=("mart",))),
            "dbtorch.yml:3: step a produces 'mart', which is no source but model.mart; "
            "write source:<source name>.<table>",
        ),
        # two producers of one source
        (
            config(INGEST, step("again", 5, produces=("source:shop.*",))),
            "dbtorch.yml:5: step again produces source.shop.orders, which step ingest "
            "(dbtorch.yml:1) already does; a source has one producer",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(configuration, message):
    with pytest.raises(PlanError) as caught:
        plan_of(configuration)
    assert str(caught.value) == message


def test_everything_that_does_not_fit_is_told_at_once():
    freshness = FreshnessSpec(sources=(SourceGates(pattern="nosuch.*", where="dbtorch.yml:9"),))
    configuration = config(
        step("a", 2, after=("nosuch",)),
        step("b", 3, produces=("mart",), after=("neither",)),
        freshness=freshness,
    )
    with pytest.raises(PlanError) as caught:
        plan_of(configuration)
    places = [problem.partition(": ")[0] for problem in caught.value.problems]
    assert places == ["dbtorch.yml:3", "dbtorch.yml:2", "dbtorch.yml:3", "dbtorch.yml:9"]
    assert graph_problems(selected(), configuration) == caught.value.problems


def test_a_cycle_names_its_nodes_and_the_step():
    loop = step("loop", 4, after=("mart",), produces=("source:shop.orders",))
    with pytest.raises(PlanError) as caught:
        plan_of(config(loop))
    text = str(caught.value)
    for part in ("step.loop", "model.mart", "source.shop.orders", "loop at dbtorch.yml:4"):
        assert part in text


def test_settings_come_from_the_nearest_level():
    configuration = config(
        step("a", settings=Settings(retries=5, owner="data-eng")),
        defaults=Settings(retries=1, retry_delay=3.0),
        pools={"heavy": 2},
    )
    settings = {"model.mart": Settings(timeout=60, pool="heavy", priority=3)}
    plan = make_plan(selected(), configuration, settings, {}, Choice()).plan
    assert max(plan.policy("step.a").retry.retries.values()) == 5
    assert plan.policy("step.a").retry.delay == 3
    mart = plan.policy("model.mart")
    assert (mart.timeout, mart.priority, dict(mart.slots)) == (60, 3, {THREADS: 1, "heavy": 1})
    assert plan.pools == {"heavy": 2, THREADS: 4, STEPS: 8}


def test_unit_tests_start_before_what_could_start_with_them():
    unit = Node(id="unit_test.mart", kind=Kind.UNIT_TEST, name="unit")
    found = selected()
    found = replace(
        found,
        nodes=(*found.nodes, unit),
        selected=found.selected | {unit.id},
        selected_edges=(*found.selected_edges, (unit.id, "model.mart")),
    )
    durations = {"model.stg_visits": 600.0}  # the longest path, which would start first
    plan = make_plan(found, config(), {}, durations, Choice()).plan
    ready = Ready(plan, dict.fromkeys(plan.graph.nodes, State.PENDING))
    for id in ("model.stg_visits", "model.stg_orders", unit.id):
        ready.add(id)
    assert next(ready.take(Slots({THREADS: 1}))) == unit.id

    said = {unit.id: Settings(priority=0)}
    assert make_plan(found, config(), said, durations, Choice()).plan.policy(unit.id).priority == 0


def test_options_win_over_everything():
    configuration = config(step("a", settings=Settings(retries=5)))
    planned = plan_of(configuration, overrides=Settings(retries=0))
    assert max(planned.plan.policy("step.a").retry.retries.values()) == 0


@pytest.mark.parametrize(
    ("spec", "opens"),
    [
        (step("a"), True),  # a command may open the file, so the session lets go of it
        (step("a", type="acme"), True),  # nobody says what it does
        (step("a", type="sql"), False),  # runs inside the session
        (step("a", opens_database=False), False),
    ],
)
def test_a_step_that_opens_the_database_file_has_it_alone(spec, opens):
    planned = plan_of(config(spec), selected(exclusive_file="/shop.duckdb"))
    assert (spec.id in planned.opens_database) is opens
    assert planned.plan.policy(spec.id).slots.get(THREADS, 0) == (
        4 if opens else 1 if spec.type == "sql" else 0
    )


def test_only_selections_dbt_can_read_are_given_to_it():
    configuration = config(INGEST, step("b", after=("step:ingest", "ingest", "mart")))
    assert texts_to_resolve(configuration) == ("source:shop.orders", "mart")
