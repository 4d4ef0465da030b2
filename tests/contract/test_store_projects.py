"""Several projects, and several places called `dev`, in one history: none sees the others."""

from dataclasses import replace

import pytest

from dbtorch.core.errors import StoreError
from dbtorch.core.model.measure import Measure
from dbtorch.core.model.state import RunState
from tests.contract.test_store_lists import finish
from tests.contract.test_store_outbox import a_note, an_incident, claimed
from tests.stores import NOON, SUCCESS, a_node, a_run, after, an_attempt, seen_by

ANA = {"dev": "dev (postgres dwh.ana)"}
BEN = {"dev": "dev (postgres dwh.ben)"}


@pytest.fixture(
    params=[
        pytest.param({"project_id": "acme/bank", "name": "bank"}, id="another project"),
        pytest.param({"project_id": "other/shop"}, id="one of the same name"),
    ]
)
def other(request, store):
    """The history as another project has it."""
    return seen_by(store, **request.param)


def test_the_latest_run_is_the_projects_own(store, other):
    store.begin(a_run("r1"), [])
    other.begin(a_run("r2", started_at=after(9)), [])
    assert (store.find("latest"), other.find("latest")) == (["r1"], ["r2"])
    assert (store.find("r"), other.find("r2"), other.find("r1")) == (["r1"], ["r2"], [])
    assert [run.run_id for run in store.runs()] == ["r1"]
    assert (other.run("r1"), other.run("r2").run_id) == (None, "r2")


def test_nothing_is_written_to_the_run_of_another(store, other):
    store.begin(a_run("r1"), [a_node("model.a")])
    before = store.run("r1")
    for write in (
        lambda: other.begin(a_run("r1", project="bank", pid=7), [a_node("model.b")]),
        lambda: other.record("r1", an_attempt("model.a", SUCCESS)),
        lambda: other.end("r1", RunState.SUCCESS, NOON),
    ):
        with pytest.raises(StoreError):
            write()
    assert store.run("r1") == before


def test_what_is_usual_and_what_is_fresh_is_the_projects_own(store, other):
    counted = replace(SUCCESS, measures=(Measure(name="row_count", number=3),))
    finish(other, "r1", "model.a", 60, day=1, outcome=counted)
    other.end("r1", RunState.SUCCESS, after(86_500))
    asked = (
        lambda store: store.durations("dev"),
        lambda store: store.standing().successes,
        lambda store: store.measured("dev", "model.a", "row_count", last=3),
        lambda store: store.last_success_end("dev", "default"),
        lambda store: store.successful_intervals("dev", "default"),
    )
    assert not any(ask(store) for ask in asked)
    assert all(ask(other) for ask in asked)


def test_a_message_is_sent_by_the_project_that_wrote_it(store, other):
    store.alert([a_note()], at=NOON)
    assert claimed(other) is None
    assert other.outbox(pending=True) == []
    assert other.message("slack", "#data", a_note().key) is None
    store.not_delivered(claimed(store), "down", after(3600))
    other.hurry()
    assert claimed(store, 1) is None  # nobody else hurries it
    store.hurry()
    assert claimed(store, 1).entry == a_note()


def test_a_failure_is_the_projects_own(store, other):
    store.alert([], [an_incident()], at=NOON)
    assert other.incidents("dev", "daily") == []
    other.alert([], [an_incident().over(after(1))], at=after(1))
    assert len(store.incidents("dev", "daily")) == 1


def test_two_developers_share_a_project_and_no_target(store):
    ana, ben = seen_by(store, places=ANA), seen_by(store, places=BEN)
    finish(ana, "r1", "model.a", 60, day=1)
    ana.alert([], [an_incident()], at=NOON)
    assert (ana.find("latest"), ben.find("latest"), ben.runs()) == (["r1"], [], [])
    assert ben.find("r1") == ["r1"]  # who names it may look at it
    assert ben.run("r1").place == ANA["dev"]
    assert (ben.durations("dev"), ben.standing().successes) == ({}, {})
    assert ben.incidents("dev", "daily") == []
    finish(ben, "r2", "model.a", 5, day=2)
    assert (ana.durations("dev"), ben.durations("dev")) == ({"model.a": (60,)}, {"model.a": (5,)})
    assert (ana.find("latest"), ben.find("latest")) == (["r1"], ["r2"])
    assert ana.identity.lease("daily", ANA["dev"]) != ben.identity.lease("daily", BEN["dev"])


def test_a_run_on_a_target_that_is_not_here_is_listed(store):
    store.begin(a_run("r1", target="prod"), [])
    assert [run.run_id for run in seen_by(store, places=ANA).runs()] == ["r1"]


def test_of_any_number_of_runs_asked_for_those_are_listed_that_are_there(store):
    store.begin(a_run("r1"), [])
    assert [run.run_id for run in store.runs(limit=10**20 - 1)] == ["r1"]
