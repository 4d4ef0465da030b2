"""`dbtorch worker`: executes steps of a project's runs that are driven elsewhere."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from dbtorch.adapters.processes import subreaper
from dbtorch.adapters.processes.liveness import this_host
from dbtorch.adapters.steps.carried import context_of
from dbtorch.adapters.steps.outcome import failed
from dbtorch.adapters.steps.runner import TERMINATED, StepRunner
from dbtorch.core.config import StepSpec
from dbtorch.core.errors import DbtorchError, StoreError
from dbtorch.core.history.records import OUTPUT_HIDDEN
from dbtorch.core.model.events import Batch, Finished, Outcome, Report, Started
from dbtorch.core.model.offer import Offer
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.offers import Offers
from dbtorch.ports.queue import Queue
from dbtorch.service.project.known_secrets import scrubber_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.worker.hold import EVERY, Hold

log = logging.getLogger(__name__)

#: Told of what happens: a word, and what there is to say of it.
Note = Callable[..., None]


@dataclass(slots=True)
class _InHand:
    """An attempt that is executed here."""

    hold: Hold
    runner: StepRunner


class StepWorker:
    """Takes attempts of some queues of one project; each in a process of its own, as locally."""

    def __init__(
        self,
        project_dir: Path,
        store: Offers,
        messages: Queue,
        *,
        addresses: Mapping[str, str],
        lifetime: timedelta,
        note: Note = lambda _event, **_: None,
        grace: float | None = None,
        environ: Mapping[str, str] = os.environ,
        every: float = EVERY,
    ) -> None:
        """``addresses`` says what each queue is called among all projects.

        ``lifetime`` is how long an attempt is this worker's without a word of it. ``grace`` is
        the project's by default, seconds.
        """
        self.name = f"{this_host()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._project_dir = project_dir
        self._store = store
        self._messages = messages
        self._addresses = addresses
        self._lifetime = lifetime
        self._note = note
        self._grace = grace
        self._environ = environ
        self._every = every
        self._lock = threading.Lock()
        self._in_hand: dict[str, _InHand] = {}
        self._stopped = False
        self._ended = ""

    def serve(self, at_once: int) -> None:
        """Work until `stop`; returns when nothing is in hand."""
        try:
            self._messages.serve([*self._addresses.values()], self.work, at_once=at_once)
        finally:
            self._messages.close()

    def stop(self) -> None:
        """Take nothing more; what is in hand goes on to its end."""
        self._stopped = True
        self._messages.stop()

    def end(self, why: str) -> None:
        """Have what is in hand end as well; a supervisor may try it again."""
        self._ended = why
        for one in self._now():
            one.hold.end(why)

    def kill(self) -> None:
        """End every process at once; takes no lock."""
        for one in tuple(self._in_hand.values()):
            one.runner.kill()

    def bury(self) -> None:
        """Bury orphans of steps that have ended: a worker goes on for long."""
        subreaper.bury()

    def work(self, token: str) -> None:
        """One message: an attempt from its claim to its report, if there is anything to claim."""
        if self._stopped:  # its supervisor sends it again, to others
            return
        asked = time.monotonic()
        try:
            offer = self._store.claim_offer(token, self.name, self._lifetime)
        except StoreError as error:
            log.warning("an attempt was not claimed: %s", error)
            return
        if offer is None:
            self._note("nothing_to_claim", token=token)
            return
        told = {"run_id": offer.run_id, "node": offer.attempt.node_id, "queue": offer.queue}
        told = {**told, "attempt": str(offer.attempt.number)}
        self._note("attempt_claimed", **told)
        outcome, ours = self._executed(offer, asked)
        self._note(
            "attempt_ended" if ours else "attempt_not_reported",
            level="info" if ours else "warning",
            state=outcome.state.value,
            message=outcome.message,
            **told,
        )

    def _now(self) -> Sequence[_InHand]:
        with self._lock:
            return list(self._in_hand.values())

    def _executed(self, offer: Offer, asked: float) -> tuple[Outcome, bool]:
        """How an attempt ended, and whether that was this worker's to say."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="dbtorch-worker-"))
        except OSError as error:  # the next attempt may find more room, or another worker
            why = f"worker {self.name} cannot execute it: {error}"
            outcome = failed(why, FailureClass.TRANSIENT)
            return outcome, self._store.report(offer.token, self.name, outcome)
        try:
            return self._executed_in(folder, offer, asked)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _executed_in(self, folder: Path, offer: Offer, asked: float) -> tuple[Outcome, bool]:
        log_file = folder / "log"
        hold = Hold(
            self._store,
            offer,
            self.name,
            self._lifetime,
            log_file,
            claimed=asked,
            every=self._every,
        )
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

        def heard(event: Report) -> None:
            if isinstance(event, Started):
                hold.began()
            elif isinstance(event, Finished):
                outcomes.put(event.outcome)

        with hold:
            outcome = self._begun(offer, hold, folder, log_file, heard)
            if outcome is None:
                outcome = outcomes.get()
            with self._lock:
                one = self._in_hand.pop(offer.token, None)
            if one is not None:
                one.runner.close()
            outcome = _judged(outcome, hold)
            return outcome, hold.report(outcome)

    def _begun(
        self,
        offer: Offer,
        hold: Hold,
        folder: Path,
        log_file: Path,
        emit: Callable[[Report], None],
    ) -> Outcome | None:
        """Start an attempt; answers how it ended if it never did start."""
        try:
            runner = self._runner(offer, folder, log_file, emit)
        except DbtorchError as error:
            said = " ".join(str(error).split())
            return failed(f"worker {self.name} cannot execute it: {said}", FailureClass.CODE)
        except Exception as error:
            log.exception("step %s", offer.attempt.node_id)
            return failed(f"{type(error).__name__}: {error}", FailureClass.UNKNOWN)
        if isinstance(runner, Outcome):
            return runner
        hold.ends(partial(runner.cancel, offer.attempt), runner.kill)
        with self._lock:
            self._in_hand[offer.token] = _InHand(hold, runner)
        if self._ended:
            hold.end(self._ended)
        if not hold.may_begin():
            return failed(TERMINATED, FailureClass.UNKNOWN)
        runner.start(Batch(1, (offer.attempt,)))
        if hold.over:  # since then
            runner.cancel(offer.attempt)
        return None

    def _runner(
        self, offer: Offer, folder: Path, log_file: Path, emit: Callable[[Report], None]
    ) -> StepRunner | Outcome:
        """What executes the attempt, with the project as it is here now; or why it is refused."""
        project = open_project(str(self._project_dir), self._environ)
        specs = {spec.id: spec for spec in project.config.steps.values()}
        refused = _refusal(project, specs.get(offer.attempt.node_id), offer)
        if refused:
            return failed(f"worker {self.name} refuses it: {refused}", FailureClass.CODE)
        context, outputs = context_of(offer.told, project.dir)
        return StepRunner(
            emit,
            project.config.steps,
            context,
            log_path=lambda _: log_file,
            work_dir=folder / "work",
            python=project.python,
            outputs=outputs,
            environ=self._environ,
            grace=project.config.grace if self._grace is None else self._grace,
            failure_classes=project.config.failure_classes,
            hide=scrubber_of(project, environ=self._environ),
        )


def _refusal(project: Project, spec: StepSpec | None, offer: Offer) -> str:
    name = offer.attempt.node_id
    deploy = "deploy the same commit to the run and its workers"
    if spec is None:
        return f"{project.dir} has no {name}; {deploy}"
    if spec.checksum != offer.code:
        codes = f"its code is {spec.checksum[:12]} here and {offer.code[:12]} where the run is"
        return f"{name} is another one here ({codes} driven); {deploy}"
    return ""


def _judged(outcome: Outcome, hold: Hold) -> Outcome:
    """What is said of an attempt that was ended here, or whose output cannot leave the machine."""
    if outcome.state is State.FAILED and hold.why and not hold.called_off:
        return failed(f"{outcome.message}: {hold.why}", FailureClass.TRANSIENT)
    if outcome.state is State.SUCCESS and outcome.details.get(OUTPUT_HIDDEN):
        return failed(
            "it returned a secret, which a worker does not hand on: write it where the next step"
            " can read it, and return where that is",
            FailureClass.CODE,
        )
    return outcome
