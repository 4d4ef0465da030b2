"""Times of schedules as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import to_json
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.ledger import ScheduleKey, SkipReason, TickRecord, TickState
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import took
from dbtorch.service.schedule.upcoming import PipelineSchedule

#: Seconds after which a run is said to have started late.
_LATE = 60.0

_WHY = {
    SkipReason.OVERLAP: "the run before was still going on",
    SkipReason.TOO_LATE: "missed, and not caught up with",
    SkipReason.PAUSED: "the pipeline was paused",
    SkipReason.BLACKOUT: "nothing starts in that window",
    SkipReason.SUPERSEDED: "a newer time took its place in the queue",
}

HOW = "`schedule:` of a pipeline in dbtorch.yml says when it runs"
NONE = f"no pipeline has a schedule; {HOW}"
NEVER = "`dbtorch serve` has not decided any time yet"


def schedule_text(
    found: Sequence[PipelineSchedule], now: datetime, pipeline: str | None = None
) -> str:
    """A table of the next runs, each in the time zone of its schedule; of one pipeline, or all."""
    if not found:
        return NONE if pipeline is None else f"pipeline {pipeline} has no schedule; {HOW}"
    rows = []
    for one in found:
        zone = ZoneInfo(one.timezone)
        name = f"{one.pipeline} (paused)" if one.paused else one.pipeline
        rows += [
            [
                name,
                f"{next_run.run_at.astimezone(zone):%a} {shown(next_run.run_at, zone)}",
                _in(next_run.run_at, now),
                _covers(next_run.interval, zone),
            ]
            for next_run in one.next
        ] or [[name, "never again", "", ""]]
    return "\n".join(table(("PIPELINE", "RUNS AT", "", "COVERS"), rows))


def schedule_json(found: Sequence[PipelineSchedule]) -> str:
    """The same for programs, with the offsets of the zone."""
    return to_json([_pipeline(one) for one in found], indent=2)


def _pipeline(one: PipelineSchedule) -> dict[str, object]:
    zone = ZoneInfo(one.timezone)
    return {
        "pipeline": one.pipeline,
        "timezone": one.timezone,
        "next": [
            {
                "run_at": next_run.run_at.astimezone(zone).isoformat(),
                "data_interval_start": _iso(next_run.interval.start, zone),
                "data_interval_end": _iso(next_run.interval.end, zone),
            }
            for next_run in one.next
        ],
    }


def past_text(found: Sequence[tuple[ScheduleKey, TickRecord]]) -> str:
    """A table of what became of times that are over, the newest first."""
    if not found:
        return NEVER
    rows = [
        [key.pipeline, shown(tick.scheduled_for), _state(tick), tick.run_id, _remark(tick)]
        for key, tick in found
    ]
    return "\n".join(table(("PIPELINE", "SCHEDULED FOR", "STATE", "RUN", "REMARK"), rows))


def past_json(found: Sequence[tuple[ScheduleKey, TickRecord]]) -> str:
    """The same for programs, in UTC."""
    return to_json([_tick(key, tick) for key, tick in found], indent=2)


def _tick(key: ScheduleKey, tick: TickRecord) -> dict[str, object]:
    return {
        "pipeline": key.pipeline,
        "scheduled_for": tick.scheduled_for.isoformat(),
        "data_interval_start": _iso(tick.interval.start),
        "data_interval_end": _iso(tick.interval.end),
        "state": str(tick.state),
        "reason": str(tick.reason) if tick.reason is not None else None,
        "run_id": tick.run_id or None,
        "started_at": _iso(tick.started_at),
        "late_seconds": _late(tick),
        "note": tick.note or None,
    }


def _state(tick: TickRecord) -> str:
    """What has become of it; of a run that has ended, `dbtorch runs` says how."""
    return "ran" if tick.state is TickState.DONE else str(tick.state)


def _remark(tick: TickRecord) -> str:
    why = _WHY[tick.reason] if tick.reason is not None else ""
    late = _late(tick) or 0.0
    how_late = f"started {took(late)} late" if late >= _LATE else ""
    return "; ".join(text for text in (why, how_late, tick.note) if text)


def _late(tick: TickRecord) -> float | None:
    """Seconds between when it was due and when a run of it began."""
    if tick.started_at is None:
        return None
    return (tick.started_at - tick.due_at).total_seconds()


def _in(at: datetime, now: datetime) -> str:
    seconds = (at - now).total_seconds()
    return f"in {took(seconds)}" if seconds >= 0 else ""


def _covers(interval: Interval, zone: ZoneInfo) -> str:
    start = interval.start or interval.end
    seconds = bool(start.second or interval.end.second)
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return f"{start.astimezone(zone):{form}} to {shown(interval.end, zone, seconds=seconds)}"


def _iso(at: datetime | None, zone: ZoneInfo | None = None) -> str | None:
    if at is None:
        return None
    return (at.astimezone(zone) if zone is not None else at).isoformat()
