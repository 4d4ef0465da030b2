"""The log of an attempt at a node, also while it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.errors import NotFound
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import blamed
from dbtorch.ports import Store
from dbtorch.service.history.log_text import LogText, end_of
from dbtorch.service.history.lookup import IsAlive, find_node, holds_lease, read_run

#: Seconds between two looks at what is followed.
_EVERY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLog:
    """The log of an attempt: a file, which may be on another machine or not be there yet."""

    run: RunRecord
    node: NodeRecord
    attempt: AttemptRecord
    path: Path
    dbt_log: Path | None  # what dbt itself has printed, where that is a file and says more
    under_way: Callable[[], Iterator[None]] = lambda: iter(())

    def pieces(self) -> Iterator[str]:
        """The text, piece by piece, without the last line break.

        Of a log that is followed, until the attempt has ended. Raises `UsageError` for a file that
        cannot be read.
        """
        text = LogText(self.path)
        for _ in self.under_way():
            yield from text.pieces()
        yield from text.last()

    @property
    def text(self) -> str:
        """What it says, at most the last 10 MB. Raises `UsageError` where it is not here."""
        return self.end()[0]

    def end(self) -> tuple[str, int]:
        """The last 10 MB of the text, and how many bytes there are before them."""
        text, left_out = end_of(self.path)
        return text.removesuffix("\n"), left_out


def find_log(
    store: Store,
    run: str,
    node: str,
    *,
    attempt: int | None = None,
    project_dir: Path,
    follow: bool = False,
    is_alive: IsAlive | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> AttemptLog:
    """The log of an attempt of a node of a run, of the last attempt by default.

    With ``follow`` it waits for the first attempt, and the log's pieces come until the attempt has
    ended or nobody drives the run any more; ``pause`` waits for some seconds. Raises `UsageError`
    for a run, node or attempt that is not there.
    """
    record = read_run(store, run)
    found = find_node(record, node)
    watch = _Watch(store, is_alive or holds_lease(store), pause)
    if follow:
        record, found = watch.started(record, found)
    tried = _attempt(record, found, attempt)
    files = RunFiles(state_dir(project_dir), record.run_id)
    log = AttemptLog(
        run=record,
        node=found,
        attempt=tried,
        path=files.path(found.id, tried.number),
        dbt_log=files.dbt_log if found.kind is not Kind.STEP and files.dbt_log.exists() else None,
    )
    return log if not follow else replace(log, under_way=lambda: watch.ends(log))


@dataclass(frozen=True, slots=True)
class _Watch:
    """Whether what is followed goes on; asked a few times a second."""

    store: Store
    is_alive: IsAlive
    pause: Callable[[float], None]

    def started(self, run: RunRecord, node: NodeRecord) -> tuple[RunRecord, NodeRecord]:
        """The run once a node of it has an attempt, or never will have one."""
        while not node.attempts and not node.state.final and self.is_alive(run):
            self.pause(_EVERY)
            run = read_run(self.store, run.run_id)
            node = find_node(run, node.id)
        return run, node

    def ends(self, log: AttemptLog) -> Iterator[None]:
        """Once for each while that the attempt of a log is under way."""
        run, id, number = log.run, log.node.id, log.attempt.number
        while True:
            attempts = find_node(run, id).attempts
            tried = next((one for one in attempts if one.number == number), None)
            if tried is None or tried.finished_at is not None or not self.is_alive(run):
                return
            yield
            self.pause(_EVERY)
            run = read_run(self.store, run.run_id)


def _attempt(run: RunRecord, node: NodeRecord, number: int | None) -> AttemptRecord:
    if not node.attempts:
        why = f": {blamed(node.reason)}" if node.reason else ""
        raise NotFound(f"{node.id} was never started in run {run.run_id} ({node.state}{why})")
    if number is None:
        return node.attempts[-1]
    for attempt in node.attempts:
        if attempt.number == number:
            return attempt
    known = ", ".join(str(attempt.number) for attempt in node.attempts)
    raise NotFound(f"{node.id} has no attempt {number} in run {run.run_id}; it has {known}")
