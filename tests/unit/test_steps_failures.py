"""How a python step that fails is judged: from its exception, its status, its signal."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from dbtorch.core.config import StepSpec
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.steps import StepBench

STEPS = """
import datetime, os, signal, socket, sys, urllib.error
import dbtorch

def raises(context):
    raise eval(context.params["error"])

def chained(context):
    try:
        raise ConnectionResetError("by peer")
    except ConnectionResetError as error:
        raise RuntimeError("could not land orders") from error

def leaves(context):
    sys.exit(context.params["status"])

def dies(context):
    os._exit(0)

def killed(context):
    os.kill(os.getpid(), signal.SIGKILL)
"""

Bench = Callable[..., StepBench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench whose only step is called "it"."""
    (tmp_path / "work.py").write_text(STEPS)
    benches: list[StepBench] = []

    def make(function: str, *, params: dict[str, Any] | None = None, **more: Any) -> StepBench:
        spec = StepSpec(name="it", type="python", action=function, params=params or {})
        benches.append(StepBench(tmp_path, [spec], **more))
        return benches[-1]

    yield make
    for one in benches:
        one.runner.close()


@pytest.mark.parametrize(
    ("error", "message", "failure_class"),
    [
        ("ValueError('no\\norders')", "ValueError: no orders", FailureClass.UNKNOWN),
        ("RuntimeError()", "RuntimeError", FailureClass.UNKNOWN),
        ("ConnectionRefusedError('no')", "ConnectionRefusedError: no", FailureClass.TRANSIENT),
        ("TimeoutError('late')", "TimeoutError: late", FailureClass.TRANSIENT),
        ("socket.gaierror(-3, 'again')", "gaierror: [Errno -3] again", FailureClass.TRANSIENT),
        ("urllib.error.URLError('x')", "URLError: <urlopen error x>", FailureClass.TRANSIENT),
        ("TypeError('int')", "TypeError: int", FailureClass.CODE),
        ("AttributeError('rows')", "AttributeError: rows", FailureClass.CODE),
        ("NameError('rows')", "NameError: rows", FailureClass.CODE),
    ],
)
def test_an_exception_is_one_line_and_a_class(
    bench: Bench, error: str, message: str, failure_class: FailureClass
) -> None:
    it = bench("work:raises", params={"error": error})

    outcome = it.run("it")

    assert (outcome.state, outcome.message) == (State.FAILED, message)
    assert outcome.failure_class is failure_class
    log = it.log("it")
    assert "Traceback (most recent call last)" in log
    assert "child.py" not in log  # the traceback begins where the user's code does


@pytest.mark.parametrize(
    ("status", "after", "failure_class", "retry_after"),
    [
        (503, "7", FailureClass.TRANSIENT, 7.0),
        (429, None, FailureClass.TRANSIENT, None),
        (404, None, FailureClass.CODE, None),
    ],
)
def test_an_http_error_of_the_step_is_judged_by_its_status(
    bench: Bench, status: int, after: str | None, failure_class: FailureClass, retry_after: float
) -> None:
    headers = {"Retry-After": after} if after else {}
    error = f"urllib.error.HTTPError('http://x', {status}, 'hm', {headers!r}, None)"

    outcome = bench("work:raises", params={"error": error}).run("it")

    assert (outcome.failure_class, outcome.retry_after) == (failure_class, retry_after)


def test_retry_after_may_be_a_date(bench: Bench) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    error = f"urllib.error.HTTPError('http://x', 429, 'hm', {{'Retry-After': {later!r}}}, None)"

    outcome = bench("work:raises", params={"error": error}).run("it")

    assert outcome.retry_after == pytest.approx(90, abs=10)


def test_an_answer_of_requests_is_judged_like_any_other(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text(
        "import requests\n"
        "def load():\n"
        "    answer = requests.Response()\n"
        "    answer.status_code, answer.headers['retry-after'] = 503, '7'\n"
        "    answer.raise_for_status()\n"
    )

    outcome = bench("asks:load").run("it")

    assert (outcome.failure_class, outcome.retry_after) == (FailureClass.TRANSIENT, 7.0)


def test_a_connection_that_fails_is_judged_by_its_cause(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "connects.py").write_text(
        "import psycopg\n"
        "def load():\n"
        "    try:\n"
        "        psycopg.connect('postgresql://nobody@127.0.0.1:1/x', connect_timeout=3)\n"
        "    except psycopg.Error as error:\n"
        "        raise RuntimeError('could not land orders') from error\n"
    )

    assert bench("connects:load").run("it").failure_class is FailureClass.TRANSIENT


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("ValueError('lake is frozen')", FailureClass.TRANSIENT),
        ("ValueError('no rows')", FailureClass.UNKNOWN),
        ("dbtorch.Fail('lake is frozen')", FailureClass.CODE),  # the step knows best
        ("dbtorch.Retry('no', after=datetime.timedelta(minutes=1))", FailureClass.TRANSIENT),
    ],
)
def test_rules_of_the_user_come_first(bench: Bench, error: str, expected: FailureClass) -> None:
    rule = Rule(failure_class=FailureClass.TRANSIENT, message="lake is (busy|frozen)")
    it = bench("work:raises", params={"error": error}, failure_classes=[rule])

    outcome = it.run("it")

    assert outcome.failure_class is expected
    assert outcome.retry_after == (60.0 if "after" in error else None)


def test_a_cause_decides_when_the_exception_itself_says_nothing(bench: Bench) -> None:
    outcome = bench("work:chained").run("it")

    assert outcome.message == "RuntimeError: could not land orders"
    assert outcome.failure_class is FailureClass.TRANSIENT
    assert outcome.details["exception"] == {"class": "RuntimeError", "module": "builtins"}


def test_a_duckdb_lock_is_transient(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "opens.py").write_text(
        "import duckdb\n"
        "def load():\n"
        '    raise duckdb.IOException(\'IO Error: Could not set lock on file "x": '
        "Conflicting lock is held in PID 1')\n"
    )

    outcome = bench("opens:load").run("it")

    assert outcome.failure_class is FailureClass.TRANSIENT, outcome.message


@pytest.mark.parametrize(
    ("status", "state", "message", "failure_class"),
    [
        (None, State.SUCCESS, "", None),
        (0, State.SUCCESS, "", None),
        (99, State.SKIPPED, "exit status 99", None),
        (75, State.FAILED, "exit status 75", FailureClass.TRANSIENT),
        (65, State.FAILED, "exit status 65", FailureClass.DATA),
        (78, State.FAILED, "exit status 78", FailureClass.CODE),
        (3, State.FAILED, "exit status 3", FailureClass.UNKNOWN),
        ("no orders", State.FAILED, "no orders", FailureClass.UNKNOWN),
    ],
)
def test_leaving_through_sys_exit_is_read_like_a_command(
    bench: Bench, status: Any, state: State, message: str, failure_class: FailureClass | None
) -> None:
    outcome = bench("work:leaves", params={"status": status}).run("it")

    assert (outcome.state, outcome.message) == (state, message)
    assert outcome.failure_class is failure_class


def test_a_process_that_ends_without_a_result_has_failed(bench: Bench) -> None:
    outcome = bench("work:dies").run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.UNKNOWN)
    assert outcome.message == "the process ended without a result"


def test_a_killed_process_is_transient(bench: Bench) -> None:
    outcome = bench("work:killed").run("it")

    assert outcome.failure_class is FailureClass.TRANSIENT
    assert outcome.message == "killed by signal 9 (SIGKILL)"
