"""Command steps, and what holds for the process of any step: environment, groups, cancelling."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtorch.core.config import StepSpec
from dbtorch.core.model.events import Finished, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.steps import StepBench
from tests.waiting import wait_for

Bench = Callable[..., StepBench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench whose only step is called "it"."""
    benches: list[StepBench] = []

    def make(
        action: Any,
        *,
        when: str | None = None,
        env: dict[str, str] | None = None,
        params: dict[str, Any] | None = None,
        **more: Any,
    ) -> StepBench:
        spec = StepSpec(
            name="it", type="command", action=action, when=when, env=env or {}, params=params or {}
        )
        benches.append(StepBench(tmp_path, [spec], **more))
        return benches[-1]

    yield make
    for one in benches:
        one.runner.close()


@pytest.mark.parametrize(
    ("action", "log"),
    [
        ("echo one && echo two >&2", "one\ntwo\n"),  # text goes through the shell
        (["echo", "a  b", "&&", "$HOME"], "a  b && $HOME\n"),  # a list does not
        (["echo", "{{ run.id }}", 7], "bench 7\n"),
        ("echo {{ run.logical_date.date() }} {{ params.n }}", "2026-03-01 3\n"),
        ("pwd", "{here}\n"),  # the project is where it starts
        ("cat", ""),  # nothing to read
    ],
)
def test_commands_run_and_their_output_is_in_the_log(
    bench: Bench, tmp_path: Path, action: Any, log: str
) -> None:
    it = bench(action, params={"n": 3})

    outcome = it.run("it")

    assert outcome.state is State.SUCCESS, outcome.message
    assert it.log("it") == log.replace("{here}", str(tmp_path.resolve()))


@pytest.mark.parametrize(
    ("action", "state", "failure_class", "message"),
    [
        ("echo oh no; exit 3", State.FAILED, FailureClass.UNKNOWN, "exit status 3: oh no"),
        ("exit 75", State.FAILED, FailureClass.TRANSIENT, "exit status 75"),  # EX_TEMPFAIL
        ("exit 78", State.FAILED, FailureClass.CODE, "exit status 78"),  # EX_CONFIG
        ("timeout 0.1 sleep 9", State.FAILED, FailureClass.TIMEOUT, "exit status 124"),
        # the last line of the log
        (
            "echo Connection refused; exit 1",
            State.FAILED,
            FailureClass.TRANSIENT,
            "exit status 1: ",
        ),
        ("exit 99", State.SKIPPED, None, "exit status 99"),  # Airflow's skip_on_exit_code
        ("kill -9 $$", State.FAILED, FailureClass.TRANSIENT, "killed by signal 9"),
        ("sh -c 'kill -9 $$'; exit $?", State.FAILED, FailureClass.TRANSIENT, "killed by signal 9"),
        ("no-such-program", State.FAILED, FailureClass.CODE, "exit status 127: "),
        (
            ["no-such-program"],
            State.FAILED,
            FailureClass.CODE,
            "the process cannot start: No such file or directory: no-such-program",
        ),
        (["/"], State.FAILED, FailureClass.CODE, "the process cannot start: Permission denied: /"),
        ("{{ nope }}", State.FAILED, FailureClass.CODE, "cannot render '{{ nope }}': "),
    ],
)
def test_how_a_command_ends_says_what_to_make_of_it(
    bench: Bench, action: Any, state: State, failure_class: FailureClass | None, message: str
) -> None:
    it = bench(action)

    outcome = it.run("it")

    assert (outcome.state, outcome.failure_class) == (state, failure_class)
    assert outcome.message.startswith(message)
    assert it.log("it").endswith(f"{state.value}: {outcome.message}\n")
    assert sum(isinstance(event, Finished) for event in it.events) == 1


