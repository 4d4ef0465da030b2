"""A backfill without `dbtorch serve`: the command itself starts its runs, until it is over."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from dbtorch.core.errors import StoreError
from dbtorch.core.schedule.backfill import Backfill, BackfillState
from dbtorch.core.schedule.ledger import LedgerView, ScheduleKey, SkipReason
from dbtorch.schedule.children import DBTORCH, Child, Starter
from dbtorch.schedule.lane import Lane
from dbtorch.schedule.log import Log
from dbtorch.schedule.scheduler import Scheduler
from dbtorch.service.run.lease import lease_lifetime
from dbtorch.service.schedule.backfills import driver_of, serving

if TYPE_CHECKING:
    from dbtorch.ports.store import Store

#: Seconds between two looks at what others may have changed.
_LOOK_EVERY = 1.0

#: Seconds after which a database that does not answer is asked again.
_ASK_AGAIN = 5.0

#: Seconds that runs have beyond their grace.
_AFTER_GRACE = 7.0


class _Nobody:
    """Counts nothing."""

    def started(self, key: ScheduleKey, late: float) -> None:
        """A run was started."""

    def skipped(self, key: ScheduleKey, reason: SkipReason) -> None:
        """A tick was skipped."""

    def turned(self, view: LedgerView) -> None:
        """A turn was made."""


@dataclass(slots=True, kw_only=True)
class Driver:
    """Drives one backfill. ``told`` hears of it after each turn."""

    store: Store
    project_dir: Path
    grace: float
    log: Log
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    program: tuple[str, ...] = DBTORCH
    told: Callable[[Backfill], None] = lambda _: None
    received: int = 0  # the signal that has ended it

    def drive(self, id: str) -> Backfill:
        """Run what is left of a backfill until it is over, or paused, or a signal comes.

        Answers how it stands then. Raises `StoreError`.
        """
        events: queue.SimpleQueue[Child | int] = queue.SimpleQueue()
        starter = Starter(
            program=self.program,
            project_dir=self.project_dir,
            environ=self.environ,
            grace=None,
            log=self.log,
            on_line=_unheard,
            on_end=events.put,
        )
        lane = Lane(store=self.store, starter=starter, log=self.log, only=id)
        scheduler = Scheduler(
            store=self.store,
            starter=starter,
            log=self.log,
            observer=_Nobody(),
            max_runs=0,
            lifetime=lease_lifetime(self.environ),
            lane=lane,
            kind=driver_of(id),
        )
        with _signals(events, lane):
            try:
                self._until_over(id, scheduler, lane, events)
            finally:
                self._end(scheduler, lane, events)
        return self._known(id)

    def _until_over(
        self, id: str, scheduler: Scheduler, lane: Lane, events: queue.SimpleQueue[Child | int]
    ) -> None:
        while True:
            rest = _LOOK_EVERY
            try:
                scheduler.turn()
                one = self._known(id)
                self.told(one)
                if not lane.children and one.state is not BackfillState.ACTIVE:
                    return
            except StoreError as error:
                self.log.write("store_failed", level="error", message=str(error))
                rest = _ASK_AGAIN
            try:
                event = events.get(timeout=rest)
            except queue.Empty:
                continue
            if isinstance(event, int):
                self.received = event
                return
            self._heard(lane, event)

    def _known(self, id: str) -> Backfill:
        return next(one for one in self.store.backfills(over=True) if one.id == id)

    def _heard(self, lane: Lane, child: Child) -> None:
        """What has become of a run that could not begin is written later where that fails."""
        try:
            lane.ended(child)
        except StoreError as error:
            self.log.write("store_failed", level="error", message=str(error))

    def _end(
        self, scheduler: Scheduler, lane: Lane, events: queue.SimpleQueue[Child | int]
    ) -> None:
        """Leave what goes on to whoever comes next; its runs end, whatever the history says."""
        try:
            lane.give_back()
        except StoreError as error:  # whoever comes next sees that its runs are gone
            self.log.write("store_failed", level="error", message=str(error))
        for end in (Child.ask_to_end, Child.kill):
            for child in list(lane.children.values()):
                end(child)
            until = time.monotonic() + self.grace + _AFTER_GRACE
            while lane.children and time.monotonic() < until:
                with suppress(queue.Empty):
                    event = events.get(timeout=max(0.0, until - time.monotonic()))
                    if isinstance(event, Child):
                        self._heard(lane, event)
        scheduler.leave()


def _unheard(child: Child, said: dict[str, Any]) -> None:
    """What a run says is in its own log."""


@contextmanager
def _signals(events: queue.SimpleQueue[Child | int], lane: Lane) -> Iterator[None]:
    """Hand on the first signal; the second one leaves at once, as of a run."""
    received = False

    def heard(number: int, _: FrameType | None) -> None:
        nonlocal received
        if received:
            for child in lane.children.values():
                child.kill()
            os._exit(128 + number)
        received = True
        events.put(number)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server_of(store: Store) -> str:
    """The host of a `dbtorch serve` of this project that lives; empty where there is none."""
    leases = store.ledger().leases
    return next((one.host for name, one in leases.items() if name.startswith(serving(store))), "")
