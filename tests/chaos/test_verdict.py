"""The judge of the chaos suite sees what is wrong: one doctored record for each rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunRecord, Transition
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from tests.chaos.lane import Built
from tests.chaos.verdict import deviations, ledger_problems
from tests.parity.warehouse import Relation
from tests.stores import NOON, a_run, after

ID = "model.shop.orders"

#: A node that was killed, taken up again, and built.
STORY = (
    (State.PENDING, State.QUEUED, 1),
    (State.QUEUED, State.RUNNING, 1),
    (State.RUNNING, State.FAILED, 1),
    (State.FAILED, State.PENDING, 1),
    (State.PENDING, State.QUEUED, 2),
    (State.QUEUED, State.RUNNING, 2),
    (State.RUNNING, State.SUCCESS, 2),
)


def attempt(number: int, state: State) -> AttemptRecord:
    return AttemptRecord(
        number=number, state=state, queued_at=NOON, started_at=NOON, finished_at=after(1)
    )


ATTEMPTS = (attempt(1, State.FAILED), attempt(2, State.SUCCESS))


def record(
    story: Sequence[tuple[State, State, int]] = STORY,
    attempts: tuple[AttemptRecord, ...] = ATTEMPTS,
    state: State = State.SUCCESS,
    kind: Kind = Kind.MODEL,
) -> RunRecord:
    moves = tuple(
        Transition(node_id=ID, attempt=number, before=before, state=then, at=after(place))
        for place, (before, then, number) in enumerate(story)
    )
    node = NodeRecord(id=ID, kind=kind, name="orders", state=state, attempts=attempts)
    return a_run(state=RunState.SUCCESS, finished_at=after(60), nodes=(node,), transitions=moves)


def built(found: RunRecord, **more: object) -> Built:
    table = Relation("base table", (("id", "integer"),), (("1",),))
    given: dict[str, object] = {
        "relations": {"shop.orders": table},
        "exports": ("week\n1\n",),
        "statuses": {ID: "success"},
        "logs": frozenset({(ID, 1), (ID, 2)}),
    }
    return Built(record=found, **{**given, **more})  # type: ignore[arg-type]


def test_a_record_in_order_has_no_problems() -> None:
    assert ledger_problems(record()) == []
    assert deviations(built(record()), built(record())) == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        # executed again after its success
        (record([*STORY, (State.SUCCESS, State.PENDING, 2), (State.PENDING, State.QUEUED, 3)],
                (*ATTEMPTS, attempt(3, State.SUCCESS))), "queued again after its success"),
        (record(attempts=(attempt(1, State.SUCCESS), attempt(2, State.SUCCESS))),
         "succeeded in attempts [1, 2]"),
        # a transition is missing
        (record(STORY[:3] + STORY[4:]), "went from pending to queued, but was failed"),
        # no such transition
        (record([(State.PENDING, State.SUCCESS, 1)], ATTEMPTS[1:]), "went from pending to success"),
        # attempts
        (record(attempts=ATTEMPTS[1:]), "has attempts [2]"),
        (record(attempts=(attempt(1, State.RUNNING), attempt(2, State.SUCCESS))),
         "attempt 1 is still running"),
        # green, and was not
        (record(attempts=(ATTEMPTS[0], attempt(2, State.FAILED))),
         "is success, its attempts are ['failed', 'failed']"),
        (record([], ()), "is success and was never tried"),
        (record(STORY[:3]), "is success, its last transition says failed"),
        (record(state=State.FAILED), "is failed, its last transition says success"),
        (record(STORY[:6], state=State.RUNNING), "still running although the run is over"),
        # the run itself
        (replace(record(), state=RunState.RUNNING), "the run is running"),
        (record(STORY[:3], ATTEMPTS[:1], State.FAILED), "the run is a success, and did not build"),
    ],
)  # fmt: skip
def test_a_record_that_is_wrong_is_seen(found: RunRecord, problem: str) -> None:
    assert problem in "\n".join(ledger_problems(found))


def test_a_hook_may_start_anew_with_every_stretch() -> None:
    again = [*STORY, (State.SUCCESS, State.PENDING, 2), (State.PENDING, State.SUCCESS, 3)]
    story = record(again, (*ATTEMPTS, attempt(3, State.SUCCESS)), kind=Kind.OPERATION)
    assert ledger_problems(story) == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (built(record(), relations={}), "shop.orders: relation is missing"),
        (built(record(), exports=()), "the exported files are 0"),
        (built(record(), statuses={}), f"{ID}: missing in run_results.json"),
        (built(record(), statuses={ID: "error"}), f"{ID}: success, run_results.json says error"),
        (built(record(), logs=frozenset({(ID, 3)})), f"{ID}: attempt 3 has a log"),
        (built(record(), logs=frozenset()), "no attempt has left a log"),
        (built(replace(record(), nodes=(), transitions=())), f"{ID}: lost"),
    ],
)
def test_a_build_that_differs_is_seen(found: Built, problem: str) -> None:
    assert problem in "\n".join(deviations(built(record()), found))
