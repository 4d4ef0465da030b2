"""The pipelines of a project, and what is due of each: by its schedule, and by what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from dbtorch.adapters.calendars import Calendars
from dbtorch.adapters.cron import NoTick, Ticks
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.condition import TriggerSpec
from dbtorch.core.schedule.decide import ON_TIME, Decision, decide
from dbtorch.core.schedule.jitter import delay
from dbtorch.core.schedule.ledger import LedgerView, ScheduleKey, ScheduleRecord
from dbtorch.core.schedule.news import Observation, TriggerState, fired, fires_at, noted
from dbtorch.core.schedule.rules import Catchup, DueTick, Rules
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.service.project.options import DEFAULT_PIPELINE

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
    seen: str | None = None  # of its conditions, where that is another one by now

    @property
    def changes(self) -> bool:
        """Whether there is anything to write, apart from what is claimed."""
        return (
            bool(self.decision.ticks)
            or self.decision.watermark != self.record.watermark
            or self.checksum != self.record.checksum
            or self.seen is not None
        )


@dataclass(slots=True, kw_only=True)
class TimedPipeline:
    """A pipeline where its target builds; one without a schedule runs when it is triggered."""

    pipeline: PipelineSpec
    key: ScheduleKey
    lease: str  # what a run of it holds
    rules: Rules
    ticks: Ticks | None  # None: it has no schedule
    schedule: Schedule | None
    checksum: str
    looks: Looks | None = None  # at the conditions that it starts by
    calendars: Calendars | None = None
    _greeted: bool = field(default=False, init=False)  # whether the ledger has known this one
    _next: tuple[tuple[datetime, int], datetime] | None = field(default=None, init=False)
    _last: tuple[datetime, datetime | None] | None = field(default=None, init=False)  # see _due

    def next_after(self, at: datetime) -> datetime:
        """The first tick after a moment, one in a blackout included; `NEVER`: there is none."""
        known = (at, self.calendars.version if self.calendars is not None else 0)
        if self.ticks is None:
            return NEVER
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
        record = self._mine(view.schedules.get(self.key, ScheduleRecord(key=self.key)))
        if not (self.runs_by_itself or record.ticks):
            return None
        watermark = record.watermark or self._beginning(view.now)
        greeted = self._greeted = self._greeted or record.checksum == self.checksum
        if not greeted and record.checksum:
            watermark = max(watermark, view.now - ON_TIME)
        events, seen = self._events(record, view.now)
        if (
            record.watermark
            and seen is None
            and greeted
            and not record.ticks
            and self.next_after(watermark) > view.now
        ):
            return None
        due = self._due(watermark, view.now)
        decision = decide(
            self.rules,
            record,
            [*due, *events],
            view,
            watermark=due[-1].scheduled_for if due else watermark,
            lease=self.lease,
            blackout=self.ticks is not None and self.ticks.blacked_out(view.now),
        )
        return Decided(
            timed=self,
            record=record,
            decision=decision,
            checksum=record.checksum if greeted else self.checksum,
            first=record.watermark is None,
            seen=seen,
        )

    @property
    def runs_by_itself(self) -> bool:
        """Whether anything but a person, or a request, starts it."""
        return self.ticks is not None or self.looks is not None

    def wakes_at(self, record: ScheduleRecord) -> datetime:
        """When something is due next; `NEVER`: nothing is."""
        times = [self.next_after(record.watermark)] if record.watermark is not None else []
        if self.looks is not None and record.seen:
            at = fires_at(self.looks.spec, TriggerState.of_text(record.seen))
            times += [] if at is None else [at]
        return min(times, default=NEVER)

    def _mine(self, record: ScheduleRecord) -> ScheduleRecord:
        """Without ticks of a schedule that it has no more: those are closed."""
        if self.ticks is not None:
            return record
        return replace(record, ticks=tuple(tick for tick in record.ticks if tick.cause))

    def _events(self, record: ScheduleRecord, now: datetime) -> tuple[list[DueTick], str | None]:
        """What its conditions make due, and what is known of them if that has changed."""
        if self.looks is None:
            return [], None
        spec, before = self.looks.spec, TriggerState.of_text(record.seen)
        state = noted(spec, before, self.looks.look(), now)
        due = []
        at = fires_at(spec, state)
        if at is not None and at <= now:
            state, cause = fired(spec, state)
            known = {tick.scheduled_for for tick in record.ticks}
            when = next(at for at in _moments(now) if at not in known)
            due = [
                DueTick(scheduled_for=when, interval=Interval(None, when), due_at=when, cause=cause)
            ]
        return due, None if state == before and record.seen else state.to_text()

    def _beginning(self, now: datetime) -> datetime:
        """From when on ticks count of a pipeline that nobody has looked at: it has missed none."""
        start = self.schedule.start_date if self.schedule is not None else None
        if self.schedule is not None and start is not None and self.schedule.catchup is Catchup.ALL:
            return min(now, start)
        return now

    def _due(self, watermark: datetime, now: datetime) -> list[DueTick]:
        """Ticks after the watermark, the oldest first; of too many the newest."""
        if self.ticks is None:
            return []
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
        assert self.ticks is not None
        assert self.schedule is not None
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
        assert self.ticks is not None
        if self._last is not None and self._last[0] == watermark:
            return self._last[1]
        try:
            return self.ticks.at_or_before(first - _LEAST)
        except NoTick:
            return None

    def _tick(self, start: datetime | None, at: datetime) -> DueTick:
        assert self.ticks is not None
        assert self.schedule is not None
        return DueTick(
            scheduled_for=at,
            interval=Interval(start, at),
            due_at=at + delay(self.pipeline.name, at, self.schedule.jitter),
            blackout=self.ticks.blacked_out(at),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a pipeline starts by, and who looks at it."""

    spec: TriggerSpec
    look: Callable[[], Mapping[str, Observation]]  # what is known now, by the keys of conditions


