"""A scheduler's turns over a store, with children that are real processes."""

import os
import signal
from dataclasses import replace

import pytest

from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import StoreError
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.ledger import ScheduleChange, ScheduleKey, SkipReason, TickState
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.core.text import durations
from dbtorch.service.run.context import RunContext
from tests.unit.serving import HOUR
from tests.waiting import PATIENCE


@pytest.mark.parametrize(
    ("script", "launches"),
    [
        ("exit 1", 1),
        ("echo no such model >&2; exit 2", 1),
        ("printf '%01995ds3cret/value' 0; exit 2", 1),  # where it would be cut
        ("printf '%0100000d' 0 | tr 0 '['; echo; exit 2", 1),  # no JSON that anybody reads
        ("exit 3", 1),
        ("exit 4", 2),  # our own fault: once more
        ("exit 75", 3),  # the history may be back
        ("exit 137", 3),
        ("kill -9 $$", 3),
    ],
)
def test_a_run_that_does_not_begin_is_launched_again_as_the_table_of_exit_codes_says(
    serving, script, launches
):
    one = serving(script)
    one.turn(HOUR)
    for number in range(1, launches + 1):
        one.end()
        (tick,) = one.ticks()
        assert tick.claims == number
        one.turn(HOUR / 100)  # no other tick is due
    assert one.ticks() == [tick]
    assert tick.state is TickState.DONE
    assert tick.note.startswith("the run could not begin (exit code ")
    assert ("no such model" in tick.note) is ("model" in script)
    assert "s3cr" not in tick.note + one.said.getvalue()
    assert one.scheduler.children == {}


def test_a_run_that_finds_nothing_to_run_says_so(serving):
    one = serving("exit 0")
    one.turn(HOUR)
    one.end()
    (tick,) = one.ticks()
    assert (tick.state, tick.run_id, tick.note) == (TickState.DONE, "", "there was nothing to run")


def test_a_run_that_could_not_read_a_file_just_being_written_is_started_again(serving):
    one = serving("echo dbtorch.yml:1: is not valid YAML >&2; exit 2")
    one.turn(HOUR)
    one.scheduler.hold()  # it is broken, and nothing starts until it is not
    one.end()
    one.turn(HOUR / 100)
    (tick,) = one.ticks()
    assert (tick.state, tick.token, one.scheduler.children) == (TickState.QUEUED, "", {})
    one.serve(1)
    one.turn()
    one.end()
    (tick,) = one.ticks()
    assert (tick.state, tick.claims) == (TickState.DONE, 2)  # this time the file was what it is


def test_what_waits_of_a_pipeline_that_was_removed_is_closed_and_the_log_says_so(serving):
    one = serving(pipelines=2)
    one.turn(HOUR)  # a run of each is under way, and does not begin
    one.turn(HOUR)
    one.serve(1)
    one.turn()
    removed = {tick.reason for key, tick in one.store.ticks() if key.pipeline == "p1"}
    assert removed == {SkipReason.REMOVED, None}  # the other may still begin
    (line,) = one.events("tick_skipped")
    assert (line["pipeline"], line["reason"]) == ("p1", "removed")
    assert line["scheduled_for"].startswith("2026-03-29T14:00")
    assert one.store.skipped() == {("p1", "removed"): 1}
    gone = next(child for child in one.scheduler.children.values() if child.key.pipeline == "p1")
    gone.kill()
    assert one.end() is gone
    one.turn()
    assert {tick.state for key, tick in one.store.ticks("p1")} == {TickState.SKIPPED}
    assert {tick.state for key, tick in one.store.ticks("p0")} == {TickState.QUEUED}


def test_a_run_of_a_removed_pipeline_may_end_but_is_not_gone_on_with(serving):
    one = serving()
    one.turn(HOUR)
    (child,) = one.scheduler.children.values()
    held = one.begin(child, "r1")
    one.serve(0)
    one.turn()
    assert [tick.state for tick in one.ticks()] == [TickState.STARTED]
    one.store.release(held)  # its supervisor was killed
    one.turn()
    assert [tick.state for tick in one.ticks()] == [TickState.DONE]
    (line,) = one.events("tick_given_up")
    assert (line["run_id"], line["pipeline"]) == ("r1", "p0")
    assert "the pipeline was removed, or lost its schedule" in line["message"]


