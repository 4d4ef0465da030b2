"""A dbt that is ended, that leaves somebody behind, or that nobody can follow: nothing hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.build import BatchContext, Build
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import MAX_BYTES, Lines, LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.dbt_cli.line_batches import _Rest
from dbtorch.adapters.dbt.process.operations.operation import Operation
from dbtorch.adapters.dbt.process.project.listing import ids_of
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.cli.errors import NODE_FAILED, exit_code
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import Attempt, Batch, Event
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.state import FailureClass
from tests.waiting import PATIENCE

MODEL = "model.shop.a"

LISTED = '{"info": {"name": "x", "msg": "{\\"unique_id\\": \\"model.shop.a\\"}"}, "data": {}}'


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    found = Guard(grace=5)
    yield found
    found.close()


def dbt(script: str, folder: Path, guard: Guard) -> Executable:
    path = folder / "dbt.py"
    path.write_text(f"import os, pathlib, signal, sys, time\n{script}")
    entry = Launcher(executable="dbt", command=(sys.executable, str(path)))
    return Executable(entry, folder, os.environ, guard)


#: Lists a node, and is killed so many times before the end.
KILLED = """
times = pathlib.Path("times")
times.write_text((times.read_text() if times.exists() else "") + "x")
print('{listed}', flush=True)
if len(times.read_text()) <= {deaths}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_question_whose_dbt_is_killed_is_asked_again(tmp_path: Path, guard: Guard) -> None:
    executable = dbt(KILLED.format(listed=LISTED.replace("\\", "\\\\"), deaths=2), tmp_path, guard)
    assert ids_of(executable.ask(("list",))) == {MODEL}
    assert (tmp_path / "times").read_text() == "xxx"


def test_half_an_answer_is_none(tmp_path: Path, guard: Guard) -> None:
    executable = dbt(KILLED.format(listed=LISTED.replace("\\", "\\\\"), deaths=9), tmp_path, guard)
    with pytest.raises(EngineError, match="SIGKILL before it had answered") as raised:
        ids_of(executable.begin_to_ask(("list",))())
    assert raised.value.failure_class is FailureClass.TRANSIENT
    assert exit_code(raised.value) == NODE_FAILED


def test_what_we_have_killed_is_not_asked_again(tmp_path: Path, guard: Guard) -> None:
    executable = dbt(KILLED.format(listed="", deaths=0) + "time.sleep(600)", tmp_path, guard)
    answer = executable.begin_to_ask(("list",))
    executable.kill()
    assert answer().code < 0
    assert not (tmp_path / "times").exists() or (tmp_path / "times").read_text() == "x"


#: Ends, and leaves somebody in another session who holds its pipe.
LEAVES = """
print("said", flush=True)
if os.fork() == 0:
    os.setsid()
    pathlib.Path("left").write_text(str(os.getpid()))
    time.sleep(600)
while not pathlib.Path("left").exists():
    time.sleep(0.01)
print("last", end="", flush=True)
os._exit(0)
"""


@pytest.fixture
def left(tmp_path: Path) -> Iterator[None]:
    yield
    os.kill(int((tmp_path / "left").read_text()), 9)


@pytest.mark.usefixtures("left")
def test_a_dbt_that_has_ended_is_over_whoever_holds_its_pipe(tmp_path: Path, guard: Guard) -> None:
    executable = dbt(LEAVES, tmp_path, guard)
    began = time.monotonic()
    answer = executable.ask(("list",))
    assert time.monotonic() - began < 60
    assert [line.text for line in answer.lines] == ["said", "last"]
    assert answer.code == 0


def test_of_a_line_that_does_not_end_no_more_is_kept_than_is_read() -> None:
    rest = _Rest()
    found = [line for _ in range(24) for line in rest.lines(b"x" * 2**20)]
    found += rest.lines(b"\ny\n")
    assert [len(line) for line in found] == [MAX_BYTES + 1, 1]
    said = Lines().read(found[0])
    assert isinstance(said, LogMessage)
    assert len(said.text) < 3_000


