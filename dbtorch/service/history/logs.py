"""The log of an attempt at a node, also while it is written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.errors import NotFound
from dbtorch.core.history.records import AttemptRecord, NodeRecord, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import blamed
from dbtorch.ports.artifacts import Artifacts
from dbtorch.ports.store import Store
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
    url: str | None = None  # where it is, or will be, for machines that do not have the file
    runs: bool = False  # on another machine, at this moment
    under_way: Callable[[], Iterator[None]] = lambda: iter(())
    fetch: Callable[[AttemptLog], None] = lambda _: None

    def pieces(self) -> Iterator[str]:
        """The text, piece by piece, without the last line break.

        Of a log that is followed, until the attempt has ended. Raises `UsageError` for a file that
        cannot be read, or fetched.
        """
        text = LogText(self.path)
        for _ in self.under_way():
            yield from text.pieces()
        self.fetch(self)
        yield from text.last()

    @property
    def text(self) -> str:
        """What it says, at most the last 10 MB. Raises `UsageError` where it is not here."""
        return self.end()[0]

    def end(self) -> tuple[str, int]:
        """The last 10 MB of the text, and how many bytes there are before them."""
        self.fetch(self)
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
    artifacts: Callable[[], Artifacts | None] = lambda: None,
    environ: Mapping[str, str] = os.environ,
) -> AttemptLog:
    """The log of an attempt of a node of a run, of the last attempt by default.

    With ``follow`` it waits for the first attempt, and the log's pieces come until the attempt has
    ended or nobody drives the run any more; ``pause`` waits for some seconds. A log that is not in
    the project's state folder is fetched into it from ``artifacts``, when it is read. Raises
    `UsageError` for a run, node or attempt that is not there.
    """
    record = read_run(store, run)
    found = find_node(record, node)
    watch = _Watch(store, is_alive or holds_lease(store), pause)
    if follow:
        record, found = watch.started(record, found)
    tried = _attempt(record, found, attempt)
    files = RunFiles(state_dir(project_dir, environ), record.run_id)
    path = files.path(found.id, tried.number)
    remote = artifacts() if not path.exists() else None
    fetched: dict[str, Any] = {}
    if remote is not None:
        from dbtorch.service.history.remote_log import RemoteLog

        at = RemoteLog(remote, record.run_id, project_dir, environ, pause if follow else None)
        runs = tried.finished_at is None and watch.is_alive(record)
        fetched = {"url": at.url(path), "fetch": at.fetch, "runs": runs}
    log = AttemptLog(
        run=record,
        node=found,
        attempt=tried,
        path=path,
        dbt_log=files.dbt_log if found.kind is not Kind.STEP and files.dbt_log.exists() else None,
        **fetched,
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


def missing(log: AttemptLog) -> str:
    """Why a log cannot be read here, in a few words."""
    if log.url is None:
        return "the log is not on this machine"
    if log.runs:
        return f"the log is on {log.run.host} as long as the attempt runs, and will be at {log.url}"
    return (
        f"the log is not on this machine, and not at {log.url}: {log.run.host} may have been gone"
        " before it was uploaded"
    )
