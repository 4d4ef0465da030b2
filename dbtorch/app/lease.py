"""Keeping the lease of a pipeline while a run goes on, and stopping in time when it cannot be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dbtorch.app.inbox import Inbox, Interrupt, StartsPaused
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Lease
from dbtorch.core.model.reason import Reason, ReasonKind

if TYPE_CHECKING:
    from dbtorch.ports.store import Store

log = logging.getLogger(__name__)

#: Renewals in the lifetime of a lease.
RENEWALS = 4

#: Parts of its lifetime that a lease has not been renewed for: from the first on nothing more is
#: started, from the second on the run ends, at the third everything it started is killed. After
#: the whole of it somebody else may have the pipeline.
HELD_BACK, ENDED, KILLED = 1 / 2, 3 / 4, 11 / 12

#: How often that is looked at in the lifetime of a lease.
_LOOKS = 24


class LeaseKeeper:
    """Takes a lease, renews it from a thread of its own, gives it back.

    A second thread watches the first, which may wait for an answer: by this machine's own clock,
    which nobody sets, it knows how long the lease holds at least.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        inbox: Inbox,
        kill: Callable[[], None],
        *,
        formerly: str = "",
    ) -> None:
        """``inbox`` is the run's, ``kill`` ends at once all that it has started.

        ``formerly`` is what a dbtorch of before calls the lease.
        """
        self._store = store
        self.lease = lease
        self.before: Lease | None = None  # who had it, if it was not given back
        self._formerly = formerly
        self._inbox = inbox
        self._kill = kill
        self._lifetime = lease.lifetime.total_seconds()
        self._done = threading.Event()
        self._renewed = time.monotonic()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("dbtorch-lease", self._keep), ("dbtorch-watchman", self._watch))
        ]

    def __enter__(self) -> Self:
        """Take the lease. Raises `LeaseHeld`."""
        self._renewed = time.monotonic()  # before it is asked for, so rather too early
        self.lease, self.before = self._store.acquire(self.lease, formerly=self._formerly)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(5)
        try:
            self._store.release(self.lease)
        except StoreError:
            log.warning("the lease could not be given back; it expires by itself")

    def _keep(self) -> None:
        while not self._done.wait(self._lifetime / RENEWALS):
            asked = time.monotonic()
            try:
                if not self._store.renew(self.lease):
                    self._end("another run took over the lease of this pipeline")
                    return
                self._renewed = asked
            except StoreError as error:
                log.warning("the lease could not be renewed: %s", error)

    def _watch(self) -> None:
        """Hold the run back, end it, kill it, as time goes by without a renewal."""
        stages = (lambda: self._hold_back(True), self._give_up, self._kill)
        tick = self._lifetime / _LOOKS
        passed, looked = 0, time.monotonic()
        while not self._done.wait(tick):
            now = time.monotonic()
            stood_still, looked = now - looked > 3 * tick, now
            if stood_still:  # all of us did, and a renewal may be about to go through
                continue
            alone = (now - self._renewed) / self._lifetime
            reached = sum(alone >= part for part in (HELD_BACK, ENDED, KILLED))
            if passed == 1 and reached == 0:
                self._hold_back(False)
                passed = 0
            while passed < reached:
                stages[passed]()
                passed += 1

    def _hold_back(self, yes: bool) -> None:
        self._inbox.put(StartsPaused(yes))

    def _give_up(self) -> None:
        self._end(
            f"the lease of this pipeline could not be renewed for {self._lifetime * ENDED:g} s, and"
            " another machine may soon take it"
        )

    def _end(self, why: str) -> None:
        """End the run; what it started has until it would be killed."""
        within = (KILLED - ENDED) * self._lifetime
        self._inbox.put(Interrupt(Reason(ReasonKind.LEASE_LOST, text=why), within))
