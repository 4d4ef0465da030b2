"""What every store promises about lists of runs, ids and durations."""

import pytest

from dbtorch.core.events import Outcome
from dbtorch.core.graph import Kind
from dbtorch.core.standing import Standing
from dbtorch.core.state import FailureClass, RunState, State
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
    assert store.durations("shop", "dev", last=3) == {"model.a": (9, 2, 1)}
    assert store.durations("shop", "dev", last=10) == {"model.a": (9, 2, 1, 100, 100)}


def test_durations_are_told_apart_by_node_project_and_target(store):
    finish(store, "r1", "model.a", 1, day=1)
    finish(store, "r2", "model.b", 2, day=2)
    finish(store, "r3", "model.a", 3, day=3, target="prod")
    finish(store, "r4", "model.a", 4, day=4, project="bank")
    assert store.durations("shop", "dev") == {"model.a": (1,), "model.b": (2,)}
    assert store.durations("shop", "prod") == {"model.a": (3,)}
    assert store.durations("bank", "dev") == {"model.a": (4,)}


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
    assert store.durations("shop", "dev") == ({"model.a": (5,)} if counts else {})


def test_an_attempt_that_was_never_seen_running_has_no_duration(store):
    store.begin(a_run(), [a_node("model.a")])
    queued, _, ended = an_attempt("model.a", SUCCESS)
    store.record("r1", [queued, change("model.a", State.QUEUED, ended.state, 5, outcome=SUCCESS)])
    assert store.durations("shop", "dev") == {}


def test_how_a_project_stands(store):
    assert store.standing("shop") == Standing()
    finish(store, "r1", "model.a", 60, day=1)
    store.end("r1", RunState.SUCCESS, after(86_500))
    finish(store, "r2", "model.a", 60, day=2, outcome=FAILED)
    store.end("r2", RunState.FAILED, after(2 * 86_400 + 100))
    finish(store, "r3", "model.b", 60, day=3, pipeline="hourly")
    finish(store, "r4", "model.a", 60, day=4, project="bank")
    finish(store, "r0", "model.c", 60, day=0, target="prod")
    found = store.standing("shop")
    assert found.target == "dev"
    assert [(run.run_id, run.state) for run in found.runs] == [
        ("r1", RunState.SUCCESS), ("r2", RunState.FAILED), ("r3", RunState.RUNNING)
    ]  # fmt: skip
    assert found.successes == {"model.a": after(86_460), "model.b": after(3 * 86_400 + 60)}
    assert {id: end.state for id, end in found.ends.items()} == {
        "model.a": State.FAILED, "model.b": State.SUCCESS
    }  # fmt: skip
    assert found.checks == {}
    prod = store.standing("shop", "prod")
    assert (prod.target, [run.run_id for run in prod.runs]) == ("prod", ["r0"])


def test_the_last_check_of_a_source_counts_however_it_ended(store):
    fresh = Outcome(state=State.SUCCESS, message="fresh", details={"source": {"status": "pass"}})
    stale = Outcome(state=State.SKIPPED, message="stale", details={"source": {"status": "error"}})
    finish(store, "r1", "source.shop.raw.a", 1, day=1, outcome=stale)
    finish(store, "r2", "source.shop.raw.a", 1, day=2, outcome=fresh)
    finish(store, "r3", "source.shop.raw.b", 1, day=3, outcome=stale)
    checks = store.standing("shop").checks
    assert {id: check.message for id, check in checks.items()} == {
        "source.shop.raw.a": "fresh", "source.shop.raw.b": "stale"
    }  # fmt: skip
    assert checks["source.shop.raw.b"].details == {"source": {"status": "error"}}
    assert checks["source.shop.raw.b"].finished_at == after(3 * 86_400 + 1)
