"""One line per thing that happened: for logs, and above the live view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import groupby
from typing import TYPE_CHECKING

from dbtorch.cli.live.progress import Progress
from dbtorch.cli.text.words import MARK, MARKS, in_the_middle
from dbtorch.core.failures.message import gist, one_line
from dbtorch.core.model.events import Changed
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import State
from dbtorch.core.text.phrases import blamed, calm, many, took

if TYPE_CHECKING:
    from dbtorch.core.history.records import RunRecord
    from dbtorch.core.model.used_dbt import UsedDbt

#: Names longer than this lose their middle, so that what comes after them stays in its column.
_WIDEST = 60

#: More nodes than this that end for the same reason, which is no node's fault, are one line.
_FEW = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and the state it is about."""

    state: State | None
    text: str


class Lines:
    """Writes changes as aligned lines: time, mark, node, duration, progress, remark."""

    def __init__(self, progress: Progress, zone: tzinfo | None = None) -> None:
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
            return str(change.reason)  # that of the source, which has a line of its own
        reason = self._run_wide.get(change.cause, "") if change.cause else str(change.reason)
        if reason:
            self._run_wide[change.node_id] = reason
        return "" if self._progress.is_session(change.node_id) else reason

    def _is_worth_a_line(self, change: Changed) -> bool:
        state = change.state
        if self._progress.is_session(change.node_id):
            return state in (State.FAILED, State.UP_FOR_RETRY)
        return state.final or state is State.UP_FOR_RETRY

    def _remark(self, change: Changed) -> str:
        message = gist(change.outcome.message if change.outcome else "") or gist(str(change.reason))
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
                soon = "now" if wait < 0.5 else f"in {calm(wait)}"
                return f"{tried}, retry {soon}: {message}"
            case State.FAILED:
                return f"{tried}: {message}"
            case _:
                return message if change.outcome is not None else gist(blamed(change.reason))

    def _line(self, at: datetime, state: State, name: str, seconds: str, remark: str) -> Line:
        progress = self._progress
        done = f"[{progress.done:>{self._digits}}/{progress.total}]"
        head = f"{at.astimezone(self._zone):%H:%M:%S}  {MARKS[state]:<{MARK}}"
        name = in_the_middle(name, self._width)
        text = one_line(f"{head}  {name:<{self._width}}  {seconds:>7}  {done}  {remark}")
        return Line(state, text.rstrip())


def begins(progress: Progress, run: RunRecord, dbt: UsedDbt | None, zone: str) -> str:
    """What runs, with which dbt, and the ``zone`` of the times to come."""
    done = f", {progress.done} done before" if progress.done else ""
    what = f"{many(progress.total, 'node')} on target {run.target}{done}"
    which = f", dbt {run.dbt_version} of {dbt}" if dbt is not None else ""
    return f"{what}, pipeline {run.pipeline}{which}, times in {zone}, run {run.run_id}"
