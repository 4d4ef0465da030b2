"""One `dbt build` that executes a batch: followed node by node, and checked when it is over."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from dbtorch.adapters.dbt.answers import outcome_of
from dbtorch.adapters.dbt.process.executable import Executable, how, interrupt, stop, uncoded
from dbtorch.adapters.dbt.process.gulps import gulps
from dbtorch.adapters.dbt.process.lines import Began, Done, Lines, Said
from dbtorch.adapters.dbt.process.results import read_results
from dbtorch.adapters.dbt.process.written import Written
from dbtorch.core.events import Attempt, Batch, Ended, Finished, Outcome, Started
from dbtorch.core.evidence import Rule
from dbtorch.core.failure import classify
from dbtorch.core.graph import Graph, Kind
from dbtorch.core.state import FailureClass, State
from dbtorch.ports import Emit, EngineError

#: Statuses of a node that ended well.
_GOOD = frozenset({"success", "pass", "warn", "no-op", "reused"})

#: Why a node that dbt calls a success is none.
_DOUBTFUL = "dbt was calling off what it did, and may not have executed it"

#: dbt 2's number of what it has cancelled.
_CANCELLED = "dbt1404"

#: What some dbts do not execute; it comes to nothing in those that do.
_NOTHING_TO_DO = (Kind.EXPOSURE, Kind.SAVED_QUERY)

#: Seconds after which who waits to start looks whether it has been cancelled.
_LOOK = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a batch has to do with."""

    executable: Executable
    graph: Graph  # of what the run selects
    materialized: Mapping[str, str]  # of every node of the project
    emit: Emit
    log_path: Callable[[Attempt], Path]
    console: Path
    results_path: Path  # where dbt writes its run_results.json
    rules: Sequence[Rule]
    grace: float
    fail_fast: bool  # a failure makes dbt call off what it does
    starting: threading.Lock  # held from a dbt's start to its first word of a node
    read_early: Callable[[Callable[[], bool]], None] = lambda _: None  # given whether dbt is gone


