"""Real processes, real kills: nothing that a step has started outlives it, or its supervisor."""

import marshal
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbtorch.adapters.processes.kept_process import _KEEPER, KeeperLost, Process, _framed
from tests.waiting import PATIENCE, wait_for

#: A supervisor that starts one step.
SUPERVISOR = """
    import sys
    from pathlib import Path
    from dbtorch.adapters.processes.kept_process import Process

    Path("scratch").mkdir()
    Path("scratch/told").touch()
    env = {{"PATH": "/usr/bin:/bin", "TEST_MARK": sys.argv[1]}}
    Process(grace={grace}).run(
        ["/bin/sh", "-c", sys.argv[2]], cwd=Path.cwd(), env=env, log=Path("log"), stdin=None,
        started=lambda: None, scratch=Path("scratch"),
    )
"""

#: Ways to get away from a step: another session, an environment of one's own, no living parent.
ESCAPES = [
    "sleep {t} &",
    "setsid sleep {t} &",
    "setsid -f sleep {t}",
    "(setsid sleep {t} >/dev/null 2>&1 &)",
    "env -i setsid -f sleep {t}",
    "env -i setsid -f sh -c 'setsid -f sleep {t}; setsid -f sleep {t}'",
    'sh -c \'trap "" TERM HUP INT; sleep {t} & setsid -f sh -c "sleep {t} & wait"\' &',
]


def waits(action: str) -> str:
    """A shell that does this when it is asked to end, and only waits once it is ``ready``.

    What it starts with a trap set may lose a signal until it is executed, and the shell itself until
    then: so the sleep comes first, and no `touch` says that it is ready.
    """
    return f"sleep 100 & trap '{action}' TERM; : > ready; wait"


linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux knows whose orphans they are"
)


class Sleepers:
    """Processes of one test that sleep, found by how long."""

    def __init__(self) -> None:
        self.seconds = f"{uuid.uuid4().int % 10**12 + 10**6}"  # also without an environment

    def all(self) -> set[int]:
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:  # gone
                continue
            if words[:2] == [b"sleep", self.seconds.encode()]:
                found.add(int(folder.name))
        return found

    def __call__(self, command: str) -> str:
        """The command, sleeping so long."""
        return command.replace("{t}", self.seconds)


@pytest.fixture
def sleepers() -> Iterator[Sleepers]:
    found = Sleepers()
    yield found
    for pid in found.all():
        os.kill(pid, signal.SIGKILL)


def ran(
    command: str,
    tmp_path: Path,
    *,
    process: Process | None = None,
    grace: float = 30,
    started: Callable[[], None] = lambda: None,
) -> int | None:
    return (process or Process(grace=grace)).run(
        ["/bin/sh", "-c", command],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        log=tmp_path / "log",
        stdin=None,
        started=started,
    )


@linux
@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_is_left_when_a_step_has_ended(
    sleepers: Sleepers, tmp_path: Path, escape: str
) -> None:
    before = len(threading.enumerate())

    # what ignores that it is asked is killed
    assert ran(sleepers(f"{escape}\nexit 3"), tmp_path, grace=0.2) == 3

    assert sleepers.all() == set()
    assert len(threading.enumerate()) == before


@linux
def test_what_is_left_is_asked_first_and_has_a_grace(tmp_path: Path) -> None:
    clean = waits("sleep 0.3; touch cleaned; exit")
    command = f'env -i setsid -f sh -c "{clean}"; while ! test -e ready; do sleep 0.01; done'

    assert ran(command, tmp_path, grace=60) == 0

    assert (tmp_path / "cleaned").exists()


def test_what_works_beside_a_step_is_left_alone_while_it_runs(tmp_path: Path) -> None:
    command = "setsid -f sh -c 'sleep 0.5; touch done'; while ! test -e done; do sleep 0.01; done"

    assert ran(command, tmp_path) == 0


def test_what_a_step_starts_to_clean_up_is_not_asked_to_end(tmp_path: Path) -> None:
    command = waits("sleep 0.5 && touch cleaned; exit 7")
    process = Process(grace=60)
    thread = threading.Thread(target=ran, args=(command, tmp_path), kwargs={"process": process})
    thread.start()
    wait_for((tmp_path / "ready").exists)

    process.cancel()
    thread.join()

    assert process.cancelled
    assert (tmp_path / "cleaned").exists()


