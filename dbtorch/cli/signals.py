"""SIGINT, SIGTERM and SIGHUP: once stops the run properly, twice leaves at once."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from dbtorch.cli.errors import Stopped
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.service.run.control import RunControl

#: SIGHUP too: a terminal that closes must not leave queries running.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


#: Seconds between the grace and the end of a run that got SIGTERM: what is left of the ten that
#: containers are given, less one for the rest of us.
_AFTER_GRACE = 6.0


class Signals:
    """Hands the first signal to the run and lets the second one end the process."""

    def __init__(self, control: RunControl | None = None) -> None:
        """Without a ``control`` every signal ends the command."""
        self.received: int | None = None
        self._control = control or RunControl()
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

    def _on_signal(self, signum: int, _: FrameType | None) -> None:
        control = self._control
        if not control.begun:
            raise Stopped(signum, control.outlook)
        if self.received is None:
            self.received = signum
            reason = Reason(ReasonKind.SIGNAL, text=signal.Signals(signum).name)
            hurried = signum != signal.SIGINT  # at a terminal a second Ctrl-C is at hand
            control.cancel(reason, within=control.grace + _AFTER_GRACE if hurried else None)
            return
        control.kill()
        os._exit(128 + signum)