def test_a_command_hands_on_json_through_a_file(bench: Bench) -> None:
    it = bench("""echo '{"rows": 42}' > "$DBTORCH_OUTPUT" """)

    assert it.run("it").output == {"rows": 42}
    assert it.runner.outputs == {"it": {"rows": 42}}


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ("echo 42 rows", "what the step wrote to DBTORCH_OUTPUT is not JSON: "),
        ("echo NaN", "what the step wrote to DBTORCH_OUTPUT is not JSON: NaN is not JSON"),
        ("printf '\"%70000s\"' x", "the step's output has 70,002 bytes, more than the 65,536"),
        ("head -c 2000000 /dev/zero", "the step's output has 2,000,000 bytes, more than"),
        ("echo 1e999", "what the step wrote to DBTORCH_OUTPUT is not JSON: the number 1e999 is"),
        ("echo -Infinity", "what the step wrote to DBTORCH_OUTPUT is not JSON: -Infinity is not"),
        (
            "printf '[%.0s' $(seq 20000)",
            "what the step wrote to DBTORCH_OUTPUT is not JSON: it has more than 100 lists",
        ),
        (
            "printf '9%.0s' $(seq 9000)",
            "what the step wrote to DBTORCH_OUTPUT is not JSON: Exceeds the limit",
        ),
    ],
)
def test_an_output_that_cannot_be_handed_on_is_a_failure(
    bench: Bench, write: str, said: str
) -> None:
    outcome = bench(f'{write} > "$DBTORCH_OUTPUT"').run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.CODE)
    assert outcome.message.startswith(said)


def test_outputs_of_earlier_steps_reach_later_ones(tmp_path: Path) -> None:
    (tmp_path / "land.py").write_text("def load():\n    return {'rows': 42, 'file': 'a b.csv'}\n")
    specs = [
        StepSpec(name="ingest", type="python", action="land:load"),
        StepSpec(
            name="push",
            type="command",
            action=["echo", "{{ outputs.ingest.rows }}", "{{ outputs.ingest.file }}"],
        ),
    ]
    with StepBench(tmp_path, specs) as bench:
        assert bench.run("push").message.endswith("there is no 'ingest' (there is: nothing)")
        bench.run("ingest")
        bench.run("push", number=2)
        assert bench.log("push", 2) == "42 a b.csv\n"


def test_the_whole_context_is_a_file_that_others_cannot_read(bench: Bench, tmp_path: Path) -> None:
    copy = 'cp "$DBTORCH_CONTEXT" told.json; ls -l "$DBTORCH_CONTEXT" | cut -c1-10'
    it = bench(
        copy,
        params={"since": "{{ run.logical_date.date() }}"},
        environ={**os.environ, "WAREHOUSE_PASSWORD": "s3cret"},
    )

    it.run("it")

    told = json.loads((tmp_path / "told.json").read_text())
    assert told["params"] == {"since": "2026-03-01"}
    assert told["step"] == "it"
    assert "s3cret" not in (tmp_path / "told.json").read_text()
    assert it.log("it") == "-rw-------\n"


@pytest.mark.parametrize(
    "action",
    [
        "{{ params.what }}",
        "{% if false %}rm -r old{% endif %}\n  # nothing today\n",
        ["{{ params.what }}", "x"],
    ],
)
def test_a_command_that_renders_to_nothing_has_failed(bench: Bench, action: Any) -> None:
    it = bench(action, params={"what": " "})

    outcome = it.run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.CODE)
    assert outcome.message.startswith("the command rendered to nothing")
    assert outcome.message.endswith("say so with `when`")


def test_env_of_a_step_is_rendered_and_on_top_of_what_there_is(bench: Bench) -> None:
    it = bench(
        'echo "$TAG $LEVEL $PLACE $DBTORCH_STEP"',
        env={"TAG": "t-{{ env_var('SECRET') }}", "LEVEL": "debug", "DBTORCH_STEP": "no"},
        environ={**os.environ, "SECRET": "42", "LEVEL": "info", "PLACE": "here"},
    )

    it.run("it")

    assert it.log("it") == "t-42 debug here it\n"


@pytest.mark.parametrize("when", ["{{ env_var('BI_URL', '') }}", "false", "{{ none }}", " 0\n"])
def test_when_that_is_empty_or_false_skips_without_a_process(bench: Bench, when: str) -> None:
    it = bench("echo ran", when=when)

    outcome = it.run("it")

    assert outcome.state is State.SKIPPED
    assert outcome.message == f"when: {when} is empty or false"
    assert [type(event) for event in it.events] == [Finished]
    assert "ran" not in it.log("it").splitlines()


@pytest.mark.parametrize("when", ["{{ env_var('BI_URL') }}", "{{ 1 == 1 }}", "yes"])
def test_when_that_says_anything_else_runs(bench: Bench, when: str) -> None:
    it = bench("true", when=when, environ={**os.environ, "BI_URL": "https://bi.example"})

    assert it.run("it").state is State.SUCCESS


def test_when_that_cannot_be_rendered_is_a_failure_and_no_skip(bench: Bench) -> None:
    outcome = bench("true", when="{{ env_var('NOT_THERE') }}").run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.CODE)
    assert outcome.message.startswith("Env var required but not provided: 'NOT_THERE'")


