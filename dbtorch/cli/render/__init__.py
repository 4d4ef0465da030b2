"""What people and programs see of a run while it runs, and at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:  # commands that read the history import this package, and none of these
    from dbtorch.core.events import Changed
    from dbtorch.core.history import RunRecord
    from dbtorch.core.plan import Plan
    from dbtorch.core.summary import Summary
    from dbtorch.ports import Clock


class View(Protocol):
    """Shows a run. It never raises, and never makes the run wait."""

    def start(self, plan: Plan, run: RunRecord, log_path: Callable[[str, int], Path]) -> None:
        """The plan is made and the run begins."""

    def changed(self, changes: Sequence[Changed]) -> None:
        """Nodes changed; this is a `Listener`."""

    def note(self, text: str, *, level: str) -> None:
        """Something to say that is about no node; ``level`` is info, warning or error."""

    def finish(self, summary: Summary) -> None:
        """The run has ended."""

    def close(self) -> None:
        """Leave the terminal as it was; returns when everything is written. Twice is fine."""


def make_view(
    log_format: str,
    clock: Clock,
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> View:
    """The view for an output: JSON lines if asked for, live on a terminal, else plain lines."""
    from dbtorch.cli.render.background import Background
    from dbtorch.cli.render.colour import is_terminal
    from dbtorch.cli.render.output import Output

    stream = stream or sys.stdout
    if log_format == "json":
        from dbtorch.cli.render.json_lines import JsonLines

        return Background(JsonLines(Output(stream), clock), clock, every=None)
    if is_terminal(stream, environ):
        from dbtorch.cli.render.live import live_view

        return Background(live_view(stream, clock), clock, every=0.25)
    from dbtorch.cli.render.plain import PlainLines

    return Background(PlainLines(Output(stream), clock), clock, every=1.0)
