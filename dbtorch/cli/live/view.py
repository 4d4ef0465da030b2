"""What people and programs see of a run while it runs, and at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # commands that read the history import this package, and none of these
    from dbtorch.ports.loop import Clock
    from dbtorch.service.run.listener import RunListener


def make_view(
    log_format: str,
    clock: Clock,
    *,
    quiet: bool = False,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    hide: Callable[[str], str] = str,
) -> RunListener:
    """The view for an output: JSON lines if asked for, live on a terminal, else plain lines.

    ``hide`` takes secrets out of remarks.
    """
    from dbtorch.cli.live.background import Background
    from dbtorch.cli.live.output import Output
    from dbtorch.cli.text.colour import colours_for, is_terminal

    stream = stream or sys.stdout
    if log_format == "json":
        from dbtorch.cli.live.json_lines import JsonLines

        return Background(JsonLines(Output(stream), clock), clock, every=None, hide=hide)
    if quiet:
        from dbtorch.cli.live.quiet_lines import QuietLines

        return Background(QuietLines(Output(stream), clock), clock, every=None, hide=hide)
    if is_terminal(stream, environ):
        from dbtorch.cli.live.live_view import LiveView

        live = LiveView(Output(stream), clock, colours_for(stream, environ))
        return Background(live, clock, every=0.25, hide=hide)
    from dbtorch.cli.live.plain_lines import PlainLines

    return Background(PlainLines(Output(stream), clock), clock, every=1.0, hide=hide)
