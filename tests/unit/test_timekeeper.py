"""What is late and what will be: each once, at its time, also when a run goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dbtorch.core.model.deadline import Deadline, DeadlineAction, Deadlines
from dbtorch.core.model.state import State
from dbtorch.core.run.forecast import Forecast
from dbtorch.core.run.timekeeper import Timekeeper
from tests.unit.story import NOON
from tests.unit.test_forecast import a_plan, always, change, ran


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def keeper(run=None, nodes=(), *, forecast=True, **more):
    deadlines = Deadlines(
        run=None if run is None else Deadline(at=at(run)),
        nodes={id: at(seconds) for id, seconds in dict(nodes).items()},
        **more,
    )
    return Timekeeper(deadlines, Forecast(a_plan(), always(100)) if forecast else None)


def told(found):
    return [(late.node_id, late.missed) for late in found]


def test_nothing_is_watched_where_there_is_no_deadline():
    assert keeper().wakes_at(NOON) is None
    assert keeper().look(at(10**6)) == []


def test_a_miss_is_told_at_its_moment_and_once():
    watch = keeper(60, {"b": 30}, forecast=False)
    assert watch.wakes_at(NOON) == at(30)
    assert watch.look(at(29)) == []
    assert told(watch.look(at(30))) == [("b", True)]
    assert watch.wakes_at(at(30)) == at(60)
    assert told(watch.look(at(61))) == [("", True)]
    assert watch.wakes_at(at(61)) is None
    assert watch.look(at(99)) == []


def test_what_has_ended_is_not_late():
    watch = keeper(nodes={"a": 30}, forecast=False)
    watch.note(ran("a", 0, 29))
    assert watch.wakes_at(at(29)) is None
    assert watch.look(at(31)) == []
    watch.note([change("a", State.PENDING, 40)])  # somebody runs it again
    assert told(watch.look(at(41))) == [("a", True)]


def test_what_will_be_missed_is_told_at_once_with_what_it_takes():
    watch = keeper(150, {"a": 300, "b": 100})
    assert watch.wakes_at(NOON) == NOON
    found = watch.look(NOON)
    assert sorted(told(found)) == [("", False), ("b", False)]  # a has time enough
    (run,) = [late for late in found if not late.node_id]
    assert at(250) < run.expected < at(350)
    assert run.costliest in ("a", "b", "c")
    assert run.costs > 50
    assert watch.look(at(1)) == []
    assert told(watch.look(at(151))) == [("b", True), ("", True)]


def test_a_forecast_is_made_now_and_then_and_more_often_near_the_end():
    watch = keeper(400)
    assert watch.look(NOON) == []
    assert watch.wakes_at(NOON) == at(20)
    watch.note([*ran("a", 0, 100), *ran("b", 100, 200), change("c", State.RUNNING, 200)])
    assert watch.look(at(19)) == []
    assert watch.wakes_at(at(19)) == at(20)
    assert watch.look(at(220)) == []
    assert watch.wakes_at(at(220)) == at(229)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [("", False), ("b", False)]),
        ({"at_risk": frozenset({""})}, [("b", False)]),
        ({"at_risk": frozenset({"", "b"})}, []),
    ],
)
def test_what_an_earlier_stretch_told_is_not_told_again(more, expected):
    assert sorted(told(keeper(50, {"b": 50}, **more).look(NOON))) == expected


def test_a_miss_an_earlier_stretch_told_is_not_told_again():
    watch = keeper(nodes={"b": 10}, missed=frozenset({"b"}), forecast=False)
    assert watch.wakes_at(NOON) is None
    assert watch.look(at(11)) == []


def test_a_run_that_is_being_ended_is_late_and_nothing_else():
    watch = keeper(50, {"b": 50})
    watch.rest()
    assert watch.look(NOON) == []
    assert watch.wakes_at(NOON) == at(50)
    assert told(watch.look(at(50))) == [("", True)]


def test_only_the_deadline_of_the_run_cancels_it():
    run = Deadline(at=at(10), action=DeadlineAction.CANCEL)
    watch = Timekeeper(Deadlines(run=run, nodes={"b": at(5)}))
    found = watch.look(at(11))
    assert [(late.node_id, watch.cancels(late)) for late in found] == [("b", False), ("", True)]
