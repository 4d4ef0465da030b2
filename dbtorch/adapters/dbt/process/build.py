"""One `dbt build` that executes a batch: followed node by node, and checked when it is over."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import (
    Began,
    Built,
    Done,
    Line,
    Lines,
    LogMessage,
    Planned,
)
from dbtorch.adapters.dbt.process.dbt_cli.executable import (
    Executable,
    how,
    interrupt,
    stop,
    uncoded,
)
from dbtorch.adapters.dbt.process.dbt_cli.line_batches import line_batches
from dbtorch.adapters.dbt.process.dbt_cli.run_results import read_results
from dbtorch.adapters.dbt.session.answers import outcome_of
from dbtorch.core.errors import EngineError
from dbtorch.core.failures.classify import classify
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import (
    NOTHING_EXECUTED,
    Attempt,
    Batch,
    Ended,
    Finished,
    MicrobatchBuilt,
    MicrobatchesPlanned,
    Outcome,
    Progress,
    Started,
)
from dbtorch.core.model.graph import Graph, Kind
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.loop import Emit

#: Statuses of a node that ended well.
_GOOD = frozenset({"success", "pass", "warn", "no-op", "reused"})

#: Why a node that dbt calls a success is none.
_DOUBTFUL = "dbt was calling off what it did, and may not have executed it"

#: dbt 2's number of what it has cancelled.
_CANCELLED = "dbt1404"

#: What some dbts do not execute; it comes to nothing in those that do.
_NOTHING_TO_DO = (Kind.EXPOSURE, Kind.SAVED_QUERY)

#: Warnings of how a batch is chosen, which are about no words of the user's.
_OF_OUR_WORDS = frozenset({"NoNodesForSelectionCriteria", "WarnStateTargetEqual"})

#: Seconds after which who waits to start looks whether it has been cancelled.
_LOOK = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContext:
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
    warned: Callable[[DbtWarning], None]
    tells_microbatches: bool = False  # whether dbt says, of each model, which it is about to build


class Build:
    """A dbt process with a batch in its hands."""

    def __init__(
        self,
        batch: Batch,
        start: Callable[[], subprocess.Popen[bytes]],
        around: BatchContext,
        before_the_end: Callable[[Build], None],
        left_out: Mapping[str, Outcome] | None = None,
    ) -> None:
        """``start`` starts dbt with the batch. It raises `EngineError`, `OSError`.

        ``left_out`` is what dbt is not given of it, and what that comes to.

        ``before_the_end`` is called when everything is known, and before it is told.
        """
        self.batch = batch
        self.results: dict[str, Outcome] = {}
        self.lost: dict[str, str] = {}  # what it had begun and said no more of, and why
        self.contradictions: list[str] = []
        self.doubted: list[str] = []  # nodes whose success is contradicted
        self.ended_by_itself = False
        self.written: Mapping[str, Mapping[str, Any]] = {}  # by dbt, of each node
        self.about: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None  # of the whole
        self._start = start
        self._around = around
        self._before_the_end = before_the_end
        self._left_out = left_out or {}
        self._attempts = {attempt.node_id: attempt for attempt in batch.attempts}
        self.begun: set[str] = set()
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
        self._for_console: list[str] = []
        self._paths: dict[str, Path] = {}
        self._events: list[Started | Finished | Progress] = []  # not yet told
        self._planned: set[str] = set()  # models whose microbatches are known

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
        """End dbt at once. Takes no lock, for signal handlers."""
        self._killed_for = self._killed_for or why
        self._interrupted = True
        if (process := self._process) is not None:
            stop(process, signal.SIGKILL)

    # ---------------------------------------------------------------- the thread

    def follow(self) -> None:
        """Start dbt and tell what it does, until it is over. Raises `EngineError`, `OSError`."""
        self._leave_out()
        if all(self._is_nothing(id) or id in self.results for id in self._attempts):
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
        self.lost = dict.fromkeys(self.begun - self.results.keys(), why)
        self._before_the_end(self)
        self._over(why, failure_class)

    def _leave_out(self) -> None:
        """Tell at once of what dbt is not given."""
        for id, outcome in self._left_out.items():
            if outcome.state is State.FAILED:
                self._begin(id)
            self._finish(id, outcome)
        self._pass_on()

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
        reader = Lines(self._around.executable.hide)
        if self._killed_for:  # while it was being started
            stop(process, signal.SIGKILL)
        with self._around.executable.following(process) as followed:
            for lines in line_batches(process):
                for line in lines:
                    self._take(reader.read(line))
                self._pass_on()
        return followed.code

    def _pass_on(self) -> None:
        """Write what a batch of lines had for the logs, then tell what happened in it."""
        for id, texts in self._texts.items():
            _append(partial(self._log_of, id), texts)
        _append(lambda: self._around.console, self._for_console)
        self._texts.clear()
        self._for_console.clear()
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

    def _take(self, one: Line | None) -> None:
        if one is None:
            return
        if isinstance(one, LogMessage):
            self._note(one)
            return
        if isinstance(one, Planned | Built):
            self._progress(one)
            return
        self._has_started()
        if one.unique_id not in self._attempts:
            self._others[one.unique_id] = one.status if isinstance(one, Done) else ""
        elif isinstance(one, Began):
            self._begin(one.unique_id, one.at)
        else:
            self._end(one)

    def _progress(self, one: Planned | Built) -> None:
        attempt = self._attempts.get(one.unique_id)
        if attempt is None or attempt.node_id in self.results:
            return
        if isinstance(one, Planned):
            self._planned.add(attempt.node_id)
            self._events.append(MicrobatchesPlanned(attempt, one.windows))
        else:
            self._events.append(MicrobatchBuilt(attempt, one.window))

    def _begin(self, id: str, at: datetime | None = None) -> None:
        if id not in self.begun and id not in self.results:
            self.begun.add(id)
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
        if failed and self._is_untouched(done):
            outcome = replace(outcome, details={**outcome.details, NOTHING_EXECUTED: True})
        if failed and called_off:
            outcome = replace(
                outcome, failure_class=FailureClass.UNKNOWN, innocent=id not in self._asked
            )
        elif failed and self._around.fail_fast and self._calling_off is None:
            self._calling_off = done.ended_at or datetime.now(UTC)
        self._finish(id, outcome, done.ended_at)

    def _is_untouched(self, done: Done) -> bool:
        """Whether a microbatch model failed before any of its batches was begun."""
        splits = self._around.graph.nodes[done.unique_id].splits
        unplanned = done.unique_id not in self._planned
        return splits and unplanned and (self._around.tells_microbatches or done.unrendered)

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

    def _note(self, said: LogMessage) -> None:
        id = said.unique_id or ""
        warning = said.warning()
        if warning is not None and warning.name not in _OF_OUR_WORDS:
            self._around.warned(warning)
        if said.level == "error" and not id:
            self._said.append(uncoded(said.text))
        if id not in self._attempts:
            if said.level in ("error", "warn"):
                self._for_console.append(said.text)
            return
        self._texts.setdefault(id, []).append(said.text)

    # ---------------------------------------------------------------- when it is over

    def _compare(self, code: int) -> None:
        """What dbt wrote must not contradict what it said; both are checked by node."""
        for id, status in self._others.items():
            if self._around.materialized.get(id) != "ephemeral" and status != "skipped":
                self._contradict(f"dbt executed {id}, which it was not asked for")
        if self._interrupted or code < 0:
            return
        self.ended_by_itself = True
        if code != 0 and not self._ended_badly():
            said = "; ".join(dict.fromkeys(self._said)) or "it does not say why"
            self._contradict(f"{how(code)}, though every node it executed ended well: {said}")
        self._compare_order()
        try:
            written = read_results(self._around.results_path)
        except EngineError:
            return  # it has failed before there were any
        self.about = written.metadata, written.args
        found = {id: one for id, one in written.nodes.items() if not one.invented}
        self.written = {id: one.written for id, one in found.items()}
        for id, outcome in self.results.items():
            if self._around.materialized.get(id) == "ephemeral" or id not in found:
                continue  # dbt 2 says no-op of it, and writes skipped
            if outcome.state.ok and found[id].status not in _GOOD:
                self._contradict(
                    f"dbt said that {id} ended with {outcome.state}, and wrote {found[id].status}",
                    [id],
                )

    def _compare_order(self) -> None:
        """Nothing can have been built on what this dbt was to build before, and did not."""
        for id, outcome in self.results.items():
            missing = [one for one in self._around.graph.parents(id) if self._was_left(one)]
            if outcome.state.ok and missing:
                self._contradict(f"dbt executed {id}, and not {missing[0]} before it", [id])

    def _contradict(self, sentence: str, nodes: Sequence[str] = ()) -> None:
        """Dbt did otherwise than it said, of these nodes; where it names none, of all it built.

        What is in doubt runs again in a retry, so that dbt does once more what it failed to end.
        """
        self.contradictions.append(sentence)
        self.doubted += nodes or [id for id, found in self.results.items() if found.state.ok]

    def _was_left(self, id: str) -> bool:
        """Whether dbt said nothing of a node that it was given, and that is something to do."""
        around = self._around
        given = id in self._attempts and id not in self._left_out and not self._is_nothing(id)
        return given and id not in self.results and around.materialized.get(id) != "ephemeral"

    def _ended_badly(self) -> bool:
        """Whether some node says why dbt itself ends with an error."""
        given = [id for id in self._attempts if id not in self._left_out]
        seen = [self.results.get(id) for id in given if not self._is_nothing(id)]
        return any(outcome is None or not outcome.state.ok for outcome in seen)

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


def _append(log: Callable[[], Path], texts: Sequence[str]) -> None:
    """Put texts into a log. One that cannot be written stops nothing."""
    if texts:
        with contextlib.suppress(OSError), log().open("ab", buffering=0) as file:
            file.write("".join(f"{text}\n" for text in texts).encode(errors="replace"))


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
