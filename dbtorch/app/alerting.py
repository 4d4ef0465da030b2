"""Turns a run into alerts: a listener that only puts things into a queue, and a thread behind it.

Nothing here can stop, slow down or fail a run: what changes is handed over in no time, what goes
wrong is said once, and at the end only a moment is waited for what is still on its way.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from dbtorch.app.delivery import DeliveryWorker
from dbtorch.core.alerts.compose import AlertComposer
from dbtorch.core.alerts.incidents import Incident
from dbtorch.core.alerts.outbox import Delivery, Entry
from dbtorch.core.errors import StoreError
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.events import Changed
from dbtorch.core.model.state import RunState
from dbtorch.ports.loop import Clock
from dbtorch.ports.notifier import Notifier
from dbtorch.ports.store import Outbox

log = logging.getLogger(__name__)

#: Seconds that the end of a run waits for what is on its way; the rest stays in the outbox.
PATIENCE = 2.0

#: Seconds between two updates that only say how far a run is.
PROGRESS_EVERY = 5.0

_TICK = 0.01


@dataclass(frozen=True, slots=True)
class _Ended:
    """The run is over, or somebody else goes on with it."""

    state: RunState | None
    at: datetime


_Item = Sequence[Changed] | Late | _Ended | None


class Alerting:
    """The listener. A context: what begins in it is waited for, but not for long."""

    def __init__(
        self,
        make: Callable[[], AlertComposer],
        store: Outbox,
        notifiers: Mapping[str, Notifier],
        clock: Clock,
        *,
        run_id: str,
        random: Callable[[], float],
        on_left: Callable[[Sequence[Delivery]], None] = lambda _: None,
        patience: float = PATIENCE,
        hide: Callable[[str], str] = str,
    ) -> None:
        """``make`` reads what is known of the run; it is called in the thread.

        ``on_left`` is told of messages that could not be delivered so far; ``hide`` takes secrets
        out of why.
        """
        self._make = make
        self._store = store
        self._clock = clock
        self._run_id = run_id
        self._on_left = on_left
        self._patience = patience
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._couriers = [
            DeliveryWorker(store, name, notifier, clock, random, hide)
            for name, notifier in notifiers.items()
        ]
        self._told_at: datetime | None = None
        self._entries: list[Entry] = []  # not written yet
        self._incidents: list[Incident] = []
        self._thread = threading.Thread(target=self._work, name="dbtorch-alerting", daemon=True)

    def __call__(self, changes: Sequence[Changed]) -> None:
        """Take note; returns at once."""
        if self._couriers:
            self._queue.put(changes)

    def late(self, late: Late) -> None:
        """A deadline was missed or is at risk; returns at once."""
        if self._couriers:
            self._queue.put(late)

    def ended(self, state: RunState | None) -> None:
        """The run is over; None when another plan, told by another listener, goes on with it."""
        self._queue.put(_Ended(state, self._clock.now()))
        if state is None:
            couriers, self._couriers = self._couriers, []
            self._queue.put(None)
            for courier in couriers:
                courier.stop()  # what waits in the outbox is the other listener's

    def __enter__(self) -> Self:
        if self._couriers:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._couriers:
            self._close()

    def _close(self) -> None:
        """Wait a moment for what is on its way, where waiting is of use."""
        until = time.monotonic() + self._patience
        self._queue.put(None)
        self._thread.join(self._patience)
        while time.monotonic() < until and not all(one.settled for one in self._couriers):
            time.sleep(_TICK)
        for courier in self._couriers:
            courier.stop()
        for courier in self._couriers:
            courier.join(_TICK)
        asking = threading.Thread(target=self._say_what_is_left, daemon=True)
        asking.start()
        asking.join(self._patience)  # whatever holds the outbox does not hold the run

    def _say_what_is_left(self) -> None:
        try:
            left = self._store.outbox(run_id=self._run_id, pending=True)
        except StoreError as problem:
            log.warning("nobody knows which alerts are left: %s", problem)
            return
        if left:
            self._on_left(left)

    # ---------------------------------------------------------------- in the thread

    def _work(self) -> None:
        telling = self._begin()
        while True:
            items = self._take()
            if telling is not None:
                try:
                    self._tell(telling, items)
                except StoreError as error:
                    log.warning("alerts cannot be written: %s", error)
                except Exception:
                    log.exception("an alert could not be made; the run goes on")
            if None in items:
                return

    def _begin(self) -> AlertComposer | None:
        try:
            telling = self._make()
            self._keep(telling)
        except StoreError as error:
            log.warning("there are no alerts of this run: %s", error)
            return None
        except Exception:
            log.exception("there are no alerts of this run")
            return None
        for courier in self._couriers:
            courier.start()
        return telling

    def _take(self) -> list[_Item]:
        """Wait for something to happen, or for the time to say something."""
        items: list[_Item] = []
        try:
            items.append(self._queue.get(timeout=PROGRESS_EVERY))
            while True:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            return items

    def _tell(self, telling: AlertComposer, items: Sequence[_Item]) -> None:
        for item in items:
            if isinstance(item, Late):
                telling.late(item)
            elif isinstance(item, _Ended):
                if item.state is not None:
                    telling.ended(item.state, item.at)
            elif item is not None:
                telling.changed(item)
        self._keep(telling)

    def _keep(self, telling: AlertComposer) -> None:
        """Write what there is to tell, progress now and then only; and have it delivered."""
        now = self._clock.now()
        since = self._told_at
        calm = since is None or (now - since).total_seconds() >= PROGRESS_EVERY
        entries, incidents = telling.take(all_cards=calm)
        self._entries += entries
        self._incidents += incidents
        if not self._entries and not self._incidents:
            return
        self._told_at = now
        self._store.alert(self._entries, self._incidents, at=now)  # kept here if it cannot be
        self._entries, self._incidents = [], []
        for courier in self._couriers:
            courier.wake()
