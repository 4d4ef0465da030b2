"""Taking turns on the processor: what a run has started comes before the run itself.

Each line that dbt prints wakes its supervisor, and on Linux who wakes may interrupt who runs: a
thread of dbt, maybe with a lock for which the other ones then wait. Under ``SCHED_BATCH``
(`sched(7)`) a thread has the same share of the processor as ever, and interrupts nobody.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class _Supervisor:
    """What this process has become."""

    stands_back = False


def stand_back() -> None:
    """From now on this thread, and each that it starts, interrupts nobody.

    Nothing happens where there is no such policy, or where somebody has chosen another one for us.
    """
    known = hasattr(os, "SCHED_BATCH") and not _Supervisor.stands_back
    if known and os.sched_getscheduler(0) == os.SCHED_OTHER:
        _Supervisor.stands_back = _follow(os.SCHED_BATCH)


class InFront:
    """A context in which this thread is as any other: what it starts inherits how it is."""

    def __enter__(self) -> None:
        if _Supervisor.stands_back:
            _follow(os.SCHED_OTHER)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if _Supervisor.stands_back:
            _follow(os.SCHED_BATCH)


def _follow(policy: int) -> bool:
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except OSError:  # the C library or the container has a mind of its own
        return False
    return True
