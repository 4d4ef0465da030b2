"""When a run is late: what the pipeline, the options and an earlier execution say."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from dbtorch.core.config import PipelineSpec
from dbtorch.core.history.records import Action, Verb
from dbtorch.core.model.deadline import Deadline, DeadlineAction, DeadlineRule, Late, node_deadlines
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy
from dbtorch.core.plan import Plan
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.service.project.options import RunOptions
from dbtorch.service.run.deadlines import deadline_of, deadlines_of, found_earlier, late_sentence
from tests.stores import a_run

NOW = datetime(2026, 3, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALERT, CANCEL = DeadlineAction.ALERT, DeadlineAction.CANCEL


def pipeline(**given):
    return PipelineSpec(name="daily", **given)


def test_most_runs_have_none():
    assert deadline_of(pipeline(), RunOptions(), NOW, None) is None


def test_the_pipeline_s_counts_from_the_start_or_by_its_schedule_s_clock():
    within = pipeline(deadline=DeadlineRule(within=3600), deadline_action=CANCEL)
    assert deadline_of(within, RunOptions(), NOW, None) == Deadline(at=NOW + HOUR, action=CANCEL)
    berlin = Schedule(crons=("0 6 * * *",), timezone="Europe/Berlin")
    by = pipeline(deadline=DeadlineRule(by=time(8)), schedule=berlin)
    assert deadline_of(by, RunOptions(), NOW, None) == Deadline(at=NOW + 2 * HOUR, action=ALERT)


def test_it_counts_from_when_a_schedule_wanted_the_run_and_ends_nothing_that_is_caught_up_with():
    within = pipeline(deadline=DeadlineRule(within=3600), deadline_action=CANCEL)
    due = NOW - HOUR / 2
    assert deadline_of(within, RunOptions(), NOW, None, due=due) == Deadline(
        at=NOW + HOUR / 2, action=CANCEL
    )
    due = NOW - 3 * HOUR  # nobody was there to start it
    assert deadline_of(within, RunOptions(), NOW, None, due=due) == Deadline(
        at=NOW - 2 * HOUR, action=ALERT
    )


def test_options_win_over_the_pipeline():
    said = pipeline(deadline=DeadlineRule(within=3600))
    options = RunOptions(deadline=DeadlineRule(within=7200), deadline_action=CANCEL)
    assert deadline_of(said, options, NOW, None) == Deadline(at=NOW + 2 * HOUR, action=CANCEL)


def earlier(at, action, *actions):
    return replace(a_run(options=Deadline(at=at, action=action).record()), actions=actions)


LATE = Action(action=Verb.DEADLINE, at=NOW, actor="dbtorch")


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (a_run(), None),  # it had none, and gets none because the pipeline has one by now
        (earlier(NOW + HOUR, CANCEL), Deadline(at=NOW + HOUR, action=CANCEL)),
        # a retry that comes too late is told so and may go on
        (earlier(NOW, CANCEL), Deadline(at=NOW, action=ALERT)),
        # once is enough
        (earlier(NOW, CANCEL, LATE), Deadline(at=NOW, action=ALERT, told=True)),
        # that was about another deadline
        (earlier(NOW + HOUR, ALERT, LATE), Deadline(at=NOW + HOUR, action=ALERT)),
    ],
)
def test_a_run_that_goes_on_keeps_its_deadline(kept, expected):
    said = pipeline(deadline=DeadlineRule(within=1))
    assert deadline_of(said, RunOptions(), NOW, kept) == expected


def test_a_retry_may_get_another_one():
    options = RunOptions(deadline=DeadlineRule(within=60), deadline_action=CANCEL)
    found = deadline_of(pipeline(), options, NOW, earlier(NOW - HOUR, ALERT, LATE))
    assert found == Deadline(at=NOW + timedelta(seconds=60), action=CANCEL)


def a_plan(**deadlines):
    nodes = [Node(id=id, kind=Kind.MODEL, name=id) for id in ("m", "n")]
    policies = {id: Policy(deadline=rule) for id, rule in deadlines.items()}
    return Plan(graph=Graph(nodes, []), policies=policies)


def test_a_node_s_counts_from_the_start_of_the_run_however_often_it_goes_on():
    plan = a_plan(m=DeadlineRule(within=600), n=DeadlineRule(by=time(8)))
    berlin = pipeline(schedule=Schedule(crons=("0 6 * * *",), timezone="Europe/Berlin"))
    found = deadlines_of(None, plan, berlin, NOW, None)
    assert found.nodes == {"m": NOW + timedelta(minutes=10), "n": NOW + 2 * HOUR}
    assert node_deadlines(found.record()) == found.nodes


def test_what_was_told_of_nodes_is_known_to_a_run_that_goes_on():
    run = Deadline(at=NOW, action=ALERT)
    plan = a_plan(m=DeadlineRule(within=600))
    kept = deadlines_of(run, plan, pipeline(), NOW, None).record()
    about = [(Verb.AT_RISK, "m"), (Verb.AT_RISK, ""), (Verb.DEADLINE, "m"), (Verb.DEADLINE, "")]
    late = NOW + HOUR
    actions = [Action(action=verb, at=late, actor="dbtorch", node_id=id) for verb, id in about]
    moved = Action(action=Verb.DEADLINE, at=NOW - HOUR, actor="dbtorch")  # of another deadline
    record = replace(a_run(options=kept), actions=(moved, *actions))
    found = deadlines_of(run, plan, pipeline(), NOW, record)
    assert found.at_risk == {"m", ""}
    assert found.missed == {"m"}
    assert [(one.node_id, one.missed) for one in found_earlier(record)] == [
        ("m", False), ("", False), ("m", True), ("", True)
    ]  # fmt: skip


def test_what_is_said_names_the_node_and_what_costs_the_most():
    risk = Late(
        node_id="m", deadline=NOW, at=NOW, missed=False, expected=NOW + HOUR, costliest="n",
        costs=2880,
    )  # fmt: skip
    assert late_sentence(risk, a_plan(), zone=UTC) == (
        "model m will probably miss its deadline, 2026-03-01 05:00:00 UTC: expected end "
        "2026-03-01 06:00:00 UTC, model n costs the most, 48m 00s"
    )
    missed = Late(deadline=NOW, at=NOW, missed=True)
    assert late_sentence(missed, a_plan(), cancels=True, zone=UTC) == (
        "the run is late, its deadline was 2026-03-01 05:00:00 UTC; it is cancelled"
    )
