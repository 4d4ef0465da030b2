"""Processes that are started without `subprocess`; real ones."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters import posix
from dbtorch.adapters.dbt.process.adopted import Adopted


def printed(command: list[str], **given: Any) -> str:
    """What a command prints; it is to end well."""
    output, its = os.pipe()
    pid = posix.start(command, given.pop("environ", os.environ), output=its, **given)
    os.close(its)
    process = Adopted(pid, command, output)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return said.decode()


def test_it_prints_into_the_pipe_and_its_errors_too() -> None:
    assert printed(["/bin/sh", "-c", "echo one; echo two >&2"]) == "one\ntwo\n"


def test_it_reads_what_it_is_given_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("words")
    with (tmp_path / "given").open("rb") as file:
        assert printed(["cat"], stdin=file.fileno()) == "words"
    assert printed(["cat"]) == ""


def test_it_has_this_environment_and_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["/bin/sh", "-c", 'echo "$SHOP $HOME $PWD"']
    assert printed(command, environ={"SHOP": "open"}) == f"open  {tmp_path}\n"


@pytest.mark.parametrize("sessions", [True, False])
def test_it_is_a_group_of_its_own(monkeypatch: pytest.MonkeyPatch, sessions: bool) -> None:
    real = os.posix_spawnp

    def without(*args: Any, **given: Any) -> int:
        if "setsid" in given:
            raise NotImplementedError("posix_spawn: setsid unavailable on this platform")
        return real(*args, **given)

    monkeypatch.setattr(os, "posix_spawnp", real if sessions else without)
    script = "import os; print(os.getpid(), os.getpgid(0), os.getsid(0))"
    pid, group, session = printed([sys.executable, "-c", script]).split()
    assert group == pid
    assert (session == pid) == sessions


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGXFSZ])
def test_signals_that_python_ignores_are_not_ignored(number: signal.Signals) -> None:
    assert signal.getsignal(number) is signal.SIG_IGN
    pid = posix.start(["/bin/sh", "-c", f"kill -{int(number)} $$; exit 0"], os.environ)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == number


def test_what_cannot_be_started_says_so() -> None:
    with pytest.raises(FileNotFoundError):
        posix.start(["/nowhere/dbt"], {})
    with pytest.raises(FileNotFoundError):
        posix.start(["dbt-that-is-nowhere"], {})


def test_an_end_is_known_once() -> None:
    pid = posix.start(["sleep", "100"], os.environ)
    assert not posix.has_ended(pid)
    os.kill(pid, signal.SIGKILL)
    posix.wait(pid)
    posix.wait(pid)  # it has been waited for
    assert posix.has_ended(pid)


def test_an_adopted_process_is_like_any_other() -> None:
    output, its = os.pipe()
    command = ["/bin/sh", "-c", "echo word; read line; exit 3"]
    mine, stdin = os.pipe()
    pid = posix.start(command, os.environ, stdin=mine, output=its)
    for end in (its, mine):
        os.close(end)
    process = Adopted(pid, command, output)
    assert process.pid == pid
    assert process.args == command
    assert process.stdout is not None
    assert process.stdout.readline() == b"word\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.05)
    os.close(stdin)
    assert process.wait(timeout=20) == 3
    process.stdout.close()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_it_starts_where_standard_streams_are_closed(tmp_path: Path, closed: tuple[int]) -> None:
    """The ends of the pipe have their numbers then."""
    script = f"""
import os
from dbtorch.adapters import posix
for number in {closed!r}:
    os.close(number)
read, write = os.pipe()
pid = posix.start(["/bin/sh", "-c", "cat; echo word"], os.environ, output=write)
os.close(write)
with open({str(tmp_path / "said")!r}, "wb") as file, os.fdopen(read, "rb") as said:
    file.write(said.read())
posix.wait(pid)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)
    assert (tmp_path / "said").read_text() == "word\n"
