"""Times of schedules as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from dbtorch.cli.text.by_hand import paused_by
from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import to_json
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import Pause, SkipReason, TickRecord, TickState
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import took
from dbtorch.service.schedule.upcoming import PastTick, PipelineSchedule

#: Seconds after which a run is said to have started late.
_LATE = 60.0

_WHY = {
    SkipReason.OVERLAP: "the run before was still going on",
    SkipReason.TOO_LATE: "missed, and not caught up with",
    SkipReason.PAUSED: "the pipeline was paused",
    SkipReason.BLACKOUT: "nothing starts in that window",
    SkipReason.SUPERSEDED: "a newer time took its place in the queue",
    SkipReason.REMOVED: "the pipeline was removed, or lost its schedule",
}

_ENDED = {
    RunState.SUCCESS: "succeeded",
    RunState.GATED: "was gated",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.RUNNING: "has not ended",
}

HOW = "`schedule:` of a pipeline in dbtorch.yml says when it runs"
NONE = f"no pipeline has a schedule; {HOW}"
UNDECIDED = "`dbtorch serve` has not decided any time yet"


def schedule_text(
    found: Sequence[PipelineSchedule], now: datetime, pipeline: str | None = None
) -> str:
    """A table of the next runs, each in the time zone of its schedule; of one pipeline, or all."""
    if not found:
        return NONE if pipeline is None else f"pipeline {pipeline} has no schedule; {HOW}"
    rows = []
    for one in found:
        zone = ZoneInfo(one.timezone)
        name = f"{one.pipeline} (paused)" if one.paused or one.pause else one.pipeline
        rows += [
            [
                name,
                f"{next_run.run_at.astimezone(zone):%a} {shown(next_run.run_at, zone)}",
                _in(next_run.run_at, now),
                _covers(next_run.interval, zone),
            ]
            for next_run in one.next
        ] or [[name, "never again", "", ""]]
    pauses = [_paused(one) for one in found if one.paused or one.pause]
    lines = [
        *table(("PIPELINE", "RUNS AT", "", "COVERS"), rows),
        *([""] if pauses else []),
        *pauses,
    ]
    return "\n".join(lines)


def _paused(one: PipelineSchedule) -> str:
    """Who has paused it, since when and why."""
    by = [] if one.pause is None else [paused_by(one.pause, ZoneInfo(one.timezone))]
    by += ["by `paused: true` in dbtorch.yml"] if one.paused else []
    return f"pipeline {one.pipeline} is paused {', and '.join(by)}"


def schedule_json(found: Sequence[PipelineSchedule]) -> str:
    """The same for programs, with the offsets of the zone."""
    return to_json([_pipeline(one) for one in found], indent=2)


def _pipeline(one: PipelineSchedule) -> dict[str, object]:
    zone = ZoneInfo(one.timezone)
    return {
        "pipeline": one.pipeline,
        "timezone": one.timezone,
        "paused": one.paused or one.pause is not None,
        "pause": _pause(one.pause, zone),
        "next": [
            {
                "run_at": next_run.run_at.astimezone(zone).isoformat(),
                "data_interval_start": _iso(next_run.interval.start, zone),
                "data_interval_end": _iso(next_run.interval.end, zone),
            }
            for next_run in one.next
        ],
    }


def _pause(pause: Pause | None, zone: ZoneInfo) -> dict[str, object] | None:
    if pause is None:
        return None
    return {"by": pause.by, "since": _iso(pause.at, zone), "reason": pause.reason or None}


def past_text(found: Sequence[PastTick]) -> str:
    """A table of what became of times that are over, the newest first, each in its zone."""
    if not found:
        return UNDECIDED
    rows = [_row(one) for one in found]
    return "\n".join(table(("PIPELINE", "SCHEDULED FOR", "STATE", "RUN", "REMARK"), rows))


def _row(one: PastTick) -> list[str]:
    at = shown(one.tick.scheduled_for, ZoneInfo(one.timezone))
    return [one.pipeline, at, _state(one), one.tick.run_id, _remark(one)]


def past_json(found: Sequence[PastTick]) -> str:
    """The same for programs, with the offsets of the zone."""
    return to_json([_tick(one) for one in found], indent=2)


def _tick(one: PastTick) -> dict[str, object]:
    tick, zone = one.tick, ZoneInfo(one.timezone)
    return {
        "pipeline": one.pipeline,
        "timezone": one.timezone,
        "scheduled_for": _iso(tick.scheduled_for, zone),
        "data_interval_start": _iso(tick.interval.start, zone),
        "data_interval_end": _iso(tick.interval.end, zone),
        "state": str(tick.state),
        "reason": str(tick.reason) if tick.reason is not None else None,
        "run_id": tick.run_id or None,
        "run_state": str(one.outcome) if one.outcome is not None else None,
        "started_at": _iso(tick.started_at, zone),
        "late_seconds": _late(tick),
        "note": tick.note or None,
    }


def _state(one: PastTick) -> str:
    """What has become of it."""
    if one.tick.state is TickState.DONE:
        return "ran" if one.tick.run_id else "not begun"
    return str(one.tick.state)


def _remark(one: PastTick) -> str:
    tick, late = one.tick, _late(one.tick) or 0.0
    texts = (
        _WHY[tick.reason] if tick.reason is not None else "",
        _outcome(one),
        f"started {took(late)} late" if late >= _LATE else "",
        tick.note,
    )
    return "; ".join(filter(None, texts))


def _outcome(one: PastTick) -> str:
    """How its run has ended: that it ran says nothing of that."""
    if one.tick.state is not TickState.DONE or not one.tick.run_id:
        return ""
    if one.outcome is None:
        return "the history does not have its run any more"
    return _ENDED[one.outcome]


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


def _iso(at: datetime | None, zone: ZoneInfo) -> str | None:
    return at.astimezone(zone).isoformat() if at is not None else None
