"""What each end of a command is for whoever started it: one boundary, one code for each."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dbtorch.app.inbox import Inbox
from dbtorch.cli import main as command_line
from dbtorch.cli.errors import Stopped
from dbtorch.cli.executed import executed
from dbtorch.core.errors import EngineError, NothingToDo, StoreError, StoreUnreachable, UsageError
from dbtorch.core.exit_codes import KILLED, STOPPED, TABLE, Again, Exit, again
from dbtorch.core.model.state import RunState
from dbtorch.service.run.listener import Executed


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (NothingToDo("run r1 succeeded"), 0, "run r1 succeeded\n"),
        (UsageError("there is no run"), 2, "Error: there is no run\n"),
        (StoreError("the disk is full"), 2, "Error: the disk is full\n"),
        (StoreUnreachable("it restarts"), 75, "Error: it restarts\n"),
        (EngineError("Compilation Error"), 2, "Error: Compilation Error\n"),
        (click.UsageError("no such option"), 2, "no such option"),
        (ZeroDivisionError("ours"), 4, "ZeroDivisionError: ours"),
        (RecursionError("ours"), 4, "this is a mistake of dbtorch"),
        (MemoryError(), 4, "Traceback (most recent call last)"),
        (KeyboardInterrupt(), 130, ""),
        (Stopped(15), 143, ""),
    ],
)
def test_every_end_has_its_code(monkeypatch, capsys, raised, code, said):
    def end(**given):
        raise raised

    monkeypatch.setattr(command_line.cli, "main", end)
    assert command_line.main([]) == code
    out = "".join(capsys.readouterr())
    assert said in out
    assert ("Traceback" in out) is (code == 4)


@pytest.mark.parametrize(
    ("state", "signum", "code"),
    [
        (RunState.SUCCESS, None, 0),
        (RunState.FAILED, None, 1),  # whatever failed, dbt's session among it
        (RunState.CANCELLED, None, 1),
        (RunState.GATED, None, 3),
        (RunState.CANCELLED, 2, 130),
        (RunState.CANCELLED, 15, 143),
    ],
)
def test_a_run_ends_with_the_code_of_its_state(state, signum, code):
    def work(listen, control):
        inbox = Inbox()
        control.begin(inbox)
        if signum is not None:
            signal.raise_signal(signum)
            (stop,) = inbox.take(0)
            assert str(stop.reason) == f"the run got {signal.Signals(signum).name}"
        return Executed(run_id="r1", state=state, record=None)

    assert executed(work, log_format="text", quiet=True) == code


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_a_run_has_begun_ends_the_command(signum):
    def work(listen, control):
        control.outlook = "nothing was executed"
        signal.raise_signal(signum)

    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as stopped:
        executed(work, log_format="text", quiet=True)
    assert (stopped.value.signum, stopped.value.so) == (signum, "nothing was executed")
    assert signal.getsignal(signum) is before


def test_what_breaks_before_the_command_line_is_there_is_a_mistake_of_ours(tmp_path):
    broken = "import dbtorch.__main__ as m, sys; sys.modules['dbtorch.cli.main'] = None; m.main()"
    ended = subprocess.run(
        [sys.executable, "-c", broken], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (4, True)


@pytest.mark.parametrize(
    ("code", "started"),
    [
        (0, Again.DONE),
        (1, Again.NO),
        (2, Again.NO),
        (3, Again.LATER),
        (4, Again.ONCE),
        (75, Again.YES),
        (120, Again.ONCE),  # Python's, where it cannot write its last words
        (130, Again.YES),
        (137, Again.YES),
        (-9, Again.YES),  # as a parent sees it
    ],
)
def test_who_starts_runs_knows_by_the_code_what_to_do(code, started):
    assert again(code) is started


def test_the_page_has_the_table_of_the_code():
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location(
        "exit_codes_docs", root / ".ci" / "exit_codes_docs.py"
    )
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.updated(page) == page, "run .ci/exit_codes_docs.py"
    assert TABLE.keys() == set(Exit)
    assert STOPPED.again is KILLED.again
    with pytest.raises(ValueError, match="0 places"):
        docs.updated(page.replace("<!-- exit codes -->", ""))
