"""Real processes, real kills: what a supervisor leaves behind is ended by its guard."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.posix import has_ended
from dbtorch.adapters.steps import guard, left_behind
from dbtorch.adapters.steps.guard import Guard

#: A supervisor that starts one command and says which process groups it is about.
SUPERVISOR = """
    import sys, threading
    from pathlib import Path
    from dbtorch.adapters.steps.guard import Guard
    from dbtorch.adapters.steps.left_behind import MARK
    from dbtorch.adapters.steps.process import Process

    Path("scratch").mkdir()
    Path("scratch/told").touch()
    guard = Guard(grace={grace}, scratch=Path("scratch"))
    {before}
    env = {{"PATH": "/usr/bin:/bin", MARK: guard.mark, "TEST_MARK": sys.argv[1]}}
    process = Process(grace=1, guard=guard)
    process.run(
        ["/bin/sh", "-c", sys.argv[2]], cwd=Path.cwd(), env=env, log=Path("log"), stdin=None,
        started=lambda: print("started", flush=True),
    )
    guard.close()
    print("over", flush=True)
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


def supervisor(
    mark: str, command: str, tmp_path: Path, *, grace: float = 1, before: str = "", until: str = ""
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(SUPERVISOR).format(grace=grace, before=before),
            mark,
            command,
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == (until or "started"):
            return process
    raise AssertionError("it did not start")


def gone(mark: str, *, within: float) -> bool:
    until = time.monotonic() + within
    while left(mark):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    "command",
    [
        "sleep 100 & sleep 100",  # a family
        "trap '' TERM; while :; do sleep 0.1; done",  # one that does not listen
        "setsid sleep 100 & wait",  # one that left the group
    ],
)
def test_what_a_killed_supervisor_started_ends(mark: str, tmp_path: Path, command: str) -> None:
    process = supervisor(mark, command, tmp_path)
    assert left(mark)

    kill(process)

    assert gone(mark, within=5)
    until = time.monotonic() + 5
    while (tmp_path / "scratch").exists():  # what steps were told goes too
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_is_asked_first_and_has_a_grace(mark: str, tmp_path: Path) -> None:
    command = "trap 'sleep 0.5; touch cleaned; exit' TERM; touch ready; while :; do sleep 0.1; done"
    process = supervisor(mark, command, tmp_path, grace=5)
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)

    kill(process)

    assert gone(mark, within=4)
    assert (tmp_path / "cleaned").exists()


def test_a_process_the_guard_was_not_told_of_in_time_ends_too(mark: str, tmp_path: Path) -> None:
    process = supervisor(mark, "sleep 100", tmp_path, before="guard.add = lambda group: None")

    kill(process)

    assert gone(mark, within=5)


def test_without_a_shell_the_guard_itself_waits(mark: str, tmp_path: Path) -> None:
    before = "sys.modules[Guard.__module__]._SHELL = '/nowhere/sh'"
    process = supervisor(mark, "sleep 100 & sleep 100", tmp_path, before=before)

    kill(process)

    assert gone(mark, within=5)


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
    command = [guard._SHELL, "-c", guard._LISTEN, "guard", "/bin/cat"]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=True)

    assert done.stdout == told


def test_a_guard_that_was_killed_is_replaced(mark: str, tmp_path: Path) -> None:
    before = "import os; guard.prepare(); os.kill(guard._pid, 9); os.waitid(os.P_PID, guard._pid, os.WEXITED | os.WNOWAIT)"
    process = supervisor(mark, "sleep 100", tmp_path, before=before)

    kill(process)

    assert gone(mark, within=5)


def test_a_supervisor_that_ends_properly_leaves_what_was_sent_into_the_background(
    mark: str, tmp_path: Path
) -> None:
    process = supervisor(mark, "setsid sleep 100 & sleep 0.3", tmp_path, until="over")

    kill(process)
    time.sleep(1)

    assert len(left(mark)) == 1


def test_a_guard_outlives_the_signals_of_its_terminal(mark: str, tmp_path: Path) -> None:
    told = Guard(grace=1, scratch=tmp_path / "scratch")
    told.prepare()
    assert told._pid is not None
    time.sleep(0.3)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(told._pid, number)
    time.sleep(0.2)
    assert not has_ended(told._pid)
    told.close()


def test_what_an_earlier_supervisor_left_behind_is_found_by_its_run() -> None:
    run_id = f"run-{uuid.uuid4().hex}"
    environ = {"PATH": "/usr/bin:/bin", left_behind.RUN: run_id}
    # started by a process that has gone, as after a kill
    script = "setsid sh -c 'sleep 100 & wait' & exit 0"
    subprocess.run(["/bin/sh", "-c", script], env=environ, check=True)
    until = time.monotonic() + 20
    while (
        len(left_behind.marked(f"{left_behind.RUN}={run_id}".encode())) < 2
    ):  # the shell, its sleep
        assert time.monotonic() < until
        time.sleep(0.01)
    mine = subprocess.Popen(["sleep", "100"], env=environ)
    try:
        assert left_behind.end_left_behind(run_id, grace=2) == 2
        assert left_behind.end_left_behind(run_id, grace=2) == 0
        assert mine.poll() is None  # what this process has started itself
    finally:
        mine.kill()
        mine.wait()