def test_output_is_in_the_log_as_it_happens(bench: Bench) -> None:
    prints = "import time; print('first'); time.sleep(60)"
    it = bench([sys.executable, "-c", prints])
    attempt = it.start("it")
    it.started(attempt)

    wait_for(lambda: it.log("it") == "first\n")

    it.runner.cancel(attempt)
    it.outcome(attempt)


def test_cancelling_ends_the_whole_group(bench: Bench, tmp_path: Path) -> None:
    it = bench("sleep 61 & echo $! > child; sleep 62 & echo $! > other; wait")
    attempt = it.start("it")
    pids = [pid_in(tmp_path / name) for name in ("child", "other")]

    it.runner.cancel(attempt)

    outcome = it.outcome(attempt)
    assert (outcome.state, outcome.message) == (State.FAILED, "terminated")
    assert not any(map(alive, pids))
    assert [type(event) for event in it.events] == [Started, Finished]


def test_what_ignores_being_asked_is_killed_after_the_grace(bench: Bench, tmp_path: Path) -> None:
    deaf = "trap '' TERM; sleep 61 & echo $! > child; while true; do sleep 0.1; done"
    it = bench(deaf, grace=2)
    attempt = it.start("it")
    pid = pid_in(tmp_path / "child")
    asked = time.monotonic()

    it.runner.cancel(attempt)

    assert time.monotonic() - asked < 2  # nobody waits in cancel
    assert it.outcome(attempt).message == "terminated"
    assert time.monotonic() - asked >= 2
    wait_for(lambda: not alive(pid))


def test_children_have_the_grace_too_when_their_parent_is_gone(
    bench: Bench, tmp_path: Path
) -> None:
    """A shell ends at once; the program it called may need a moment to put things in order."""
    tidy = "sleep 100 & trap 'sleep 0.2; touch tidied; exit' TERM; echo $$ > child; wait"
    (tmp_path / "tidy.sh").write_text(tidy)
    it = bench("sh tidy.sh & wait")
    attempt = it.start("it")
    pid_in(tmp_path / "child")

    it.runner.cancel(attempt)

    it.outcome(attempt)
    assert (tmp_path / "tidied").exists()


def test_a_command_that_ends_well_when_asked_to_stop_has_not_succeeded(
    bench: Bench, tmp_path: Path
) -> None:
    it = bench("sleep 100 & trap 'exit 0' TERM; echo $$ > child; wait")
    attempt = it.start("it")
    pid_in(tmp_path / "child")

    it.runner.cancel(attempt)

    assert it.outcome(attempt).message == "terminated"
    assert it.runner.outputs == {}


def test_what_a_command_leaves_behind_is_killed(bench: Bench, tmp_path: Path) -> None:
    it = bench("sleep 61 & echo $! > child")

    assert it.run("it").state is State.SUCCESS

    pid = pid_in(tmp_path / "child")
    wait_for(lambda: not alive(pid))


def test_close_ends_what_still_runs(bench: Bench, tmp_path: Path) -> None:
    it = bench("sleep 61 & echo $! > child; wait")
    attempt = it.start("it")
    pid = pid_in(tmp_path / "child")

    it.runner.close()

    assert not alive(pid)
    assert it.outcome(attempt, timeout=0).message == "terminated"


def test_nothing_starts_after_close(bench: Bench, tmp_path: Path) -> None:
    it = bench("touch started")
    it.runner.close()

    assert it.run("it").message == "terminated"
    assert not (tmp_path / "started").exists()


def test_what_goes_wrong_in_our_own_code_is_an_outcome(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    it = bench("true")

    outcome = it.run("nobody")  # a step that the runner was never told of

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.UNKNOWN)
    assert "KeyError" in outcome.message
    assert "step.nobody" in caplog.text


def pid_in(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not yet buried does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("mkdir", "cannot be read: Is a directory"),
        ("mkfifo", "cannot be read: it is no file"),
        ("ln -s /dev/zero", "cannot be read: it is no file"),
        ("ln -s /nowhere/at/all", "cannot be read: No such file or directory"),
        ("ln -s loop.json; ln -sf $DBTORCH_OUTPUT", "cannot be read: Too many levels of symbolic"),
    ],
)
def test_what_is_no_file_is_not_read(bench: Bench, make: str, said: str) -> None:
    outcome = bench(f'{make} "$DBTORCH_OUTPUT"').run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.CODE)
    assert outcome.message.startswith(f"what the step wrote to DBTORCH_OUTPUT {said}")
