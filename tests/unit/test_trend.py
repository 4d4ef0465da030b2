"""How a node does from run to run: since when it is slow, and whether it is flaky."""

from datetime import timedelta

import pytest

from dbtorch.core.history.trend import Sample, Try, trend
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass, State
from tests.unit.story import NOON

OK = State.SUCCESS


def sample(number, *tries, state=OK, commit="abc"):
    return Sample(
        run_id=f"r{number}",
        pipeline="daily",
        started_at=NOON + timedelta(days=number),
        git_commit=commit,
        node_id="model.shop.a",
        kind=Kind.MODEL,
        name="a",
        path="",
        materialized="",
        owner="",
        runbook="",
        group="",
        state=state,
        tries=tries,
    )


def took(*seconds):
    return [sample(number, Try(OK, one, None)) for number, one in enumerate(seconds)]


LOST = Try(State.FAILED, 1.0, FailureClass.TRANSIENT)
GOOD = Try(OK, 1.0, None)


@pytest.mark.parametrize(
    ("seconds", "since"),
    [
        ((3, 3, 3, 3, 9, 9), 4),  # three times its usual
        ((3, 4, 3, 2, 9, 10, 8, 9), 4),
        ((3, 3, 3, 9, 3, 3, 9, 9), 6),  # one slow run is none
        ((3, 3, 3, 9), None),  # one run says nothing
        ((3, 3, 9, 9), None),  # and two before it are no usual
        ((9, 9, 9, 3, 3), None),  # faster
        ((0.1, 0.1, 0.1, 0.4, 0.4), None),  # nobody waits for that
        ((3, 3, 3, 3.5, 4), None),
        ((0, 0, 0, 5, 5), None),  # what took no time has no multiple
    ],
)
def test_since_when_a_node_is_slower(seconds, since):
    found = trend(took(*seconds)).slower
    assert (found and found.sample.run_id) == (since if since is None else f"r{since}")


def test_how_much_slower_it_is():
    found = trend(took(3, 3, 3, 9, 9)).slower
    assert (found.before, found.since, found.factor) == (3, 9, 3)


def test_runs_that_failed_or_were_tried_again_say_nothing_of_what_is_usual():
    samples = [
        *took(3, 3, 3, 3),
        sample(8, LOST, Try(OK, 90.0, None)),
        sample(9, LOST, Try(OK, 90.0, None)),
    ]
    assert trend(samples).slower is None


def test_flaky_is_what_fails_and_then_does_not_with_the_same_code():
    failed = {"state": State.FAILED}
    assert trend([sample(1, LOST, GOOD)]).flaky == 1
    assert trend([sample(1, LOST, **failed), sample(2, GOOD)]).flaky == 1
    assert trend([sample(1, LOST, **failed), sample(2, GOOD, commit="other")]).flaky == 0
    assert trend([sample(1, LOST, commit="", **failed), sample(2, GOOD, commit="")]).flaky == 0
    assert trend([sample(1, GOOD), sample(2, LOST, **failed)]).flaky == 0
    broken = trend([sample(1, LOST, **failed), sample(2, state=State.SKIPPED), sample(3, GOOD)])
    assert (broken.runs, broken.failed, broken.flaky) == (2, 1, 1)
    assert broken.classes == {FailureClass.TRANSIENT: 1}


def test_a_node_that_never_ran_has_no_usual():
    found = trend([sample(1, state=State.SKIPPED)])
    assert (found.runs, found.seconds, found.slower) == (0, None, None)
