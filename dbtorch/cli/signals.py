"""SIGINT, SIGTERM and SIGHUP: once stops the run properly, twice leaves at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from dbtorch.app.inbox import PATIENCE, Inbox, Interrupt
from dbtorch.cli.errors import Stopped

#: SIGHUP too: a terminal that closes must not leave queries running.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


#: Seconds between the grace and the end of a run that got SIGTERM: what is left of the ten that
#: containers are given, less one for the rest of us.
_AFTER_GRACE = 6.0


class Signals:
    """Routes the first signal to the run and lets the second one end the process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._inbox: Inbox | None = None
        self._leave: Callable[[], None] = lambda: None
        self._grace = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for signum in _SIGNALS:
            self._before[signum] = signal.signal(signum, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def route(self, inbox: Inbox, leave: Callable[[], None], *, grace: float) -> None:
        """From now on the first signal is a message; ``leave`` is called on the second.

        ``grace`` is how many seconds what runs has to end.
        """
        self._inbox = inbox
        self._leave = leave
        self._grace = grace

    def _on_signal(self, signum: int, _: FrameType | None) -> None:
        if self._inbox is None:
            raise Stopped(signum)
        if self.received is None:
            self.received = signum
            reason = f"the run got {signal.Signals(signum).name}"
            hurried = signum != signal.SIGINT  # at a terminal a second Ctrl-C is at hand
            within = self._grace + _AFTER_GRACE if hurried else PATIENCE
            self._inbox.put(Interrupt(reason, within))
            return
        self._leave()
        os._exit(128 + signum)
