"""One line per thing that happened: for logs, and above the live view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby

from dbtorch.cli.render.progress import Progress, label
from dbtorch.cli.render.words import MARKS, blamed, calm, gist, many, took
from dbtorch.core.events import Changed
from dbtorch.core.plan import Plan
from dbtorch.core.state import State

#: Names longer than this stick out of the column.
_WIDEST = 48

#: More nodes than this that end for the same reason, which is no node's fault, are one line.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and the state it is about."""

    state: State | None
    text: str


class Lines:
    """Writes changes as aligned lines: time, mark, node, duration, progress, remark."""

    def __init__(self, plan: Plan, progress: Progress, zone: tzinfo | None = None) -> None:
        """``zone`` is the reader's time zone; None for this machine's."""
        self._progress = progress
        self._zone = zone
        labels = (len(label(node)) for node in progress.nodes.values())
        self._width = min(_WIDEST, max(labels, default=0))
        self._digits = len(str(progress.total))
        self._run_wide: dict[str, str] = {}  # node -> why it was left out, if no node is to blame

    def tell(self, changes: Sequence[Changed]) -> Iterator[Line]:
        """Take note of changes; a line for each attempt or node that ended."""
        for alike, group in groupby(changes, self._shared_reason):
            found = list(group)
            if alike and len(found) > _FEW:
                yield self._together(found, alike)
            else:
                yield from self._each(found)

    def running(self, id: str, since: datetime, now: datetime) -> Line:
        """A line about a node that takes its time."""
        took = calm((now - since).total_seconds())
        return self._line(now, State.RUNNING, self._progress.label(id), took, "still running")

    def _each(self, changes: Sequence[Changed]) -> Iterator[Line]:
        for change in changes:
            seconds = self._progress.apply(change)
            if self._is_worth_a_line(change):
                name = self._progress.label(change.node_id)
                text = took(seconds) if seconds is not None else ""
                yield self._line(change.at, change.state, name, text, self._remark(change))

    def _together(self, changes: Sequence[Changed], reason: str) -> Line:
        for change in changes:
            self._progress.apply(change)
        first = changes[0]
        name = many(len(changes), "node")
        return self._line(first.at, first.state, name, "", f"not started: {gist(reason)}")

    def _shared_reason(self, change: Changed) -> str:
        """Why a node was left out that no node is to blame for: a signal, --fail-fast."""
        left_out = change.state in (State.CANCELLED, State.SKIPPED)
        started = change.outcome is not None or change.before.active
        if not left_out or started:
            return ""
        if self._progress.is_source(change.cause):
            return change.reason  # that of the source, which has a line of its own
        reason = self._run_wide.get(change.cause, "") if change.cause else change.reason
        if reason:
            self._run_wide[change.node_id] = reason
        return "" if self._progress.is_session(change.node_id) else reason

    def _is_worth_a_line(self, change: Changed) -> bool:
        state = change.state
        if self._progress.is_session(change.node_id):
            return state in (State.FAILED, State.UP_FOR_RETRY)
        return state.final or state is State.UP_FOR_RETRY

    def _remark(self, change: Changed) -> str:
        message = gist(change.outcome.message if change.outcome else "") or gist(change.reason)
        tried = f"attempt {change.attempt} of {self._progress.allowed(change)}"
        match change.state:
            case State.SUCCESS:
                return f"attempt {change.attempt}" if change.attempt > 1 else ""
            case State.REUSED:
                return message or "what is there still holds"
            case State.UP_FOR_RETRY:
                wait = ((change.retry_at or change.at) - change.at).total_seconds()
                if self._progress.is_source(change.node_id):
                    return f"checked again in {calm(wait)}: {message}"
                return f"{tried}, next in {calm(wait)}: {message}"
            case State.FAILED:
                return f"{tried}: {message}"
            case _:
                return blamed(message)

    def _line(self, at: datetime, state: State, name: str, seconds: str, remark: str) -> Line:
        progress = self._progress
        done = f"[{progress.done:>{self._digits}}/{progress.total}]"
        head = f"{at.astimezone(self._zone):%H:%M:%S}  {MARKS[state]:<5}"
        text = f"{head}  {name:<{self._width}}  {seconds:>7}  {done}  {remark}"
        return Line(state, text.rstrip())
