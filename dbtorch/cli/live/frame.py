"""What the live area shows: a few lines, however large the project is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from dbtorch.cli.live.estimate import Estimate
from dbtorch.cli.live.painted import Painted
from dbtorch.cli.live.progress import Progress
from dbtorch.cli.text.colour import OF_STATE
from dbtorch.cli.text.words import said
from dbtorch.core.model.state import State
from dbtorch.core.text.phrases import calm, many

#: Nodes that run and retries that wait, at most; fewer on a low terminal.
_RUNNING = 12
_RETRYING = 4

#: Lines besides those: heading, bar, counts.
_FIXED = 3

_BAR = 40

#: Nodes that run shorter than this many seconds come and go too fast to be read.
_BRIEF = 1.0

_COUNTED = (
    State.SUCCESS,
    State.REUSED,
    State.WARN,
    State.FAILED,
    State.UPSTREAM_FAILED,
    State.SKIPPED,
    State.REMOVED,
    State.CANCELLED,
    State.UP_FOR_RETRY,
    State.RUNNING,
    State.PENDING,
)


def waiting(text: str, since: datetime, now: datetime) -> list[Painted]:
    """The area before anything is known about the run."""
    return [((f"{text} ... {calm((now - since).total_seconds())}", "dim"),)]


def frame(
    heading: str,
    progress: Progress,
    estimate: Estimate,
    *,
    since: datetime,
    now: datetime,
    height: int,
) -> list[Painted]:
    """The area while the run is under way, in at most ``height`` lines."""
    lines = [
        ((heading, "bold"), (f"  {calm((now - since).total_seconds())}", "")),
        _bar(progress, estimate.seconds_left(now)),
        _counts(progress),
    ]
    room = max(0, height - _FIXED)
    waits = min(len(progress.retrying), _RETRYING, room // 2)
    lines += _listed(list(_running(progress, now)), min(_RUNNING, room - waits))
    lines += _listed(list(_retrying(progress, now)), waits)
    return lines[: max(1, height)]


def _bar(progress: Progress, left: float | None) -> Painted:
    share = progress.done / progress.total if progress.total else 1.0
    full = int(share * _BAR)
    bad = any(progress.counts[state] for state in (State.FAILED, State.UPSTREAM_FAILED))
    bar = (
        ("━" * full, "red" if bad else "green"),
        ("━" * (_BAR - full), "dim"),
        (f"  {progress.done}/{progress.total}  {int(share * 100)}%", ""),
    )
    if left is None or progress.done >= progress.total:
        return bar
    # An estimate that has run out is no promise of the end.
    return (*bar, (f"  about {calm(left)} left" if left >= 1 else "  almost done", "dim"))


def _counts(progress: Progress) -> Painted:
    counts = progress.counts.copy()
    counts[State.RUNNING] += counts[State.QUEUED]  # queued is over before it can be read
    found = [state for state in _COUNTED if counts[state]]
    return tuple(
        part
        for state in found
        for part in (
            ("" if state is found[0] else "  ", ""),
            (f"{counts[state]} {said(state)}", OF_STATE.get(state, "dim")),
        )
    )


def _running(progress: Progress, now: datetime) -> Iterator[Painted]:
    for id, since in progress.running.items():
        seconds = (now - since).total_seconds()
        if seconds >= _BRIEF:
            yield (("  RUN    ", "cyan"), (f"{calm(seconds):>8}  {progress.label(id)}", ""))


def _retrying(progress: Progress, now: datetime) -> Iterator[Painted]:
    for id, (at, number) in sorted(progress.retrying.items(), key=lambda item: item[1]):
        left = calm(max(0.0, (at - now).total_seconds()))
        text = f"{'in ' + left:>8}  {progress.label(id)}, attempt {number}"
        yield (("  RETRY  ", "yellow"), (text, ""))


def _listed(lines: list[Painted], room: int) -> list[Painted]:
    """As many as there is room for; the last line says how many more there are."""
    if len(lines) <= room:
        return lines
    if room == 0:
        return []
    kept = lines[: room - 1]
    return [*kept, ((f"         and {many(len(lines) - len(kept), 'more node')}", "dim"),)]
