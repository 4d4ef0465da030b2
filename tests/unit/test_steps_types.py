"""Step types: the built-in ones, and those that other packages bring."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.config import step_keys
from dbtorch.adapters.config.loading import load
from dbtorch.adapters.steps.base import StepError
from dbtorch.adapters.steps.catalog import STEP_TYPES, check
from dbtorch.adapters.steps.checksum import checksum
from dbtorch.adapters.steps.outcome import of_process
from dbtorch.core.config import Origin, StepSpec
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import THREADS
from dbtorch.testing.steps import StepBench
from tests.unit.test_planning import plan_of, selected

#: A type of another package: it writes an outcome of its own, in whatever language it likes.
GREETING = """\
import json
from dbtorch.adapters.steps.base import Command, StepError

def check(action):
    if not isinstance(action, dict) or "name" not in action:
        raise StepError("greeting must be a mapping with a name")

def command(action, call):
    name = call.render(action["name"])
    result = {"state": "success", "output": {"hello": name, "run": call.context["run_id"]}}
    script = 'cat > "$DBTORCH_RESULT"; echo "$TONE"'
    argv = ("/bin/sh", "-c", script)
    return Command(argv=argv, stdin=json.dumps(result), env={"TONE": "kind"}, result=True)
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, one of which brings step types."""
    site = tmp_path / "site-packages"
    info = site / "acme_steps-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_greeting.py").write_text(GREETING)
    (site / "acme_calls.py").write_text(f"{GREETING}\nopens_database = False\n")
    (site / "acme_odd.py").write_text(f"{GREETING}\nopens_database = 'no'\n")
    code = "def code(action, project_dir):\n    yield project_dir / f'{action}.R'\n"
    (site / "acme_script.py").write_text(f"{GREETING}\n{code}")
    (site / "acme_off.py").write_text(f"{GREETING}\ncode = 'x.R'\n")
    (site / "acme_half.py").write_text("def check(action): ...\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dbtorch.steps]\n"
        "greeting = acme_greeting\n"
        "half = acme_half\n"
        "gone = acme_gone:steps\n"
        "python = acme_greeting\n"
        "calls = acme_calls\n"
        "odd = acme_odd\n"
        "off = acme_off\n"
        "script = acme_script\n"
    )
    monkeypatch.syspath_prepend(str(site))
    step_keys._installed.cache_clear()  # a process looks once
    yield site
    step_keys._installed.cache_clear()


def spec(type: str, action: object) -> StepSpec:
    return StepSpec(name="it", type=type, action=action, origin=Origin(file="dbtorch.yml", line=7))


@pytest.mark.usefixtures("packages")
def test_types_of_other_packages_are_known_without_being_loaded() -> None:
    assert STEP_TYPES.names() == (
        "python",
        "command",
        "http",
        "dbt_cloud",
        "wait_for",
        "calls",
        "gone",
        "greeting",
        "half",
        "odd",
        "off",
        "script",
    )
    assert (
        STEP_TYPES.find("python") is STEP_TYPES.built_in["python"]
    )  # nobody replaces a built-in one


@pytest.mark.usefixtures("packages")
def test_a_type_of_another_package_says_which_file_it_executes(tmp_path: Path) -> None:
    script = tmp_path / "fit.R"
    script.write_text("1")
    before = checksum(spec("script", "fit"), tmp_path)
    script.write_text("2")
    assert checksum(spec("script", "fit"), tmp_path) != before


@pytest.mark.usefixtures("packages")
def test_a_type_of_another_package_runs(tmp_path: Path) -> None:
    step = spec("greeting", {"name": "{{ target.name }}"})
    check(step)

    with StepBench(tmp_path, [step], target={"name": "dev"}) as bench:
        outcome = bench.run("it")
        log = bench.log("it")

    assert (outcome.state, outcome.output) == (State.SUCCESS, {"hello": "dev", "run": "bench"})
    assert log == "kind\n"


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("type", "action", "said"),
    [
        ("greeting", "x", "dbtorch.yml:7: step it: greeting must be a mapping with a name"),
        ("greetin", {}, "there is no step type 'greetin'; did you mean 'greeting'?"),
        (
            "quantum",
            {},
            "there are python, command, http, dbt_cloud, wait_for, calls, gone, greeting, half, odd, off, script",
        ),
        ("gone", {}, "step type 'gone' (acme_gone:steps) cannot be loaded: ModuleNotFoundError: "),
        ("half", {}, "step type 'half' (acme_half) has no function 'command'"),
        ("odd", {}, "step type 'odd' (acme_odd): opens_database is 'no'; expected True or False"),
        ("off", {}, "step type 'off' (acme_off): code is no function"),
        (
            "python",
            "load",
            "dbtorch.yml:7: step it: python must be \"module:function\", not 'load'",
        ),
        ("python", ["a:b"], 'python must be "module:function"'),
        ("command", [], "command must be text or a list of a program and its arguments"),
        ("command", " ", "command must be text or a list of a program and its arguments"),
        ("command", ["ls", {}], "command must be text or a list of a program and its arguments"),
        ("http", "https://x", "http must be a mapping with at least a url"),
    ],
)
def test_what_can_never_work_is_refused_with_file_and_line(
    type: str, action: object, said: str
) -> None:
    with pytest.raises(StepError) as caught:
        check(spec(type, action))

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("result", "state", "failure_class"),
    [
        ('{"state": "success", "output": [1]}', State.SUCCESS, None),
        ('{"state": "warn", "message": "3 rows late"}', State.WARN, None),
        ('{"state": "skipped", "message": "no news"}', State.SKIPPED, None),
        ('{"state": "failed", "failure_class": "data"}', State.FAILED, FailureClass.DATA),
        ('{"state": "failed", "message": "x"}', State.FAILED, FailureClass.UNKNOWN),
        # Whatever is not understood has failed.
        ('{"state": "running"}', State.FAILED, FailureClass.CODE),
        ('{"state": "splendid"}', State.FAILED, FailureClass.CODE),
        ('{"state": "failed", "failure_class": "bad luck"}', State.FAILED, FailureClass.CODE),
        ("[]", State.FAILED, FailureClass.CODE),
        ("{", State.FAILED, FailureClass.CODE),
        ("", State.FAILED, FailureClass.CODE),
        ("[" * 100_000, State.FAILED, FailureClass.CODE),
        ('{"state": "success", "output": 1e999}', State.FAILED, FailureClass.CODE),
        ('{"state": "failed", "message": "\\udcff"}', State.FAILED, FailureClass.UNKNOWN),
    ],
)
def test_a_result_that_is_not_understood_is_a_failure(
    tmp_path: Path, result: str, state: State, failure_class: FailureClass | None
) -> None:
    (tmp_path / "result").write_text(result)
    outcome = of_process(0, result=tmp_path / "result", said="")

    assert (outcome.state, outcome.failure_class) == (state, failure_class)
    assert outcome.message.encode() or state is State.SUCCESS


@pytest.mark.parametrize(
    ("result", "status", "state", "message"),
    [
        ("success", 0, State.SUCCESS, ""),
        ("success", 3, State.FAILED, "exit status 3"),
        ("success", -9, State.FAILED, "killed by signal 9 (SIGKILL)"),
        ("success", -11, State.FAILED, "killed by signal 11 (SIGSEGV)"),
        ("warn", 1, State.FAILED, "exit status 1"),
        ("skipped", 1, State.FAILED, "exit status 1"),
        ("success", 99, State.FAILED, "exit status 99, although it had said success"),
        ("skipped", 99, State.SKIPPED, "exit status 99"),
        ("failed", 1, State.FAILED, "said"),  # it knows more
        ("failed", -9, State.FAILED, "said"),
        (None, 0, State.FAILED, "the process ended without a result"),
        (None, 99, State.SKIPPED, "exit status 99"),
    ],
)
def test_a_success_counts_only_with_the_exit_status_of_one(
    tmp_path: Path, result: str | None, status: int, state: State, message: str
) -> None:
    said = {"failed": "said"}.get(result or "", "")
    if result:
        (tmp_path / "result").write_text(json.dumps({"state": result, "message": said}))

    outcome = of_process(status, result=tmp_path / "result", said="")

    assert (outcome.state, outcome.message) == (state, message)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("written", "threads"),
    [
        ("calls: {name: x}", None),  # its type says that it leaves the file alone
        ("greeting: {name: x}", 4),  # its type says nothing
        ("http: {url: 'https://x'}", None),
        ("command: load", 4),
        ("python: a:b", 4),
        ("{calls: {name: x}, opens_database: true}", 4),  # the step itself wins
        ("{greeting: {name: x}, opens_database: false}", None),
    ],
)
def test_a_type_says_whether_its_steps_open_the_database_file(
    tmp_path: Path, written: str, threads: int | None
) -> None:
    said = written if written.startswith("{") else f"{{{written}}}"
    (tmp_path / "dbtorch.yml").write_text(f"steps: {{it: {said}}}\n")
    planned = plan_of(load(tmp_path), selected(exclusive_file="/shop.duckdb"), everything=True)
    assert planned.plan.policy("step.it").slots.get(THREADS) == threads
    assert planned.opens_database == (frozenset() if threads is None else {"step.it"})
