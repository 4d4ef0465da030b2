"""Waiting for what another thread or process does: for an event, never for a while.

A deadline only says when a test that waits in vain fails. It is long, as a machine may be busy, and
no test claims that something came soon, unless the other possibility takes far longer than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds after which what should happen at once will not happen.
PATIENCE = 120.0

#: Seconds between two looks; what takes long to look at is looked at less often, as those who are waited
#: for need the machine.
_LOOK_EVERY, _AT_LEAST_EVERY = 0.02, 0.25


def eventually(holds: Callable[[], object], *, seconds: float = PATIENCE) -> bool:
    """Whether something comes true."""
    until = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if holds():
            return True
        now = time.monotonic()
        if now > until:
            return False
        time.sleep(min(max(_LOOK_EVERY, 4 * (now - began)), _AT_LEAST_EVERY))


def wait_for(holds: Callable[[], object]) -> None:
    """Return when something has come true."""
    assert eventually(holds), "it did not happen"
