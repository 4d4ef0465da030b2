"""What the dbts of this process leave behind becomes its own on Linux, and ends with it.

Only where the whole process is dbtorch's: elsewhere orphans may be somebody else's, and each dbt
ends what it has left behind before it leaves.
"""

from __future__ import annotations

import os
import time
from typing import ClassVar

from dbtorch.adapters.processes.reaping import (
    SIGKILL,
    SIGTERM,
    adopt_orphans,
    below,
    has_ended,
    session_of,
    signal_all,
)

#: Variable that tells a dbt to end by itself what its models have left behind.
ENDS = "DBTORCH_ENDS_WHAT_IS_LEFT"

#: Seconds between two looks, and after the grace until nothing more is tried.
_EVERY, _PATIENCE = 0.02, 5.0


class _Process:
    """What is known of this process."""

    ours = False  # all that is below it is dbtorch's
    adopts = False
    own: ClassVar[set[int]] = set()  # what it has started itself


def take_over() -> None:
    """From now on everything below this process is ours to end."""
    _Process.ours = True


def asked_of_dbt() -> dict[str, str]:
    """What a dbt is told in its environment: to end what it leaves, where nobody else would."""
    return {} if _Process.ours else {ENDS: "1"}


def own(pid: int) -> None:
    """A process was started here: it is no orphan, and what it leaves behind is ours."""
    _Process.own.add(pid)
    adopts()


def disown(pid: int) -> None:
    """A process that was started here has ended, and was waited for."""
    _Process.own.discard(pid)


def adopts() -> bool:
    """Whether orphans below this process become its children."""
    if _Process.ours and not _Process.adopts:
        _Process.adopts = adopt_orphans()
    return _Process.adopts


def bury() -> None:
    """Bury orphans that have ended; for a process that goes on for long, now and then."""
    while _Process.adopts:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in _Process.own:
            return  # who has started it waits for it
        if session_of(found.si_pid) == os.getsid(0):
            return
        _bury(found.si_pid)


def kill_below(pid: int) -> None:
    """End at once what a dbt has started, whatever that has made of itself."""
    signal_all(below(pid), SIGKILL)


def end(*, grace: float) -> None:
    """Ask what dbts have left behind to end, and kill it after the grace; returns when it is gone.

    What this process has started itself goes on. To be called at its very end: nothing is started
    any more.
    """
    kill_at = time.monotonic() + grace
    asked: set[int] = set()
    while _Process.adopts and _has_children() and time.monotonic() < kill_at + _PATIENCE:
        left = _left()
        if not left:
            return
        late = time.monotonic() >= kill_at
        signal_all(left if late else left - asked, SIGKILL if late else SIGTERM)
        asked |= left
        time.sleep(_EVERY)


def _left() -> set[int]:
    """Orphans that have become children of this process, and what is below them.

    Each dbt is a session of its own, which none that it starts can leave for ours.
    """
    mine, found = os.getsid(0), set()
    for pid in below(os.getpid(), deep=False) - _Process.own:
        if session_of(pid) != mine:
            found |= {pid} | below(pid)
            _bury(pid)
    return {pid for pid in found if not has_ended(pid)}


def _bury(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
