"""Executes steps on workers of other machines: offers them, and hears in the store how they end.

A step in the hands of a worker costs no thread and no process here, and holds its pools as any
other. Nothing of a supervisor's outlives it: a worker ends what nobody drives, and whoever goes on
with the run waits until it has.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dbtorch.core.errors import LeaseLost, QueueError, StoreError
from dbtorch.core.model.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.model.offer import Offer, OfferState
from dbtorch.core.model.state import FailureClass, State

if TYPE_CHECKING:
    from dbtorch.core.config import StepSpec
    from dbtorch.core.history.records import Lease
    from dbtorch.ports.loop import Emit
    from dbtorch.ports.offers import Offers
    from dbtorch.ports.queue import Queue

log = logging.getLogger(__name__)

#: Seconds between two looks at what workers have in hand: one short query.
LOOK_EVERY = 0.5

#: Seconds after which workers are told again of an attempt that nobody has claimed: whoever took
#: the message may have died with it.
SEND_AGAIN = 20.0

#: Seconds after the lease of a worker within which `close` must have heard of its end.
_PATIENCE = 30.0

#: Message of an attempt that was ended from outside, as the runner of local steps has it.
TERMINATED = "terminated"


@dataclass(slots=True)
class _Remote:
    """An attempt in hand."""

    attempt: Attempt
    token: str = field(default_factory=lambda: os.urandom(12).hex())
    offered: bool = False
    started: bool = False
    called_off: bool = False
    heard: bool = False  # the store knows that it is called off
    sent_at: float | None = None
    pieces: int = 0  # of its log, that are here


class RemoteSteps:
    """Implements `Steps` for those that name a queue."""

    def __init__(
        self,
        emit: Emit,
        specs: Mapping[str, StepSpec],
        *,
        store: Offers,
        queue: Queue,
        lease: Lease,
        address: Callable[[str], str],
        told: Callable[[StepSpec], Mapping[str, Any] | Outcome],
        outputs: dict[str, Any],
        log_to: Callable[[Attempt, str], None],
        before: Collection[str] = (),
        every: float = LOOK_EVERY,
    ) -> None:
        """``specs`` by the id of the node. ``store`` is for nobody else to wait for.

        ``lease`` is the supervisor's, and ``before`` are runs whose supervisors are known to be
        gone. ``address`` says what a queue of the project is called among all projects; ``told``
        what a step is told, or why it cannot be; ``log_to`` takes what an attempt puts out;
        successes leave their outputs in ``outputs``.
        """
        self._emit = emit
        self._specs = specs
        self._store = store
        self._queue = queue
        self._lease = lease
        self._address = address
        self._told = told
        self._outputs = outputs
        self._log_to = log_to
        self._before = before
        self._every = every
        self._news = threading.Condition()
        self._open: dict[Attempt, _Remote] = {}
        self._alone = False  # nothing of an earlier supervisor is at work any more
        self._closed = False
        self._deaf = False
        self._fresh = False  # there is something to do at once
        self._thread: threading.Thread | None = None

    def start(self, batch: Batch) -> None:
        """Offer a batch; returns at once."""
        with self._news:
            for attempt in batch.attempts:
                self._open[attempt] = _Remote(attempt, called_off=self._closed)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="dbtorch-offers", daemon=True
                )
                self._thread.start()
            self._fresh = True
            self._news.notify_all()

    def cancel(self, attempt: Attempt) -> None:
        """Have an attempt end; it still reports how it did."""
        with self._news:
            remote = self._open.get(attempt)
            if remote is not None:
                remote.called_off = True
            self._fresh = True
            self._news.notify_all()

    def kill(self) -> None:
        """Wait for nothing: workers end what nobody drives any more."""
        self._closed = True

    def close(self) -> None:
        """Have everything end; returns when it has, or when no worker may be at work any more."""
        with self._news:
            self._closed = True
            for remote in self._open.values():
                remote.called_off = True
            self._fresh = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(self._lease.lifetime.total_seconds() + _PATIENCE)
        self._queue.close()

    # ---------------------------------------------------------------- in the thread

    def _watch(self) -> None:
        while self._waited():
            try:
                self._turn()
                self._deaf = False
            except LeaseLost as error:
                for remote in self._in_hand():
                    self._finish(remote, _lost(str(error)))
            except StoreError as error:  # the lease of the run ends it, if that goes on
                if not self._deaf:
                    log.warning("nothing is heard of steps on workers: %s", error)
                self._deaf = True
            except Exception as error:
                log.exception("steps on workers")
                for remote in self._in_hand():  # what a worker has of them is called off
                    why = f"{type(error).__name__}: {error}"
                    self._finish(remote, _failed(why, FailureClass.UNKNOWN))

    def _waited(self) -> bool:
        """Wait until it is time to look; False when nothing is left to look at."""
        with self._news:
            if not self._open:
                self._news.wait_for(lambda: self._open or self._closed)
            elif not self._fresh or self._deaf:
                self._news.wait(self._every)
            self._fresh = False
            return bool(self._open)

    def _in_hand(self) -> list[_Remote]:
        with self._news:
            return list(self._open.values())

    def _turn(self) -> None:
        if not self._alone:
            self._alone = not self._store.orphans(self._lease, self._before)
        self._call_off()
        busy = self._hear()
        for remote in self._in_hand():
            if remote.called_off and not remote.offered:
                self._finish(remote, _terminated())
            elif not remote.offered and self._alone and remote.attempt.node_id not in busy:
                self._offer(remote)

    def _offer(self, remote: _Remote) -> None:
        """Write an offer, then send word of it; again with the same token if that failed."""
        spec = self._specs[remote.attempt.node_id]
        try:
            told = self._told(spec)
        except Exception as error:
            log.exception("step %s", spec.name)
            told = _failed(f"{type(error).__name__}: {error}", FailureClass.UNKNOWN)
        if isinstance(told, Outcome):
            self._finish(remote, told)
            return
        offer = Offer(
            token=remote.token,
            run_id=self._lease.run_id,
            attempt=remote.attempt,
            queue=spec.queue,
            code=spec.checksum,
            told=told,
        )
        self._store.offer(offer, self._lease)
        remote.offered = True
        self._send(remote)

    def _send(self, remote: _Remote) -> None:
        queue = self._specs[remote.attempt.node_id].queue
        again = remote.sent_at is not None
        remote.sent_at = time.monotonic()
        try:
            self._queue.send(self._address(queue), remote.token)
        except QueueError as error:  # it waits for a worker, and is sent again
            if not again:
                log.warning("step %s: %s", self._specs[remote.attempt.node_id].name, error)

    def _call_off(self) -> None:
        known = [one for one in self._in_hand() if one.offered]
        asked = [one for one in known if one.called_off and not one.heard]
        self._store.call_off([one.token for one in asked])
        for one in asked:
            one.heard = True

    def _hear(self) -> set[str]:
        """Look at all that is offered, and tell what has become of it.

        Answers nodes of which a worker still has an attempt that nobody here has in hand.
        """
        mine = {one.token: one for one in self._in_hand() if one.offered}
        found = {offer.token: offer for offer in self._store.offers(self._lease)}
        for token, remote in mine.items():
            offer = found.pop(token, None)
            if offer is None:
                self._finish(remote, _lost("the history does not know the attempt any more"))
                continue
            if offer.state is OfferState.OFFERED and self._is_late(remote):
                self._send(remote)
            if offer.started_at is not None and not remote.started:
                remote.started = True
                self._emit(Started(remote.attempt))
            if remote.started:
                self._copy_log(remote)
            outcome = _outcome(offer)
            if outcome is not None:
                self._finish(remote, outcome)
                self._store.settle([token])
        if found:
            self._store.call_off(found)
            self._store.settle(found)
        return {offer.attempt.node_id for offer in found.values()}

    def _is_late(self, remote: _Remote) -> bool:
        return remote.sent_at is None or time.monotonic() - remote.sent_at >= SEND_AGAIN

    def _copy_log(self, remote: _Remote) -> None:
        for number, text in self._store.said(remote.token, after=remote.pieces):
            remote.pieces = number
            self._write(remote.attempt, text)

    def _write(self, attempt: Attempt, text: str) -> None:
        """A log that cannot be written is no reason to say anything else of an attempt."""
        try:
            self._log_to(attempt, text)
        except OSError as error:
            log.warning("the log of %s is not complete: %s", attempt.node_id, error)

    def _finish(self, remote: _Remote, outcome: Outcome) -> None:
        with self._news:
            if self._open.pop(remote.attempt, None) is None:
                return
        spec = self._specs[remote.attempt.node_id]
        if outcome.state is State.SUCCESS:
            self._outputs[spec.name] = outcome.output
        if outcome.state is not State.SUCCESS and not remote.started:
            self._write(remote.attempt, f"{outcome.state.value}: {outcome.message}\n")
        self._emit(Finished(remote.attempt, outcome))


def _outcome(offer: Offer) -> Outcome | None:
    """What came of an offer; None while it is open."""
    if offer.state is OfferState.ENDED:
        return offer.outcome or _failed("its worker did not say how it ended", FailureClass.UNKNOWN)
    if offer.state is OfferState.LOST:
        return _lost(f"worker {offer.worker} was not heard of in time")
    if offer.state is OfferState.WITHDRAWN:
        return _terminated()
    return None


def _failed(message: str, failure_class: FailureClass, **more: Any) -> Outcome:
    return Outcome(state=State.FAILED, message=message, failure_class=failure_class, **more)


def _lost(message: str) -> Outcome:
    return _failed(message, FailureClass.TRANSIENT, lost=True)


def _terminated() -> Outcome:
    return _failed(TERMINATED, FailureClass.UNKNOWN)
