"""A year of fifty pipelines on a simulated clock: each run that is expected happens once."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.adapters.cron import Ticks
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.history.records import Lease
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.decide import claimed
from dbtorch.core.schedule.ledger import ScheduleChange, SkipReason, TickState
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.service.schedule.timetable import next_tick, timetable
from dbtorch.testing.store import MemoryStore
from tests.stores import a_run

ZONES = ("Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe")
CRONS = (
    "30 2 * * *", "0 0 * * *", "45 1 * * *", "15 2 * * *", "0 6 * * 1-5", "30 1,2,3 * * *",
    "0 12 1 * *", "5 23 * * 0", "0 7-8 * * *", "10 3 * * *", "50 1 * * *", "59 23 * * *",
)  # fmt: skip
SHOP = Identity(project_id="acme/shop", name="shop", places={"dev": "dev (x)"}, target="dev")
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def fifty():
    pipelines = {
        f"{cron} {zone}": Schedule(crons=(cron,), timezone=zone) for zone in ZONES for cron in CRONS
    }
    pipelines["every six hours"] = Schedule(crons=("0 */6 * * *",), timezone="Australia/Lord_Howe")
    pipelines["half-hourly"] = Schedule(crons=("*/30 1-3 * * *",), timezone="Europe/Berlin")
    assert len(pipelines) == 50
    return Config(
        pipelines={
            name: PipelineSpec(name=name, target="dev", schedule=schedule)
            for name, schedule in pipelines.items()
        }
    )


class Simulated:
    """Schedulers that share a store, and runs that take a minute, on a clock that is set."""

    def __init__(self, config, schedulers):
        self.now = BEGIN
        self.store = MemoryStore(SHOP, clock=lambda: self.now)
        self.begun = Counter()  # by pipeline and time
        self.running = []  # (when it ends, run)
        self.up = set(range(schedulers))
        self.tables = [timetable(config, SHOP) for _ in range(schedulers)]
        self._tokens = iter(range(10**9))

    def turn(self, number):
        """What one scheduler does when it wakes up; all that is ready begins."""
        view = self.store.ledger()
        changes, begin = [], []
        for timed in self.tables[number].values():
            found = timed.turn(view)
            if found is None:
                continue
            tokens = [str(next(self._tokens)) for _ in found.decision.ready]
            mine = [
                claimed(tick, token=token, server=f"serve/{number}", now=view.now)
                for tick, token in zip(found.decision.ready, tokens, strict=True)
            ]
            written = {tick.scheduled_for: tick for tick in (*found.decision.ticks, *mine)}
            if found.changes or mine:
                change = ScheduleChange(
                    key=timed.key,
                    version=found.record.version,
                    watermark=found.decision.watermark,
                    ticks=tuple(written.values()),
                )
                changes.append(change)
                begin += [(timed, tick) for tick in mine]
        done = self.store.decide(changes)
        for timed, tick in begin:
            if timed.key in done:
                self.begin(timed, tick)

    def begin(self, timed, tick):
        run_id = f"run {tick.token}"
        lease = Lease(
            name=timed.lease,
            run_id=run_id,
            host="h",
            pid=1,
            acquired_at=self.now,
            expires_at=self.now + timedelta(hours=1),
        )
        lease, _ = self.store.acquire(lease)
        self.store.begin(a_run(run_id), [], tick=tick.token)
        self.begun[timed.key.pipeline, tick.scheduled_for] += 1
        self.running.append((self.now + timedelta(minutes=1), run_id, lease))

    def end_runs(self):
        for run in [one for one in self.running if one[0] <= self.now]:
            self.running.remove(run)
            self.store.end(run[1], RunState.SUCCESS, self.now)
            self.store.release(run[2])

    def until(self, end, outages=()):
        while self.now < end:
            self.end_runs()
            down = next((until for since, until in outages if since <= self.now < until), None)
            if down is not None:
                self.now = down
                continue
            for number in self.up:
                self.turn(number)
            view = self.store.ledger()
            nexts = [next_tick(self.tables[0], view)]
            if any(
                tick.state is TickState.QUEUED
                for one in view.schedules.values()
                for tick in one.ticks
            ):
                nexts += [one[0] for one in self.running]
            self.now = max(self.now + SECOND, min(one for one in nexts if one is not None))


def expected(config, begin, end):
    """Every tick of the year, found one after the other."""
    found = Counter()
    for name, pipeline in config.pipelines.items():
        ticks, at = Ticks(pipeline.schedule), begin
        while (at := ticks.after(at)) < end:
            found[name, at] += 1
    return found


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
