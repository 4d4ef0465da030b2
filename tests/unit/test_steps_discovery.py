"""Steps that are declared in Python."""

import os
import sys
from pathlib import Path

import pytest

from dbtorch.adapters.steps import discovery
from dbtorch.adapters.steps.discovery import discover
from dbtorch.core.config import Origin, StepSpec
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.state import State
from dbtorch.core.settings import Settings
from dbtorch.step import Fail, Retry, Skip
from dbtorch.testing.steps import StepBench

ORDERS = '''\
from dbtorch.step import step

print("imported")  # what a module prints does no harm


@step(
    produces="source:shop.orders",
    after=["step:unlock", "stg_customers"],
    when="{{ env_var('LOAD', 'yes') }}",
    params={"table": "orders"},
    env={"LEVEL": "debug"},
    retries=3,
    retry_delay="10s",
    timeout=600,
    pool="crm_api",
    priority=5,
    owner="data-eng",
    runbook="docs/orders.md",
)
def load_orders(context):
    """Lands the orders.

    Twice is no more than once.
    """
    return {"rows": 42}


@step
def unlock():
    pass


@step(name="unlock_again", opens_database=False)
def another():
    pass
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ingestion").mkdir()
    (tmp_path / "ingestion" / "__init__.py").touch()
    (tmp_path / "ingestion" / "orders.py").write_text(ORDERS)
    return tmp_path


def found(
    project: Path,
    *modules: str,
    python: str = sys.executable,
    pools: tuple[str, ...] = ("crm_api",),
) -> list[StepSpec]:
    return discover(modules, python=python, project_dir=project, pools=pools)


def test_the_decorator_says_what_dbtorch_yml_would(project: Path) -> None:
    first, second, third = found(project, "ingestion.orders")

    assert first == StepSpec(
        name="load_orders",
        type="python",
        action="ingestion.orders:load_orders",
        produces=("source:shop.orders",),
        after=("step:unlock", "stg_customers"),
        when="{{ env_var('LOAD', 'yes') }}",
        params={"table": "orders"},
        env={"LEVEL": "debug"},
        opens_database=True,
        description="Lands the orders.",
        settings=Settings(
            retries=3,
            retry_delay=10,
            timeout=600,
            pool="crm_api",
            priority=5,
            owner="data-eng",
            runbook="docs/orders.md",
        ),
        origin=Origin(file="ingestion/orders.py", line=6),
    )
    assert (second.name, second.settings) == ("unlock", Settings())
    assert (third.name, third.action) == ("unlock_again", "ingestion.orders:another")
    assert third.opens_database is False


def test_a_declared_step_runs(project: Path) -> None:
    with StepBench(project, found(project, "ingestion.orders")) as bench:
        assert bench.run("load_orders").output == {"rows": 42}
        assert bench.run("unlock").state is State.SUCCESS


def test_where_dbtorch_is_not_installed_the_decorator_still_is(project: Path) -> None:
    python = project / "bare-python"
    python.write_text(f'#!/bin/sh\nexec "{os.path.realpath(sys.executable)}" -S -E "$@"\n')
    python.chmod(0o755)
    (project / "bare.py").write_text(
        "import dbtorch\n@dbtorch.step(retries=1)\ndef load(context: dbtorch.Context): ...\n"
    )

    (spec,) = found(project, "bare", python=str(python))

    assert (spec.name, spec.settings.retries) == ("load", 1)


def test_the_decorator_is_dbtorch_step_however_it_was_imported(project: Path) -> None:
    """The function and the module that defines it share a name."""
    (project / "it.py").write_text(
        "import dbtorch\n"
        "@dbtorch.step(retries=1)\ndef a(): ...\n"
        "from dbtorch.step import Retry\n"
        "@dbtorch.step(retries=2)\ndef b(): ...\n"
        "@dbtorch.step\ndef c(): ...\n"
        "assert dbtorch.Retry is Retry\n"
    )

    assert [spec.settings.retries for spec in found(project, "it")] == [1, 2, None]


def test_nothing_is_imported_into_this_process_and_nothing_starts_without_modules(
    project: Path,
) -> None:
    assert found(project, python="/no/such/python") == []
    found(project, "ingestion.orders")
    assert "ingestion.orders" not in sys.modules


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import not_there\n",
            "it.py:1: cannot import it: ModuleNotFoundError: No module named 'not_there'",
        ),
        ("x = 1\ndef load(:\n", "it.py:2: cannot import it: SyntaxError: "),
        ("\n\nraise SystemExit(3)\n", "it.py:3: cannot import it: SystemExit: 3"),
        (
            "import os\nos._exit(7)\n",
            "step_modules: importing it ended the interpreter (exit status 7)",
        ),
        (
            "from dbtorch.step import step\n@step(retires=3)\ndef load(): ...\n",
            'it.py:2: unknown key "retires"',
        ),
        (
            "from dbtorch.step import step\n@step(timeout='soon')\ndef load(): ...\n",
            'it.py:2: timeout of step load is "soon"; a duration is ',
        ),
        (
            "from dbtorch.step import step\n@step(pool='crm')\ndef load(): ...\n",
            'it.py:2: pool of step load names the pool "crm", which is not defined',
        ),
        (
            "from dbtorch.step import step\n@step(params={'f': len})\ndef load(): ...\n",
            "it.py:2: what @dbtorch.step is given must be JSON: ",
        ),
        (
            "from dbtorch.step import step\ndef make():\n    @step\n    def load(): ...\nmake()\n",
            "it.py:3: make.<locals>.load is hidden in a function; move it to the module",
        ),
        (
            "from dbtorch.step import step\n@step\ndef a(): ...\n@step(name='a')\ndef b(): ...\n",
            "it.py:4: step a is declared at it.py:2 already; give one of them another name",
        ),
    ],
)
def test_a_mistake_names_module_and_line(project: Path, source: str, said: str) -> None:
    (project / "it.py").write_text(source)

    with pytest.raises(ConfigError) as caught:
        found(project, "it")

    (sentence,) = caught.value.problems
    assert said in sentence
    assert "\n" not in sentence


def test_a_module_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot import nowhere: .*No module named 'nowhere'"):
        found(project, "nowhere")


def test_an_interpreter_that_is_not_there_is_named(project: Path) -> None:
    with pytest.raises(ConfigError, match="/no/such/python cannot start"):
        found(project, "ingestion.orders", python="/no/such/python")


def test_the_reasons_a_step_gives_are_plain_exceptions() -> None:
    assert (str(Retry("busy", after=3)), Retry("busy", after=3).after) == ("busy", 3)
    assert Retry(after=5).reason == ""
    assert str(Fail("no")) == "no"
    assert str(Skip("nothing new")) == "nothing new"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows whose orphans they are")
def test_modules_that_take_too_long_take_what_they_started_with_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "import subprocess, time\nsubprocess.run('echo $$ > pid; exec env -i setsid -w sleep 300', shell=True)"
    (project / "slow.py").write_text(away)

    for patience in (1, 10, 100):  # until it has got as far as starting something
        monkeypatch.setattr(discovery, "_PATIENCE", patience)
        with pytest.raises(ConfigError, match=f"importing slow took longer than {patience} s"):
            discover(["slow"], python=sys.executable, project_dir=project)
        if (project / "pid").exists():
            break

    pid = (project / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows whose orphans they are")
def test_what_modules_start_ends_with_their_import(project: Path) -> None:
    away = "env -i setsid -f sh -c 'echo $$ > pid; exec sleep 300'; while ! test -s pid; do sleep 0.01; done"
    (project / "starts.py").write_text(f"import subprocess\nsubprocess.run({away!r}, shell=True)\n")

    assert discover(["starts"], python=sys.executable, project_dir=project) == []

    assert not Path(f"/proc/{(project / 'pid').read_text().strip()}").exists()


def test_modules_that_end_their_interpreter_declare_nothing(project: Path) -> None:
    """Whatever a copy of it says."""
    (project / "forks.py").write_text("import os\nif os.fork():\n    os._exit(3)\n")

    with pytest.raises(ConfigError, match=r"ended the interpreter \(exit status 3\)"):
        discover(["forks"], python=sys.executable, project_dir=project)


@pytest.mark.parametrize(
    "left", ["", "[" * 9000, '{"state": "success"}', '{"state": 1, "output": []}']
)
def test_what_modules_leave_that_cannot_be_read_is_a_sentence(project: Path, left: str) -> None:
    """It is they who run in the process that says what they declare."""
    (project / "odd.py").write_text(
        "import atexit, os, pathlib\n"
        f"atexit.register(pathlib.Path(os.environ['DBTORCH_RESULT']).write_text, {left!r})\n"
    )

    with pytest.raises(ConfigError, match="importing odd left nothing that can be read"):
        discover(["odd"], python=sys.executable, project_dir=project)
