"""What the live area shows: a few lines, however large the project is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.text import Text

from dbtorch.cli.render.colour import OF_STATE
from dbtorch.cli.render.estimate import Estimate
from dbtorch.cli.render.progress import Progress
from dbtorch.cli.render.words import calm, many, said
from dbtorch.core.state import State

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
    State.CANCELLED,
    State.UP_FOR_RETRY,
    State.RUNNING,
    State.PENDING,
)


def waiting(text: str, since: datetime, now: datetime) -> list[Text]:
    """The area before anything is known about the run."""
    line = Text(f"{text} ... ", style="dim")
    line.append(calm((now - since).total_seconds()))
    return [line]


def frame(
    heading: str,
    progress: Progress,
    estimate: Estimate,
    *,
    since: datetime,
    now: datetime,
    height: int,
) -> list[Text]:
    """The area while the run is under way, in at most ``height`` lines."""
    lines = [
        Text.assemble((heading, "bold"), "  ", calm((now - since).total_seconds())),
        _bar(progress, estimate.seconds_left(now)),
        _counts(progress),
    ]
    room = max(0, height - _FIXED)
    waits = min(len(progress.retrying), _RETRYING, room // 2)
    lines += _listed(list(_running(progress, now)), min(_RUNNING, room - waits))
    lines += _listed(list(_retrying(progress, now)), waits)
    return lines[: max(1, height)]


def _bar(progress: Progress, left: float | None) -> Text:
    share = progress.done / progress.total if progress.total else 1.0
    full = int(share * _BAR)
    bad = any(progress.counts[state] for state in (State.FAILED, State.UPSTREAM_FAILED))
    line = Text.assemble(
        ("━" * full, "red" if bad else "green"),
        ("━" * (_BAR - full), "bright_black"),
        f"  {progress.done}/{progress.total}  {int(share * 100)}%",
    )
    if left is not None and progress.done < progress.total:
        # An estimate that has run out is no promise of the end.
        line.append(f"  about {calm(left)} left" if left >= 1 else "  almost done", "dim")
    return line


def _counts(progress: Progress) -> Text:
    counts = progress.counts.copy()
    counts[State.RUNNING] += counts[State.QUEUED]  # queued is over before it can be read
    line = Text()
    for state in _COUNTED:
        if counts[state]:
            line.append("  " if line else "")
            line.append(f"{counts[state]} {said(state)}", OF_STATE.get(state, "dim"))
    return line


def _running(progress: Progress, now: datetime) -> Iterator[Text]:
    for id, since in progress.running.items():
        seconds = (now - since).total_seconds()
        if seconds >= _BRIEF:
            yield Text.assemble(("  RUN    ", "cyan"), f"{calm(seconds):>8}  {progress.label(id)}")


def _retrying(progress: Progress, now: datetime) -> Iterator[Text]:
    for id, (at, number) in sorted(progress.retrying.items(), key=lambda item: item[1]):
        left = calm(max(0.0, (at - now).total_seconds()))
        text = f"{'in ' + left:>8}  {progress.label(id)}, attempt {number}"
        yield Text.assemble(("  RETRY  ", "yellow"), text)


def _listed(lines: list[Text], room: int) -> list[Text]:
    """As many as there is room for; the last line says how many more there are."""
    if len(lines) <= room:
        return lines
    if room == 0:
        return []
    kept = lines[: room - 1]
    return [*kept, Text(f"         and {many(len(lines) - len(kept), 'more node')}", style="dim")]
