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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.processes.kept_process import KeeperLost, Process
from dbtorch.adapters.steps.base import Call, Command, Render, StepError
from dbtorch.adapters.steps.catalog import STEP_TYPES
from dbtorch.adapters.steps.context import describe, environment, plain, run_of
from dbtorch.adapters.steps.outcome import failed, last_line, of_exit, of_process
from dbtorch.adapters.tasks import Tasks
from dbtorch.adapters.template import render
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.config import GRACE, StepSpec
from dbtorch.core.failures.scrub import (
    Scrubber,
    named_secrets,
    secrets_of,
    url_secrets,
    url_templates,
)
from dbtorch.core.history.records import OUTPUT_HIDDEN
from dbtorch.core.model.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import AT_ONCE

if TYPE_CHECKING:
    from dbtorch.core.failures.evidence import Rule
    from dbtorch.ports.loop import Emit
    from dbtorch.ports.steps import StepContext

log = logging.getLogger(__name__)

#: What ``when`` renders to where a step is not to run.
_NO = frozenset({"", "false", "none", "0"})

#: Whether what a step waits for holds, with what renders its templates.
Look = Callable[[StepSpec, Render], Outcome]

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
        hide: Scrubber | None = None,
        keep: Callable[[str, Any], None] = lambda _name, _output: None,
        look: Look | None = None,
    ) -> None:
        """``python`` is the project's interpreter, ``outputs`` what earlier executions left.

        ``hide`` knows secrets besides those of the environment; ``keep`` is given a step's name
        and its output where that holds some, because the history has them hidden.
        ``look`` looks at what a step waits for.

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
        self._hide = (hide or Scrubber()).knowing(secrets_of(environ))
        self._keep = keep
        self._look = look
        self._looks = Tasks(AT_ONCE, "dbtorch-wait")
        self._said: dict[str, str] = {}  # of steps that wait, what they have said last
        self._knows_steps = False
        self._lock = threading.Lock()
        self._running: dict[Attempt, Process] = {}
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once."""
        for attempt in batch.attempts:
            spec = self._specs.get(attempt.node_id)
            if spec is not None and spec.wait is not None:
                self._looks.submit(partial(self._look_at, attempt))
                continue
            process = Process(grace=self._grace)
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
            self._looks.close()
            running, threads = list(self._running.values()), list(self._threads)
        for process in running:
            process.cancel()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def kill(self) -> None:
        """End every process at once and wait for nothing; without a lock, for signal handlers."""
        self._closed = True
        for process in tuple(self._running.values()):
            process.kill()

    def _look_at(self, attempt: Attempt) -> None:
        """One look at what a step waits for: a short task, and no attempt of its own."""
        self._emit(Started(attempt))
        try:
            outcome = self._looked(attempt)
        except (TemplateError, StepError) as error:
            outcome = failed(str(error), FailureClass.CODE)
        except Exception as error:
            log.exception("step %s", attempt.node_id)
            outcome = failed(f"{type(error).__name__}: {error}", FailureClass.UNKNOWN)
        shown = self._without_secrets(outcome)
        if self._said.get(attempt.node_id) != shown.message:
            self._said[attempt.node_id] = shown.message
            with contextlib.suppress(OSError):
                path = self._log_path(attempt)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{shown.message}\n")
        self._emit(Finished(attempt, shown))

    def _looked(self, attempt: Attempt) -> Outcome:
        spec = self._specs[attempt.node_id]
        told = describe(self._context, spec.name, attempt, self.outputs)
        rendered = self._renderer(told)
        if _is_left_out(spec, rendered):
            return Outcome(state=State.SKIPPED, message=f"when: {spec.when} is empty or false")
        if self._look is None:
            raise StepError("nothing here looks at what a step waits for")
        return self._look(spec, rendered)

    def _attempt(self, attempt: Attempt, process: Process) -> None:
        """All of one attempt, in its thread. Whatever goes wrong becomes an outcome."""
        try:
            outcome = self._outcome(attempt, process)
        except BaseException as error:
            log.exception("step %s", attempt.node_id)
            outcome = failed(f"{type(error).__name__}: {error}", FailureClass.UNKNOWN)
        if process.cancelled:
            outcome = failed(TERMINATED, FailureClass.UNKNOWN)
        shown = self._without_secrets(outcome)
        if outcome.state is State.SUCCESS:
            self._hand_on(self._specs[attempt.node_id].name, outcome.output, shown.output)
        try:
            self._end(attempt, shown)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _without_secrets(self, outcome: Outcome) -> Outcome:
        """The outcome as it may be written and shown; it says so if that is another output."""
        hide = self._hide
        output, details = hide.json(outcome.output), dict(hide.json(outcome.details))
        if output != outcome.output:
            details |= {OUTPUT_HIDDEN: True}
        return replace(outcome, message=hide(outcome.message), output=output, details=details)

    def _hand_on(self, name: str, output: Any, shown: Any) -> None:
        """Let later steps have an output as it is, also those of a retry."""
        self.outputs[name] = output
        if shown != output:
            try:
                self._keep(name, output)
            except OSError as error:  # a retry says that it cannot go on
                log.warning("the output of step %s is not kept for a retry: %s", name, error)

    def _learn_of_steps(self) -> None:
        """Know what steps are given, also those that have run in an earlier execution."""
        with self._lock:
            known, self._knows_steps = self._knows_steps, True
        if known:
            return
        found: list[str] = []
        for spec in self._specs.values():
            own = named_secrets({**spec.params, **spec.env})
            urls = url_templates([spec.params, spec.env, spec.action])
            if own or urls:
                told = describe(self._context, spec.name, Attempt(spec.id, 1), {})
                for value in own:
                    with contextlib.suppress(TemplateError):  # it speaks of an output
                        found.append(str(self._renderer(told)(value)))
                for value in urls:
                    with contextlib.suppress(TemplateError):
                        found += url_secrets(str(self._renderer(told)(value)))
        self._learn(found)

    def _learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on as well: a step may say what another one was given."""
        with self._lock:
            self._hide = self._hide.knowing(secrets)

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
        outcome = self._executed(attempt, process, path)
        if outcome.state is not State.SUCCESS:
            said = self._hide(outcome.message)
            with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
                file.write(f"{outcome.state.value}: {said}\n")
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

    def _renderer(self, told: Mapping[str, Any]) -> Render:
        """Renders templates of a step that is told this."""
        run = run_of(told)

        def rendered(template: Any, *, native: bool = False) -> Any:
            return render(
                template,
                env=self._environ,
                vars=told["vars"],
                run=run,
                outputs=told["outputs"],
                extra={"target": told["target"], "params": told["params"]},
                native=native,
            )

        return rendered

    def _prepared(self, spec: StepSpec, attempt: Attempt) -> _Prepared | Outcome:
        """Everything that is rendered just before an attempt; an outcome if ``when`` says no."""
        self._learn_of_steps()
        told = describe(self._context, spec.name, attempt, self.outputs)
        rendered = self._renderer(told)
        if _is_left_out(spec, rendered):
            return Outcome(state=State.SKIPPED, message=f"when: {spec.when} is empty or false")
        told["params"] = {**told["params"], **plain(rendered(spec.params, native=True))}
        command = STEP_TYPES.find(spec.type).command(
            spec.action, Call(context=told, python=self._python, render=rendered)
        )
        env = {key: str(value) for key, value in rendered(spec.env).items()}
        named = named_secrets({**told["params"], **env})
        urls = url_secrets([told["params"], env, list(command.argv)])
        self._learn([*secrets_of(env), *named, *urls, *command.secrets])
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
                hide=self._hide,
                scratch=files["CONTEXT"].parent,
            )
        except OSError as error:
            reason = f"{error.strerror or error}: {error.filename or command.argv[0]}"
            return failed(f"the process cannot start: {reason}", _class_of(error))
        except KeeperLost as error:
            return failed(str(error), FailureClass.TRANSIENT)
        if status is None:
            return failed(TERMINATED, FailureClass.UNKNOWN)
        for pid in process.left:
            log.warning("%s: process %d of it cannot be ended", attempt.node_id, pid)
        said = last_line(path)
        if command.result:
            result = files["RESULT"]
            return of_process(status, result=result, said=said, rules=self._rules, hide=self._hide)
        return of_exit(status, said=said, output=files["OUTPUT"], rules=self._rules)


def _is_left_out(spec: StepSpec, rendered: Render) -> bool:
    return spec.when is not None and str(rendered(spec.when)).strip().lower() in _NO


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
