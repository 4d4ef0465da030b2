"""Waiting for what another thread or process does: for an event, never for a while.

A deadline only says when a test that waits in vain fails. It is long, as a machine may be busy, and
no test claims that something came soon, unless the other possibility takes far longer than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which what should happen at once will not happen.
PATIENCE = 120.0


def eventually(holds: Callable[[], object], *, seconds: float = PATIENCE) -> bool:
    """Whether something comes true."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def wait_for(holds: Callable[[], object]) -> None:
    """Return when something has come true."""
    assert eventually(holds), "it did not happen"
