"""On a terminal: a live view, Ctrl-C, and a terminal that is as it was."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import termios
import time

from tests.acceptance.slow import slow
from tests.acceptance.workspace import COMMAND, PATIENCE, Workspace
from tests.engines import PROCESS_2, SESSION_1_11, Can, over, shows

#: Opening a terminal makes it the one that Ctrl-C of this new session comes from.
_ON_TERMINAL = ("/bin/sh", "-c", 'exec "$@" < "$0" > "$0" 2>&1')

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@over(SESSION_1_11, PROCESS_2)
@shows(Can.LIVE)
def test_a_run_on_a_terminal_is_shown_live_and_stops_on_ctrl_c(workspace: Workspace) -> None:
    slow(workspace)
    master, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    screen = ""
    with subprocess.Popen(
        [*_ON_TERMINAL, os.ttyname(terminal), *COMMAND, "run"],
        cwd=workspace.dir,
        env=workspace.environ({"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}),
        start_new_session=True,
    ) as process:
        try:
            screen += _read_until(master, r"RUN +\d+s  model slow", process)
            os.write(master, b"\x03")
            screen += _read_until(master, None, process)
            assert process.wait(PATIENCE) == 130
        finally:
            process.kill()
    after = termios.tcgetattr(terminal)
    os.close(terminal)
    os.close(master)
    assert "Traceback" not in screen
    text = _CONTROL.sub("", screen)
    assert "starting dbt" in text
    assert "default on dev" in text  # the heading of the live area
    assert re.search(r"Run \S+ was cancelled in ", text)
    assert after == before
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h")  # the cursor is shown again
    assert text.endswith("\r\n")  # the prompt begins on a line of its own
    assert workspace.is_quiet()


def _read_until(master: int, shown: str | None, process: subprocess.Popen[bytes]) -> str:
    """What is written to the terminal until it shows something; without that, until the end."""
    seen = b""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ready, _, _ = select.select([master], [], [], 0.1)
        if ready:
            seen += os.read(master, 65536)
        elif process.poll() is not None:
            break
        text = seen.decode(errors="replace")
        if shown is not None and re.search(shown, _CONTROL.sub("", text)):
            return text
    assert shown is None, f"{shown} is not there: {seen!r}"
    return seen.decode(errors="replace")
