"""The protocol of a session: told what its owner wants and its worker says, answers commands.

It does nothing itself: no process, socket, thread, lock, clock or file is touched here. The engine
hands in each request, message, death and timer, one at a time, and does what the answer says, in
order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.session.answers import failed, lost, opened
from dbtorch.adapters.dbt.session.attempts import Attempts
from dbtorch.adapters.dbt.session.commands import (
    Arm,
    Command,
    Emit,
    Kill,
    Launch,
    Leave,
    Reply,
    Send,
    Wait,
    Warn,
    WriteLog,
)
from dbtorch.adapters.dbt.session.ledger import Ledger
from dbtorch.adapters.dbt.session.messages import Garbled, Message
from dbtorch.adapters.dbt.session.phases import AFTER_READING, Phase
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    Outcome,
    Started,
    Window,
)
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.session.open_request import SessionRequest
    from dbtorch.core.checks.relation_checks import RelationChecks

#: Seconds in which a worker, which executes nothing, has let go of the database file.
RELEASED = 60.0

#: Seconds in which a worker has gone that executes nothing: DuckDB may have a long log to write
#: into its file. One that executes something has fewer, and one that has not opened the file yet.
LEFT, LEFT_AT_WORK = 60.0, 5.0

#: Workers that may die in a row with nothing in hand; what they have in hand has its own policy.
MAX_DEATHS = 3


class SessionProtocol:
    """One session with one worker at a time, replaced when it dies."""

    def __init__(self, request: SessionRequest) -> None:
        self._request = request
        self._out: list[Command] = []
        self.phase = Phase.NEW
        self._why = ("the dbt session has ended", FailureClass.UNKNOWN)  # nothing starts any more
        self._waits: set[Wait] = set()
        self._texts: tuple[str, ...] = ()
        self._ledger = Ledger()
        self._attempts = Attempts(request, self._ledger, self._put)
        self._handlers: Mapping[str, Callable[[Message], object]] = {
            "warning": self._on_warning,
            "dbt_warning": self._on_dbt_warning,
            "opened": self._on_opened,
            "failed": self._on_failed,
            "begun": self._on_begun,
            "begin_failed": self._on_begin_failed,
            "started": self._attempts.started,
            "planned": self._attempts.planned,
            "built": self._attempts.built,
            "finished": self._on_finished,
            "hook": self._attempts.hook,
            "answer": self._on_answer,
            "checked": self._on_answer,
            "released": lambda _: self._reply(Wait.RELEASE),
            "closed": self._on_closed,
        }
        self._backlog: list[Batch] = []  # came while no worker was ready for it
        self._start_hooks = self._end_hooks = True  # whether they are wanted
        self._not_closed: Outcome | None = None  # why closing fails although dbt will say nothing
        self._deaths = 0  # in a row
        self._killed_for: Attempt | None = None  # did not stop when it was cancelled

    # ---------------------------------------------------------------- opening

    def launch(self) -> list[Command]:
        """Have a worker that imports dbt while the owner does something else."""
        if self.phase is Phase.NEW:
            self._launch(Phase.LAUNCHED)
        return self._commands()

    def open(self, texts: Sequence[str]) -> list[Command]:
        """Parse and select; a reply follows."""
        if self.phase not in (Phase.NEW, Phase.LAUNCHED):
            over = self.phase.is_over
            why = self._why if over else ("dbt has been asked already", FailureClass.CODE)
            return [Reply(Wait.OPEN, error=why[0], failure_class=why[1])]
        if self.phase is Phase.NEW:
            self._launch(Phase.LAUNCHED)
        self._waits.add(Wait.OPEN)
        self._texts = tuple(texts)
        self._read(Phase.READING)
        return self._commands()

    def accept(self) -> list[Command]:
        """Go on with what dbt has answered."""
        if self.phase is Phase.OPENED:
            self._catch_up()
        elif self.phase is Phase.REREADING:
            self.phase = Phase.RECOVERING
        return self._commands()

    def refuse(self, why: str, failure_class: FailureClass) -> list[Command]:
        """Start nothing any more; what waits fails for this reason."""
        self._end(why, failure_class)
        return self._commands()

    def invalidate(self) -> list[Command]:
        """Hand back everything that waits, as lost; the session is used for another plan."""
        self._ledger.forget_skipped()
        self._hand_back_backlog("planned again", FailureClass.TRANSIENT)
        return self._commands()

    # ---------------------------------------------------------------- executing

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
        unsettled: Collection[str] = (),
    ) -> None:
        """Take over what earlier executions of the same run knew."""
        self._ledger.adopt(results, microbatches)
        self._attempts.unsettled = frozenset(unsettled)

    def watch(self, checks: Mapping[str, RelationChecks]) -> None:
        """What nodes look at that check a relation."""
        self._attempts.watches = checks

    def start(self, batch: Batch) -> list[Command]:
        """Execute a node, or open or close the session."""
        if self.phase.is_over:
            self._attempts.lose(batch.attempts, *self._why)
        elif self.phase.takes_nodes:
            self._start(batch)
        else:
            self._backlog.append(batch)
        return self._commands()

    def skip(self, change: Changed) -> list[Command]:
        """Let dbt note a node that does not run."""
        message = self._ledger.skipped(change)
        if self.phase.takes_nodes:
            self._send("skip", **message)
        return self._commands()

    def kept(self, attempt: Attempt) -> list[Command]:
        """The batches that an attempt has planned are written down; it may build them."""
        self._attempts.kept(attempt)
        return self._commands()

    def cancel(self, attempt: Attempt) -> list[Command]:
        """Cancel a node's queries; its outcome comes as always."""
        waiting = [batch for batch in self._backlog if attempt in batch.attempts]
        self._backlog = [batch for batch in self._backlog if batch not in waiting]
        for batch in waiting:
            self._attempts.lose(
                batch.attempts, "cancelled before it started", FailureClass.TRANSIENT
            )
        if attempt in self._attempts.in_hand:
            self._send("cancel", node=attempt.node_id)
            if attempt.node_id != SESSION_CLOSE:  # it has the artifacts to write
                self._put(Arm(self._request.grace, attempt))
        return self._commands()

    def release(self) -> list[Command]:
        """Let go of the database file; a reply follows."""
        if not self.phase.takes_nodes and self.phase not in (Phase.FINISHING, Phase.ENDING):
            return [Reply(Wait.RELEASE)]
        self._waits.add(Wait.RELEASE)
        self._send("release")
        return self._commands()

    def release_overdue(self) -> list[Command]:
        """The owner has waited for `RELEASED` seconds.

        No node is under way, and whoever waits for the file may have it.
        """
        return [Kill()] if Wait.RELEASE in self._waits else []

    def ask(self, question: str, **fields: Any) -> list[Command]:
        """Ask something of the warehouse; a reply follows."""
        return self._ask(self.phase.answers, "ask", question=question, **fields)

    def check(self, sources: Sequence[str]) -> list[Command]:
        """Check the freshness of sources, by their unique ids; a reply follows."""
        has_read = self.phase is Phase.OPENED or self.phase.takes_nodes
        return self._ask(has_read, "check", nodes=list(sources))

    def gone(self, nodes: Sequence[str]) -> list[Command]:
        """Look which of these have no relation, before anything has begun; a reply follows."""
        can = self.phase in (Phase.OPENED, Phase.READY)
        return self._ask(can, "gone", nodes=list(nodes))

    def has_hooks(self, ids: Iterable[str]) -> None:
        """The ids of the project's on-run hooks; of others the worker may tell nothing."""
        self._attempts.hooks = frozenset(ids)

    def leave_out_start_hooks(self) -> None:
        """Open the session without on-run-start hooks."""
        self._start_hooks = False

    def leave_out_end_hooks(self) -> None:
        """Close the session without on-run-end hooks, as dbt does when it is interrupted."""
        self._end_hooks = False

    # ---------------------------------------------------------------- leaving

    def abandon(self, why: str) -> list[Command]:
        """End at once; what is under way, and what is still started, fails for this reason."""
        self._drop(why)
        if self.phase is Phase.ENDING:
            self._put(Kill())
        return self._commands()

    def close(self) -> list[Command]:
        """End; what is under way fails, and a worker gets the time it needs."""
        hurried = self._attempts.at_work or self.phase.is_reading
        patience = LEFT_AT_WORK if hurried else LEFT
        if not self.phase.is_over or self._attempts.in_hand:
            self._drop("the dbt session was closed")
        return [*self._commands(), Leave(patience)]

    def kill(self) -> None:
        """The worker is ended from outside: tell nobody of anything any more."""
        self.phase = Phase.ENDED  # one assignment: a signal handler may come while others are here

    # ---------------------------------------------------------------- the worker's messages

    def heard(self, message: Message) -> list[Command]:
        """The worker says something. Raises `Garbled` for what it has no reason to say."""
        if self.phase is not Phase.ENDED:
            self._handlers[message["type"]](message)
        return self._commands()

    def _on_warning(self, message: Message) -> None:
        self._put(Warn(message["message"]))

    def _on_dbt_warning(self, message: Message) -> None:
        if self.phase not in (Phase.REREADING, Phase.RECOVERING):  # who reads again says it again
            found = DbtWarning.of(message["name"], message["message"], message["node"])
            self._put(Warn(found))

    def _on_opened(self, message: Message) -> None:
        if self.phase is Phase.ENDING:
            return
        following = AFTER_READING.get(self.phase)
        if following is None:
            raise Garbled("opened: nobody asked for it")
        self._attempts.known = {"vars": message["vars"], "target": message["target"]}
        self.phase = following
        self._reply(Wait.OPEN, message)
        if following is Phase.READY:
            self._catch_up()

    def _on_failed(self, message: Message) -> None:
        text, outcome = message["message"], failed(message, self._request.failure_classes)
        if self.phase.is_first_reading:
            self._end(text, self._class_of_reading(message))
            return
        if self._attempts.closing is not None and outcome.failure_class is FailureClass.TRANSIENT:
            # dbt has written its artifacts and is gone
            outcome = replace(outcome, failure_class=FailureClass.UNKNOWN)
        self._attempts.drop(outcome)
        self._end(text, FailureClass.DEPENDENCY)

    def _on_begun(self, message: Message) -> None:
        if self.phase not in (Phase.CONNECTING, Phase.FINISHING, Phase.ENDING):
            raise Garbled("begun: nobody asked for it")
        self._ledger.begun = True
        if self._attempts.opening is not None:
            self._attempts.finish(self._attempts.opening, opened(blocked=message["blocked"]))
            self._attempts.opening = None
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.CONNECTED
            self._start_backlog()

    def _on_begin_failed(self, message: Message) -> None:
        if self.phase not in (Phase.CONNECTING, Phase.FINISHING, Phase.ENDING):
            raise Garbled("begin_failed: nobody asked for it")
        outcome = failed(message, self._request.failure_classes)
        if self._attempts.opening is not None:
            self._put(WriteLog(self._attempts.opening, f"{message['message']}\n"))
            self._attempts.finish(self._attempts.opening, outcome)
            self._attempts.opening = None
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.READY
            self._not_connected(outcome)

    def _not_connected(self, outcome: Outcome) -> None:
        """What waited for the connection fails; dbt's artifacts do not need the warehouse."""
        waiting, self._backlog = self._backlog, []
        for batch in waiting:
            (attempt,) = batch.attempts
            if attempt.node_id == SESSION_CLOSE:
                self._not_closed = replace(outcome, failure_class=FailureClass.UNKNOWN)
                self._end_hooks = False
                self._start(batch)
            else:
                self._attempts.finish(attempt, outcome)

    def _on_finished(self, message: Message) -> None:
        if self._attempts.finished(message):
            self._deaths = 0

    def _on_answer(self, message: Message) -> None:
        if Wait.ANSWER not in self._waits:
            raise Garbled(f"{message['type']}: nobody asked for it")
        if message.get("error") is not None:
            self._reply(Wait.ANSWER, error=message["error"])
        else:
            self._reply(Wait.ANSWER, message)

    def _on_closed(self, message: Message) -> None:
        del message
        if self._attempts.closing is None and self.phase is not Phase.ENDING:
            raise Garbled("closed: nobody asked for it")
        if self._attempts.closing is not None:
            self._attempts.finish(
                self._attempts.closing, self._not_closed or Outcome(state=State.SUCCESS)
            )
            self._attempts.closing = None
        stays = self._request.lingers and self.phase is Phase.FINISHING
        self._end("the dbt session is closed", FailureClass.UNKNOWN)
        if stays:
            self.phase = Phase.LINGERING

    # ---------------------------------------------------------------- deaths and timers

    def not_launched(self, why: str) -> list[Command]:
        """A worker could not be started."""
        first = self.phase.is_first_reading
        self.phase = Phase.ENDED
        self._end(why, FailureClass.CODE if first else FailureClass.DEPENDENCY)
        return self._commands()

    def died(self, how: str, *, killed: bool, last_words: str) -> list[Command]:
        """The worker is gone; ``killed`` by a signal, so that another one may live.

        ``last_words`` are about one that had not read the project.
        """
        why = f"the dbt worker died ({how})"
        self._reply(Wait.RELEASE)  # nothing is open in a process that is gone
        self._reply(Wait.ANSWER, error=why)
        if self.phase.is_first_reading:
            self._died_early(last_words, killed=killed)
        elif self.phase.is_over:
            self._went(why)
        else:
            self._replace(how, why)
        return self._commands()

    def expired(self, attempt: Attempt) -> list[Command]:
        """The time is over that an attempt, which is to end, had; no other worker has it since."""
        if attempt in self._attempts.in_hand:
            self._stop(attempt)
        return self._commands()

    def _stop(self, attempt: Attempt) -> None:
        """End the worker when an attempt does not stop: a Python model has no query to cancel.

        At the end of a run it is left to itself instead: the worker writes its artifacts and goes.
        """
        if self._end_hooks or not self._attempts.executes(attempt):
            self._killed_for = attempt
            self._put(Kill())
        else:
            self._attempts.forsake(attempt, "did not end when it was cancelled")

    def _died_early(self, last_words: str, *, killed: bool) -> None:
        """Let another worker read the project, if somebody has killed this one."""
        self._deaths += 1
        if killed and self._deaths < MAX_DEATHS:
            asked = self.phase is Phase.READING
            self._launch(self.phase)
            if asked:
                self._read(Phase.READING)
            return
        self.phase = Phase.ENDED
        found = self._class_of_reading({"message": last_words})
        self._end(last_words, FailureClass.TRANSIENT if killed else found)

    def _went(self, why: str) -> None:
        """The worker was to go, and has gone."""
        told = self.phase is Phase.ENDING  # otherwise it was killed, and nobody is to hear of it
        self.phase = Phase.ENDED
        self._reply(Wait.OPEN, error=why, failure_class=FailureClass.TRANSIENT)
        under_way = self._attempts.take_back()
        for attempt in under_way if told else ():
            self._attempts.lost_with_worker(attempt, why)

    def _replace(self, how: str, why: str) -> None:
        """Take back what the worker had in hand, and let another one take its place."""
        under_way = self._attempts.take_back()
        self._deaths += not under_way
        killed_for, self._killed_for = self._killed_for, None
        for attempt in under_way:
            innocent = killed_for is not None and attempt != killed_for
            self._attempts.lost_with_worker(attempt, why, innocent=innocent)
        if self._deaths >= MAX_DEATHS:
            self.phase = Phase.ENDED
            why = f"the dbt worker died {self._deaths} times in a row ({how})"
            self._end(why, FailureClass.DEPENDENCY)
            return
        opened = self.phase in (Phase.OPENED, Phase.REREADING)
        self._launch(Phase.REREADING if opened else Phase.RECOVERING)
        self._read(self.phase)

    # ---------------------------------------------------------------- sending

    def _launch(self, phase: Phase) -> None:
        self.phase = phase
        self._put(Launch())

    def _read(self, phase: Phase) -> None:
        self.phase = phase
        self._send(
            "open",
            **self._request.opening(),
            resolve=self._texts,
            start_hooks=self._start_hooks and not self._ledger.begun,
            hooks_done=self._ledger.hooks_done,
        )

    def _catch_up(self) -> None:
        self.phase = Phase.READY
        for message in self._ledger.skips():
            self._send("skip", **message)
        self._start_backlog()

    def _start(self, batch: Batch) -> None:
        """Send one on; the worker takes nodes."""
        (attempt,) = batch.attempts
        id = attempt.node_id
        if not self.phase.takes_nodes:  # those before it have closed the session
            self._backlog.append(batch)
        elif id == SESSION_OPEN:
            self._attempts.opening = attempt
            self._put(Emit(Started(attempt)))
            self._connect()
        elif self._must_connect() and (id != SESSION_CLOSE or self._end_hooks):
            self._backlog.append(batch)  # a replacement connects when it has something to do
            self._connect()
        elif id == SESSION_CLOSE:
            self._attempts.closing = attempt
            self._put(Emit(Started(attempt)))
            self.phase = Phase.FINISHING
            self._send("finish", hooks=self._end_hooks, adopt=self._ledger.results())
        else:
            self._attempts.execute(attempt)

    def _must_connect(self) -> bool:
        return self._ledger.begun and self.phase is not Phase.CONNECTED

    def _connect(self) -> None:
        if self.phase is not Phase.CONNECTING:
            self.phase = Phase.CONNECTING
            self._send("begin")

    def _ask(self, can: bool, type: str, **fields: Any) -> list[Command]:
        if not can or Wait.ANSWER in self._waits:
            why = "the dbt session is not open" if not can else "dbt has been asked something else"
            return [Reply(Wait.ANSWER, error=why)]
        self._waits.add(Wait.ANSWER)
        self._send(type, **fields)
        return self._commands()

    # ---------------------------------------------------------------- small things

    def _put(self, command: Command) -> None:
        self._out.append(command)

    def _commands(self) -> list[Command]:
        out, self._out = self._out, []
        return out

    def _send(self, type: str, **fields: Any) -> None:
        self._put(Send(type, fields))

    def _reply(
        self,
        wait: Wait,
        found: Mapping[str, Any] = {},
        *,
        error: str | None = None,
        failure_class: FailureClass = FailureClass.CODE,
    ) -> None:
        """Answer who waits for this, if anybody does."""
        if wait in self._waits:
            self._waits.remove(wait)
            self._put(Reply(wait, found, error, failure_class))

    def _end(self, why: str, found: FailureClass) -> None:
        """Start nothing any more: what waits, and what comes, fails for this reason."""
        gone = self.phase in (Phase.NEW, Phase.ENDED)
        self.phase = Phase.ENDED if gone else Phase.ENDING
        self._why = (why, found)
        self._reply(Wait.OPEN, error=why, failure_class=found)
        self._hand_back_backlog(why, found)

    def _drop(self, why: str) -> None:
        """End, and hear no more of what is under way."""
        self._end(why, FailureClass.UNKNOWN)
        self._attempts.drop(lost(why, FailureClass.UNKNOWN))

    def _hand_back_backlog(self, why: str, found: FailureClass) -> None:
        backlog, self._backlog = self._backlog, []
        for batch in backlog:
            self._attempts.lose(batch.attempts, why, found)

    def _start_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for batch in backlog:
            self._start(batch)

    def _class_of_reading(self, message: Mapping[str, Any]) -> FailureClass:
        """Whether dbt may read the project another time."""
        found = failed(message, self._request.failure_classes).failure_class
        return FailureClass.TRANSIENT if found is FailureClass.TRANSIENT else FailureClass.CODE
