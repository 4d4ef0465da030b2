"""The pipelines of a project that have a schedule, and what is due of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from dbtorch.adapters.calendars import Calendars
from dbtorch.adapters.cron import NoTick, Ticks
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.decide import ON_TIME, Decision, decide
from dbtorch.core.schedule.jitter import delay
from dbtorch.core.schedule.ledger import LedgerView, ScheduleKey, ScheduleRecord
from dbtorch.core.schedule.rules import Catchup, DueTick, Rules
from dbtorch.core.schedule.schedule import Schedule

#: Ticks that are looked at after an outage, the newest; those before them leave no row.
MOST_MISSED = 1000

#: Later than any tick.
NEVER = datetime.max.replace(tzinfo=UTC)

_LEAST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a pipeline's turn came to."""

    timed: TimedPipeline
    record: ScheduleRecord  # that was looked at
    decision: Decision
    checksum: str  # of the schedule that the watermark is about from now on
    first: bool  # whether nobody has ever looked at this pipeline before

    @property
    def changes(self) -> bool:
        """Whether there is anything to write, apart from what is claimed."""
        return (
            bool(self.decision.ticks)
            or self.decision.watermark != self.record.watermark
            or self.checksum != self.record.checksum
        )


@dataclass(slots=True, kw_only=True)
class TimedPipeline:
    """A pipeline with a schedule, where its target builds."""

    pipeline: PipelineSpec
    key: ScheduleKey
    lease: str  # what a run of it holds
    rules: Rules
    ticks: Ticks
    schedule: Schedule
    checksum: str
    calendars: Calendars | None = None
    _greeted: bool = field(default=False, init=False)  # whether the ledger has known this one
    _next: tuple[tuple[datetime, int], datetime] | None = field(default=None, init=False)
    _last: tuple[datetime, datetime | None] | None = field(default=None, init=False)  # see _due

    def next_after(self, at: datetime) -> datetime:
        """The first tick after a moment, one in a blackout included; `NEVER`: there is none."""
        known = (at, self.calendars.version if self.calendars is not None else 0)
        if self._next is None or self._next[0] != known:
            try:
                self._next = (known, self.ticks.after(at, blackouts=True))
            except NoTick:
                self._next = (known, NEVER)
        return self._next[1]

    def turn(self, view: LedgerView) -> Decided | None:
        """What is to be done now; None where nothing is.

        A schedule that was changed has missed nothing. That is seen once, when this one is met:
        another scheduler may go on by the one before for a while.
        """
        record = view.schedules.get(self.key, ScheduleRecord(key=self.key))
        watermark = record.watermark or self._beginning(view.now)
        greeted = self._greeted = self._greeted or record.checksum == self.checksum
        if not greeted and record.checksum:
            watermark = max(watermark, view.now - ON_TIME)
        if (
            record.watermark
            and greeted
            and not record.ticks
            and self.next_after(watermark) > view.now
        ):
            return None
        due = self._due(watermark, view.now)
        decision = decide(
            self.rules,
            record,
            due,
            view,
            watermark=due[-1].scheduled_for if due else watermark,
            lease=self.lease,
            blackout=self.ticks.blacked_out(view.now),
        )
        return Decided(
            timed=self,
            record=record,
            decision=decision,
            checksum=record.checksum if greeted else self.checksum,
            first=record.watermark is None,
        )

    def _beginning(self, now: datetime) -> datetime:
        """From when on ticks count of a pipeline that nobody has looked at: it has missed none."""
        start = self.schedule.start_date
        if start is not None and self.schedule.catchup is Catchup.ALL:
            return min(now, start)
        return now

    def _due(self, watermark: datetime, now: datetime) -> list[DueTick]:
        """Ticks after the watermark, the oldest first; of too many the newest."""
        found = list(islice(self._after(watermark, now), MOST_MISSED + 1))
        if not found:
            return []
        if len(found) > MOST_MISSED:
            found = sorted({*self._newest(watermark, now), *self._newest(watermark, now, True)})
        due, start = [], self._start_of(found[0], watermark)
        for at in found:
            due.append(self._tick(start, at))
            start = start if due[-1].blackout else at
        self._last = (found[-1], start)
        return due

    def _after(self, watermark: datetime, now: datetime) -> Iterator[datetime]:
        at = watermark
        while (at := self.next_after(at)) <= now:
            yield at

    def _newest(
        self, watermark: datetime, now: datetime, blackouts: bool = False
    ) -> Iterator[datetime]:
        since = max(watermark, self.schedule.start_date or watermark)
        at = now
        for _ in range(MOST_MISSED):
            try:
                at = self.ticks.at_or_before(at, blackouts=blackouts)
            except NoTick:
                return
            if at <= since:
                return
            yield at
            at -= _LEAST

    def _start_of(self, first: datetime, watermark: datetime) -> datetime | None:
        """Where the interval of a tick begins: at the last one that is not in a blackout."""
        if self._last is not None and self._last[0] == watermark:
            return self._last[1]
        try:
            return self.ticks.at_or_before(first - _LEAST)
        except NoTick:
            return None

    def _tick(self, start: datetime | None, at: datetime) -> DueTick:
        return DueTick(
            scheduled_for=at,
            interval=Interval(start, at),
            due_at=at + delay(self.pipeline.name, at, self.schedule.jitter),
            blackout=self.ticks.blacked_out(at),
        )


def timetable(
    config: Config, identity: Identity, calendars: Calendars | None = None
) -> dict[ScheduleKey, TimedPipeline]:
    """Every pipeline that has a schedule; days that they leave out are read from ``calendars``."""
    found = (
        _timed(pipeline, pipeline.schedule, identity, calendars)
        for pipeline in config.pipelines.values()
        if pipeline.schedule is not None
    )
    return {timed.key: timed for timed in found}


def key_of(pipeline: PipelineSpec, identity: Identity) -> ScheduleKey:
    """What a pipeline is called in the ledger."""
    return ScheduleKey(pipeline.name, identity.place(pipeline.target or identity.target))


def next_tick(timed: Mapping[ScheduleKey, TimedPipeline], view: LedgerView) -> datetime | None:
    """When something is due next by the clock of the database; None when nothing ever is."""
    found = []
    for key, one in timed.items():
        record = view.schedules.get(key)
        if record is not None and record.watermark is not None:
            found.append(one.next_after(record.watermark))
            found += [tick.due_at for tick in record.ticks if tick.due_at > view.now]
    return min((at for at in found if at != NEVER), default=None)


def _timed(
    pipeline: PipelineSpec, schedule: Schedule, identity: Identity, calendars: Calendars | None
) -> TimedPipeline:
    key = key_of(pipeline, identity)
    return TimedPipeline(
        pipeline=pipeline,
        key=key,
        lease=identity.lease(pipeline.name, key.place),
        rules=_rules(schedule),
        ticks=Ticks(schedule, calendars.dates if calendars is not None else None),
        calendars=calendars,
        schedule=schedule,
        checksum=schedule.checksum,
    )


def _rules(schedule: Schedule) -> Rules:
    window = schedule.catchup_window
    return Rules(
        catchup=schedule.catchup,
        catchup_window=timedelta(seconds=window) if window is not None else None,
        max_catchup=schedule.max_catchup,
        overlap=schedule.overlap,
        paused=schedule.paused,
    )
