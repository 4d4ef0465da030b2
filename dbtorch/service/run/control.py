"""What ends a run from outside: another thread, or a signal handler."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbtorch.app.inbox import PATIENCE, Inbox, Interrupt
from dbtorch.core.errors import DbtorchError, RunCancelled
from dbtorch.core.model.reason import Reason

#: What becomes of a run that is ended before it has begun.
NOTHING_BEGAN = "the run had not begun; nothing was executed and nothing is in the history"


class RunControl:
    """Ends a run: before it has begun at once, afterwards properly, and if need be by force.

    Everything may be called from any thread and from signal handlers; there is no lock in it.
    """

    def __init__(self) -> None:
        self.outlook = ""  # what becomes of the run when it ends now
        self.grace = 0.0  # seconds that what runs has to end
        self._inbox: Inbox | None = None
        self._kill: Callable[[], None] = lambda: None
        self._reason: Reason | None = None  # why it is to end
        self._over_by: float | None = None  # by the monotonic clock, where somebody is in a hurry
        self._wakes = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether the history may know of it."""
        return self._inbox is not None

    @property
    def left(self) -> float | None:
        """Seconds until the process is to be gone; None where nobody has said so."""
        return None if self._over_by is None else self._over_by - time.monotonic()

    def cancel(self, reason: Reason, *, within: float | None = None) -> None:
        """End the run: what is under way is cancelled and has ``within`` seconds to end.

        By default as long as dbt may need.
        """
        self._reason = reason
        if within is not None:
            self._over_by = time.monotonic() + within
        if self._inbox is None:
            self._wakes.set()
            self._kill()
        else:
            self._inbox.put(Interrupt(reason, PATIENCE if within is None else within))

    def kill(self) -> None:
        """End every process of the run at once; the history says what had begun."""
        self._kill()

    # ---------------------------------------------------------------- for who executes it

    def kills(self, kill: Callable[[], None]) -> None:
        """From now on ``kill`` ends all processes that there are."""
        self._kill = kill
        self.check()

    @contextmanager
    def explains(self) -> Iterator[None]:
        """What fails because the run was ended before it had begun is no failure of dbt's."""
        try:
            yield
        except DbtorchError:
            self.check()
            raise

    def begin(self, inbox: Inbox) -> None:
        """From now on a cancel is a message. Raises `RunCancelled` if there was one."""
        self._inbox = inbox
        self._refuse()

    def over(self, outlook: str) -> None:
        """The run has ended: from now on a cancel ends at once what comes after it."""
        self._inbox, self.outlook = None, outlook

    def check(self) -> None:
        """Raise `RunCancelled` if the run is to end before it has begun."""
        if self._inbox is None:
            self._refuse()

    def _refuse(self) -> None:
        if self._reason is not None:
            raise RunCancelled(f"{self._reason}; {self.outlook}")

    def pause(self, seconds: float) -> None:
        """Wait, but not for a run that is to end. Raises `RunCancelled`."""
        self._wakes.wait(seconds)
        self.check()
