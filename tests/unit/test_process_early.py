"""A dbt that is started before everything else; a script stands in for dbt 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.dbt.process.early import Early
from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.adapters.dbt.process.executable import Executable
from dbtorch.adapters.dbt.process.held import HeldBuild
from dbtorch.adapters.dbt.process.words import Words
from dbtorch.adapters.steps.guard import Guard
from dbtorch.adapters.steps.left_behind import MARK, RUN
from tests.unit.test_process_held import MANY, READS

WORDS = ("run", "--select", "a b")
PYTHON = sys.executable.encode()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where a run has noted how it started its dbt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dbt.py").write_text(READS)
    (tmp_path / "dbtorch.yml").write_text("engine: {executable: dbt}\n")
    first = Early(WORDS)
    first.start()
    build, guard, _ = held(first, tmp_path)
    build.give_up()
    guard.close()
    return tmp_path


def held(
    early: Early, project: Path, environ: Mapping[str, str] = os.environ, grace: float = 1.0
) -> tuple[HeldBuild, Guard, Executable]:
    """What a run does once it knows how dbt is to be started."""
    scratch = project / ".dbtorch" / "runs" / early.run_id / "dbt"
    found = early.guard(grace=grace)
    guard = found or Guard(grace=grace, ask=signal.SIGINT)
    entry = Entry(executable="dbt", command=(sys.executable, str(project / "dbt.py")))
    around = {**environ, RUN: early.run_id}
    executable = Executable(entry, project, around, guard, early=early)
    executable.set_default("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
    folder = scratch / "held" / "1"
    return HeldBuild(executable, Words.of(()), folder, grace=grace), guard, executable


def started(early: Early) -> int | None:
    """The process that was started early."""
    return early._pid


def is_gone(pid: int) -> bool:
    """Whether a process ends, a moment later."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_run_takes_the_dbt_that_was_started_early(project: Path, tmp_path: Path) -> None:
    from dbtorch.adapters.dbt.process.artifacts import choose

    early = Early(WORDS)
    early.start()
    pid = started(early)
    assert pid is not None
    build, guard, executable = held(early, project)
    early.close()  # it has nothing left to end
    process = build.go_on(choose(tmp_path / "batch", MANY))
    assert process is not None
    assert process.pid == pid
    assert process.stdout is not None
    assert json.loads(process.stdout.read()) == MANY
    assert executable.ended(process) == 0
    guard.close()


def nothing(project: Path) -> Any:
    """Change nothing."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nothing, ("run", "--select", "a", "b")),
        (lambda project: (project / "dbtorch.yml").write_text("{}"), WORDS),
        (lambda project: (project / "dbt_project.yml").touch(), WORDS),
        (lambda project: note(project).unlink(), WORDS),
        (lambda project: note(project).write_text(""), WORDS),
        (lambda project: note(project).write_text("{}"), WORDS),
        (lambda project: note(project).write_bytes(note(project).read_bytes()[:-1]), WORDS),
        (lambda project: noted(project, b"\0"), WORDS),
        (
            lambda project: noted(project, kept(project).replace(b"\x001.0\x00", b"\x00soon\x00")),
            WORDS,
        ),
        (lambda project: noted(project, kept(project).replace(PYTHON, b"/nowhere/dbt")), WORDS),
        (lambda project: noted(project, kept(project) + b"\0no variable"), WORDS),
        (lambda project: noted(project, kept(project) + b"\0PATH=/bin"), WORDS),
    ],
)
def test_what_cannot_be_started_early_is_not(
    project: Path, change: Callable[[Path], Any], words: tuple[str, ...]
) -> None:
    change(project)
    early = Early(words)
    early.start()
    assert started(early) is None
    build, guard, _ = held(early, project)  # and is started as ever
    assert build._process.poll() is None
    build.give_up()
    guard.close()


def note(project: Path) -> Path:
    (found,) = (project / ".dbtorch" / "cache").glob("start-*")
    return found


def kept(project: Path) -> bytes:
    """What the note says."""
    digest, _, content = note(project).read_bytes().partition(b" ")
    assert int(digest, 16) == zlib.crc32(content)
    return content


def noted(project: Path, content: bytes) -> None:
    """Let the note say something else."""
    assert content != kept(project)
    note(project).write_bytes(b"%08x " % zlib.crc32(content) + content)


@pytest.mark.parametrize(
    "more",
    [
        {"environ": {**os.environ, "SHOP": "another"}},
        {"grace": 2.0},  # which its guard does not know
    ],
    ids=["environment", "grace"],
)
def test_one_that_was_started_otherwise_is_ended(project: Path, more: dict[str, Any]) -> None:
    early = Early(WORDS)
    early.start()
    pid = started(early)
    assert pid is not None
    build, guard, _ = held(early, project, **more)
    assert build._process.pid != pid
    assert is_gone(pid)
    assert float(kept(project).split(b"\0")[1]) == more.get("grace", 1.0)
    build.give_up()
    guard.close()


def test_one_that_nobody_takes_is_ended(project: Path) -> None:
    early = Early(WORDS)
    early.start()
    pid = started(early)
    assert pid is not None
    early.close()
    assert is_gone(pid)


def test_one_whose_supervisor_is_killed_is_ended(project: Path) -> None:
    script = f"""
import os, signal
from dbtorch.adapters.dbt.process.early import Early
early = Early({WORDS!r})
early.start()
print(early._pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert is_gone(int(ended.stdout))


def test_a_note_has_nothing_of_the_environment_but_what_was_added(project: Path) -> None:
    _, _, count, *rest = kept(project).split(b"\0")
    command, variables = rest[: int(count)], rest[int(count) :]
    names = {variable.partition(b"=")[0].decode() for variable in variables}
    assert names <= {"DBT_SEND_ANONYMOUS_USAGE_STATS", "RUST_BACKTRACE"}
    assert names.isdisjoint({RUN, MARK})
    assert command.count(b"\n") == 1  # its folder is another one in each run


def test_it_is_imported_before_everything_that_takes_its_time() -> None:
    """Or there would be no gain in it."""
    script = "import sys, dbtorch.adapters.dbt.process.early; print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ended.stdout.split())
    assert loaded.isdisjoint({"click", "yaml", "msgspec", "typing", "dataclasses", "logging"})
    assert loaded.isdisjoint({"json", "pathlib", "re", "enum", "subprocess", "threading"})
    assert not any(name.startswith(("dbtorch.core", "dbtorch.cli")) for name in loaded)


def test_an_interrupt_that_comes_before_anybody_hears_it_is_no_traceback(tmp_path: Path) -> None:
    script = """
import sys
from dbtorch.__main__ import main

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "dbtorch.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.argv = ["dbtorch", "run"]
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
