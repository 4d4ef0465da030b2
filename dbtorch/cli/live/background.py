"""Keeps writing out of the run's way: a view is only ever called from a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed
from dbtorch.core.plan import Plan
from dbtorch.service.run.listener import RunListener

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Summary
    from dbtorch.core.model.dbt_warnings import DbtWarning
    from dbtorch.core.model.used_dbt import UsedDbt
    from dbtorch.ports.loop import Clock

log = logging.getLogger(__name__)


class Renderer(RunListener, Protocol):
    """What really writes. It knows no threads; `Background` calls it from one."""

    def tick(self, now: datetime) -> None:
        """Time has passed."""


class Background:
    """Implements `RunListener`: hands every call to the renderer's thread and returns at once.

    A slow terminal, a paused one (Ctrl-S) or a slow reader of a pipe holds up the thread and
    nothing else.
    """

    def __init__(
        self,
        renderer: Renderer,
        clock: Clock,
        *,
        every: float | None,
        hide: Callable[[str], str] = str,
    ) -> None:
        """``every`` is how many seconds pass between ticks; None for no ticks.

        ``hide`` takes secrets out of remarks; all else comes without them.
        """
        self._hide = hide
        self._renderer = renderer
        self._clock = clock
        self._every = every
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._broken = False
        self._thread = threading.Thread(target=self._work, name="dbtorch-view", daemon=True)
        self._thread.start()

    def start(self, plan: Plan, run: RunRecord, dbt: UsedDbt | None = None) -> None:
        """Show that the run begins."""
        self._calls.put(partial(self._renderer.start, plan, run, dbt))

    def changed(self, changes: Sequence[Changed]) -> None:
        """Show changes."""
        self._calls.put(partial(self._renderer.changed, changes))

    def note(self, text: str, *, level: str) -> None:
        """Show a remark."""
        self._calls.put(lambda: self._renderer.note(self._hide(text), level=level))

    def warned(self, warning: DbtWarning) -> None:
        """Show what dbt warns of."""
        self._calls.put(partial(self._renderer.warned, warning))

    def finish(self, summary: Summary) -> None:
        """Show the end."""
        self._calls.put(partial(self._renderer.finish, summary))

    def close(self) -> None:
        """Write what is left, and end the thread."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        due = time.monotonic()
        while True:
            if self._every is not None and time.monotonic() >= due:
                self._guarded(partial(self._renderer.tick, self._clock.now()))
                due = time.monotonic() + self._every
            try:
                patience = None if self._every is None else max(0.0, due - time.monotonic())
                call = self._calls.get(timeout=patience)
            except queue.Empty:
                continue
            if call is None:
                break
            self._guarded(call)
        self._broken = False  # whatever happened, the terminal is left as it was
        self._guarded(self._renderer.close)

    def _guarded(self, call: Callable[[], None]) -> None:
        """A view that fails is silent from then on; the run goes on."""
        if self._broken:
            return
        try:
            call()
        except Exception:
            self._broken = True
            log.exception("the view failed; the run goes on without it")
