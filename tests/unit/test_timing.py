"""When a run is late: what the pipeline, the options and an earlier stretch say."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from dbtorch.cli.opening import Options
from dbtorch.cli.timing import deadline_of
from dbtorch.core.config import PipelineSpec, Schedule
from dbtorch.core.deadline import Deadline, DeadlineAction, DeadlineRule
from dbtorch.core.history import Action, Verb
from tests.stores import a_run

NOW = datetime(2026, 3, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALERT, CANCEL = DeadlineAction.ALERT, DeadlineAction.CANCEL


def pipeline(**given):
    return PipelineSpec(name="daily", **given)


def test_most_runs_have_none():
    assert deadline_of(pipeline(), Options(), NOW, None) is None


def test_the_pipeline_s_counts_from_the_start_or_by_its_schedule_s_clock():
    within = pipeline(deadline=DeadlineRule(within=3600), deadline_action=CANCEL)
    assert deadline_of(within, Options(), NOW, None) == Deadline(at=NOW + HOUR, action=CANCEL)
    berlin = Schedule(cron="0 6 * * *", timezone="Europe/Berlin")
    by = pipeline(deadline=DeadlineRule(by=time(8)), schedule=berlin)
    assert deadline_of(by, Options(), NOW, None) == Deadline(at=NOW + 2 * HOUR, action=ALERT)


def test_options_win_over_the_pipeline():
    said = pipeline(deadline=DeadlineRule(within=3600))
    options = Options(deadline=DeadlineRule(within=7200), deadline_action=CANCEL)
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
    assert deadline_of(said, Options(), NOW, kept) == expected


def test_a_retry_may_get_another_one():
    options = Options(deadline=DeadlineRule(within=60), deadline_action=CANCEL)
    found = deadline_of(pipeline(), options, NOW, earlier(NOW - HOUR, ALERT, LATE))
    assert found == Deadline(at=NOW + timedelta(seconds=60), action=CANCEL)
