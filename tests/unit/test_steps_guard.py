"""Real processes, real kills: what a supervisor leaves behind is ended by its guard."""

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbtorch.adapters.processes import orphan_reaper, reaping
from dbtorch.adapters.processes.orphan_reaper import Guard
from tests.waiting import PATIENCE, wait_for

#: A supervisor that starts one dbt, and its guard.
SUPERVISOR = """
    import subprocess, sys, threading
    from dbtorch.adapters.processes.orphan_reaper import Guard
    from dbtorch.adapters.processes.reaping import MARK

    guard = Guard(grace={grace})
    {before}
    guard.prepare()
    env = {{"PATH": "/usr/bin:/bin", MARK: guard.mark, "TEST_MARK": sys.argv[1]}}
    command = ["/bin/sh", "-c", "touch begun; " + sys.argv[2]]
    guard.add(subprocess.Popen(command, env=env, start_new_session=True).pid)
    threading.Event().wait()
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """In the environment of everything a test starts; nothing of it is left behind."""
    mark = uuid.uuid4().hex
    yield mark
    for pid in left(mark):
        os.kill(pid, signal.SIGKILL)


def left(mark: str) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone, or somebody else's
            continue
        if f"TEST_MARK={mark}".encode() in environ:
            found.add(int(folder.name))
    return found


@contextmanager
def supervisor(
    mark: str, command: str, tmp_path: Path, *, grace: float = 1, before: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor whose command has begun; it is gone when the block is left."""
    code = textwrap.dedent(SUPERVISOR).format(grace=grace, before=before)
    with subprocess.Popen([sys.executable, "-c", code, mark, command], cwd=tmp_path) as process:
        try:
            wait_for(lambda: (tmp_path / "begun").exists() and bool(left(mark)))
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "command",
    [
        "sleep 100 & sleep 100",  # a family
        "trap '' TERM; while :; do sleep 0.1; done",  # one that does not listen
        "setsid sleep 100 & wait",  # one that left the group
    ],
)
def test_what_a_killed_supervisor_started_ends(mark: str, tmp_path: Path, command: str) -> None:
    with supervisor(mark, command, tmp_path) as process:
        process.kill()
        wait_for(lambda: not left(mark))


def test_it_is_asked_first_and_has_a_grace(mark: str, tmp_path: Path) -> None:
    command = "sleep 100 & trap 'sleep 0.5; touch cleaned; exit' TERM; : > ready; wait"
    with supervisor(mark, command, tmp_path, grace=60) as process:
        wait_for((tmp_path / "ready").exists)
        process.kill()
        wait_for(lambda: not left(mark))

    assert (tmp_path / "cleaned").exists()


def test_a_process_the_guard_was_not_told_of_in_time_ends_too(mark: str, tmp_path: Path) -> None:
    before = "guard.add = lambda group: None"
    with supervisor(mark, "sleep 100", tmp_path, before=before) as process:
        process.kill()
        wait_for(lambda: not left(mark))


def test_without_a_shell_the_guard_itself_waits(mark: str, tmp_path: Path) -> None:
    before = "sys.modules[Guard.__module__]._SHELL = '/nowhere/sh'"
    with supervisor(mark, "sleep 100 & sleep 100", tmp_path, before=before) as process:
        process.kill()
        wait_for(lambda: not left(mark))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("+11\n+22\n+33\n-22\n-33\n-44\n+55\n", "+11\n+55\n"),
        ("+11\n+1\n-1\n", "+11\n"),
        ("+11\n-11\n", "+\n"),  # the guard takes that for none
        ("+11\nbye\n", ""),
    ],
)
def test_what_the_shell_has_heard_it_tells_the_guard(said: str, told: str) -> None:
    command = [orphan_reaper._SHELL, "-c", orphan_reaper._LISTEN, "guard", "/bin/cat"]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=True)

    assert done.stdout == told


def test_a_guard_that_was_killed_is_replaced(mark: str, tmp_path: Path) -> None:
    before = "import os; guard.prepare(); pid = guard._process.pid; os.kill(pid, 9); os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)"
    with supervisor(mark, "sleep 100", tmp_path, before=before) as process:
        process.kill()
        wait_for(lambda: not left(mark))


def test_a_guard_outlives_the_signals_of_its_terminal(mark: str, tmp_path: Path) -> None:
    told = Guard(grace=1)
    told.prepare()
    process = told._process
    assert process is not None
    wait_for(lambda: Path(f"/proc/{process.pid}/cwd").readlink() == Path("/"))  # so it listens
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process.pid, number)
    with subprocess.Popen(["/bin/sleep", "100"], start_new_session=True) as left:
        told.add(left.pid)
        process.communicate()  # as if the supervisor had died
        assert left.wait(PATIENCE) == -signal.SIGTERM  # so it was there


def test_what_an_earlier_supervisor_left_behind_is_found_by_its_run() -> None:
    run_id = f"run-{uuid.uuid4().hex}"
    environ = {"PATH": "/usr/bin:/bin", reaping.RUN: run_id}
    # started by a process that has gone, as after a kill
    script = "setsid sh -c 'sleep 100 & wait' & exit 0"
    subprocess.run(["/bin/sh", "-c", script], env=environ, check=True)
    mark = f"{reaping.RUN}={run_id}".encode()
    wait_for(lambda: len(reaping.marked(mark)) == 2)  # the shell, its sleep
    mine = subprocess.Popen(["sleep", "100"], env=environ)
    try:
        assert reaping.end_left_behind(run_id, grace=2) == 2
        assert reaping.end_left_behind(run_id, grace=2) == 0
        assert mine.poll() is None  # what this process has started itself
    finally:
        mine.kill()
        mine.wait()
