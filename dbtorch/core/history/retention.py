"""Which runs of a history are old enough to go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from dbtorch.core.model.interval import Interval, covered_until


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAge:
    """What a run's age is judged by."""

    run_id: str
    place: str  # where its target is
    pipeline: str
    started_at: datetime
    ended_at: datetime | None  # None: nobody has written its end
    interval: Interval
    whole_success: bool  # of its pipeline, and not of a part
    held: bool = False  # a process has it in hand, or had when it died


def outlived(runs: Iterable[RunAge], before: datetime) -> list[str]:
    """Runs that ended before a time, the oldest first, without those that later ones build upon.

    The newest run of a pipeline stays, and its newest success: they say how it stands. So does the
    one up to which time is covered without a gap: the next run may begin there.
    """
    series: dict[tuple[str, str], list[RunAge]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.started_at, run.run_id)):
        series[run.place, run.pipeline].append(run)
    needed = {id for one in series.values() for id in _needed(one)}
    return [
        run.run_id
        for one in series.values()
        for run in one
        if run.run_id not in needed and not run.held and (run.ended_at or run.started_at) < before
    ]


def _needed(runs: list[RunAge]) -> Iterator[str]:
    """Runs of one pipeline that stay whatever their age."""
    yield runs[-1].run_id
    whole = [run for run in runs if run.whole_success]
    if not whole:
        return
    yield whole[-1].run_id
    covered = covered_until([run.interval for run in whole])
    yield next(run.run_id for run in reversed(whole) if run.interval.end == covered)
