"""What a pipeline's schedule says of ticks that were missed, and of runs that meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.cause import Cause


class Catchup(StrEnum):
    """What runs of the ticks that were missed while nothing ran them."""

    NONE = "none"
    LATEST = "latest"  # the newest
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a tick while the run of an earlier one goes on."""

    SKIP = "skip"
    QUEUE_ONE = "queue_one"  # the newest waits
    QUEUE_ALL = "queue_all"
    CANCEL_RUNNING = "cancel_running"  # the run that goes on is ended, and the newest waits for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is decided by."""

    catchup: Catchup = Catchup.LATEST
    catchup_window: timedelta | None = None  # older than that is not caught up with
    max_catchup: int = 100  # newest missed ticks that `all` runs
    overlap: Overlap = Overlap.QUEUE_ONE
    paused: bool = False  # as dbtorch.yml says it


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTick:
    """A tick that nothing was decided of yet, and whose time has come."""

    scheduled_for: datetime
    interval: Interval
    due_at: datetime  # with its jitter
    cause: Cause | None = None  # None: its schedule
    blackout: bool = False  # within a window in which nothing starts
