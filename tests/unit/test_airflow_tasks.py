"""Which tasks a plan is in Airflow, and how they end: told without Airflow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunRecord, Transition
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import OnFailure, Policy
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.plan import SESSION_OPEN, Plan
from dbtorch.integrations.airflow_ends import (
    End,
    Ended,
    Next,
    Standing,
    built,
    decided,
    run_id_of,
)
from dbtorch.integrations.airflow_tasks import Granularity, TaskSpec, tasks_of

AT = datetime(2026, 3, 1, tzinfo=UTC)

#: Node -> the file that defines it.
PATHS = {
    "step.load": "dbtorch.yml",
    "source.shop.raw.orders": "models/staging/sources.yml",
    "check.source.shop.raw.orders": "",
    "model.shop.stg": "models/staging/stg.sql",
    "unit_test.shop.stg.ut": "models/staging/schema.yml",
    "model.shop.fct": "models/marts/finance/fct.sql",
    "test.shop.one.1": "models/marts/finance/schema.yml",
    "test.shop.both.2": "models/marts/finance/schema.yml",
    "model.other.theirs": "models/theirs.sql",
}
NAMES = {
    "source.shop.raw.orders": "raw.orders",
    "check.source.shop.raw.orders": "raw.orders",
    "unit_test.shop.stg.ut": "ut",
}
EDGES = [
    (SESSION_OPEN, "model.shop.stg"),
    ("step.load", "source.shop.raw.orders"),
    ("source.shop.raw.orders", "check.source.shop.raw.orders"),
    ("source.shop.raw.orders", "model.shop.stg"),
    ("unit_test.shop.stg.ut", "model.shop.stg"),
    ("model.shop.stg", "model.shop.fct"),
    ("model.shop.fct", "test.shop.one.1"),
    ("model.shop.stg", "test.shop.both.2"),
    ("model.shop.fct", "test.shop.both.2"),
    ("model.shop.fct", "model.other.theirs"),
]


def node(id: str, path: str) -> Node:
    kind = Kind.of(id)
    assert kind is not None
    ours = kind in (Kind.STEP, Kind.CHECK)
    package = "" if ours else id.split(".")[1]
    name = NAMES.get(id) or id.split(".")[1 if ours else 2]
    return Node(id=id, kind=kind, name=name, package=package, path=path)


def planned(*more: tuple[str, str], **policies: Policy) -> Plan:
    nodes = [Node(id=SESSION_OPEN, kind=Kind.SESSION, name="open")]
    nodes += [node(id, path) for id, path in PATHS.items()]
    return Plan(graph=Graph(nodes, [*EDGES, *more]), policies=policies)


def tasks(granularity: Granularity, plan: Plan | None = None) -> dict[str, TaskSpec]:
    return {spec.id: spec for spec in tasks_of(plan or planned(), granularity, "shop")}


def test_a_task_for_each_node_and_none_for_the_session() -> None:
    found = tasks(Granularity.NODE)
    assert {id for spec in found.values() for id in spec.nodes} == PATHS.keys()
    assert set(found["stg"].after) == {"raw.orders", "ut"}
    assert found["fct"].folder == ("marts", "finance")
    assert found["theirs"].folder == ("other",)
    assert found["load"].folder == ()
    order = list(found)
    assert all(order.index(before) < order.index(id) for id in order for before in found[id].after)


def test_tests_of_one_node_are_part_of_its_task() -> None:
    found = tasks(Granularity.MODEL_WITH_TESTS)
    assert set(found["stg"].nodes) == {"model.shop.stg", "unit_test.shop.stg.ut"}
    assert set(found["fct"].nodes) == {"model.shop.fct", "test.shop.one.1"}
    assert set(found["both"].after) == {"stg", "fct"}
    assert len(found["raw.orders"].nodes) == 2  # the source, and the check of it


def test_layers_are_folders_and_tests_go_with_the_last_of_theirs() -> None:
    found = tasks(Granularity.LAYER)
    assert {id: spec.nodes for id, spec in found.items() if id in ("marts", "other")} == {
        "marts": ("model.shop.fct", "test.shop.one.1", "test.shop.both.2"),
        "other": ("model.other.theirs",),
    }
    assert set(found["staging"].nodes) == {"model.shop.stg", "unit_test.shop.stg.ut"}
    assert found["marts"].after == ("staging",)
    assert "load" in found  # steps and gates stay by themselves


def test_layers_that_need_each_other_are_refused() -> None:
    back = node("model.shop.back", "models/staging/back.sql")
    plan = planned()
    graph = Graph(
        [*plan.graph.nodes.values(), back], [*plan.graph.edges(), ("model.shop.fct", back.id)]
    )
    with pytest.raises(
        UsageError, match=r"model.shop.back comes after model.shop.fct.*model_with_tests"
    ):
        tasks(Granularity.LAYER, replace(plan, graph=graph))
    assert tasks(Granularity.MODEL_WITH_TESTS, replace(plan, graph=graph))


def test_a_pipeline_has_no_other_tasks() -> None:
    assert tasks(Granularity.PIPELINE) == {}


def test_what_may_fail_holds_nothing_back() -> None:
    plan = replace(planned(), policies={"model.shop.stg": Policy(on_failure=OnFailure.CONTINUE)})
    found = tasks(Granularity.NODE, plan)
    assert not found["fct"].needs_success
    assert found["theirs"].needs_success


# -------------------------------------------------------------------- ends


def record(states: dict[str, State], *moves: tuple[str, State, State]) -> RunRecord:
    attempt = AttemptRecord(
        number=1,
        state=State.FAILED,
        queued_at=AT,
        finished_at=AT,
        failure_class=FailureClass.CODE,
        message="no such column",
    )
    nodes = tuple(
        NodeRecord(
            id=f"model.shop.{name}",
            kind=Kind.MODEL,
            name=name,
            state=state,
            attempts=(attempt,) if state is State.FAILED else (),
            reason=Reason(ReasonKind.NOT_FRESH, text="raw is stale")
            if state is State.SKIPPED
            else Reason(ReasonKind.NONE),
        )
        for name, state in states.items()
    )
    return RunRecord(
        run_id="r",
        pipeline="daily",
        project="shop",
        target="dev",
        logical_date=AT,
        data_interval_start=AT,
        data_interval_end=AT,
        state=RunState.RUNNING,
        started_at=AT,
        nodes=nodes,
        transitions=tuple(
            Transition(node_id=f"model.shop.{id}", attempt=0, before=before, state=state, at=AT)
            for id, before, state in moves
        ),
    )


def standing(found: RunRecord | None, *, driven: bool = False, over: bool = True) -> Standing:
    nodes = {node.id: node for node in found.nodes} if found is not None else {}
    return Standing(run_id="r", record=found, nodes=nodes, driven=driven, over=over)


def of(*names: str) -> list[str]:
    return [f"model.shop.{name}" for name in names]


#: States of the nodes of a task -> its end.
WORST = [
    ((State.SUCCESS, State.WARN, State.REUSED), End.SUCCESS),
    ((State.SUCCESS, State.SKIPPED), End.SKIPPED),  # not all of it is done
    ((State.REMOVED,), End.SKIPPED),
    ((State.SKIPPED, State.UPSTREAM_FAILED), End.FAILED),
    ((State.CANCELLED,), End.FAILED),
    ((State.SUCCESS, State.FAILED), End.FAILED),
]


@pytest.mark.parametrize(("states", "end"), WORST)
def test_a_task_ends_as_the_worst_of_its_nodes(states: tuple[State, ...], end: End) -> None:
    found = record({f"n{i}": state for i, state in enumerate(states)})
    ids = of(*(f"n{i}" for i in range(len(states))))
    ended = decided(standing(found, driven=True, over=False), ids, 1)
    assert isinstance(ended, Ended)
    assert ended.end is end


def test_it_says_what_failed_and_of_which_class() -> None:
    ended = decided(standing(record({"a": State.SUCCESS, "b": State.FAILED})), of("a", "b"), 1)
    assert ended == Ended(end=End.FAILED, says="model b: failed (code): no such column")


def test_every_state_that_is_final_has_an_end_and_no_other_one_is_green() -> None:
    for state in State:
        found = decided(standing(record({"a": state})), of("a"), 1)
        assert isinstance(found, Ended)
        assert (found.end is End.SUCCESS) == state.ok, state
        assert found.sure == state.final, state


def test_it_waits_while_somebody_is_at_it_or_will_be() -> None:
    running = record({"a": State.RUNNING})
    assert decided(standing(running, driven=True), of("a"), 1) is Next.WAIT
    assert decided(standing(running, over=False), of("a"), 1) is Next.WAIT
    assert decided(standing(None, over=False), of("a"), 1) is Next.WAIT


@pytest.mark.parametrize("driven", [False, True])
def test_what_failed_may_still_succeed_while_the_run_is_about_to_go_on(driven: bool) -> None:
    before = replace(record({"a": State.FAILED, "b": State.SUCCESS}), state=RunState.FAILED)
    now = standing(before, driven=driven, over=False)
    assert decided(now, of("a"), 1) is Next.WAIT
    assert decided(now, of("new"), 1) is Next.WAIT
    assert isinstance(decided(now, of("b"), 1), Ended)  # no execution touches that
    assert isinstance(decided(standing(before), of("a"), 1), Ended)


def test_a_run_that_did_not_begin_fails_its_tasks() -> None:
    ended = decided(standing(None), of("a"), 1)
    assert isinstance(ended, Ended)
    assert ended.end is End.FAILED
    assert "dbtorch-run" in ended.says


def test_what_a_run_leaves_out_is_skipped() -> None:
    ended = decided(standing(record({"a": State.SUCCESS})), of("b"), 1)
    assert ended == Ended(end=End.SKIPPED, says="no part of this run")


def test_a_cleared_task_wants_its_node_executed_once_more() -> None:
    done = record({"a": State.SUCCESS})
    assert decided(standing(done), of("a"), 2) is Next.AGAIN
    assert decided(standing(done, over=False), of("a"), 2) is Next.WAIT  # who runs it will
    again = record({"a": State.SUCCESS}, ("a", State.SUCCESS, State.PENDING))
    ended = decided(standing(again), of("a"), 2)
    assert isinstance(ended, Ended)
    assert ended.end is End.SUCCESS
    assert decided(standing(again), of("a"), 3) is Next.AGAIN


def test_only_what_was_built_is_told_of() -> None:
    attempt = AttemptRecord(number=1, state=State.SUCCESS, queued_at=AT, finished_at=AT)
    nodes = {
        State.SUCCESS: (attempt,),
        State.REUSED: (attempt,),
        State.FAILED: (attempt,),
        State.WARN: (),
    }
    made = tuple(
        NodeRecord(id=state, kind=Kind.MODEL, name=state, state=state, attempts=attempts)
        for state, attempts in nodes.items()
    )
    found = replace(record({}), nodes=made)
    assert built(found) == [State.SUCCESS]
    later = replace(found, resumed_at=AT.replace(hour=1))
    assert built(later, last_execution=True) == []


def test_ids_of_runs_are_clear_and_apart() -> None:
    one = run_id_of("shop", "scheduled__2026-03-01T00:00:00+00:00")
    assert one.startswith("airflow-shop-scheduled-2026-03-01T00-00-00-00-00-")
    assert len({one, run_id_of("shop", "scheduled__2026-03-01T00:00:00-00:00")}) == 2
    assert len(run_id_of("d" * 250, "r" * 250)) <= 100
