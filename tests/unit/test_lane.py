"""Backfills of a scheduler: children that take no slot, and what becomes of their partitions."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.backfill import (
    Backfill,
    BackfillSpec,
    BackfillState,
    Part,
    PartState,
)
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.core.schedule.partition import Grain, PartitionSpec
from dbtorch.schedule.lane import Lane
from tests.stores import a_run
from tests.unit.serving import HOUR, KEY, Serving
from tests.waiting import PATIENCE

DAY = timedelta(days=1)
WORDS = 'echo "$DBTORCH_TICK $DBTORCH_TICK_SHARED $*"; exit 0'


class Filling(Serving):
    """A scheduler with a lane for backfills."""

    def __init__(self, tmp_path, script="exec sleep 3600", **given):
        super().__init__(tmp_path, script, **given)
        starter, log = self.scheduler.starter, self.scheduler.log
        self.lane = Lane(store=self.store, starter=starter, log=log)
        self.scheduler.lane = self.lane

    def add(self, pipeline="p9", parts=3, max_active=1, id="b1"):
        first = self.now - 99 * DAY
        every = tuple(
            Part(
                ordinal=number,
                key=f"{first + number * DAY:%F}",
                interval=Interval(first + number * DAY, first + (number + 1) * DAY),
            )
            for number in range(parts)
        )
        backfill = Backfill(
            id=id,
            key=ScheduleKey(pipeline, "dev (x)"),
            spec=BackfillSpec(words=("--select", "orders"), max_active=max_active),
            created_at=self.now,
            created_by="ann@host",
            parts=every,
        )
        assert self.store.add_backfill(backfill) is None

    def states(self):
        (one,) = self.store.backfills(over=True, parts=True)
        return [part.state.value for part in one.parts]

    def end(self, *_):
        child = self.ends.get(timeout=PATIENCE)
        self.scheduler.ended(child)
        return child

    def finish(self, state=RunState.SUCCESS):
        """Let one that was started begin and end."""
        child = next(iter(self.lane.children.values()))
        run_id = f"run {child.token}"
        self.store.begin(a_run(run_id), [], tick=child.token)
        self.store.end(run_id, state, self.now)
        child.kill()
        self.end()

    def stop(self):
        for child in self.scheduler.under_way:
            child.kill()
        while self.scheduler.under_way:
            self.end()


@pytest.fixture
def filling(tmp_path):
    made = []

    def make(*args, **given):
        made.append(Filling(tmp_path, *args, **given))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_backfill_takes_no_slot_and_waits_for_none(filling):
    one = filling(max_runs=1, pipelines=2)
    one.add(max_active=2, parts=4)
    one.turn(HOUR)
    assert len(one.scheduler.children) == 1  # both ticks are due, and there is one slot
    for states in (
        ["claimed", "waiting", "waiting", "waiting"],  # the first makes the tables
        ["done", "claimed", "claimed", "waiting"],
        ["done", "done", "claimed", "claimed"],  # the next starts when one is free
    ):
        assert one.states() == states
        one.finish()
        one.turn()


def test_partitions_end_as_their_runs_do_and_then_it_is_over(filling):
    one = filling()
    one.add(parts=2)
    for state in (RunState.FAILED, RunState.SUCCESS):
        one.turn()
        one.finish(state)
    one.turn()
    assert one.states() == ["failed", "done"]
    assert one.store.backfills(over=True)[0].state is BackfillState.FAILED
    assert [said["state"] for said in one.events("backfill_ended")] == ["failed"]


def test_a_run_that_cannot_begin_fails_its_partition_and_no_other(filling):
    one = filling("echo there is no such thing; exit 2")
    one.add(parts=2)
    one.turn()
    one.end()
    (said,) = one.store.backfills(parts=True)
    assert one.states() == ["failed", "waiting"]
    assert said.parts[0].note == "the run could not begin (exit code 2: there is no such thing)"


@pytest.mark.parametrize(
    ("ended", "state"), [(None, "failed"), (RunState.FAILED, "failed"), (RunState.SUCCESS, "done")]
)
def test_where_there_was_nothing_to_run_nothing_is_done_but_what_has_succeeded(
    filling, ended, state
):
    one = filling("exit 0")
    one.add(parts=1)
    if ended is not None:  # somebody has gone on with its run meanwhile
        one.store.begin(a_run("r1"), [])
        one.store.end("r1", ended, one.now)
        (known,) = one.store.backfills(parts=True)
        one.store.decide_backfill(known, [replace(known.parts[0], run_id="r1")])
    one.turn()
    one.end()
    (part,) = one.store.backfills(over=True, parts=True)[0].parts
    assert (part.state, part.note) == (state, "there was nothing to run" * (state == "failed"))


def test_what_is_given_back_waits_for_the_next(filling):
    one = filling()
    one.add()
    one.turn()
    one.scheduler.give_back()
    (part,) = [p for p in one.store.backfills(parts=True)[0].parts if p.ordinal == 0]
    assert (part.state, part.token) == (PartState.WAITING, "")


def test_a_run_is_a_run_like_any_other_with_another_partition(filling):
    one = filling(WORDS)
    one.add(max_active=2, parts=1)
    one.turn()
    child = next(iter(one.lane.children.values()))
    assert child.token.startswith("part:")
    one.end()
    (said,) = [line["message"] for line in one.events("output")]
    token, shared, *words = said.split()
    assert (token, shared) == (child.token, "1")
    day = one.store.backfills(parts=True)[0].parts[0].key
    assert words[:6] == ["--pipeline", "p9", "--partition", day, "--select", "orders"]


def test_a_run_that_has_just_begun_is_not_taken_for_lost(filling):
    one = filling()
    one.add()
    one.turn()
    child = next(iter(one.lane.children.values()))
    looked = one.store.backfills

    def begins_meanwhile():
        if one.states()[0] == "claimed":
            one.begin(child, "r1")
        return looked()

    one.store.backfills = lambda **how: looked(**how) if how else begins_meanwhile()
    one.turn()
    assert one.states() == ["started", "waiting", "waiting"]


def test_after_a_run_that_was_due_late_data_is_looked_for(filling):
    one = filling('echo "$*"; exit 0')
    spec = PartitionSpec(by=Grain.DAY, start=one.now - 9 * DAY, lookback=3)
    timed = one.scheduler.timetable[KEY]
    timed.pipeline = replace(timed.pipeline, partition=spec)
    one.turn(HOUR)
    one.end()  # the run that was due
    one.end()  # and what looks for late data
    said = [line["message"] for line in one.events("output")]
    assert said[1].startswith("p0 --late --reason late data (lookback) --project-dir")
    assert one.scheduler.under_way == []


def test_without_a_lookback_nothing_is_looked_for(filling):
    one = filling("exit 0")
    one.turn(HOUR)
    one.end()
    assert one.scheduler.under_way == []
