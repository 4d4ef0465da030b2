"""The session engine: dbt nodes one by one inside a dbt invocation kept open by a worker.

What is to be done, and when, its protocol says (`protocol.py`); here it is done: the process, its
socket, threads, timers and a lock.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.session.answers import freshness_of, selected_of
from dbtorch.adapters.dbt.session.commands import (
    Arm,
    Command,
    Emit,
    EmitPlanned,
    Kill,
    Launch,
    Leave,
    Reply,
    Send,
    Wait,
    Warn,
    WriteLog,
)
from dbtorch.adapters.dbt.session.open_request import SessionRequest
from dbtorch.adapters.dbt.session.phases import Phase
from dbtorch.adapters.dbt.session.protocol import RELEASED, SessionProtocol
from dbtorch.adapters.dbt.session.worker_process import Message, Worker, last_words
from dbtorch.adapters.dbt.warning_counts import DbtWarnings
from dbtorch.core.errors import EngineError
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    MicrobatchesPlanned,
    Outcome,
    Window,
)
from dbtorch.core.model.state import FailureClass

if TYPE_CHECKING:
    from dbtorch.core.checks.idempotency import Content
    from dbtorch.core.checks.relation_checks import RelationChecks
    from dbtorch.ports.engine import Place, Selected
    from dbtorch.ports.loop import Emit as Report


class SessionEngine:
    """Implements `Engine` with one worker, replaced when it dies."""

    def __init__(self, request: SessionRequest, emit: Report) -> None:
        self._request = request
        self._emit = emit
        self._protocol = SessionProtocol(request)
        self._lock = threading.RLock()  # held while the protocol is told something, and obeyed
        self._worker: Worker | None = None
        self._standby = request.standby  # of use once
        self._replies: Mapping[Wait, queue.SimpleQueue[Reply]]
        self._replies = {wait: queue.SimpleQueue() for wait in Wait}
        self.warnings: list[str] = []
        self.dbt_warnings = DbtWarnings()

    @property
    def phase(self) -> Phase:
        """Where the session stands."""
        return self._protocol.phase

    # ---------------------------------------------------------------- opening

    @property
    def plans_from_cache(self) -> bool:
        """Whether planning would be what a run waits for: dbt's import takes longer."""
        return False

    def launch(self) -> None:
        """Start the worker; it imports dbt while the caller does something else."""
        self._tell(self._protocol.launch)
        if self.phase is Phase.ENDED:
            self.open()  # raises why

    def start_speculatively(self, cached: Selected | None) -> bool:
        """Whether nodes may start before dbt has answered: its worker reads the project anyway."""
        return False

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Parse and select; ``texts`` are selections to resolve besides the run's own."""
        self._tell(self._protocol.open, texts)
        answer = self._reply(Wait.OPEN)
        selected = replace(selected_of(answer.found), warnings=self.dbt_warnings.all())
        self._protocol.has_hooks(hook.id for hook in selected.hooks)
        return selected

    def accept(self) -> None:
        """Go on with what `open` answered."""
        self._tell(self._protocol.accept)

    def refuse(self, why: str, failure_class: FailureClass = FailureClass.CODE) -> None:
        """Do not go on: what waits, and what is still started, fails for this reason."""
        self._tell(self._protocol.refuse, why, failure_class)

    def prewarm(self) -> None:
        """Be ready for what is to come, as the session always is."""

    def invalidate(self) -> None:
        """Hand back everything that waits, as lost; the session is used for another plan."""
        self._tell(self._protocol.invalidate)

    # ---------------------------------------------------------------- what the loop asks

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
        unsettled: Collection[str] = (),
    ) -> None:
        """Take over what earlier executions of the same run knew.

        Results are for complete artifacts; ``microbatches`` are those that were planned of each
        model, and whether they are built. Of what is ``unsettled`` more may have been.
        """
        self._protocol.adopt(results, microbatches, unsettled)

    def watch(self, checks: Mapping[str, RelationChecks]) -> None:
        """What nodes look at that check a relation."""
        self._protocol.watch(checks)

    def start(self, batch: Batch) -> None:
        """Execute a node, or open or close the session."""
        self._tell(self._protocol.start, batch)

    def skip(self, changes: Sequence[Changed]) -> None:
        """Let dbt note nodes that do not run."""
        for change in changes:
            self._tell(self._protocol.skip, change)

    def cancel(self, attempt: Attempt) -> None:
        """Cancel a node's queries; its outcome comes as always."""
        self._tell(self._protocol.cancel, attempt)

    def release(self) -> None:
        """Let go of the database file."""
        self._tell(self._protocol.release)
        try:
            self._replies[Wait.RELEASE].get(timeout=RELEASED)
        except queue.Empty:
            self._tell(self._protocol.release_overdue)
            self._replies[Wait.RELEASE].get()

    def check_sources(self, sources: Sequence[str]) -> list[Outcome]:
        """Check the freshness of sources, before anything of a run has begun, by their unique ids.

        Writes sources.json. Raises `EngineError` when dbt cannot check anything.
        """
        self._tell(self._protocol.check, sources)
        answer = self._reply(Wait.ANSWER).found
        found = {check["node"]: check for check in answer.get("checks", ())}
        rules = self._request.failure_classes
        return [freshness_of(id, found.get(id, {}), rules) for id in sources]

    def gone(self, nodes: Sequence[str]) -> frozenset[str]:
        """The nodes among these, which have been built, whose relations are not there any more."""
        self._tell(self._protocol.gone, nodes)
        found = self._reply(Wait.ANSWER).found["found"]
        return frozenset(nodes).intersection(found)

    def leave_out_start_hooks(self) -> None:
        """Open the session without on-run-start hooks."""
        self._protocol.leave_out_start_hooks()

    def leave_out_end_hooks(self) -> None:
        """Close the session without on-run-end hooks, as dbt does when it is interrupted."""
        self._protocol.leave_out_end_hooks()

    # ---------------------------------------------------------------- the warehouse

    def tables(self) -> Sequence[str]:
        """All tables of the DuckDB database, each as SQL names it."""
        found: Sequence[str] = self._ask("tables")
        return found

    def content(self, relation: str, *, ignore: Sequence[str] = ()) -> Content:
        """What a relation holds, but for columns whose names match a pattern of ``ignore``."""
        from dbtorch.core.checks.idempotency import Content  # no run asks for it

        file = self._request.scratch / "rows"  # of hashes; no row leaves the worker
        file.parent.mkdir(parents=True, exist_ok=True)
        found = self._ask("content", relation=relation, ignore=ignore, file=str(file))
        digests = file.read_bytes()
        file.unlink()
        return Content(
            rows=found["rows"],
            columns=found["columns"],
            left_out=tuple(found["left_out"]),
            digests=digests,
        )

    def drop_schemas(self, prefix: str, databases: Sequence[str]) -> None:
        """Drop the schemas of these databases whose names begin so."""
        self._ask("drop_schemas", prefix=prefix, databases=list(databases))

    def rows(self, sql: str, most: int) -> Sequence[Sequence[Any]]:
        """The first rows of a query."""
        found: Sequence[Sequence[Any]] = self._ask("rows", sql=sql, most=most)
        return found

    def columns(self, database: str, schema: str, name: str) -> Sequence[tuple[str, str, str]]:
        """Columns of a relation as it is now."""
        found = self._ask("columns", database=database, schema=schema, name=name)
        return [(str(column), str(quoted), str(type)) for column, quoted, type in found]

    def mark_schema(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """Make a schema, if it is not there, with a table that says whose it is."""
        where = {"database": database, "schema": schema, "table": table}
        return bool(self._ask("mark_schema", **where, marker=dict(marker)))

    def clone(self, relation: Place, of: Place) -> bool:
        """Make a table a clone of another, where the warehouse can without copying rows."""
        return bool(self._ask("clone", to=_fields(relation), of=_fields(of)))

    def make(self, relation: Place, sql: str, *, view: bool) -> None:
        """Make a view or table of a query."""
        self._ask("make", to=_fields(relation), sql=sql, view=view)

    def marked_schemas(
        self, databases: Sequence[str], pattern: str, table: str
    ) -> Sequence[tuple[str, str, Mapping[str, str] | None]]:
        """Schemas whose names match, each with its marker."""
        asked = {"databases": list(databases), "pattern": pattern, "table": table}
        found = self._ask("marked_schemas", **asked)
        return [(one["database"], one["schema"], one["marker"]) for one in found]

    def drop_marked(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """Drop a schema, if its marker still says this."""
        where = {"database": database, "schema": schema, "table": table}
        return bool(self._ask("drop_marked", **where, marker=dict(marker)))

    def _ask(self, question: str, **fields: Any) -> Any:
        """What the worker answers; `dbtorch_worker/warehouse_queries.py` has all questions."""
        self._tell(partial(self._protocol.ask, question, **fields))
        return self._reply(Wait.ANSWER).found["found"]

    # ---------------------------------------------------------------- leaving

    def abandon(self, why: str) -> None:
        """End the worker at once; what it does, and what is still started, fails for this."""
        self._tell(self._protocol.abandon, why)

    def close(self) -> None:
        """End the worker, whatever it does."""
        self._tell(self._protocol.close)

    def kill(self) -> None:
        """End the worker at once, without a word to it. Takes no lock, for signal handlers."""
        self._protocol.kill()
        if self._worker is not None:
            self._worker.kill()

    # ---------------------------------------------------------------- the worker

    def _heard(self, message: Message) -> None:
        self._tell(self._protocol.heard, message)

    def _died(self, how: str, killed: bool) -> None:
        with self._lock:
            first = self.phase.is_first_reading
            said = last_words(self._request.console, how) if first else ""
            died = partial(self._protocol.died, how, killed=killed, last_words=said)
            self._tell(died)

    # ---------------------------------------------------------------- obeying

    def _tell(self, tell: Callable[..., list[Command]], *about: object) -> None:
        """Tell the protocol something, and do what it answers."""
        with self._lock:
            commands = tell(*about)
            for command in commands:
                if isinstance(command, Launch):
                    if not self._launched():
                        break  # what follows is for the worker that there is not
                else:
                    self._obey(command)
        for command in commands:
            if isinstance(command, Leave) and self._worker is not None:
                self._worker.leave(patience=command.patience)  # who may have a last word

    def _obey(self, command: Command) -> None:
        match command:
            case Send():
                self._send(command)
            case Emit(event):
                self._emit(event)
            case EmitPlanned(attempt, windows):
                kept = partial(self._tell, self._protocol.kept, attempt)
                self._emit(MicrobatchesPlanned(attempt, windows, kept))
            case Reply(wait):
                self._replies[wait].put(command)
            case Arm():
                self._arm(command)
            case Kill():
                if self._worker is not None:
                    self._worker.kill()
            case WriteLog(attempt, text):
                with contextlib.suppress(OSError):  # the message is in the history in any case
                    self._request.log_path(attempt).write_text(text)
            case Warn(str(warning)):
                self.warnings.append(warning)
            case Warn(DbtWarning() as warning):
                self.dbt_warnings.add(warning)

    def _launched(self) -> bool:
        """Start a worker; answers whether there is one."""
        standby, self._standby = self._standby, ""
        try:
            self._worker = Worker(self._request, self._heard, self._died, standby=standby)
        except EngineError as error:
            self._tell(self._protocol.not_launched, str(error))
            return False
        return True

    def _send(self, command: Send) -> None:
        assert self._worker is not None
        fields = dict(command.fields)
        if command.logs is not None:
            fields["log"] = self._log_of(command.logs)
        self._worker.send(command.type, **fields)

    def _log_of(self, attempt: Attempt) -> str:
        """The log of an attempt; where it cannot be written the node goes on without one."""
        try:
            return str(self._request.log_path(attempt))
        except OSError:
            return os.devnull

    def _arm(self, command: Arm) -> None:
        expired = (self._protocol.expired, command.attempt)
        timer = threading.Timer(command.seconds, self._tell, expired)
        timer.daemon = True
        timer.start()

    def _reply(self, wait: Wait) -> Reply:
        """Wait for an answer. Raises `EngineError`."""
        reply = self._replies[wait].get()
        if reply.error is not None:
            raise EngineError(reply.error, reply.failure_class)
        return reply


def _fields(place: Place) -> dict[str, str | None]:
    """A relation as dbt's adapters are told of it."""
    database, schema, identifier = place
    return {"database": database or None, "schema": schema, "identifier": identifier}
