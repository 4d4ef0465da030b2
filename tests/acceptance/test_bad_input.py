"""Bad input: one clear sentence, exit 2, nothing started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.workspace import Workspace
from tests.engines import PROCESS_2, over

#: Leaves a trace when anything is started at all.
TRAP = "steps:\n  mark: {command: touch started}\n"

FILES = {
    "dbtorch.yml": TRAP,
    "models/orders.sql": "select * from {{ source('raw', 'orders') }}",
    "models/report.sql": "select * from {{ ref('orders') }}",
    "models/schema.yml": "sources: [{name: raw, tables: [{name: orders}]}]",
}


def refused(
    workspace: Workspace, files: Mapping[str, str], *args: str, env: Mapping[str, str] = {}
) -> str:
    """What `dbtorch run` says; it must not have started anything."""
    workspace.write({**FILES, **files})
    said = workspace.refused("run", *args, env=env)
    assert not (workspace.dir / "started").exists(), "a step was started"
    assert not (workspace.dir / "warehouse.duckdb").exists(), "the warehouse was touched"
    return said


def step(text: str) -> str:
    """A dbtorch.yml with the trap on lines 1 and 2, and more steps from line 3 on."""
    return f"{TRAP}{text}"


def test_dbtorch_yml_that_is_wrong_in_itself(workspace: Workspace) -> None:
    """`tests/unit/test_config_load.py` has every sentence."""
    content = step("  load: {command: 'true', retires: 2}\n")
    said = 'dbtorch.yml:3: unknown key "retires" in steps.load; did you mean "retries"?'
    assert refused(workspace, {"dbtorch.yml": content}) == said


def test_dbtorch_yml_that_does_not_fit_the_project(workspace: Workspace) -> None:
    """What dbt says of it, and what it says with dbt's graph; the rest is in test_planning.py."""
    content = step("  push: {command: 'true', after: selector:nightly}\n")
    assert refused(workspace, {"dbtorch.yml": content}) == (
        'dbtorch.yml:3: step push comes after "selector:nightly", which dbt cannot read: '
        "Could not find selector named nightly, expected one of []"
    )
    content = step("  load: {command: 'true', produces: 'source:raw.orders', after: report}\n")
    assert refused(workspace, {"dbtorch.yml": content}) == (
        "the graph has a cycle: model.shop.orders -> model.shop.report -> step.load -> "
        "source.shop.raw.orders -> model.shop.orders; change produces or after of step "
        "load at dbtorch.yml:3"
    )


def test_meta_dbtorch_that_is_wrong(workspace: Workspace) -> None:
    """`tests/unit/test_config_meta.py` has every sentence."""
    yml = "models:\n  - name: report\n    config: {meta: {dbtorch: {retires: 3}}}\n"
    message = refused(workspace, {"models/meta.yml": yml})
    for part in ("models/meta.yml:3", '"retires"', 'did you mean "retries"?'):
        assert part in message


@pytest.mark.parametrize(
    ("files", "args", "said"),
    [
        # a target the profile does not have; those it has are listed
        ({}, ["--target", "prod"], ("does not have a target named 'prod'", "- dev")),
        # a profile nobody wrote
        ({}, ["--profile", "store"], ("Could not find profile named 'store'",)),
        # Jinja that is none
        (
            {"models/report.sql": "select * from {{ ref('orders' }}"},
            [],
            ("models/report.sql", "line 1"),
        ),
        # a model that is not there
        (
            {"models/report.sql": "select * from {{ ref('ordres') }}"},
            [],
            ("models/report.sql", "'ordres'", "not found"),
        ),
        # YAML that is none
        ({"models/bad.yml": "models: [\n"}, [], ("bad.yml", "Syntax error near line 2")),
        # dbt_project.yml that is no YAML
        ({"dbt_project.yml": "name: [shop\n"}, [], ("dbt_project.yml:2", "cannot be read as YAML")),
        # and one without a name
        ({"dbt_project.yml": "version: '1'\n"}, [], ("dbt_project.yml", "has no name")),
        # what dbt does not take
        ({}, ["--threads", "many"], ("--threads", "many")),
        ({}, ["--vars", "{a"], ("--vars cannot be read as YAML", "--vars '{day")),
        ({}, ["--selector", "nightly"], ("selector named nightly",)),
        ({}, ["--select", "state:modified"], ("state",)),
        # what dbtorch does not take
        ({}, ["--pipeline", "nightly"], ("has no pipeline 'nightly'; it has: default",)),
        ({}, ["--logical-date", "tomorrow"], ("--logical-date", "'tomorrow'", "2026-11-21")),
        ({}, ["--timeout", "soon"], ("--timeout", "soon")),
        ({}, ["--retries", "-1"], ("--retries", "-1")),
        ({}, ["--sellect", "orders"], ("--sellect", "--select")),
        # an interpreter that is not there
        (
            {"dbtorch.yml": f"engine: {{python: bin/nope}}\n{TRAP}"},
            [],
            ("engine.python", "bin/nope"),
        ),
        (
            {"dbtorch.yml": f"engine: {{profiles_dir: ../nope}}\n{TRAP}"},
            [],
            ("dbtorch.yml: engine.profiles_dir: there is no folder ", "/nope; name the one"),
        ),
    ],
)
def test_what_cannot_be_run(
    workspace: Workspace, files: dict[str, str], args: list[str], said: tuple[str, ...]
) -> None:
    message = refused(workspace, files, *args)
    assert all(part in message for part in said), message


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "empty", bare=True)
    message = workspace.refused("run")
    assert message.endswith(
        "is no dbt project: it has no dbt_project.yml, and no folder above it; go to one, or name it"
    )
    assert list(workspace.dir.iterdir()) == []
    assert workspace.refused("run", "--project-dir", "nowhere").endswith(message[-23:])


