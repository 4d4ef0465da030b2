"""Python steps: what a function is given, what becomes of what it returns or raises."""

import ast
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.steps.base import CHILD, MAX_OUTPUT
from dbtorch.core.config import StepSpec
from dbtorch.core.model.events import Finished, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.steps import StepBench
from tests.waiting import wait_for

STEPS = """
import os, sys, time
from pathlib import Path

def told(context):
    assert context.logical_date.isoformat() == "2026-03-01T00:00:00+00:00"
    assert context.data_interval_end.day == 2
    assert context.project_dir == Path.cwd()
    return {
        "run_id": context.run_id, "step": context.step, "attempt": context.attempt,
        "params": context.params, "vars": context.vars, "target": context.target,
        "outputs": context.outputs, "key": context.idempotency_key,
        "env": {k: v for k, v in os.environ.items() if k.startswith("DBTORCH_") and "_TEST" not in k},
    }

def nothing():
    pass

class Loader:
    @staticmethod
    def load(context):
        return ["in a class"]

def prints(context):
    print("to standard output")
    print("to standard error", file=sys.stderr)

def large(context):
    return "x" * 70_000

def no_json(context):
    return {"when": context.logical_date}

def no_number(context):
    return float("nan")

def speaks_of_dbtorch(context):
    from dbtorch.step import Fail, Retry
    raise Retry("busy", after=12) if context.params["retry"] else Fail("no such table")

def skips(context):
    import dbtorch.step
    from dbtorch.step import Skip
    assert dbtorch.Skip is Skip and callable(dbtorch.step)
    raise dbtorch.Skip("no new files")

def forked(context):
    if os.fork() == 0:
        return {"rows": 1}  # a copy of the process reports, and the process itself dies
    os.wait()
    os._exit(context.params.get("status", 3))

def killed(context):
    if os.fork() == 0:
        return {"rows": 1}
    os.wait()
    os.kill(os.getpid(), 9)

def only_a_copy_fails(context):
    if os.fork() == 0:
        raise RuntimeError("in a copy")
    os.wait()
    return {"rows": 2}

def ends_otherwise(context):
    import atexit
    atexit.register(eval(context.params["do"]))
    return {"rows": 1}

def cleans_up(context):
    try:
        Path("started").touch()
        time.sleep(60)
    finally:
        Path("cleaned").touch()
"""

