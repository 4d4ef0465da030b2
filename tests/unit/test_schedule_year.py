"""A year of fifty pipelines on a simulated clock: each run that is expected happens once."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.core.schedule.ledger import SkipReason, TickState
from dbtorch.service.schedule.timetable import timetable
from tests.unit.simulated import BEGIN, END, SHOP, Simulated, expected, fifty


@pytest.fixture(scope="module")
def config():
    return fifty()


def test_a_year_with_both_clock_changes_and_two_schedulers_that_look_at_once(config):
    year = Simulated(config, schedulers=2)
    rng = random.Random(17)
    for month in range(1, 13):  # a scheduler that is started again knows nothing of before
        year.tables[month % 2] = timetable(config, SHOP)
        year.up = {rng.randrange(2)} if month % 3 else {0, 1}
        year.until(min(END, BEGIN + month * timedelta(days=31)))
    assert year.begun == expected(config, BEGIN, END)
    assert set(year.begun.values()) == {1}
    assert not year.store.skipped()


def test_after_outages_the_newest_runs_once_and_the_others_say_why_not(config):
    outages = [
        (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 5, 41, tzinfo=UTC)),
        (datetime(2026, 4, 4, 10, tzinfo=UTC), datetime(2026, 4, 6, 5, 41, tzinfo=UTC)),
    ]
    begin, end = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 4, 8, tzinfo=UTC)
    times = Simulated(config, schedulers=1)
    times.now = begin
    times.until(end, outages)
    times.end_runs()
    ticks = {
        (key.pipeline, tick.scheduled_for): tick for key, tick in times.store.ticks(limit=10**6)
    }
    assert ticks.keys() == set(expected(config, begin, end))  # each has a row
    ran = {name for name, tick in ticks.items() if tick.state is TickState.DONE}
    assert times.begun == dict.fromkeys(ran, 1)
    for name in config.pipelines:
        for since, until in outages:
            missed = [
                tick for (one, at), tick in ticks.items() if one == name and since <= at < until
            ]
            by_time = sorted(missed, key=lambda tick: tick.scheduled_for)
            assert [tick.reason for tick in by_time[:-1]] == [SkipReason.TOO_LATE] * len(
                by_time[:-1]
            )
            assert [tick.state for tick in by_time[-1:]] == [TickState.DONE] * len(by_time[-1:])


def test_a_pipeline_that_is_seen_for_the_first_time_has_missed_nothing(config):
    new = Simulated(config, schedulers=1)
    new.turn(0)
    assert not new.begun
    assert not new.store.ticks()