def test_nobody_is_asked_twice(tmp_path: Path) -> None:
    """Neither the members of a group, nor who outlives the command that was asked."""
    child = waits("echo asked >> times; sleep 0.3; echo over >> times; exit")
    command = f"sh -c \"{child}\" & trap 'exit 0' TERM; wait; wait"
    process = Process(grace=60)
    thread = threading.Thread(target=ran, args=(command, tmp_path), kwargs={"process": process})
    thread.start()
    wait_for((tmp_path / "ready").exists)

    process.cancel()
    thread.join()

    assert (tmp_path / "times").read_text() == "asked\nover\n"


@linux
@pytest.mark.parametrize("end", ["cancel", "kill"])
def test_a_step_that_is_ended_takes_everything_with_it(
    sleepers: Sleepers, tmp_path: Path, end: str
) -> None:
    process = Process(grace=0.5 if end == "cancel" else 600)
    command = sleepers("".join(f"{one}\n" for one in ESCAPES) + ": > ready; wait")
    thread = threading.Thread(target=ran, args=(command, tmp_path), kwargs={"process": process})
    thread.start()
    wait_for(lambda: (tmp_path / "ready").exists() and len(sleepers.all()) == 9)

    getattr(process, end)()
    thread.join()

    assert sleepers.all() == set()


@contextmanager
def supervisor(command: str, tmp_path: Path, *, grace: float) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor whose step is ready; it is gone when the block is left."""
    code = textwrap.dedent(SUPERVISOR).format(grace=grace)
    words = [sys.executable, "-c", code, "mark", command]
    with subprocess.Popen(words, cwd=tmp_path) as process:
        try:
            wait_for((tmp_path / "ready").exists)
            yield process
        finally:
            process.kill()


@linux
def test_nothing_is_left_of_a_supervisor_that_was_killed(
    sleepers: Sleepers, tmp_path: Path
) -> None:
    command = sleepers("\n".join(ESCAPES)) + "\n" + waits("exit")
    with supervisor(command, tmp_path, grace=0.5) as process:
        wait_for(lambda: len(sleepers.all()) == 9)
        process.kill()
        wait_for(lambda: not sleepers.all())

    wait_for(lambda: not (tmp_path / "scratch").exists())  # what steps were told goes too


def test_a_step_of_a_killed_supervisor_is_asked_first(tmp_path: Path) -> None:
    with supervisor(waits("sleep 0.3; touch cleaned; exit"), tmp_path, grace=60) as process:
        process.kill()
        wait_for((tmp_path / "cleaned").exists)


def test_a_step_whose_supervisor_died_before_it_heard_of_it_ends_too(tmp_path: Path) -> None:
    told = {
        "argv": ["/bin/sleep", "7200"],
        "cwd": str(tmp_path),
        "env": {"PATH": "/usr/bin:/bin"},
        "grace": 60.0,
        "scratch": "",
    }
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(_framed(marshal.dumps(told)))
        words = [*_KEEPER, str(theirs.fileno())]
        with subprocess.Popen(words, pass_fds=(theirs.fileno(),)) as keeper:
            assert keeper.wait(PATIENCE) == 0


def test_without_its_keeper_nobody_knows_how_a_step_has_ended(tmp_path: Path) -> None:
    process = Process(grace=1)

    def kill() -> None:
        assert process._keeper is not None
        process._keeper.kill()

    with pytest.raises(KeeperLost):
        ran("sleep 100 & sleep 100; touch survived", tmp_path, process=process, started=kill)

    assert process._leader is not None
    wait_for(lambda: not group(process._leader))
    assert not (tmp_path / "survived").exists()


def group(leader: int | None) -> bool:
    try:
        os.killpg(leader or 0, 0)
    except ProcessLookupError:
        return False
    return True


def test_signals_of_a_terminal_do_not_end_a_keeper(tmp_path: Path) -> None:
    process = Process(grace=1)

    def interrupt() -> None:
        assert process._keeper is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process._keeper.pid, number)

    assert ran("sleep 0.2; exit 5", tmp_path, process=process, started=interrupt) == 5


@pytest.mark.parametrize(
    ("argv", "cwd", "said"),
    [
        (["no-such-program"], ".", "No such file or directory: 'no-such-program'"),
        (["/"], ".", "Permission denied: '/'"),
        (["true"], "nowhere", "No such file or directory: "),
        (["tr\0ue"], ".", "Invalid argument"),
    ],
)
def test_what_cannot_be_started_says_why(
    tmp_path: Path, argv: list[str], cwd: str, said: str
) -> None:
    with pytest.raises(OSError) as caught:  # what it says is looked at below
        Process(grace=1).run(
            argv,
            cwd=tmp_path / cwd,
            env={"PATH": "/usr/bin:/bin"},
            log=tmp_path / "log",
            stdin=None,
            started=lambda: None,
        )

    assert said in str(caught.value)
