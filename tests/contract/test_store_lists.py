"""What every store promises about lists of runs, ids and durations."""

import pytest

from dbtorch.core.history.health import HealthFacts
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import FailureClass, RunState, State
from tests.stores import SUCCESS, a_node, a_run, after, an_attempt, change

FAILED = Outcome(state=State.FAILED, message="no", failure_class=FailureClass.CODE)


def test_runs_are_listed_newest_first(store):
    for number in (2, 3, 1):
        store.begin(a_run(f"r{number}", started_at=after(number)), [])
    assert [line.run_id for line in store.runs()] == ["r3", "r2", "r1"]
    assert [line.run_id for line in store.runs(limit=2)] == ["r3", "r2"]


def test_runs_are_listed_by_pipeline_and_state(store):
    store.begin(a_run("r1", pipeline="daily", started_at=after(1)), [])
    store.begin(a_run("r2", pipeline="daily", started_at=after(2)), [])
    store.begin(a_run("r3", pipeline="hourly", started_at=after(3)), [])
    store.end("r2", RunState.SUCCESS, after(9))
    store.end("r3", RunState.SUCCESS, after(9))
    assert [line.run_id for line in store.runs(pipeline="daily")] == ["r2", "r1"]
    assert [line.run_id for line in store.runs(state=RunState.SUCCESS)] == ["r3", "r2"]
    both = store.runs(pipeline="daily", state=RunState.SUCCESS, limit=5)
    assert [line.run_id for line in both] == ["r2"]


def test_a_line_counts_nodes_per_state_without_the_ends_of_the_session(store):
    nodes = [a_node("model.a"), a_node("model.b"), a_node("model.c")]
    store.begin(a_run(), [*nodes, a_node("session.open", Kind.SESSION)])
    store.begin(a_run("empty", started_at=after(-1)), [])
    store.record("r1", an_attempt("model.a", SUCCESS))
    line, empty = store.runs()
    assert line.counts == {State.SUCCESS: 1, State.PENDING: 2}
    assert empty.counts == {}
    assert (line.pipeline, line.target, line.finished_at) == ("default", "dev", None)


def test_runs_are_found_by_the_beginning_of_their_id(store):
    for place, run_id in enumerate(["2026-a", "2026-B", "2027-a", "20_7%"]):
        store.begin(a_run(run_id, started_at=after(place)), [])
    assert store.find("2026") == ["2026-B", "2026-a"]
    assert store.find("2026-a") == ["2026-a"]
    assert store.find("2026-A") == []  # ids are told apart by case
    assert store.find("20_") == ["20_7%"]  # and no character stands for others
    assert store.find("%") == []
    assert store.find("latest") == ["20_7%"]


def finish(store, run_id, node_id, seconds, *, day, outcome=SUCCESS, **given):
    start = day * 86_400
    store.begin(a_run(run_id, started_at=after(start), **given), [a_node(node_id)])
    store.record(run_id, an_attempt(node_id, outcome, start=start, seconds=seconds))


def test_durations_are_those_of_the_last_successes(store):
    for day, seconds in enumerate([100, 100, 1, 2, 9]):
        finish(store, f"r{day}", "model.a", seconds, day=day)
    assert store.durations("dev", last=3) == {"model.a": (9, 2, 1)}
    assert store.durations("dev", last=10) == {"model.a": (9, 2, 1, 100, 100)}


def test_durations_are_told_apart_by_node_and_target(store):
    finish(store, "r1", "model.a", 1, day=1)
    finish(store, "r2", "model.b", 2, day=2)
    finish(store, "r3", "model.a", 3, day=3, target="prod")
    assert store.durations("dev") == {"model.a": (1,), "model.b": (2,)}
    assert store.durations("prod") == {"model.a": (3,)}


def test_samples_are_what_the_newest_runs_say_of_nodes(store):
    for day in (1, 2, 3):
        finish(store, f"r{day}", "model.a", day, day=day, git_commit=f"c{day}")
    finish(store, "r4", "model.b", 4, day=4, outcome=FAILED)
    finish(store, "other", "model.a", 9, day=9, target="prod")
    store.begin(a_run("r5", started_at=after(5 * 86_400)), [a_node("model.a"), a_node("model.c")])
    one = store.samples("dev", runs=4, node_id="model.a")
    assert [(at.run_id, at.seconds, at.git_commit) for at in one] == [
        ("r2", 2.0, "c2"),
        ("r3", 3.0, "c3"),
        ("r5", None, ""),
    ]
    assert one[-1].tries == ()
    all = store.samples("dev", runs=2)
    assert [(at.run_id, at.node_id, at.state) for at in all] == [
        ("r4", "model.b", State.FAILED),
        ("r5", "model.a", State.PENDING),
        ("r5", "model.c", State.PENDING),
    ]
    assert [tried.failure_class for tried in all[0].tries] == [FailureClass.CODE]
    assert store.samples("dev", runs=9, node_id="model.nobody") == []


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Outcome(state=State.SUCCESS), True),
        (Outcome(state=State.WARN), True),  # it did its work
        (FAILED, False),  # a failure may come at once
        (Outcome(state=State.CANCELLED), False),
        (Outcome(state=State.SKIPPED), False),
    ],
)
def test_only_successes_tell_how_long_a_node_takes(store, outcome, counts):
    finish(store, "r1", "model.a", 5, day=1, outcome=outcome)
    assert store.durations("dev") == ({"model.a": (5,)} if counts else {})


