"""A calendar that is set while a run is under way changes nothing that lasts."""

from datetime import timedelta

import pytest

from dbtorch.adapters import clock
from dbtorch.adapters.clock import SystemClock
from dbtorch.core.model.deadline import Deadline, DeadlineAction, Deadlines
from dbtorch.core.model.events import Started
from dbtorch.core.model.state import RunState, State
from dbtorch.core.run.timekeeper import Timekeeper
from dbtorch.testing import FixedClock, MemorySteps
from tests.unit.test_runner import Slow, Stage

HOURS = [-7200.0, 7200.0]


@pytest.mark.parametrize("seconds", HOURS)
def test_time_goes_on_evenly_whatever_the_calendar_says(monkeypatch, seconds):
    before, calendar, passed = SystemClock().now(), clock._calendar, clock._passed
    monkeypatch.setattr(clock, "_calendar", lambda: calendar() + timedelta(seconds=seconds))
    monkeypatch.setattr(clock, "_passed", lambda: passed() + 5)
    took = SystemClock().now() - before
    assert timedelta(seconds=5) <= took < timedelta(seconds=3600)
    assert abs(SystemClock().calendar() - before - timedelta(seconds=seconds)) < timedelta(hours=1)


def run_with(deadline, *, set_by, lasts):
    """A run whose first step is not over by itself after so many seconds."""

    class Lasts(Slow):
        def start(self, batch):
            super().start(batch)
            stage.clock.set_calendar(set_by)
            stage.clock.advance(lasts)
            if lasts < 60:
                MemorySteps.start(self, batch)

    late = []
    keeper = Timekeeper(Deadlines(run=deadline))
    stage = Stage(steps=Lasts, timekeeper=keeper, on_late=late.append)
    stage.drive()
    return stage, late


def cancels(*, by_calendar):
    at = FixedClock().advance(60)
    return Deadline(at=at, action=DeadlineAction.CANCEL, by_calendar=by_calendar)


@pytest.mark.parametrize("seconds", HOURS)
def test_a_deadline_so_long_after_the_start_does_not_see_the_calendar(seconds):
    stage, late = run_with(cancels(by_calendar=False), set_by=seconds, lasts=60)
    assert stage.run.state is RunState.CANCELLED
    assert len(late) == 1
    stage, late = run_with(cancels(by_calendar=False), set_by=seconds, lasts=1)
    assert (stage.run.state, late) == (RunState.SUCCESS, [])


def test_a_time_of_day_is_what_the_calendar_says():
    stage, late = run_with(cancels(by_calendar=True), set_by=7200, lasts=1)
    assert stage.run.state is RunState.CANCELLED
    assert late[0].at >= late[0].deadline
    stage, late = run_with(cancels(by_calendar=True), set_by=-7200, lasts=59)
    assert (stage.run.state, late) == (RunState.SUCCESS, [])


def test_who_waits_for_a_time_of_day_looks_at_the_calendar_again_soon():
    now = FixedClock().now()
    keeper = Timekeeper(
        Deadlines(nodes={"a": now + timedelta(hours=8)}, by_calendar=frozenset("a"))
    )
    assert keeper.wakes_at(now, now) - now <= timedelta(minutes=1)
    assert keeper.wakes_at(now, now + timedelta(hours=8, seconds=-1)) - now == timedelta(seconds=1)


@pytest.mark.parametrize("seconds", HOURS)
def test_what_dbt_says_of_its_time_is_counted_from_our_start(seconds):
    class Tells(MemorySteps):
        def start(self, batch):
            stage.clock.set_calendar(seconds)
            stage.clock.advance(10)
            heard = stage.clock.calendar() - timedelta(seconds=4)
            self._emit(Started(batch.attempts[0], at=heard))
            super().start(batch)

    stage = Stage(steps=Tells)
    began = stage.clock.now()
    stage.drive()
    started = next(one for one in stage.written if one.state is State.RUNNING)
    assert started.at - began == timedelta(seconds=6)
