"""What a pipeline's schedule is to a scheduler that knows cron, and what that cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from dbtorch.adapters.cron import Ticks
from dbtorch.adapters.cron_fields import every, plain
from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import Refused, UsageError
from dbtorch.core.schedule.rules import Catchup
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.core.text import durations
from dbtorch.service.project.project import open_project
from dbtorch.service.schedule.upcoming import scheduled

_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A pipeline, and when it starts."""

    pipeline: PipelineSpec
    schedule: Schedule
    crons: tuple[str, ...]  # by the clock of the schedule's zone, in fields that every cron reads
    gap: timedelta  # between two times, at least
    offsets: tuple[int, ...]  # minutes that the zone is ahead of UTC, within a year

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return self.pipeline.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file for another scheduler."""

    text: str
    unsaid: tuple[str, ...]  # what is not said there, one sentence each


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipelines:
    """What is exported."""

    dir: Path
    timed: tuple[Timed, ...]

    @classmethod
    def of(
        cls, project_dir: str | None, names: Sequence[str], *, where: str, now: datetime
    ) -> Pipelines:
        """Pipelines that have a schedule, or those that are named.

        ``where`` is what cannot say everything: "a crontab". Raises `UsageError` with all that
        would start at other times there, `ConfigError`, `NotFound`.
        """
        project = open_project(project_dir)
        wanted: list[str | None] = [*names] or [None]
        found = [one for name in wanted for one in scheduled(project.config, name)]
        if len(found) < len(names) or not found:
            has = {pipeline.name for pipeline, _ in found}
            which = next((f"pipeline {name}" for name in names if name not in has), "no pipeline")
            raise UsageError(
                f"{which} has {'no' if names else 'a'} schedule; give it `schedule:` in dbtorch.yml"
            )
        timed, wrong = [], []
        for pipeline, schedule in found:
            try:
                timed.append(_timed(pipeline, schedule, where, now))
            except Refused as error:
                wrong.append(f"{pipeline.origin}: pipeline {pipeline.name} {error}")
        if wrong:
            raise UsageError(
                "\n".join(wrong) + "\nleave such pipelines to `dbtorch serve`, and name the others"
                " with -p"
            )
        return cls(dir=project.dir, timed=tuple(timed))


def unsaid(one: Timed, where: str, now: datetime, *, catches_up: bool) -> Iterator[str]:
    """What of a schedule no cron says, one sentence each."""
    schedule, name = one.schedule, f"pipeline {one.name}"
    if schedule.jitter:
        yield f"{name}: jitter {durations.text(schedule.jitter)} is not in {where}"
    if schedule.start_date is not None and schedule.start_date > now:
        yield f"{name}: {where} starts it before its start_date ({schedule.start_date:%Y-%m-%d})"
    if schedule.end_date is not None:
        yield f"{name}: {where} starts it after its end_date ({schedule.end_date:%Y-%m-%d}), too"
    if schedule.catchup is Catchup.ALL:
        most = "one at most" if catches_up else "none"
        yield f"{name}: of the times that were missed {where} runs {most} (catchup: all)"
    if one.pipeline.on is not None:
        yield f"{name}: only dbtorch serve starts it by `on:`"


def _timed(pipeline: PipelineSpec, schedule: Schedule, where: str, now: datetime) -> Timed:
    """Raises `Refused` where it would start at other times."""
    if schedule.except_ or schedule.blackouts:
        raise Refused(f"leaves out days or hours (except, blackout), which {where} cannot")
    try:
        crons = tuple(map(plain, schedule.crons)) or _of_every(schedule, now)
    except Refused as error:
        said = f"has the schedule {str(schedule)!r}, which {where} cannot say"
        raise Refused(f"{said}: {error}") from error
    ticks = Ticks(Schedule(crons=crons, timezone=schedule.timezone))
    first = [tick for week in range(54) for tick in _some(ticks, now + week * _WEEK, 3)]
    gaps = (after - before for before, after in pairwise(first))
    zone = ZoneInfo(schedule.timezone)
    offsets = {
        (now + week * _WEEK).astimezone(zone).utcoffset() or timedelta() for week in range(54)
    }
    return Timed(
        pipeline=pipeline,
        schedule=schedule,
        crons=crons,
        gap=min((gap for gap in gaps if gap > timedelta()), default=_WEEK),
        offsets=tuple(sorted(int(one.total_seconds()) // 60 for one in offsets)),
    )


def _of_every(schedule: Schedule, now: datetime) -> tuple[str, ...]:
    """The cron expression that ticks as a schedule does that has none; looked up for a year."""
    wanted = Ticks(schedule)
    minutes, rest = divmod(schedule.every or 0.0, 60)
    for cron in every(int(minutes)) if not rest else ():
        offered = Ticks(Schedule(crons=(cron,), timezone=schedule.timezone))
        weeks = [now.astimezone(UTC) + week * _WEEK for week in range(54)]
        if all(_some(wanted, at, 3) == _some(offered, at, 3) for at in weeks):
            return (cron,)
    raise Refused("its times are not the same each day by the clock of its zone")


def _some(ticks: Ticks, after: datetime, count: int) -> list[datetime]:
    return list(islice(ticks.between(after, datetime.max.replace(tzinfo=UTC)), count))
