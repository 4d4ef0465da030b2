"""The session engine: dbt nodes one by one inside a dbt invocation kept open by a worker."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.answers import (
    failed,
    freshness_of,
    look_of,
    lost,
    opened,
    outcome_of,
    selected_of,
)
from dbtorch.adapters.dbt.ledger import Ledger
from dbtorch.adapters.dbt.messages import Garbled
from dbtorch.adapters.dbt.request import SessionRequest
from dbtorch.adapters.dbt.worker_process import Message, Worker, last_words
from dbtorch.core.events import Attempt, Batch, Changed, Finished, Outcome, Started
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.state import FailureClass, State
from dbtorch.ports import Emit, EngineError, Selected

if TYPE_CHECKING:
    from dbtorch.core.checks import Watch

#: Workers that may die in a row with nothing in hand; what they have in hand has its own policy.
MAX_DEATHS = 3


class SessionEngine:
    """Implements `Engine` with one worker, replaced when it dies."""

    def __init__(self, request: SessionRequest, emit: Emit) -> None:
        self._request = request
        self._emit = emit
        self._lock = threading.RLock()
        self._worker: Worker | None = None
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._released = threading.Event()
        self._told_us: queue.SimpleQueue[Message] = queue.SimpleQueue()  # answers to `ask`
        self._asking = False
        self._texts: tuple[str, ...] = ()
        self._in_flight: dict[str, Attempt] = {}
        self._forsaken: set[Attempt] = set()  # did not stop, and the run is ending
        self._backlog: list[Batch] = []  # came while a replacement was not ready
        self._ledger = Ledger()
        self._watches: Mapping[str, Watch] = {}
        self._hooks: set[str] = set()
        self._opening: Attempt | None = None
        self._closing: Attempt | None = None
        self._begun = False  # some worker of this engine has connected and run the start hooks
        self._connected = False  # the present one has connected
        self._beginning = False  # it has been told to
        self._opened = False  # some worker of this engine has reported its graph
        self._known = False  # the present one has
        self._known_of_dbt: Mapping[str, Any] = {}  # vars and target, for templates
        self._accepted = False
        self._ready = False  # the present one takes nodes
        self._start_hooks = True
        self._end_hooks = True
        self._not_closed: Outcome | None = None  # why closing fails although dbt will say nothing
        self._deaths = 0
        self._killed_for: Attempt | None = None  # did not stop when it was cancelled
        self._broken: tuple[str, FailureClass] | None = None
        self.warnings: list[str] = []

    # ---------------------------------------------------------------- opening

    @property
    def plans_ahead(self) -> bool:
        """Whether planning would be what a run waits for: dbt's import takes longer."""
        return False

    def launch(self) -> None:
        """Start the worker; it imports dbt while the caller does something else."""
        self._worker = Worker(self._request.start(), self._told, self._died)

    def expect(self, kept: Selected | None) -> bool:
        """Whether nodes may start before dbt has answered: its worker reads the project anyway."""
        return False

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Parse and select; ``texts`` are selections to resolve besides the run's own."""
        self._texts = tuple(texts)
        if self._worker is None:
            self.launch()
        self._send_open()
        answer = self._answers.get()
        if answer["type"] != "opened":
            raise EngineError(answer["message"])
        selected = selected_of(answer)
        self._hooks = {hook.id for hook in selected.hooks}
        return selected

    def accept(self) -> None:
        """Go on with what `open` answered."""
        with self._lock:
            self._accepted = True
            if self._known:
                self._catch_up()

    def refuse(self, why: str) -> None:
        """Do not go on: what waits, and what is still started, fails for this reason."""
        with self._lock:
            self._give_up(why, FailureClass.CODE)

    def foresee(self) -> None:
        """Be ready for what is to come, as the session always is."""

    def forget(self) -> None:
        """Hand back everything that waits, as lost; the session is used for another plan."""
        with self._lock:
            backlog, self._backlog = self._backlog, []
            self._ledger.forget_skipped()
        for batch in backlog:
            self._emit_lost(batch, "planned anew")

    def _send_open(self) -> None:
        assert self._worker is not None
        self._worker.send(
            "open",
            args=self._request.args,
            resolve=self._texts,
            start_hooks=self._start_hooks,
            hooks_done=self._ledger.hooks_done,
            scratch=str(self._request.scratch),
        )

    # ---------------------------------------------------------------- what the loop asks

    def adopt(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Results of an earlier stretch of the same run, for complete artifacts."""
        self._ledger.adopt(results)

    def watch(self, checks: Mapping[str, Watch]) -> None:
        """What nodes look at that check a relation."""
        self._watches = checks

    def start(self, batch: Batch) -> None:
        """Execute a node, or open or close the session."""
        with self._lock:
            if self._broken is not None:
                self._emit_lost(batch, *self._broken)
            elif not self._ready:
                self._backlog.append(batch)
            else:
                self._send(batch)

    def skip(self, changes: Sequence[Changed]) -> None:
        """Let dbt note nodes that do not run."""
        for change in changes:
            with self._lock:
                message = self._ledger.skipped(change)
                if self._ready and self._worker is not None:
                    self._worker.send("skip", **message)

    def cancel(self, attempt: Attempt) -> None:
        """Cancel a node's queries; its outcome comes as always."""
        with self._lock:
            waiting = [b for b in self._backlog if attempt in b.attempts]
            if waiting:
                self._backlog = [b for b in self._backlog if b not in waiting]
                self._emit_lost(waiting[0], "cancelled before it started")
            elif self._worker is not None:
                self._worker.send("cancel", node=attempt.node_id)
                if attempt.node_id != SESSION_CLOSE:  # it has the artifacts to write
                    self._kill_after_grace(self._worker, attempt)

    def _kill_after_grace(self, worker: Worker, attempt: Attempt) -> None:
        """End the worker when the attempt does not stop: a Python model has no query to cancel.

        At the end of a run it is left to itself instead: the worker writes its artifacts and goes.
        """

        def kill() -> None:
            with self._lock:
                if worker is not self._worker or attempt not in self._in_hand():
                    return
                if not self._end_hooks and attempt.node_id in self._in_flight:
                    self._forsake(worker, attempt)
                else:
                    self._killed_for = attempt
                    worker.kill()

        timer = threading.Timer(self._request.grace, kill)
        timer.daemon = True
        timer.start()

    def _forsake(self, worker: Worker, attempt: Attempt) -> None:
        why = "did not end when it was cancelled"
        worker.send("forsake", node=attempt.node_id)
        self._forsaken.add(attempt)
        del self._in_flight[attempt.node_id]
        self._ledger.lost(attempt.node_id, why)
        self._emit(Finished(attempt, lost(why)))

    def release(self) -> None:
        """Let go of the database file."""
        with self._lock:
            worker, ready = self._worker, self._ready
            self._released.clear()
        if worker is not None and ready and not worker.leaving:
            worker.send("release")
            self._released.wait(60)

    def ask(self, question: str, **fields: Any) -> Any:
        """What the session, which is open, finds in the warehouse; `questions.py` has them all.

        Raises `EngineError` with what the warehouse says.
        """
        with self._lock:
            if self._worker is None or not self._ready or not self._begun:
                raise EngineError("the dbt session is not open")
            self._asking = True
            self._worker.send("ask", question=question, **fields)
        answer = self._told_us.get()
        if answer.get("error") is not None:
            raise EngineError(answer["error"])
        return answer["found"]

    def check(self, sources: Sequence[str]) -> list[Outcome]:
        """Check the freshness of sources, before anything of a run has begun, by their unique ids.

        Writes sources.json. Raises `EngineError` when dbt cannot check anything.
        """
        with self._lock:
            if self._worker is None or not self._known:
                raise EngineError("the dbt session is not open")
            self._asking = True
            self._worker.send("check", nodes=list(sources))
        answer = self._told_us.get()
        if answer.get("error") is not None:
            raise EngineError(answer["error"])
        found = {check["node"]: check for check in answer.get("checks", ())}
        rules = self._request.failure_classes
        return [freshness_of(id, found.get(id, {}), rules) for id in sources]

    def close(self) -> None:
        """End the worker, whatever it does."""
        with self._lock:
            worker, self._worker = self._worker, None
            self._ready = False
        if worker is not None:
            worker.leave(patience=5)

    def abandon(self, why: str) -> None:
        """End the worker at once; what it does, and what is still started, fails for this."""
        with self._lock:
            worker, self._worker = self._worker, None
            self._ready = False
            self._give_up(why, FailureClass.UNKNOWN)
            for attempt in self._taken_back():
                self._emit(Finished(attempt, lost(why, FailureClass.UNKNOWN)))
        if worker is not None:
            worker.leaving = True
            worker.kill()

    def kill(self) -> None:
        """End the worker at once, without a word to it."""
        worker = self._worker
        if worker is not None:
            worker.leaving = True
            worker.kill()

    def leave_out_start_hooks(self) -> None:
        """Open the session without on-run-start hooks."""
        self._start_hooks = False

    def leave_out_end_hooks(self) -> None:
        """Close the session without on-run-end hooks, as dbt does when it is interrupted."""
        self._end_hooks = False

    # ---------------------------------------------------------------- sending

    def _send(self, batch: Batch) -> None:
        assert self._worker is not None
        (attempt,) = batch.attempts
        id = attempt.node_id
        if id == SESSION_OPEN:
            self._opening = attempt
            self._emit(Started(attempt))
            self._begin()
        elif self._begun and not self._connected and (id != SESSION_CLOSE or self._end_hooks):
            self._backlog.append(batch)  # a replacement connects when it has something to do
            self._begin()
        elif id == SESSION_CLOSE:
            self._closing = attempt
            self._emit(Started(attempt))
            self._worker.send("finish", hooks=self._end_hooks, adopt=self._ledger.results())
        else:
            log = self._log_of(attempt)
            fields: Message = {"node": id, "attempt": attempt.number, "log": log}
            fields["batches"] = self._ledger.batches_to_go_on_from(id)
            step = self._request.sql.get(id)
            left_out = step.left_out(self._known_of_dbt) if step is not None else None
            if left_out is not None:
                self._emit(Finished(attempt, left_out))
                return
            self._in_flight[id] = attempt
            watch = self._watches.get(id)
            if watch is not None:
                self._worker.send("look", **fields, relation=watch.relation, asked=watch.asks())
            elif step is None:
                self._worker.send("freshness" if _is_source(id) else "execute", **fields)
            else:
                self._worker.send("sql", **fields, sql=step.text, run=self._request.run)

    def _log_of(self, attempt: Attempt) -> str:
        """The log of an attempt; where it cannot be written the node goes on without one."""
        try:
            return str(self._request.log_path(attempt))
        except OSError:
            return os.devnull

    def _begin(self) -> None:
        assert self._worker is not None
        if not self._beginning:
            self._beginning = True
            self._worker.send("begin")

    def _emit_lost(
        self, batch: Batch, why: str, found: FailureClass = FailureClass.TRANSIENT
    ) -> None:
        for attempt in batch.attempts:
            self._emit(Finished(attempt, lost(why, found)))

    # ---------------------------------------------------------------- hearing

    def _told(self, worker: Worker, message: Message) -> None:
        with self._lock:
            if worker is not self._worker:
                return
            handler = getattr(self, f"_on_{message['type']}")
            handler(message)

    def _on_warning(self, message: Message) -> None:
        self.warnings.append(message["message"])

    def _on_opened(self, message: Message) -> None:
        self._known = True
        self._known_of_dbt = {"vars": message["vars"], "target": message["target"]}
        if not self._opened:
            self._opened = True
            self._answers.put(message)
        elif self._accepted:
            self._catch_up()

    def _on_failed(self, message: Message) -> None:
        if self._worker is not None:
            self._worker.leaving = True
        if not self._opened:
            self._answers.put(message)
            return
        outcome = failed(message, self._request.failure_classes)
        if self._closing is not None and outcome.failure_class is FailureClass.TRANSIENT:
            # dbt has written its artifacts and is gone
            outcome = replace(outcome, failure_class=FailureClass.UNKNOWN)
        for attempt in self._taken_back():
            self._emit(Finished(attempt, outcome))
        self._give_up(message["message"])

    def _on_begun(self, message: Message) -> None:
        self._begun = self._connected = True
        self._start_hooks = self._beginning = False
        if self._opening is not None:
            self._emit(Finished(self._opening, opened(blocked=message["blocked"])))
            self._opening = None
        self._send_backlog()

    def _on_begin_failed(self, message: Message) -> None:
        self._beginning = False
        outcome = failed(message, self._request.failure_classes)
        if self._opening is not None:
            with contextlib.suppress(OSError):  # the message is in the history in any case
                self._request.log_path(self._opening).write_text(f"{message['message']}\n")
            self._emit(Finished(self._opening, outcome))
            self._opening = None
        waiting, self._backlog = self._backlog, []
        for batch in waiting:
            (attempt,) = batch.attempts
            if attempt.node_id == SESSION_CLOSE:  # artifacts do not need the warehouse
                self._not_closed = replace(outcome, failure_class=FailureClass.UNKNOWN)
                self._end_hooks = False
                self._send(batch)
            else:
                self._emit(Finished(attempt, outcome))

    def _on_started(self, message: Message) -> None:
        if (attempt := self._under_way(message)) is not None:
            self._emit(Started(attempt))

    def _on_finished(self, message: Message) -> None:
        attempt = self._under_way(message)
        if attempt is None:
            return
        said = {k: v for k, v in message.items() if k not in ("node", "attempt", "type")}
        id, rules = attempt.node_id, self._request.failure_classes
        if id in self._watches:
            outcome = look_of(id, said, rules)
        else:
            outcome = freshness_of(id, said, rules) if _is_source(id) else outcome_of(said, rules)
            self._ledger.ended(id, {**outcome.details, "message": outcome.message})
        del self._in_flight[id]
        self._deaths = 0
        self._emit(Finished(attempt, outcome))

    def _under_way(self, message: Message) -> Attempt | None:
        """The attempt a message is about, None for one that nobody waits for any more.

        Raises `Garbled` when it is none of the worker's.
        """
        attempt = Attempt(message["node"], message["attempt"])
        if attempt in self._forsaken:
            return None
        if self._in_flight.get(attempt.node_id) != attempt:
            what = f"{attempt.node_id} #{attempt.number}"
            raise Garbled(f"{message['type']}: {what} is not under way")
        return attempt

    def _on_hook(self, message: Message) -> None:
        id = message.pop("node")
        if id not in self._hooks:
            raise Garbled(f"hook: there is no {id}")
        self._ledger.hook_ended(id, message)
        outcome = outcome_of(message, self._request.failure_classes)
        self._emit(Finished(Attempt(id, 1), outcome))

    def _on_answer(self, message: Message) -> None:
        self._asking = False
        self._told_us.put(message)

    def _on_checked(self, message: Message) -> None:
        self._on_answer(message)

    def _on_released(self, message: Message) -> None:
        self._released.set()

    def _on_closed(self, message: Message) -> None:
        if self._closing is None:
            raise Garbled("closed: nobody asked for it")
        if self._worker is not None:
            self._worker.leaving = True
        outcome = self._not_closed or Outcome(state=State.SUCCESS)
        self._emit(Finished(self._closing, outcome))
        self._closing = None

    # ---------------------------------------------------------------- death

    def _died(self, worker: Worker, how: str) -> None:
        with self._lock:
            self._released.set()  # nothing is open in a process that is gone
            if self._asking:
                self._asking = False
                self._told_us.put({"error": f"the dbt worker died ({how})"})
            if worker is not self._worker or worker.leaving:
                return
            if not self._opened:
                self._answers.put(
                    {"type": "failed", "message": last_words(self._request.console, how)}
                )
                return
            self._ready = self._known = self._connected = self._beginning = False
            why, under_way = f"the dbt worker died ({how})", self._taken_back()
            self._deaths += not under_way
            killed_for, self._killed_for = self._killed_for, None
            for attempt in under_way:
                if attempt.node_id not in (SESSION_OPEN, SESSION_CLOSE):
                    self._ledger.lost(attempt.node_id, why)
                innocent = killed_for is not None and attempt != killed_for
                self._emit(Finished(attempt, replace(lost(why), innocent=innocent)))
            if self._deaths >= MAX_DEATHS:
                self._give_up(f"the dbt worker died {self._deaths} times in a row ({how})")
                return
            try:
                self.launch()
                self._send_open()
            except EngineError as error:
                self._give_up(str(error))

    def _in_hand(self) -> list[Attempt]:
        """What the worker has been given and has not answered."""
        found = [*self._in_flight.values(), self._opening, self._closing]
        return [attempt for attempt in found if attempt is not None]

    def _taken_back(self) -> list[Attempt]:
        """What the worker had in hand; it has it no longer."""
        found = self._in_hand()
        self._in_flight.clear()
        self._opening = self._closing = None
        return found

    def _catch_up(self) -> None:
        self._ready = True
        assert self._worker is not None
        for message in self._ledger.skips():
            self._worker.send("skip", **message)
        self._send_backlog()

    def _send_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for batch in backlog:
            self._send(batch)

    def _give_up(self, why: str, found: FailureClass = FailureClass.DEPENDENCY) -> None:
        self._broken = (why, found)
        backlog, self._backlog = self._backlog, []
        for batch in backlog:
            self._emit_lost(batch, why, found)


def _is_source(id: str) -> bool:
    """Whether a node is a source, by dbt's ids: what is asked of it is a check."""
    return id.startswith("source.")