#: Says that something is wrong, about no node, and does not end.
STAYS = """
pathlib.Path("pid").write_text(str(os.getpid()))
print('{"info": {"name": "x", "level": "error", "msg": "no"}, "data": {}}', flush=True)
time.sleep(600)
"""


def build(executable: Executable, folder: Path, events: list[Event], **more: object) -> Build:
    said = {
        "executable": executable,
        "graph": Graph([Node(id=MODEL, kind=Kind.MODEL, name="a")], []),
        "materialized": {},
        "emit": events.append,
        "warned": lambda _: None,
        "log_path": lambda attempt: folder / "log",
        "console": folder / "console",
        "results_path": folder / "run_results.json",
        "rules": (),
        "grace": 5.0,
        "fail_fast": False,
        "starting": threading.Lock(),
        **more,
    }
    around = BatchContext(**said)  # type: ignore[arg-type]
    batch = Batch(1, (Attempt(MODEL, 1),))
    return Build(batch, lambda: executable.start(()), around, lambda _: None)


def test_a_console_that_is_full_stops_nothing(tmp_path: Path, guard: Guard) -> None:
    executable = dbt(STAYS.replace("time.sleep(600)", ""), tmp_path, guard)
    events: list[Event] = []
    build(executable, tmp_path, events, console=Path("/dev/full")).follow()
    (ended,) = events
    assert getattr(ended, "reason", "") == "dbt ended with exit code 0, and has not executed it"


def test_a_build_that_cannot_be_followed_is_ended(tmp_path: Path, guard: Guard) -> None:
    """Or it would build on beside the one that is tried again."""
    script = STAYS.replace('"data": {}', f'"data": {{"node_info": {{"unique_id": "{MODEL}"}}}}')
    executable = dbt(script.replace('"name": "x"', '"name": "NodeStart"'), tmp_path, guard)

    def refuse(event: Event) -> None:
        raise ValueError("nobody takes it")

    with pytest.raises(ValueError, match="nobody takes it"):
        build(executable, tmp_path, [], emit=refuse).follow()
    assert is_gone(tmp_path)


def test_an_operation_that_cannot_be_followed_is_ended(tmp_path: Path, guard: Guard) -> None:
    def refuse(said: object) -> None:
        raise ValueError("nobody takes it")

    operation = Operation(dbt(STAYS, tmp_path, guard), lambda: (), grace=PATIENCE)
    with pytest.raises(ValueError, match="nobody takes it"):
        operation.run("dbtorch_sql", {}, refuse)
    assert is_gone(tmp_path)


def is_gone(folder: Path) -> bool:
    """Whether it has been reaped, too: its number is nobody's."""
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_who_kills_waits_for_no_lock(tmp_path: Path, guard: Guard) -> None:
    """A signal handler does, and may have interrupted the very thread that holds it."""
    executable = dbt(STAYS, tmp_path, guard)
    works = [
        build(executable, tmp_path, []),
        Operation(executable, lambda: (), grace=PATIENCE),
    ]
    for work in works:
        with work._lock:
            killing = threading.Thread(target=work.kill, args=("killed",), daemon=True)
            killing.start()
            killing.join(PATIENCE)
            assert not killing.is_alive()
    assert not hasattr(executable, "_lock")


def test_a_build_that_was_killed_as_it_started_ends(tmp_path: Path, guard: Guard) -> None:
    executable = dbt(STAYS, tmp_path, guard)
    events: list[Event] = []
    found = build(executable, tmp_path, events)
    start = found._start

    def killed_meanwhile() -> subprocess.Popen[bytes]:
        process = start()
        found.kill("killed")  # as a signal handler does before it is known which process it is
        return process

    found._start = killed_meanwhile
    found.follow()
    (ended,) = events
    assert getattr(ended, "reason", "") == "killed"