#: Makes the looks of a pipeline.
Looking = Callable[[PipelineSpec, TriggerSpec, ScheduleKey], Looks]


def timetable(
    config: Config,
    identity: Identity,
    calendars: Calendars | None = None,
    looking: Looking | None = None,
) -> dict[ScheduleKey, TimedPipeline]:
    """Every pipeline; days that schedules leave out are read from ``calendars``.

    Without ``looking`` nothing starts by what happens.
    """
    pipelines = {DEFAULT_PIPELINE: PipelineSpec(name=DEFAULT_PIPELINE), **config.pipelines}
    found = (_timed(one, identity, calendars, looking) for one in pipelines.values())
    return {timed.key: timed for timed in found}


def _moments(at: datetime) -> Iterator[datetime]:
    while True:
        yield at
        at += _LEAST


def key_of(pipeline: PipelineSpec, identity: Identity) -> ScheduleKey:
    """What a pipeline is called in the ledger."""
    return ScheduleKey(pipeline.name, identity.place(pipeline.target or identity.target))


def next_tick(timed: Mapping[ScheduleKey, TimedPipeline], view: LedgerView) -> datetime | None:
    """When something is due next by the clock of the database; None when nothing ever is."""
    found = []
    for key, one in timed.items():
        record = view.schedules.get(key)
        if record is not None and record.watermark is not None:
            found.append(one.wakes_at(record))
            found += [tick.due_at for tick in record.ticks if tick.due_at > view.now]
    return min((at for at in found if at != NEVER), default=None)


def _timed(
    pipeline: PipelineSpec,
    identity: Identity,
    calendars: Calendars | None,
    looking: Looking | None,
) -> TimedPipeline:
    key, schedule = key_of(pipeline, identity), pipeline.schedule
    looks = None
    if looking is not None and pipeline.on is not None and pipeline.on.looked_at:
        looks = looking(pipeline, pipeline.on, key)
    dates = calendars.dates if calendars is not None else None
    return TimedPipeline(
        pipeline=pipeline,
        key=key,
        lease=identity.lease(pipeline.name, key.place),
        rules=_rules(schedule) if schedule is not None else Rules(),
        ticks=Ticks(schedule, dates) if schedule is not None else None,
        looks=looks,
        calendars=calendars,
        schedule=schedule,
        checksum=schedule.checksum if schedule is not None else "",
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
