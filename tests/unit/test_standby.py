"""A dbt worker that is at hand is used where it can be, and another one is started where not."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.dbtorch_worker.rehearsal import installed
from dbtorch.adapters.dbt.dbtorch_worker.warm import Warm, installed_now
from dbtorch.adapters.dbt.session.worker_process import start_process
from dbtorch.adapters.processes.adopted import AdoptedProcess, is_child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can copy processes so")

#: A worker at hand, as far as a run sees it: says that it is there, hears what it is asked, answers.
AT_HAND = """
import json, os, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
if sys.argv[2] != "gone":
    link.send(b"here")
    asked, files, _, _ = socket.recv_fds(link, 200_000, 2)
    if sys.argv[2] == "{}":
        os.write(files[0], json.loads(asked)["environ"]["WORD"].encode())
    link.send(sys.argv[2].encode())
    sys.exit(3)
"""

#: Takes the words of a worker, and does nothing.
COLD = "/bin/true"


@pytest.fixture
def output(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "output", os.O_CREAT | os.O_RDWR)
    yield number
    os.close(number)


def at_hand(answer: str) -> tuple[str, int]:
    """One that answers so, as a run is told of it, and its process id."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-I", "-S", "-c", AT_HAND, str(theirs.fileno()), answer]
        process = subprocess.Popen(words, pass_fds=(theirs.fileno(),))
    process.returncode = 0  # who takes it waits for it
    return f"{ours.detach()}:{process.pid}", process.pid


def start(said: str, output: int) -> tuple[int, int]:
    """A worker's process id, and its exit status."""
    environ = {**os.environ, "WORD": "heard"}
    process = start_process(
        COLD, cwd=Path(), environ=environ, output=output, channel=output, standby=said
    )
    return process.pid, process.wait()


def test_the_one_at_hand_is_used_once(tmp_path: Path, output: int) -> None:
    said, pid = at_hand("{}")

    assert start(said, output) == (pid, 3)
    assert (tmp_path / "output").read_text() == "heard"
    assert start(said, output)[1] == 0  # the next one is started


@pytest.mark.parametrize(
    "answer",
    [
        '{"refused": "another dbt was installed"}',
        "no JSON",
        "gone",  # before it was asked
    ],
)
def test_where_it_refuses_or_is_gone_one_is_started(answer: str, output: int) -> None:
    said, pid = at_hand(answer)

    started, status = start(said, output)

    assert (started != pid, status) == (True, 0)
    assert not is_child(pid)  # it was waited for


@pytest.mark.parametrize("said", ["", "nonsense", "0:1"])  # 1 is nobody's child
def test_what_is_none_is_not_asked(said: str, output: int) -> None:
    assert start(said, output)[1] == 0


# ------------------------------------------------------------------------ whom it serves


@pytest.mark.parametrize(
    ("python", "more", "refused"),
    [
        ("python", {}, ""),
        ("python", {"DBTORCH_RUN_ID": "1", "DBT_RUN_STARTED_AT": "now"}, ""),  # of a run's own
        ("python", {"DBT_TARGET": "prod"}, "the run has another environment"),
        ("python", {"PYTHONPATH": "/elsewhere"}, "the run has another environment"),
        ("other", {}, "the run uses another interpreter"),
    ],
)
def test_one_that_would_be_another_process_than_a_started_one_refuses(
    python: str, more: dict[str, str], refused: str
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        warm = Warm(theirs, {"args": [], "python": "python"})
        assert warm.refused({"python": python, "environ": {**os.environ, **more}}) == refused


# ------------------------------------------------------------------------ processes


def test_an_adopted_process_is_waited_for_as_any_other() -> None:
    started = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
    started.returncode = 0
    process = AdoptedProcess(started.pid)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == process.poll() == process.returncode == -signal.SIGTERM
    process.kill()  # which reaches nobody any more
    assert started.stdin is not None
    started.stdin.close()
    assert AdoptedProcess(started.pid).wait() == 255  # nobody knows any more, so it is not good


#: An orphan that is made below a process that adopts orphans, and what is left of its orphan.
ADOPTS = """
import json, os, sys
from dbtorch.adapters.dbt.dbtorch_worker.warm import orphan
from dbtorch.adapters.processes import subreaper
from dbtorch.adapters.processes.adopted import AdoptedProcess, is_child
from tests.waiting import wait_for
subreaper.take_over()
assert subreaper.adopts()
read, write = os.pipe()
maker = os.fork()
if maker == 0:
    pid = orphan()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(7)
        os.setsid()
        os._exit(0)
    os.write(write, b"%d" % pid)
    os._exit(0)
pid = int(os.read(read, 20))
subreaper.own(maker), subreaper.own(pid)
assert is_child(pid)
assert AdoptedProcess(pid).wait() == 7
os.waitpid(maker, 0)
children = "/proc/self/task/%d/children" % os.getpid()
wait_for(lambda: (subreaper.bury(), not open(children).read())[1])
"""


def test_an_orphan_is_the_child_of_who_adopts_them_which_buries_what_is_nobodys() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ADOPTS], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_is_installed_or_changed_since_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "some_module_of_a_test.py"
    module.write_text("")
    importlib.import_module(module.stem)
    before = installed()
    assert installed_now(before) == before

    module.write_text("changed = True")
    assert installed_now(before) != before

    before = installed()
    (tmp_path / "package-1.0.dist-info").mkdir()
    assert installed_now(before) != before
    del sys.modules[module.stem]
