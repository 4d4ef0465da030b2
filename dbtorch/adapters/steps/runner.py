"""Runs steps: every attempt in a process of its own, one thread waiting for each."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbtorch.adapters.steps import catalog
from dbtorch.adapters.steps.base import Call, Command, StepError
from dbtorch.adapters.steps.context import describe, environment, plain, run_of
from dbtorch.adapters.steps.guard import Guard
from dbtorch.adapters.steps.left_behind import MARK
from dbtorch.adapters.steps.outcome import failed, last_line, of_exit, of_result
from dbtorch.adapters.steps.output import hidden
from dbtorch.adapters.steps.process import Process
from dbtorch.adapters.template import TemplateError, render
from dbtorch.core.config import GRACE, StepSpec
from dbtorch.core.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.evidence import Rule
from dbtorch.core.scrub import scrubber, secrets_of
from dbtorch.core.state import FailureClass, State
from dbtorch.ports import Emit, StepContext

log = logging.getLogger(__name__)

#: What ``when`` renders to where a step is not to run.
_NO = frozenset({"", "false", "none", "0"})

#: Message of an attempt that was ended from outside.
TERMINATED = "terminated"


class StepRunner:
    """Executes steps, everything but ``sql``, which runs through the dbt connection."""

    def __init__(
        self,
        emit: Emit,
        specs: Mapping[str, StepSpec],
        context: StepContext,
        *,
        log_path: Callable[[Attempt], Path],
        work_dir: Path,
        python: str = sys.executable,
        outputs: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] = os.environ,
        grace: float = GRACE,
        failure_classes: Sequence[Rule] = (),
    ) -> None:
        """``python`` is the project's interpreter, ``outputs`` what earlier stretches left.

        ``work_dir`` gets a private folder for each attempt, gone when the attempt has ended.
        """
        #: Outputs by step name; whoever runs steps of other types may add theirs.
        self.outputs: dict[str, Any] = dict(outputs or {})
        self._emit = emit
        self._specs = {spec.id: spec for spec in specs.values()}
        self._context = context
        self._log_path = log_path
        self._work_dir = work_dir
        self._python = python
        self._environ = environ
        self._grace = grace
        self._rules = failure_classes
        self._guard = Guard(grace=grace, scratch=work_dir)
        self._lock = threading.Lock()
        self._running: dict[Attempt, Process] = {}
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once."""
        for attempt in batch.attempts:
            process = Process(grace=self._grace, guard=self._guard)
            thread = threading.Thread(
                target=self._attempt,
                args=(attempt, process),
                name=f"{attempt.node_id} #{attempt.number}",
                daemon=True,  # leaving at once must not wait for a step
            )
            with self._lock:
                self._running[attempt] = process
                self._threads.add(thread)
                if self._closed:
                    process.cancel()
            try:
                thread.start()
            except RuntimeError as error:  # the machine has no thread left
                with self._lock:
                    self._threads.discard(thread)
                self._end(attempt, failed(str(error), FailureClass.TRANSIENT))

    def cancel(self, attempt: Attempt) -> None:
        """End an attempt's process group; it still reports how it ended."""
        with self._lock:
            process = self._running.get(attempt)
        if process is not None:
            process.cancel()

    def close(self) -> None:
        """End everything that still runs; returns when it has."""
        with self._lock:
            self._closed = True
            running, threads = list(self._running.values()), list(self._threads)
        for process in running:
            process.cancel()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()
        self._guard.close()

    def kill(self) -> None:
        """End every process at once and wait for nothing; without a lock, for signal handlers."""
        self._closed = True
        for process in tuple(self._running.values()):
            process.kill()

    def _attempt(self, attempt: Attempt, process: Process) -> None:
        """All of one attempt, in its thread. Whatever goes wrong becomes an outcome."""
        try:
            outcome = self._outcome(attempt, process)
        except BaseException as error:
            log.exception("step %s", attempt.node_id)
            outcome = failed(f"{type(error).__name__}: {error}", FailureClass.UNKNOWN)
        if process.cancelled:
            outcome = failed(TERMINATED, FailureClass.UNKNOWN)
        outcome = self._without_secrets(outcome)
        if outcome.state is State.SUCCESS:
            self.outputs[attempt.node_id.removeprefix("step.")] = outcome.output
        try:
            self._end(attempt, outcome)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _without_secrets(self, outcome: Outcome) -> Outcome:
        """The outcome as it may be written and shown."""
        secrets = secrets_of(self._environ)
        return replace(
            outcome,
            message=scrubber(secrets)(outcome.message),
            output=hidden(outcome.output, secrets),
            details=hidden(outcome.details, secrets),
        )

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        with self._lock:
            del self._running[attempt]
        self._emit(Finished(attempt, outcome))

    def _outcome(self, attempt: Attempt, process: Process) -> Outcome:
        try:
            path = self._log_path(attempt)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            return _unwritable("the log", error)
        outcome = self._without_secrets(self._executed(attempt, process, path))
        if outcome.state is not State.SUCCESS:
            with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
                file.write(f"{outcome.state.value}: {outcome.message}\n")
        return outcome

    def _executed(self, attempt: Attempt, process: Process, path: Path) -> Outcome:
        try:
            prepared = self._prepared(self._specs[attempt.node_id], attempt)
        except (TemplateError, StepError) as error:
            return failed(str(error), FailureClass.CODE)
        if isinstance(prepared, Outcome):
            return prepared
        # A private folder: the context holds what the user put into params.
        prefix = re.sub(r"[^\w.-]+", "_", f"{attempt.node_id}-{attempt.number}-")
        try:
            self._work_dir.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self._work_dir))
        except OSError as error:
            return _unwritable("its folder", error)
        try:
            files = _files(folder, prepared.told)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            return _unwritable("its context", error)
        try:
            return self._in_process(attempt, prepared, process, files, path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _prepared(self, spec: StepSpec, attempt: Attempt) -> _Prepared | Outcome:
        """Everything that is rendered just before an attempt; an outcome if ``when`` says no."""
        told = describe(self._context, spec.name, attempt, self.outputs)

        def rendered(template: Any, *, native: bool = False) -> Any:
            return render(
                template,
                env=self._environ,
                vars=told["vars"],
                run=run_of(told),
                outputs=told["outputs"],
                extra={"target": told["target"], "params": told["params"]},
                native=native,
            )

        if spec.when is not None and str(rendered(spec.when)).strip().lower() in _NO:
            return Outcome(state=State.SKIPPED, message=f"when: {spec.when} is empty or false")
        told["params"] = plain(rendered(spec.params, native=True))
        command = catalog.find(spec.type).command(
            spec.action, Call(context=told, python=self._python, render=rendered)
        )
        env = {key: str(value) for key, value in rendered(spec.env).items()}
        return _Prepared(told=told, command=command, env={**env, **command.env})

    def _in_process(
        self,
        attempt: Attempt,
        prepared: _Prepared,
        process: Process,
        files: Mapping[str, Path],
        path: Path,
    ) -> Outcome:
        command = prepared.command
        env = {
            **self._environ,
            "PYTHONUNBUFFERED": "1",  # or a command's prints come when it is over
            **prepared.env,
            **environment(prepared.told),
            MARK: self._guard.mark,
            **{f"DBTORCH_{name}": str(file) for name, file in files.items()},
        }
        try:
            status = process.run(
                command.argv,
                cwd=self._context.project_dir,
                env=env,
                log=path,
                stdin=command.stdin,
                started=lambda: self._emit(Started(attempt)),
                secrets=secrets_of(env),
            )
        except OSError as error:
            reason = f"{error.strerror or error}: {error.filename or command.argv[0]}"
            return failed(f"the process cannot start: {reason}", _class_of(error))
        if status is None:
            return failed(TERMINATED, FailureClass.UNKNOWN)
        if command.result and files["RESULT"].exists():
            return of_result(files["RESULT"].read_text(encoding="utf-8"), self._rules)
        output = None if command.result else files["OUTPUT"]
        return of_exit(status, said=last_line(path), output=output, rules=self._rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A step, rendered."""

    told: Mapping[str, Any]
    command: Command
    env: Mapping[str, str]


def _files(folder: Path, told: Mapping[str, Any]) -> dict[str, Path]:
    """What a process is told, written, and where it may answer. Raises `OSError`."""
    files = {name: folder / f"{name.lower()}.json" for name in ("CONTEXT", "OUTPUT", "RESULT")}
    private = os.open(files["CONTEXT"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(private, "w", encoding="utf-8") as out:
        json.dump(told, out)
    return files


def _unwritable(what: str, error: OSError) -> Outcome:
    where = f" in {error.filename}" if error.filename else ""
    reason = f"{what} of the attempt cannot be written{where} ({error.strerror})"
    return failed(reason, _class_of(error))


def _class_of(error: OSError) -> FailureClass:
    """A program that is not there stays away; a machine without memory or processes recovers."""
    missing = (FileNotFoundError, PermissionError, NotADirectoryError)
    return FailureClass.CODE if isinstance(error, missing) else FailureClass.TRANSIENT
