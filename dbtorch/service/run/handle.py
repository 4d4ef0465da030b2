"""A run under way in a thread of this process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from dbtorch.adapters.actor import actor
from dbtorch.core.model.reason import Reason, ReasonKind, asked_by
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.result import Run

#: Seconds beyond the grace that a run has to end when its process does.
_AT_EXIT = 10.0


#: Which run a thread executes.
_executed = threading.local()


def is_executed_here(run_id: str) -> bool:
    """Whether this very thread executes a run: who waits for it there waits for ever."""
    return getattr(_executed, "run_id", None) == run_id


class RunHandle:
    """A run that was started: wait for it, or cancel it.

    A process that ends cancels what it has started and nobody waited for.
    """

    def __init__(
        self,
        run_id: str,
        work: Callable[[RunControl], Run],
        hide: Callable[[str], str] = lambda text: text,
    ) -> None:
        """``work`` executes the run until it has ended; ``hide`` takes secrets out of reasons."""
        self.id = run_id
        self._control = RunControl()
        self._work = work
        self._hide = hide
        self._result: Run | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._owner = os.getpid()
        atexit.register(self._end)
        self._thread = threading.Thread(
            target=self._execute, name=f"dbtorch-run-{run_id}", daemon=True
        )
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the run has ended, or could not begin."""
        return self._done.is_set()

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until the run has ended, at most ``timeout`` seconds.

        Raises `TimeoutError` when it goes on, and what `Project.run` raises.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"run {self.id} has not ended within {timeout:g} s; it goes on")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def cancel(self, reason: str = "") -> None:
        """End the run properly, and return at once; `wait` returns when it has ended.

        A run that had not begun then raises `RunCancelled`, all others end as ``cancelled``.
        """
        why = asked_by(actor(), self._hide(reason))
        self._control.cancel(Reason(ReasonKind.RUN_CANCELLED, text=why))

    def kill(self) -> None:
        """End every process of the run at once; `Project.retry` goes on with it."""
        self._control.kill()

    def _execute(self) -> None:
        _executed.run_id = self.id
        try:
            self._result = self._work(self._control)
        except BaseException as error:
            self._error = error
        finally:
            atexit.unregister(self._end)
            self._done.set()

    def _end(self) -> None:
        """The process ends: cancel the run, and do not wait for ever.

        A copy of the process (`os.fork`) ends without touching a run that is not its own.
        """
        if self.done or os.getpid() != self._owner:
            return
        self.cancel("the process that started it ended")
        if not self._done.wait(self._control.grace + _AT_EXIT):
            self.kill()


def awaited(handle: RunHandle) -> Run:
    """The run when it has ended; who interrupts the wait cancels it, and twice kills it."""
    try:
        return handle.wait()
    except KeyboardInterrupt:
        if handle.done:
            raise
        handle.cancel("KeyboardInterrupt")
        _until_done(handle)
        raise


def _until_done(handle: RunHandle) -> None:
    try:
        handle.wait()
    except KeyboardInterrupt:
        handle.kill()
        raise
    except Exception:  # the interrupt says enough of a run that could not begin
        return