def test_an_interpreter_without_dbt(workspace: Workspace) -> None:
    python = _python_without_dbt()
    content = f"engine: {{python: {python}}}\n{TRAP}"
    message = refused(workspace, {"dbtorch.yml": content})
    assert message == (
        f"{python} has no dbt-core; install it there, or let engine.python "
        "name the interpreter that has it"
    )


def test_a_store_where_a_file_is_in_the_way(workspace: Workspace) -> None:
    workspace.write({".dbtorch": "in the way"})
    message = refused(workspace, {})
    assert ".dbtorch" in message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        # a folder where nobody can make one
        ("sqlite:////proc/nowhere/runs.db", ("/proc/nowhere", "--database-url")),
        # a store of another kind
        ("mysql://localhost/runs", ("'mysql'", "postgresql://", "sqlite:///")),
        # what psycopg would take: no part of it may be shown, it has a password
        ("host=127.0.0.1 password=hunter2", ("postgresql://",)),
    ],
)
def test_a_store_that_cannot_be_opened(
    workspace: Workspace, url: str, said: tuple[str, ...]
) -> None:
    message = refused(workspace, {}, env={"DBTORCH_DATABASE_URL": url})
    assert all(part in message for part in said), message
    assert "hunter2" not in message


def test_a_postgres_that_is_not_there(workspace: Workspace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql://ann:hunter2@127.0.0.1:{port}/runs"
    workspace.write(FILES)
    done = workspace.dbtorch("run", "--database-url", url, code=75)  # it may be back in a minute
    (message,) = done.err.splitlines()
    assert not (workspace.dir / "started").exists()
    assert f"cannot connect to postgresql://*****@127.0.0.1:{port}/runs" in message
    assert "hunter2" not in message


def test_a_store_that_is_no_database(workspace: Workspace) -> None:
    workspace.write({**FILES, ".dbtorch/dbtorch.db": "this is no database " * 50})
    for command in (["run"], ["show"], ["runs"], ["retry"]):
        done = workspace.dbtorch(*command, code=2)
        assert ".dbtorch/dbtorch.db" in done.err
        assert done.err.count("Error: ") == 1
    assert not (workspace.dir / "started").exists()


@over(PROCESS_2)  # the quickest, where nothing can be a copy of what has dbt
def test_what_this_user_may_not_write(workspace: Workspace) -> None:
    """A folder in which nothing can be made, somebody else's history, and their logs."""
    workspace.write(FILES)
    wrap = _without_roots_rights()

    def stopped(path: str, mode: int) -> str:
        place = workspace.dir / path
        place.chmod(mode)
        done = workspace.dbtorch("run", code=2, wrap=wrap)
        assert done.err.startswith("Error: ")
        assert path in done.err
        assert not (workspace.dir / "started").exists()
        found = workspace.dbtorch("doctor", code=2, wrap=wrap).out
        place.chmod(0o755)
        return found

    (workspace.dir / ".dbtorch").mkdir()
    assert "FAIL  history" in stopped(".dbtorch", 0o555)
    (workspace.dir / ".dbtorch" / "runs").mkdir()
    assert "FAIL  logs" in stopped(".dbtorch/runs", 0o555)
    workspace.dbtorch("run", "--no-steps", "--select", "report", code=1)
    assert "FAIL  history" in stopped(".dbtorch/dbtorch.db", 0o444)


def test_a_warehouse_file_that_another_process_holds(workspace: Workspace) -> None:
    workspace.write({"models/orders.sql": "select 1 as id"})
    with _held(workspace.dir / "warehouse.duckdb") as pid:
        fast = ("--retries", "1", "--retry-delay", "0")
        done = workspace.dbtorch("run", *fast, code=1)  # it is recorded as failed
        # it is tried again as often as the policy says, and then says who holds it
        assert done.out.count("  RETRY  ") == 1
        assert f"PID {pid}" in done.out
        shown = workspace.show()
        assert shown.state == "failed"
        assert set(shown.states.values()) == {"upstream_failed"}
        assert "dbtorch retry" in done.out
    workspace.dbtorch("retry")
    assert workspace.show().id == shown.id


# ---------------------------------------------------------------------------- details


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """Another process has the database file open."""
    code = (
        f"import duckdb, sys; c = duckdb.connect({str(path)!r}); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.stdin.close()


def _python_without_dbt() -> str:
    """The interpreter that this environment was made with."""
    python = str(Path(sys.base_prefix, "bin", "python3"))
    asked = subprocess.run([python, "-c", "import dbt"], capture_output=True, check=False)
    if asked.returncode == 0 or not Path(python).exists():
        pytest.skip("every interpreter at hand has dbt")
    return python


def _without_roots_rights() -> tuple[str, ...]:
    """What to put in front of a command so that permissions count, also for root."""
    if os.geteuid() != 0:
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root may write everything, and there is no setpriv")
    return ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def test_validate_tells_all_that_can_be_told(tmp_path: Path) -> None:
    """A missing function, a setting that is none, and names that nothing has: by one parse."""
    workspace = Workspace(
        tmp_path / "shop",
        {
            "models/one.sql": "{{ config(meta={'dbtorch': {'retires': 1}}) }} select 1 as id",
            "dbtorch.yml": """
                steps:
                  load: {python: "tasks:nosuch", after: [model_that_is_gone]}
                  push: {command: "true", produces: "source:gone.orders"}
            """,
            "tasks.py": "def load(): pass\n",
        },
    )
    lines = workspace.refused("validate").splitlines()
    for line, said in zip(
        lines,
        ("has no function 'nosuch'", "retires", "source:gone.orders", "model_that_is_gone"),
        strict=True,
    ):
        assert said in line