Bench = Callable[..., StepBench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench whose only step is called "it"."""
    (tmp_path / "work.py").write_text(STEPS)
    (tmp_path / "broken.py").write_text("def load(context:\n")
    (tmp_path / "needs.py").write_text("import not_there_at_all\n")
    benches: list[StepBench] = []

    def make(function: str, *, params: dict[str, Any] | None = None, **more: Any) -> StepBench:
        spec = StepSpec(name="it", type="python", action=function, params=params or {})
        benches.append(StepBench(tmp_path, [spec], **more))
        return benches[-1]

    yield make
    for one in benches:
        one.runner.close()


def test_a_function_is_told_everything_and_returns_its_output(bench: Bench, tmp_path: Path) -> None:
    it = bench(
        "work:told",
        params={"table": "orders", "rows": "{{ outputs.before.rows }}", "n": 3},
        vars={"country": "DE"},
        target={"name": "dev", "type": "duckdb", "path": "shop.duckdb", "database": None},
        outputs={"before": {"rows": 42}},
    )

    outcome = it.run("it", number=2)

    assert outcome.state is State.SUCCESS, outcome.message
    env = outcome.output.pop("env")
    assert outcome.output == {
        "run_id": "bench",
        "step": "it",
        "attempt": 2,
        "params": {"table": "orders", "rows": 42, "n": 3},  # a lone expression keeps its type
        "vars": {"country": "DE"},
        "target": {"name": "dev", "type": "duckdb", "path": "shop.duckdb", "database": None},
        "outputs": {"before": {"rows": 42}},
        "key": env["DBTORCH_IDEMPOTENCY_KEY"],
    }
    assert len(env.pop("DBTORCH_IDEMPOTENCY_KEY")) == 64
    for file in ("CONTEXT", "OUTPUT", "RESULT"):
        assert not Path(env.pop(f"DBTORCH_{file}")).exists()  # gone with the attempt
    assert env == {
        "DBTORCH_RUN_ID": "bench",
        "DBTORCH_PIPELINE": "default",
        "DBTORCH_STEP": "it",
        "DBTORCH_ATTEMPT": "2",
        "DBTORCH_LOGICAL_DATE": "2026-03-01T00:00:00+00:00",
        "DBTORCH_DATA_INTERVAL_START": "2026-03-01T00:00:00+00:00",
        "DBTORCH_DATA_INTERVAL_END": "2026-03-02T00:00:00+00:00",
        "DBTORCH_PREVIOUS_SUCCESS_END": "",
        "DBTORCH_TRIGGER": "",
        "DBTORCH_PARTITION": "",
        "DBTORCH_PROJECT_DIR": str(tmp_path),
        "DBTORCH_TARGET_NAME": "dev",
        "DBTORCH_TARGET_TYPE": "duckdb",
        "DBTORCH_TARGET_PATH": "shop.duckdb",
    }


def test_every_attempt_has_the_same_idempotency_key(bench: Bench) -> None:
    it = bench("work:told")

    keys = {it.run("it", number).output["key"] for number in (1, 2)}

    assert len(keys) == 1


@pytest.mark.parametrize(
    ("function", "output"),
    [
        ("work:nothing", None),  # takes no context, returns nothing
        ("work:Loader.load", ["in a class"]),
        ("{{ 'work' }}:nothing", None),
    ],
)
def test_functions_may_take_nothing_and_live_in_classes(
    bench: Bench, function: str, output: Any
) -> None:
    outcome = bench(function).run("it")

    assert (outcome.state, outcome.output) == (State.SUCCESS, output)


def test_what_it_prints_is_in_the_log_of_the_attempt(bench: Bench) -> None:
    it = bench("work:prints")

    it.run("it")

    assert it.log("it") == "to standard output\nto standard error\n"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("nowhere:load", "there is no module 'nowhere' (looked in "),
        ("work:load", "module 'work' has no function 'load'"),
        ("work:Path.nope", "module 'work' has no function 'Path.nope'"),
        ("broken:load", "SyntaxError: "),
        ("needs:load", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("work.load", 'python must be "module:function"'),
        ("work:{{ nope }}", "'nope' is undefined"),
        ("work:large", "the step's output has 70,002 bytes, more than the 65,536 it may hand on"),
        ("work:no_json", "what work:no_json returned (dict) is not JSON: "),
        ("work:no_number", "what work:no_number returned (float) is not JSON: "),
    ],
)
def test_what_can_never_work_is_a_failure_of_the_code(
    bench: Bench, function: str, said: str
) -> None:
    it = bench(function)

    outcome = it.run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.CODE)
    assert outcome.message.startswith(said) or said in outcome.message
    assert "\n" not in outcome.message
    assert it.log("it").endswith(f"failed: {outcome.message}\n")


@pytest.mark.parametrize(
    ("retry", "message", "failure_class", "after"),
    [
        (True, "busy", FailureClass.TRANSIENT, 12.0),
        (False, "no such table", FailureClass.CODE, None),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_a_step_may_say_what_its_failure_is(
    bench: Bench,
    tmp_path: Path,
    retry: bool,
    message: str,
    failure_class: FailureClass,
    after: float | None,
    installed: bool,
) -> None:
    python = sys.executable if installed else bare_python(tmp_path)
    it = bench("work:speaks_of_dbtorch", params={"retry": retry}, python=python)

    outcome = it.run("it")

    assert (outcome.message, outcome.failure_class) == (message, failure_class), it.log("it")
    assert outcome.retry_after == after


def test_a_step_may_skip_itself(bench: Bench, tmp_path: Path) -> None:
    outcome = bench("work:skips", python=bare_python(tmp_path)).run("it")

    assert (outcome.state, outcome.message) == (State.SKIPPED, "no new files")


def test_a_cancelled_function_may_clean_up(bench: Bench, tmp_path: Path) -> None:
    it = bench("work:cleans_up")
    attempt = it.start("it")
    it.started(attempt)
    wait_for((tmp_path / "started").exists)

    it.runner.cancel(attempt)

    outcome = it.outcome(attempt)
    assert (outcome.state, outcome.message) == (State.FAILED, "terminated")
    assert (tmp_path / "cleaned").exists()
    assert [type(event) for event in it.events] == [Started, Finished]


def test_files_that_run_in_the_projects_interpreter_suit_python_3_9() -> None:
    for path in (CHILD, CHILD.parents[2] / "step.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_large_outputs_up_to_the_limit_are_handed_on(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "fits.py").write_text(f"def load():\n    return 'x' * {MAX_OUTPUT - 2}\n")

    outcome = bench("fits:load").run("it")

    assert outcome.state is State.SUCCESS
    assert len(json.dumps(outcome.output)) == MAX_OUTPUT


def bare_python(tmp_path: Path) -> str:
    """An interpreter that has no packages at all: no dbtorch, no jinja."""
    script = tmp_path / "bare-python"
    script.write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S -E "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("function", "params", "said"),
    [
        ("forked", {}, "exit status 3: a copy of this process (os.fork) ended where"),
        ("forked", {"status": 0}, "the process ended without a result: a copy of this process"),
        ("killed", {}, "killed by signal 9 (SIGKILL): a copy of this process"),
        ("ends_otherwise", {"do": "lambda: os._exit(7)"}, "exit status 7"),
        ("ends_otherwise", {"do": "lambda: os._exit(99)"}, "exit status 99, although it had said"),
        (
            "ends_otherwise",
            {"do": "lambda: os.kill(os.getpid(), 11)"},
            "killed by signal 11 (SIGSEGV)",
        ),
    ],
)
def test_only_the_process_that_was_started_can_succeed(
    bench: Bench, function: str, params: dict[str, Any], said: str
) -> None:
    outcome = bench(f"work:{function}", params=params).run("it")

    assert outcome.state is State.FAILED
    assert outcome.message.startswith(said)


def test_what_becomes_of_a_copy_is_not_what_becomes_of_the_step(bench: Bench) -> None:
    assert bench("work:only_a_copy_fails").run("it").output == {"rows": 2}
