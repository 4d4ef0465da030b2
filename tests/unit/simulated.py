"""Schedulers on a simulated clock, for a year in seconds."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from dbtorch.adapters.cron import Ticks
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.history.records import Lease
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.decide import claimed
from dbtorch.core.schedule.ledger import ScheduleChange, TickState
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.service.schedule.timetable import next_tick, timetable
from tests.stores import a_run
from tests.unit.plain_ledger import PlainLedger

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
        self.store = PlainLedger(SHOP, clock=lambda: self.now)
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
                    checksum=found.checksum,
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
