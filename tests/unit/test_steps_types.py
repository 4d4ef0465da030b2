"""Step types: the built-in ones, and those that other packages bring."""

import re
from pathlib import Path

import pytest

from dbtorch.adapters.config import load
from dbtorch.adapters.steps.base import StepError
from dbtorch.adapters.steps.catalog import BUILT_IN, check, find, step_types
from dbtorch.adapters.steps.outcome import of_result
from dbtorch.core.config import Origin, StepSpec
from dbtorch.core.state import FailureClass, State
from dbtorch.testing_steps import StepBench

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
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, one of which brings step types."""
    site = tmp_path / "site-packages"
    info = site / "acme_steps-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_greeting.py").write_text(GREETING)
    (site / "acme_half.py").write_text("def check(action): ...\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[dbtorch.steps]\n"
        "greeting = acme_greeting\n"
        "half = acme_half\n"
        "gone = acme_gone:steps\n"
        "python = acme_greeting\n"
    )
    monkeypatch.syspath_prepend(str(site))
    return site


def spec(type: str, action: object) -> StepSpec:
    return StepSpec(name="it", type=type, action=action, origin=Origin(file="dbtorch.yml", line=7))


@pytest.mark.usefixtures("packages")
def test_types_of_other_packages_are_known_without_being_loaded() -> None:
    assert step_types() == ("python", "command", "http", "gone", "greeting", "half")
    assert find("python") is BUILT_IN["python"]  # nobody replaces a built-in one


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
        ("quantum", {}, "there are python, command, http, gone, greeting, half"),
        ("gone", {}, "step type 'gone' (acme_gone:steps) cannot be loaded: ModuleNotFoundError: "),
        ("half", {}, "step type 'half' (acme_half) has no function 'command'"),
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
    ],
)
def test_a_result_that_is_not_understood_is_a_failure(
    result: str, state: State, failure_class: FailureClass | None
) -> None:
    outcome = of_result(result)

    assert (outcome.state, outcome.failure_class) == (state, failure_class)
    assert outcome.message or state is State.SUCCESS


def documented() -> list[str]:
    """The configurations that docs/steps.md shows."""
    text = (Path(__file__).parents[2] / "docs" / "steps.md").read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("yaml", documented())
def test_what_the_documentation_shows_is_valid(yaml: str, tmp_path: Path) -> None:
    (tmp_path / "dbtorch.yml").write_text(f"version: 1\n{yaml}")

    config = load(tmp_path, environ={})

    for step in config.steps.values():
        check(step)
    assert config.steps or config.step_modules
