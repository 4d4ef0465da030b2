"""What waits to be told: messages as they are kept, and when to try again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dbtorch.core.text.from_outside import number

#: Longest wait between two tries, seconds; how long anything is tried without being asked to.
LONGEST_WAIT = 300.0
TRIED_FOR = timedelta(days=1)

#: Seconds between two tries of what only a person can mend: a wrong token, a missing channel.
HOPELESS_WAIT = 1800.0


class Style(StrEnum):
    """How a notifier tells about a run."""

    THREADS = "threads"  # one message, updated in place; details in its thread
    DIGEST = "digest"  # one message when it begins to matter, one at the end if there is more
    STREAM = "stream"  # every event for itself


class EntryKind(StrEnum):
    """What an entry is."""

    CARD = "card"  # the one message about a run; a later version takes the place of an earlier
    NOTE = "note"  # one event; said once


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message for one destination. Notifier, address and key together name it."""

    key: str
    notifier: str
    address: str  # channel, person or mail address; empty where a notifier has only one
    kind: EntryKind
    run_id: str = ""
    thread: str = ""  # key of the card whose thread it belongs to
    body: Mapping[str, Any]  # a card or an alert, as JSON; "loud" when somebody is to be disturbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An entry, and what became of it."""

    entry: Entry
    created_at: datetime
    updated_at: datetime
    version: int = 1  # of the body
    sent_version: int = 0  # 0 before anything was sent
    sent_at: datetime | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)  # where it is, as the notifier says
    tries: int = 0  # since something was sent
    next_try_at: datetime | None = None
    error: str = ""  # of the last try
    unsure: bool = False  # a try got no answer: it may have arrived
    claimed_until: datetime | None = None  # by a process that sends it right now

    @property
    def pending(self) -> bool:
        """Whether there is something to send."""
        return self.sent_version < self.version


def next_try(
    tries: int,
    now: datetime,
    random: Callable[[], float],
    *,
    asked: float | None = None,
    hopeless: bool = False,
) -> datetime:
    """When to try again after so many failed tries; ``asked`` is Retry-After in seconds.

    Nobody can ask for a longer wait than that of what only a person can mend.
    """
    if hopeless:
        return now + timedelta(seconds=HOPELESS_WAIT)
    asked_for = number(asked, most=HOPELESS_WAIT) or 0.0
    wait = min(LONGEST_WAIT, 2.0 ** min(tries - 1, 20))
    return now + timedelta(seconds=max(wait * (0.5 + random() / 2), asked_for))
