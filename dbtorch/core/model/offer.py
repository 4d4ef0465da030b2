"""An attempt that is offered to workers of a queue, on whatever machine, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dbtorch.core.model.events import Attempt, Outcome


class OfferState(StrEnum):
    """Where an offer stands. Only one worker can ever claim it."""

    OFFERED = "offered"  # nobody has it yet
    CLAIMED = "claimed"  # a worker has it, as long as it is heard of
    ENDED = "ended"  # its worker has said what came of it
    LOST = "lost"  # its worker was not heard of in time, and may report no more
    WITHDRAWN = "withdrawn"  # nobody had it, and nobody will


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One attempt in the hands of workers."""

    token: str  # what a message says; no other offer ever has it
    run_id: str
    attempt: Attempt
    queue: str
    code: str  # checksum of what the step executes where it is offered
    told: Mapping[str, Any] = field(default_factory=dict)  # what a step is told, without secrets
    state: OfferState = OfferState.OFFERED
    worker: str = ""
    offered_at: datetime | None = None
    started_at: datetime | None = None  # when its process was there
    outcome: Outcome | None = None  # of one that has ended


class Standing(StrEnum):
    """What a worker hears when it says that it still has an attempt."""

    GOES_ON = "goes on"
    CALLED_OFF = "called off"  # it is to end, and to say how it did
    TAKEN = "taken"  # it is not this worker's any more


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a queue has, to decide how many workers it needs."""

    waiting: int = 0
    claimed: int = 0
