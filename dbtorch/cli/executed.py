"""A run that somebody watches in a terminal, or reads the lines of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from dbtorch.cli.errors import GATED, NODE_FAILED, OK
from dbtorch.cli.signals import Signals
from dbtorch.core.model.state import RunState
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.listener import Executed, Listen, RunListener

if TYPE_CHECKING:
    from dbtorch.cli.reporting import RunReportFile
    from dbtorch.core.failures.scrub import Scrubber
    from dbtorch.ports.loop import Clock


def executed(
    work: Callable[[Listen, RunControl], Executed],
    *,
    log_format: str,
    quiet: bool,
    report: RunReportFile | None = None,
    stream: TextIO | None = None,
) -> int:
    """Show a run while it is executed, and end it on a signal. Answers the exit code.

    It is shown on ``stream``, by default on standard output.
    """
    if report is not None:
        report.make_room()

    def listen(clock: Clock, hide: Scrubber) -> RunListener:
        from dbtorch.cli.live.view import make_view
        from dbtorch.cli.tracebacks import hide_in_tracebacks

        hide_in_tracebacks(hide)
        return make_view(log_format, clock, quiet=quiet, stream=stream, hide=hide)

    control = RunControl()
    with Signals(control) as signals:
        end = work(listen, control)
    if report is not None and end.record is not None:
        report.write(end.run_id)
    if signals.received is not None:
        return 128 + signals.received
    return {RunState.SUCCESS: OK, RunState.GATED: GATED}.get(end.state, NODE_FAILED)
