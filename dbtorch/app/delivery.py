"""Delivers what waits in the outbox: a thread for each notifier, so that none waits for another."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta

from dbtorch.core.alerts.outbox import TRIED_FOR, Delivery, next_try
from dbtorch.core.errors import StoreError
from dbtorch.ports.loop import Clock
from dbtorch.ports.notifier import NotDelivered, Notifier
from dbtorch.ports.store import Outbox

log = logging.getLogger(__name__)

#: How long a process that sends a message is believed to be at it; several requests, seconds.
CLAIM = timedelta(seconds=90)

#: Seconds after which an answer that has not come is not waited for at the end of a run.
SLOW = 1.0

#: Messages to one place at once, and after that seconds between two. Slack allows one a second
#: in a channel, and short bursts: https://docs.slack.dev/apis/web-api/rate-limits.
BURST = 8
PACE = 1.0

#: Seconds between two looks for what others have left in the outbox.
_LOOK_EVERY = 30.0


def deliver_one(
    store: Outbox,
    name: str,
    notifier: Notifier,
    clock: Clock,
    random: Callable[[], float],
    *,
    due: datetime,
    since: datetime,
    hide: Callable[[str], str] = str,
) -> tuple[Delivery, NotDelivered | None] | None:
    """Send the next message and write what came of it; None when nothing waits.

    ``hide`` takes secrets out of why it was not sent.
    """
    now = clock.now()
    delivery = store.claim(name, now=now, until=now + CLAIM, due=due, since=since)
    if delivery is None:
        return None
    entry = delivery.entry
    thread = store.message(name, entry.address, entry.thread) if entry.thread else None
    try:
        receipt = notifier.deliver(delivery, thread)
    except NotDelivered as error:
        refused = error
    except Exception as error:  # a notifier of somebody else, or a bug: the next one may work
        log.exception("notifier %s failed", name)
        refused = NotDelivered(f"{type(error).__name__}: {error}", hopeless=True, unsure=True)
    else:
        store.delivered(delivery, receipt, clock.now())
        return delivery, None
    refused = _without_secrets(refused, hide)
    again = next_try(
        delivery.tries + 1,
        clock.now(),
        random,
        asked=refused.retry_after,
        hopeless=refused.hopeless,
    )
    store.not_delivered(delivery, str(refused), again, unsure=refused.unsure)
    return delivery, refused


def _without_secrets(refused: NotDelivered, hide: Callable[[str], str]) -> NotDelivered:
    return NotDelivered(
        hide(str(refused)),
        retry_after=refused.retry_after,
        hopeless=refused.hopeless,
        unsure=refused.unsure,
    )


class DeliveryWorker:
    """One notifier at work in a thread of its own."""

    def __init__(
        self,
        store: Outbox,
        name: str,
        notifier: Notifier,
        clock: Clock,
        random: Callable[[], float],
        hide: Callable[[str], str] = str,
    ) -> None:
        self._hide = hide
        self._store = store
        self._name = name
        self._notifier = notifier
        self._clock = clock
        self._random = random
        self._bell = threading.Event()
        self._stopped = False
        self._asleep = False
        self._idle = False  # nothing is left that could be sent now
        self._busy_since: datetime | None = None
        self._held_until: datetime | None = None  # the other side asked for peace, or is down
        self._sent: defaultdict[str, deque[datetime]] = defaultdict(deque)
        self._thread = threading.Thread(
            target=self._work, name=f"dbtorch-alerts-{name}", daemon=True
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._bell.set()

    def stop(self) -> None:
        """Take nothing more; what is on its way goes on as long as the process lives."""
        self._stopped = True
        self._bell.set()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most so long."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def settled(self) -> bool:
        """Whether waiting is of no use: nothing is left, or the other side is down or slow."""
        since = self._busy_since
        slow = since is not None and (self._clock.now() - since).total_seconds() > SLOW
        called = self._bell.is_set()  # first: it falls silent after the courier has got up
        return (self._asleep and not called) or slow or not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopped:
            try:
                wait = self._turn()
            except StoreError as error:
                log.warning("alerts cannot be read or written: %s", error)
                self._idle, wait = True, _LOOK_EVERY
            except Exception:
                log.exception("alerts are not delivered")
                self._idle, wait = True, _LOOK_EVERY
            if wait > 0 and not self._stopped:
                self._sleep(wait)

    def _sleep(self, seconds: float) -> None:
        self._asleep = self._idle
        self._bell.wait(seconds)
        self._asleep = False
        self._bell.clear()

    def _turn(self) -> float:
        """Send one message; answers the seconds until there may be another."""
        now = self._clock.now()
        self._idle = True
        if self._held_until is not None and now < self._held_until:
            return (self._held_until - now).total_seconds()
        self._busy_since = now
        try:
            done = deliver_one(
                self._store,
                self._name,
                self._notifier,
                self._clock,
                self._random,
                due=now,
                since=now - TRIED_FOR,
                hide=self._hide,
            )
        finally:
            self._busy_since = None
        if done is None:
            return self._next_look(now)
        delivery, refused = done
        if refused is not None and not refused.hopeless:
            self._held_until = next_try(
                delivery.tries + 1, self._clock.now(), self._random, asked=refused.retry_after
            )
            return (self._held_until - self._clock.now()).total_seconds()
        self._idle = False
        return self._pause(delivery.entry.address)

    def _next_look(self, now: datetime) -> float:
        """Seconds until something that was refused is to be tried again."""
        waiting = [
            (one.next_try_at - now).total_seconds()
            for one in self._store.outbox(pending=True)
            if one.entry.notifier == self._name and one.next_try_at is not None
        ]
        return max(0.05, min([*waiting, _LOOK_EVERY]))

    def _pause(self, address: str) -> float:
        """Seconds to wait so that one place does not get more than it takes."""
        now, sent = self._clock.now(), self._sent[address]
        sent.append(now)
        while sent and (now - sent[0]).total_seconds() > BURST * PACE:
            sent.popleft()
        return PACE if len(sent) >= BURST else 0.0