def test_what_another_scheduler_knows_of_is_left_to_it_while_a_deployment_goes_on(serving):
    """One has read a newer dbtorch.yml: the other does not take its new pipelines for removed."""
    new = serving(pipelines=2)
    new.turn(HOUR)
    new.turn(HOUR)
    waits = new.store.ticks("p1", limit=1)[0][1]
    assert (waits.state, waits.token) == (TickState.QUEUED, "")
    old = serving(store=new.store)
    old.now = new.now
    old.turn()
    assert new.store.ticks("p1", limit=1)[0][1] == waits
    new.now += HOUR  # by then it is an old one for everybody
    old.turn()
    assert new.store.ticks("p1", limit=1)[0][1].reason is SkipReason.REMOVED


def test_places_of_other_targets_are_nobody_else_s_business(serving):
    one = serving()
    prod = ScheduleKey("p9", "prod (y)")
    one.turn(HOUR)
    (tick,) = one.ticks()
    change = ScheduleChange(key=prod, version=0, watermark=one.now, ticks=(tick,))
    one.store.decide([change])
    one.turn()
    assert one.store.ticks("p9") == [(prod, tick)]


def test_what_was_claimed_and_then_not_written_down_is_free_at_the_next_turn(serving, monkeypatch):
    """The database is away for a moment, when the end of a child is to be written."""
    one = serving("exit 137")
    one.turn(HOUR)
    decide = one.store.decide

    def gone(changes):
        raise StoreError("the database does not answer")

    monkeypatch.setattr(one.store, "decide", gone)
    with pytest.raises(StoreError):
        one.end()
    monkeypatch.setattr(one.store, "decide", decide)
    one.turn()
    (tick,) = one.ticks()
    assert (tick.claims, len(one.scheduler.children)) == (2, 1)
    one.end()


def test_a_commit_of_which_no_answer_came_is_taken_back(serving, monkeypatch):
    one = serving()
    decide = one.store.decide

    def written(changes):
        decide(changes)
        raise StoreError("the connection was lost after the commit")

    monkeypatch.setattr(one.store, "decide", written)
    with pytest.raises(StoreError):
        one.turn(HOUR)
    monkeypatch.setattr(one.store, "decide", decide)
    assert one.scheduler.children == {}
    one.turn()
    ((_, tick),) = one.store.ticks()
    assert [child.token for child in one.scheduler.children.values()] == [tick.token]


def test_a_run_is_told_which_interval_it_covers(serving):
    """It works out nothing again: its schedule may have changed, its calendar may be down."""
    one = serving('echo "covers $DBTORCH_TICK_INTERVAL as $DBTORCH_TICK"')
    one.turn(HOUR)
    child = one.end()
    interval = child.tick.interval
    assert child.last_words == f"covers {interval.to_text()} as {child.token}"
    pipeline = PipelineSpec(name="p0", schedule=Schedule(crons=("@daily",), except_=("gone.ics",)))
    about = RunContext.of(pipeline, None, one.now, run_id="r1", stands_for=interval)
    assert about.interval == interval
    assert about.run["logical_date"] == interval.logical_date
    assert Interval.of_text(interval.to_text()) == interval
    first = Interval(None, interval.end)
    assert Interval.of_text(first.to_text()) == first


@pytest.mark.parametrize("grace", [0.0, 0.25, 90.0, 1_728_000.0, durations.LONGEST])
def test_a_run_is_told_the_grace_as_it_can_be_read(serving, grace):
    one = serving('echo "$0 $*"')
    one.scheduler.starter = replace(one.scheduler.starter, grace=grace)
    one.turn(HOUR)
    words = one.end().last_words.split()
    assert words[:1] == ["run"]
    assert durations.seconds(words[words.index("--grace") + 1]) == grace


@pytest.mark.parametrize("stays", ["sleep 3600", "while sleep 0.1; do echo; done"])
def test_a_run_has_ended_though_what_it_started_has_its_output_in_hand(serving, stays):
    one = serving(f"{stays} & echo last words; exit 2")
    one.turn(HOUR)
    child = one.end()
    try:
        assert child.process.returncode == 2
        assert '"message": "last words"' in one.said.getvalue()
    finally:
        os.killpg(child.process.pid, signal.SIGKILL)


def test_a_run_is_given_up_aloud_that_never_ends(serving):
    one = serving("kill -9 $$")
    one.turn(HOUR)
    for _ in range(10):
        child = one.ends.get(timeout=PATIENCE)
        assert child.process.returncode == -signal.SIGKILL
        held = one.begin(child, "r1")
        one.store.release(held)
        one.scheduler.ended(child)
        one.turn()
    assert [tick.state for tick in one.ticks()] == [TickState.DONE]
    (line,) = one.events("tick_given_up")
    assert "it was begun 10 times" in line["message"]
