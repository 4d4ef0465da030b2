"""What a summary says about a run that has ended."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.core.failures.message import tidy
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.naming import short_name
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from tests.unit.story import LOST, NOON, WRONG, Told, broken_shop, check, model, plan, step


def test_a_failure_says_everything_needed_to_act_on_it():
    summary = summarize(broken_shop().kept(), log_path="logs/{}/{}.log".format)
    (failure,) = summary.failures
    assert failure.id == "model.shop.fct_orders"
    assert failure.message.splitlines()[1] == '  Binder Error: column "amont" not found'
    assert (failure.attempts, failure.failure_class) == (1, FailureClass.CODE)
    assert (failure.owner, failure.runbook, failure.group) == ("ana", "docs/fct.md", "finance")
    assert failure.log == "logs/model.shop.fct_orders/1.log"
    assert failure.blocked == 2  # no tests, as in an alert
    assert (failure.behind, failure.behind_names) == (3, ("fct_kpis", "export_kpis", "unique_kpis"))


def test_counts_leave_out_the_ends_of_the_session():
    summary = summarize(broken_shop().kept())
    assert summary.counts == {
        State.SUCCESS: 4,
        State.WARN: 1,
        State.FAILED: 1,
        State.UPSTREAM_FAILED: 3,
    }
    assert sum(summary.counts.values()) == 9


def test_nodes_that_did_not_run_are_grouped_by_reason():
    blocked = [model(f"m{i}") for i in range(500)]
    edges = [("step.ingest_orders", node.id) for node in blocked]
    told = Told(
        {"step.ingest_orders": [LOST, LOST, LOST]},
        a_plan=plan([step("ingest_orders"), *blocked], edges),
    )
    summary = summarize(told.kept())
    (group,) = summary.left_out
    assert (group.count, str(group.reason)) == (500, "step.ingest_orders failed")
    assert len(group.names) == 5
    assert summary.failures[0].attempts == 3
    assert summary.failures[0].blocked == 500


def test_a_session_that_does_not_open_is_a_failure_and_no_node():
    told = Told({"session.open": [LOST, LOST]})
    summary = summarize(told.kept())
    (failure,) = summary.failures
    assert (failure.name, failure.kind, failure.attempts) == ("dbt session", Kind.SESSION, 2)
    assert failure.message == "connection lost"
    assert failure.blocked == 5  # what dbt builds, and the step behind them
    assert not any("session" in name for group in summary.left_out for name in group.names)
    assert summary.left_out[0].reason == Reason(ReasonKind.UPSTREAM_FAILED, ("session.open",))


def test_a_session_that_closes_badly_is_told():
    summary = summarize(Told({"session.close": [WRONG]}).kept())
    assert [failure.name for failure in summary.failures] == ["dbt session, closing"]
    assert summary.state is RunState.FAILED


def test_warnings_and_retries_that_helped_are_told():
    summary = summarize(broken_shop().kept())
    assert [(w.name, w.message) for w in summary.warnings] == [
        ("not_null_orders", "Got 3 results, configured to warn if != 0")
    ]
    assert [(r.name, r.attempts) for r in summary.retried] == [("ingest_rates", 2)]


def test_the_critical_path_is_the_one_that_took_longest():
    summary = summarize(broken_shop().kept())
    assert [node.name for node in summary.critical_path] == [
        "ingest_orders",
        "stg_orders",
        "not_null_orders",
        "fct_orders",
    ]
    assert summary.critical_seconds == 10.5
    assert summary.seconds == 11.5  # closing the session took the last second
    assert summary.critical_share == pytest.approx(10.5 / 11.5)


def test_the_slowest_nodes_come_first_and_count_all_attempts():
    summary = summarize(broken_shop().kept())
    assert [(node.name, node.seconds) for node in summary.slowest][:3] == [
        ("ingest_orders", 6.0),
        ("fct_orders", 2.5),
        ("ingest_rates", 2.0),  # two attempts of a second
    ]
    assert len(summary.slowest) == 5


def test_times_of_an_earlier_stretch_do_not_count():
    told = broken_shop()
    later = summarize(told.kept(), since=NOON + timedelta(seconds=7.5))
    assert later.seconds == 4.0
    assert [node.name for node in later.slowest] == ["fct_orders"]
    assert [node.name for node in later.critical_path] == ["fct_orders"]
    assert later.retried == ()  # that was told at the end of that one


def test_a_run_without_nodes_has_a_summary():
    summary = summarize(Told(a_plan=plan([], [])).kept())
    assert (summary.counts, summary.critical_path, summary.failures) == ({}, (), ())


def test_a_run_that_has_not_ended_has_a_summary():
    told = Told(seconds={"step.ingest_orders": [100.0]}, until=NOON + timedelta(seconds=10))
    summary = summarize(told.kept())
    assert (summary.seconds, summary.critical_share) == (None, None)
    assert summary.counts[State.RUNNING] == 1


def test_a_cancelled_run_has_one_reason():
    told = Told(seconds={"step.ingest_orders": [100.0]}, until=NOON + timedelta(seconds=3))
    told.store.record(
        told.record.run_id, told.run.cancel(Reason(ReasonKind.SIGNAL, text="SIGINT"), told.now)
    )
    (group,) = summarize(told.kept()).left_out
    assert (group.state, str(group.reason), group.count) == (
        State.CANCELLED,
        "the run got SIGINT",
        6,
    )


def test_fail_fast_has_one_reason():
    a_plan = replace(plan(), fail_fast=True)
    told = Told({"step.ingest_rates": [WRONG]}, {"step.ingest_orders": [9.0, 9.0]}, a_plan=a_plan)
    groups = {str(group.reason): group.count for group in summarize(told.kept()).left_out}
    assert groups["Skipping due to fail_fast"] >= 2
    assert not any("was skipped" in reason for reason in groups)


def test_a_node_behind_a_skipped_one_says_so():
    off = Outcome(state=State.SKIPPED, message="when: nobody wants it")
    groups = summarize(Told({"step.ingest_orders": [off]}).kept()).left_out
    assert {(str(group.reason), group.count) for group in groups} == {
        ("step.ingest_orders was skipped", 6),
        ("when: nobody wants it", 1),
    }


def test_a_node_blocked_by_two_is_counted_for_both():
    nodes = [model("left"), model("right"), model("mart", "models/marts"), check("t")]
    edges = [(nodes[0].id, nodes[2].id), (nodes[1].id, nodes[2].id), (nodes[2].id, nodes[3].id)]
    told = Told({nodes[0].id: [WRONG], nodes[1].id: [WRONG]}, a_plan=plan(nodes, edges))
    assert [f.blocked for f in summarize(told.kept()).failures] == [1, 1]


def test_a_failure_without_a_message_is_a_failure():
    silent = Outcome(state=State.FAILED, failure_class=FailureClass.CODE)
    (failure,) = summarize(Told({"step.ingest_orders": [silent]}).kept()).failures
    assert (failure.message, failure.more_lines) == ("", 0)


@pytest.mark.parametrize(
    ("id", "name", "short"),
    [
        ("model.shop.dim_customers.v2", "dim_customers", "dim_customers.v2"),
        ("model.shop.dim_customers", "dim_customers", "dim_customers"),
        ("test.shop.unique_id.v1a2b3", "unique_id", "unique_id"),  # a digest is no version
        ("step.export", "export", "export"),
    ],
)
def test_versions_of_a_model_are_told_apart(id, name, short):
    assert short_name(Node(id=id, kind=Kind.of(id), name=name)) == short


@pytest.mark.parametrize(
    ("message", "shown", "more"),
    [
        ("plain", "plain", 0),
        # blank lines and a common indent say nothing
        ("\n  a\n\n    b  \n", "a\n  b", 0),
        # colours, and anything else that does things to a terminal
        ("\x1b[31mred\x1b[0m\x07", "red", 0),
        ("a\r\nb", "a\nb", 0),
        # a compiled query is its log's business
        ("\n".join(map(str, range(20))), "\n".join(map(str, range(12))), 8),
        ("x" * 300, "x" * 237 + "...", 0),
        ("", "", 0),
    ],
)
def test_messages_are_made_readable(message, shown, more):
    assert tidy(message) == (shown, more)


@pytest.mark.parametrize(
    "said",
    ["Skipping due to fail_fast", "step.ingest_rates was skipped", "lost: the supervisor is ill"],
)
def test_what_a_step_says_is_no_fact_about_the_run(said):
    off = Outcome(state=State.SKIPPED, message=said)
    run = Told({"step.ingest_orders": [off]}).kept()
    (step_,) = [node for node in run.nodes if node.id == "step.ingest_orders"]
    assert step_.reason == Reason(ReasonKind.MESSAGE, text=said)
    assert not step_.attempts[-1].lost
    groups = {group.reason: group.count for group in summarize(run).left_out}
    assert groups == {
        Reason(ReasonKind.MESSAGE, text=said): 1,
        Reason(ReasonKind.UPSTREAM_SKIPPED, ("step.ingest_orders",)): 6,
    }