class Build:
    """A dbt process with a batch in its hands."""

    def __init__(
        self,
        batch: Batch,
        start: Callable[[], subprocess.Popen[bytes]],
        around: Surroundings,
        before_the_end: Callable[[Build], None],
    ) -> None:
        """``start`` starts dbt with the batch. It raises `EngineError`, `OSError`.

        ``before_the_end`` is called when everything is known, and before it is told.
        """
        self.batch = batch
        self.results: dict[str, Outcome] = {}
        self.lost: dict[str, str] = {}  # what it had begun and said no more of, and why
        self.contradictions: list[str] = []
        self.ended_by_itself = False
        self.written: Mapping[str, Mapping[str, Any]] = {}  # by dbt, of each node
        self._start = start
        self._around = around
        self._before_the_end = before_the_end
        self._attempts = {attempt.node_id: attempt for attempt in batch.attempts}
        self._begun: set[str] = set()
        self._said: list[str] = []  # errors that are about no node
        self._others: dict[str, str] = {}  # what dbt executed unasked, and what it came to
        self._asked: set[str] = set()  # nodes that are to be cancelled
        self._interrupted = False
        self._calling_off: datetime | None = None  # since when dbt is calling off what it does
        self._starts = False  # holds the lock of those that start
        self._killed_for = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._texts: dict[str, list[str]] = {}  # for the logs of nodes
        self._paths: dict[str, Path] = {}
        self._events: list[Started | Finished] = []  # not yet told
        self._results = Written(read_results)
        self._reads_early = False

    # ---------------------------------------------------------------- from outside

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt dbt, which cancels its queries; what else it had in hand is innocent."""
        with self._lock:
            self._asked.add(attempt.node_id)
            if self._interrupted:
                return
            self._interrupted = True
            self._calling_off = datetime.now(UTC)
            if self._process is None:
                return
            interrupt(self._process, self._around.grace)

    def kill(self, why: str) -> None:
        """End dbt at once."""
        with self._lock:
            self._killed_for = self._killed_for or why
            self._interrupted = True
            if self._process is not None:
                stop(self._process, signal.SIGKILL)

    # ---------------------------------------------------------------- the thread

    def follow(self) -> None:
        """Start dbt and tell what it does, until it is over. Raises `EngineError`, `OSError`."""
        if all(self._is_nothing(id) for id in self._attempts):
            self._tell_of_nothings()
            self._before_the_end(self)
            self._over("", FailureClass.UNKNOWN)
            return
        self._around.results_path.unlink(missing_ok=True)
        self._wait_to_start()
        try:
            with self._lock:
                if not self._interrupted:
                    self._process = self._start()
            code = None if self._process is None else self._listen(self._process)
        finally:
            self._has_started()
        if code is None:
            self._before_the_end(self)
            self._over("cancelled before it started", FailureClass.UNKNOWN)
            return
        self._compare(code)
        self._tell_of_nothings()
        why, failure_class = self._why(code)
        self.lost = dict.fromkeys(self._begun - self.results.keys(), why)
        self._before_the_end(self)
        self._over(why, failure_class)

    def _wait_to_start(self) -> None:
        """Let another dbt start first, which makes the schemas: two at once would clash there."""
        while not self._interrupted and not self._starts:
            self._starts = self._around.starting.acquire(timeout=_LOOK)

    def _has_started(self) -> None:
        if self._starts:
            self._starts = False
            self._around.starting.release()

    def _listen(self, process: subprocess.Popen[bytes]) -> int:
        """Take what dbt says until it is over; answers its exit code."""
        reader = Lines()
        with self._around.console.open("a", encoding="utf-8", buffering=1) as console:
            for lines in gulps(process, self._left):
                for line in lines:
                    self._take(reader.read(line), console)
                self._pass_on()
                if not self._left():
                    self._read_early(process)
        return self._around.executable.ended(process)

    def _left(self) -> int:
        return len(self._attempts) - len(self.results)

    def _read_early(self, process: subprocess.Popen[bytes]) -> None:
        """All is said: read what dbt writes while it takes its leave."""

        def look() -> None:
            self._around.read_early(lambda: process.poll() is not None)
            with contextlib.suppress(EngineError):
                self._results.of(self._around.results_path)

        if not self._reads_early:
            self._reads_early = True
            threading.Thread(target=look, name="dbtorch-read-early", daemon=True).start()

    def _pass_on(self) -> None:
        """Write what a gulp had for the logs, then tell what happened in it."""
        for id, texts in self._texts.items():
            # a log that cannot be written stops nothing
            with contextlib.suppress(OSError), self._log_of(id).open("ab", buffering=0) as log:
                log.write("".join(f"{text}\n" for text in texts).encode(errors="replace"))
        self._texts.clear()
        events, self._events = self._events, []
        for event in events:
            self._around.emit(event)

    def _log_of(self, id: str) -> Path:
        if id not in self._paths:
            self._paths[id] = self._around.log_path(self._attempts[id])
        return self._paths[id]

    def _over(self, reason: str, failure_class: FailureClass) -> None:
        self._pass_on()
        self._around.emit(Ended(self.batch, reason, failure_class))

    def _take(self, one: Began | Done | Said | None, console: IO[str]) -> None:
        if one is None:
            return
        if isinstance(one, Said):
            self._note(one, console)
            return
        self._has_started()
        if one.unique_id not in self._attempts:
            self._others[one.unique_id] = one.status if isinstance(one, Done) else ""
        elif isinstance(one, Began):
            self._begin(one.unique_id, one.at)
        else:
            self._end(one)

    def _begin(self, id: str, at: datetime | None = None) -> None:
        if id not in self._begun and id not in self.results:
            self._begun.add(id)
            self._events.append(Started(self._attempts[id], at))

    def _end(self, done: Done) -> None:
        id = done.unique_id
        if id in self.results:
            return
        skipped = done.status == "skipped"
        if skipped and self._interrupted:
            return  # it waits as before
        outcome = outcome_of(_result(done), self._around.rules)
        called_off = self._interrupted or done.code == _CANCELLED
        if self._is_doubtful(outcome, done):
            outcome = replace(outcome, state=State.FAILED, message=_DOUBTFUL, details={})
            called_off = True
        failed = not outcome.state.ok and not skipped
        if failed and called_off:
            outcome = replace(
                outcome, failure_class=FailureClass.UNKNOWN, innocent=id not in self._asked
            )
        elif failed and self._around.fail_fast and self._calling_off is None:
            self._calling_off = done.ended_at or datetime.now(UTC)
        self._finish(id, outcome, done.ended_at)

    def _is_doubtful(self, outcome: Outcome, done: Done) -> bool:
        """Whether dbt calls a node a success that it may never have executed.

        dbt 2 does when what it does is called off before the node's first query.
        """
        since = self._calling_off
        return (
            since is not None
            and outcome.state.ok
            and (done.ended_at is None or done.ended_at >= since)
        )

    def _finish(self, id: str, outcome: Outcome, at: datetime | None = None) -> None:
        self.results[id] = outcome
        self._events.append(Finished(self._attempts[id], outcome, at))

    def _note(self, said: Said, console: IO[str]) -> None:
        id = said.unique_id or ""
        if said.level == "error" and not id:
            self._said.append(uncoded(said.text))
        if id not in self._attempts:
            if said.level in ("error", "warn"):
                console.write(f"{said.text}\n")
            return
        self._texts.setdefault(id, []).append(said.text)

    # ---------------------------------------------------------------- when it is over

    def _compare(self, code: int) -> None:
        """What dbt wrote must not contradict what it said; both are checked by node."""
        for id, status in self._others.items():
            if self._around.materialized.get(id) != "ephemeral" and status != "skipped":
                self.contradictions.append(f"dbt executed {id}, which it was not asked for")
        if self._interrupted or code < 0:
            return
        self.ended_by_itself = True
        try:
            written = self._results.of(self._around.results_path)
        except EngineError:
            return  # it has failed before there were any
        found = {id: one for id, one in written.nodes.items() if not one.invented}
        self.written = {id: one.written for id, one in found.items()}
        for id, outcome in self.results.items():
            if self._around.materialized.get(id) == "ephemeral" or id not in found:
                continue  # dbt 2 says no-op of it, and writes skipped
            if outcome.state.ok and found[id].status not in _GOOD:
                self.contradictions.append(
                    f"dbt said that {id} ended with {outcome.state}, and wrote {found[id].status}"
                )

    def _is_nothing(self, id: str) -> bool:
        return self._around.graph.nodes[id].kind in _NOTHING_TO_DO

    def _tell_of_nothings(self) -> None:
        """What this dbt does not execute comes to nothing, once everything before it is done."""
        for id in self._attempts:
            if id in self.results or not self._is_nothing(id) or self._interrupted:
                continue
            before = [self.results.get(p) for p in self._around.graph.parents(id)]
            mine = [p for p in self._around.graph.parents(id) if p in self._attempts]
            if all(self.results[p].state.ok for p in mine if p in self.results) and len(
                mine
            ) == sum(outcome is not None for outcome in before):
                self._begin(id)
                self._finish(id, outcome_of({"status": "no-op"}))

    def _why(self, code: int) -> tuple[str, FailureClass]:
        """Why nothing was heard of what is left."""
        if self._killed_for:
            return self._killed_for, FailureClass.UNKNOWN
        if self._interrupted:
            return "dbt was interrupted", FailureClass.UNKNOWN
        if code < 0:
            return how(code), FailureClass.TRANSIENT
        text = "\n".join(dict.fromkeys(self._said))
        if code != 0 and text:
            return text, classify((), text, self._around.rules)
        return f"{how(code)}, and has not executed it", FailureClass.UNKNOWN


def _result(done: Done) -> dict[str, Any]:
    """An event as a worker's answer, of which there is one reading."""
    begin, end = done.started_at, done.ended_at
    known = begin is not None and end is not None
    return {
        "status": done.status,
        "message": done.message,
        "execution_time": (end - begin).total_seconds() if begin and end else 0.0,
        "timing": [
            {"name": "execute", "started_at": _written(begin), "completed_at": _written(end)}
        ]
        if known
        else [],
        "thread_id": "",
        "adapter_response": {} if done.rows is None else {"rows_affected": done.rows},
        "failures": done.failures,
        "rows": {} if done.rows is None else {"affected": done.rows},
    }


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