def test_an_attempt_that_was_never_seen_running_has_no_duration(store):
    store.begin(a_run(), [a_node("model.a")])
    queued, _, ended = an_attempt("model.a", SUCCESS)
    store.record("r1", [queued, change("model.a", State.QUEUED, ended.state, 5, outcome=SUCCESS)])
    assert store.durations("dev") == {}


def test_how_a_project_stands(store):
    assert store.standing() == HealthFacts()
    finish(store, "r1", "model.a", 60, day=1)
    store.end("r1", RunState.SUCCESS, after(86_500))
    finish(store, "r2", "model.a", 60, day=2, outcome=FAILED)
    store.end("r2", RunState.FAILED, after(2 * 86_400 + 100))
    finish(store, "r3", "model.b", 60, day=3, pipeline="hourly")
    finish(store, "r0", "model.c", 60, day=0, target="prod")
    found = store.standing()
    assert found.target == "dev"
    assert [(run.run_id, run.state) for run in found.runs] == [
        ("r1", RunState.SUCCESS), ("r2", RunState.FAILED), ("r3", RunState.RUNNING)
    ]  # fmt: skip
    assert found.successes == {"model.a": after(86_460), "model.b": after(3 * 86_400 + 60)}
    assert {id: end.state for id, end in found.ends.items()} == {
        "model.a": State.FAILED, "model.b": State.SUCCESS
    }  # fmt: skip
    assert found.checks == {}
    prod = store.standing("prod")
    assert (prod.target, [run.run_id for run in prod.runs]) == ("prod", ["r0"])


def test_a_failure_stands_until_the_node_has_ended_well(store):
    """Runs of a part count for their nodes, and only those since the last run of everything."""
    left_out = Outcome(state=State.CANCELLED)
    ends = [(1, FAILED, False), (2, left_out, True), (3, SUCCESS, True), (4, FAILED, True)]
    seen = []
    for day, outcome, partial in ends:
        finish(store, f"r{day}", "model.a", 60, day=day, outcome=outcome, partial=partial)
        store.end(f"r{day}", RunState.FAILED, after(day * 86_400 + 70))
        seen.append(store.standing().ends["model.a"].state)
    assert seen == [State.FAILED, State.FAILED, State.SUCCESS, State.FAILED]
    assert [(run.run_id, run.partial) for run in store.standing().runs] == [
        ("r1", False), ("r4", True)
    ]  # fmt: skip
    finish(store, "r5", "model.b", 60, day=5)
    store.end("r5", RunState.SUCCESS, after(5 * 86_400 + 70))
    assert store.standing().ends.keys() == {"model.b"}
    assert store.run("r4").partial


def test_the_last_check_of_a_source_counts_however_it_ended(store):
    fresh = Outcome(state=State.SUCCESS, message="fresh", details={"source": {"status": "pass"}})
    stale = Outcome(state=State.SKIPPED, message="stale", details={"source": {"status": "error"}})
    finish(store, "r1", "source.shop.raw.a", 1, day=1, outcome=stale)
    finish(store, "r2", "source.shop.raw.a", 1, day=2, outcome=fresh)
    finish(store, "r3", "source.shop.raw.b", 1, day=3, outcome=stale)
    checks = store.standing().checks
    assert {id: check.message for id, check in checks.items()} == {
        "source.shop.raw.a": "fresh", "source.shop.raw.b": "stale"
    }  # fmt: skip
    assert checks["source.shop.raw.b"].details == {"source": {"status": "error"}}
    assert checks["source.shop.raw.b"].finished_at == after(3 * 86_400 + 1)


def succeed(store, run_id, end, **given):
    given = {"data_interval_start": None, "data_interval_end": after(end), **given}
    store.begin(a_run(run_id, **given), [])
    store.end(run_id, RunState.SUCCESS, after(99))


def test_where_the_last_interval_ends_that_was_successful(store):
    assert store.last_success_end("dev", "default") is None
    succeed(store, "r1", 10)
    succeed(store, "r2", 30)
    succeed(store, "backfill", 20)  # later, of an earlier interval
    succeed(store, "part", 40, partial=True)
    succeed(store, "elsewhere", 50, target="prod")
    succeed(store, "another", 60, pipeline="hourly")
    store.begin(a_run("failed", data_interval_end=after(70)), [])
    store.end("failed", RunState.FAILED, after(99))
    assert store.last_success_end("dev", "default") == after(30)
    assert store.last_success_end("dev", "default", before=after(30)) == after(20)
    assert store.last_success_end("prod", "default") == after(50)
    done = store.successful_intervals("dev", "default")
    assert {interval.end for interval in done} == {after(10), after(20), after(30)}
    assert store.successful_intervals("dev", "nobody") == []


def test_intervals_come_in_the_order_in_which_they_were_run(store):
    succeed(store, "r3", 10, started_at=after(3))
    succeed(store, "r1", 20, started_at=after(1), data_interval_start=after(5))
    assert store.successful_intervals("dev", "default") == [
        Interval(after(5), after(20)),
        Interval(None, after(10)),
    ]


def test_an_interval_without_a_start_is_kept_as_that(store):
    succeed(store, "r1", 10)
    assert store.run("r1").data_interval_start is None
