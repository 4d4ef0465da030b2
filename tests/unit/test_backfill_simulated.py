"""2,000 days beside fifty scheduled pipelines on a simulated clock: no tick late, and it moves."""

import itertools
from collections import Counter
from dataclasses import replace
from datetime import timedelta

from dbtorch.core.history.records import Lease
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.backfill import (
    Backfill,
    BackfillSpec,
    BackfillState,
    Beside,
    Part,
    PartState,
    claimed_part,
    decide_backfill,
)
from dbtorch.service.schedule.timetable import next_tick
from dbtorch.testing.store import MemoryStore
from tests.stores import a_run
from tests.unit.simulated import BEGIN, SECOND, SHOP, Simulated, fifty

DAYS, DAY = 2000, timedelta(days=1)
TAKES = timedelta(minutes=7)


def history(key, spec):
    first = BEGIN - DAYS * DAY
    parts = [
        Part(ordinal=n, key=f"{first + n * DAY:%F}", interval=Interval(first + n * DAY, first + (n + 1) * DAY))
        for n in range(DAYS)
    ]  # fmt: skip
    return Backfill(id="b", key=key, spec=spec, created_at=BEGIN, parts=tuple(parts))


class WithBackfill(Simulated):
    """Schedulers, and a backfill of one of their pipelines, each run of which takes minutes."""

    def __init__(self, config, pipeline, schedulers=2):
        super().__init__(config, schedulers)
        self.store = MemoryStore(SHOP, clock=lambda: self.now)
        self.timed = next(t for t in self.tables[0].values() if t.key.pipeline == pipeline)
        spec = BackfillSpec(max_active=1, partitions=DAYS)
        assert self.store.add_backfill(history(self.timed.key, spec)) is None
        self.parts, self.late, self.numbers = Counter(), Counter(), itertools.count()

    def begin(self, timed, tick):
        self.late[self.now - tick.due_at] += 1
        super().begin(timed, tick)

    def turn_backfill(self, number, one, view):
        following = self.timed.next_after(view.schedules[one.key].watermark)
        beside = Beside(
            lease=self.timed.lease,
            expected=TAKES,
            next_tick=following,
            tick_after=self.timed.next_after(following),
        )
        decision = decide_backfill(one, view, beside)
        claims = [
            claimed_part(part, token=f"part:{next(self.numbers)}", server=f"serve/{number}", now=view.now)
            for part in decision.ready
        ]  # fmt: skip
        if not (decision.parts or claims or decision.state):
            return False
        if self.store.decide_backfill(one, [*decision.parts, *claims], decision.state):
            for part in claims:
                self.begin_part(part)
        return True

    def begin_part(self, part):
        lease = Lease(
            name=self.timed.lease,
            run_id=part.token,
            host="h",
            pid=1,
            acquired_at=self.now,
            expires_at=self.now + timedelta(hours=1),
        )
        lease, _ = self.store.acquire(lease)
        self.store.begin(a_run(part.token), [], tick=part.token)
        self.parts[part.key] += 1
        self.running.append((self.now + TAKES, part.token, lease))

    def days(self, count):
        """Wake up whenever something is due, or has ended."""
        end, due = BEGIN + count * DAY, None
        while self.now < end:
            self.end_runs()
            view = self.store.ledger()
            for number in self.up:
                if due is None or due <= self.now or any(o.ticks for o in view.schedules.values()):
                    self.turn(number)  # a look at fifty pipelines takes its time
                    view = self.store.ledger()
                    due = next_tick(self.tables[0], view)
                found = self.store.backfills()
                for one in found:
                    if self.turn_backfill(number, one, view):
                        view = self.store.ledger()
            if not found:
                return
            nexts = [due, *(one[0] for one in self.running)]
            self.now = max(self.now + SECOND, min(one for one in nexts if one is not None))


def test_two_thousand_days_delay_no_tick_and_move():
    config = fifty()
    hourly = "half-hourly"  # three hours of a night it is due every half an hour
    simulated = WithBackfill(config, hourly, schedulers=1)
    simulated.days(14)
    (one,) = simulated.store.backfills(over=True)
    assert one.state is BackfillState.DONE, one.counts
    assert one.counts == {PartState.DONE: DAYS}
    assert set(simulated.parts.values()) == {1}  # each day was started once
    assert len(simulated.parts) == DAYS
    assert sum(simulated.late.values()) > 400
    assert max(simulated.late) <= SECOND
    # at seven minutes each, one after the other, it was hardly ever kept waiting
    assert simulated.now - BEGIN < 1.05 * DAYS * TAKES


def test_killed_schedulers_start_no_day_twice():
    config = replace(fifty())
    simulated = WithBackfill(config, "every six hours")
    simulated.days(1)
    done = len(simulated.parts)
    assert done > 150
    # everything dies: leases run out, what was going on is nobody's
    for _, run_id, lease in simulated.running:
        simulated.store.release(lease)
        assert run_id
    simulated.running.clear()
    simulated.now += timedelta(minutes=5)
    (one,) = simulated.store.backfills()
    simulated.turn_backfill(0, one, simulated.store.ledger())
    begun = [key for key, count in simulated.parts.items() if count > 1]
    (one,) = simulated.store.backfills()
    again = [part for part in one.parts if part.state is PartState.STARTED]
    assert begun == [part.key for part in again]  # the one that was lost goes on, and no other
    assert {part.claims for part in again} == {2}
    simulated.end_runs()
    assert simulated.store.run(again[0].run_id).state is RunState.RUNNING
