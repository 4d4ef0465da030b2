"""Whose dbt it is, in folders as venv, pip, uv, pipx and conda make them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.installation import Installation, find_installation
from dbtorch.core.config import Config, EngineType
from dbtorch.core.errors import UsageError
from dbtorch.core.model.used_dbt import Where
from dbtorch.service.project.project import Project
from dbtorch.service.wiring.engines import choose_engine

#: What pip and uv write for dbt-core's command, after the lines that name the interpreter.
CORE = "import sys\nfrom dbt.cli.main import cli\nif __name__ == '__main__':\n    sys.exit(cli())\n"

DOCKER = '#!/bin/sh\nexec docker run dbt "$@"\n'


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A dbt project in a repository of its own."""
    folder = tmp_path / "repository" / "shop"
    folder.mkdir(parents=True)
    (folder.parent / ".git").mkdir()
    return folder


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dbtorch whose own environment has no dbt."""
    venv(tmp_path / "tool")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "tool" / "bin" / "python"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "tool"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])


def venv(folder: Path) -> Path:
    """A real virtual environment, with nothing in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def command(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o755)
    return path


def with_dbt(folder: Path) -> Path:
    """A virtual environment with the command that dbt-core installs."""
    command(venv(folder) / "bin" / "dbt", f"#!{folder}/bin/python\n{CORE}")
    return folder


def found(project: Path, **environ: str) -> Installation:
    return find_installation(None, project, environ)


def test_the_active_environment_comes_first(shop: Path, tmp_path: Path) -> None:
    with_dbt(shop / ".venv")
    active = with_dbt(tmp_path / "active")
    one = found(shop, VIRTUAL_ENV=str(active), PATH=str(shop / ".venv" / "bin"))
    assert (one.where, one.python) == (Where.ACTIVE, f"{active}/bin/python")
    assert one.executable == active / "bin" / "dbt"
    assert not one.passed


def test_an_active_environment_without_dbt_is_passed_over(shop: Path, tmp_path: Path) -> None:
    active = venv(tmp_path / "active")
    with_dbt(shop / ".venv")
    one = found(shop, VIRTUAL_ENV=str(active))
    assert (one.where, one.python) == (Where.BESIDE, f"{shop}/.venv/bin/python")
    assert one.passed == (f"{active} (VIRTUAL_ENV) has no dbt",)
    assert str(one.used(shop)) == ".venv (beside the project)"


def test_an_active_environment_that_is_gone_is_passed_over(shop: Path, tmp_path: Path) -> None:
    with_dbt(shop / ".venv")
    one = found(shop, VIRTUAL_ENV=str(tmp_path / "gone"))
    assert one.where is Where.BESIDE
    assert one.passed == (f"{tmp_path}/gone (VIRTUAL_ENV) has no bin/python",)


def test_the_nearest_above_is_taken_and_none_above_the_repository(shop: Path) -> None:
    with_dbt(shop.parent.parent / ".venv")
    assert found(shop).where is Where.OWN
    above = with_dbt(shop.parent / ".venv")
    assert (found(shop).where, found(shop).python) == (Where.ABOVE, f"{above}/bin/python")
    venv(shop / ".venv")
    assert (found(shop).where, len(found(shop).passed)) == (Where.ABOVE, 1)


@pytest.mark.skipif(os.getuid() != 0, reason="nobody but root can give a folder away")
def test_an_environment_of_somebody_else_above_a_project_is_not_taken(shop: Path) -> None:
    """In a folder for everybody, such as /tmp, anybody could put one."""
    above = with_dbt(shop.parent / ".venv")
    assert found(shop).where is Where.ABOVE
    os.chown(above, 12345, 12345)
    assert found(shop).where is Where.OWN


def test_a_package_without_its_command_will_do(shop: Path) -> None:
    folder = venv(shop / ".venv")
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    command(packages / "dbt" / "cli" / "main.py", "")
    one = found(shop)
    assert (one.where, one.executable, one.is_python) == (Where.BESIDE, None, True)


#: How the command begins that is on the path; {env} is its environment.
FIRST_LINES = {
    "pip": "#!{env}/bin/python\n",
    "pip, a long path": "#!/bin/sh\n'''exec' {env}/bin/python \"$0\" \"$@\"\n' '''\n",
    "pip, a path with spaces": "#!/bin/sh\n'''exec' \"{env}/bin/python\" \"$0\" \"$@\"\n' '''\n",
    "uv, a path with spaces": "#!/bin/sh\n'''exec' '{env}/bin/python' \"$0\" \"$@\"\n' '''\n",
    "uv venv --relocatable": "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n",
}


@pytest.mark.parametrize("first", FIRST_LINES.values(), ids=FIRST_LINES)
@pytest.mark.parametrize("linked", [False, True], ids=["conda", "pipx and uv tool"])
def test_the_command_on_the_path_says_its_interpreter(
    shop: Path, tmp_path: Path, first: str, *, linked: bool
) -> None:
    env = venv(tmp_path / "envs" / ("with a space" if "space" in first else "dbt"))
    dbt = command(env / "bin" / "dbt", first.format(env=env) + CORE)
    if linked:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "dbt").symlink_to(dbt)
        dbt = tmp_path / "bin" / "dbt"
    one = found(shop, PATH=f"/nowhere:{dbt.parent}")
    assert (one.where, one.executable, one.is_python) == (Where.PATH, dbt, True)
    assert Path(one.python).parent.samefile(env / "bin")
    assert one.used(shop).path == str(dbt)


def test_env_finds_the_interpreter_on_the_same_path(shop: Path, tmp_path: Path) -> None:
    """As conda has it where the path of an environment is long."""
    env = venv(tmp_path / "conda")
    command(env / "bin" / "dbt", f"#!/usr/bin/env python\n{CORE}")
    one = found(shop, PATH=f"{env}/bin:/usr/bin")
    assert (one.where, one.python) == (Where.PATH, f"{env}/bin/python")


def test_a_command_whose_interpreter_is_gone_is_passed_over(shop: Path, tmp_path: Path) -> None:
    dbt = command(tmp_path / "bin" / "dbt", f"#!/opt/gone/bin/python\n{CORE}")
    one = found(shop, PATH=str(dbt.parent))
    assert one.where is Where.OWN
    assert one.passed == (
        f"{dbt} (on the path) is of an interpreter that is not there, /opt/gone/bin/python",
    )


def test_dbt_2_on_the_path_runs_steps_in_the_environment_of_the_project(
    shop: Path, tmp_path: Path
) -> None:
    dbt = command(tmp_path / "bin" / "dbt", b"\x7fELF\x02")
    project = Project(dir=shop, name="shop", config=Config(), environ={"PATH": str(dbt.parent)})
    assert (project.dbt.where, project.python) == (Where.PATH, sys.executable)
    code = venv(shop / ".venv")
    project = Project(dir=shop, name="shop", config=Config(), environ={"PATH": str(dbt.parent)})
    assert project.python == f"{code}/bin/python"
    choice = choose_engine(project)
    assert (choice.type, choice.executable) == (EngineType.PROCESS, str(dbt))
    assert str(choice.dbt) == f"{dbt} (on the path)"


def test_dbt_2_in_an_environment_runs_steps_there(shop: Path, tmp_path: Path) -> None:
    env = venv(tmp_path / "env")
    dbt = command(env / "bin" / "dbt", b"\x7fELF\x02")
    assert found(shop, PATH=str(dbt.parent)).python == f"{env}/bin/python"


def test_a_script_around_a_container_is_the_last_that_is_taken(
    shop: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dbt = command(tmp_path / "bin" / "dbt", DOCKER)
    one = found(shop, PATH=str(dbt.parent))
    assert one.where is Where.OWN
    assert one.passed == (f"{dbt} (on the path) does not say which interpreter has dbt",)
    request.getfixturevalue("without")
    one = found(shop, PATH=str(dbt.parent))
    assert (one.where, one.executable, one.is_python) == (Where.PATH, dbt, False)


def test_without_any_dbt_one_sentence_says_what_to_type(
    shop: Path, tmp_path: Path, without: None
) -> None:
    (shop / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (shop / "profiles.yml").write_text(
        "shop: {outputs: {dev: {type: duckdb}, prod: {type: postgres}}}\n"
    )
    active = venv(tmp_path / "active")
    environ = {"VIRTUAL_ENV": str(active), "PATH": "/nowhere"}
    project = Project(dir=shop, name="shop", config=Config(), environ=environ)
    with pytest.raises(UsageError) as raised:
        choose_engine(project)
    assert str(raised.value) == (
        f"no dbt was found: {active} (VIRTUAL_ENV) has no dbt; {tmp_path}/tool (dbtorch's own) has"
        f" no dbt; install it with `uv pip install --python {active}/bin/python dbt-core"
        " dbt-duckdb dbt-postgres`, or name an interpreter that has it with engine.python in"
        " dbtorch.yml"
    )


def test_where_pip_is_there_pip_installs_it(shop: Path, without: None, tmp_path: Path) -> None:
    (shop / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    tool = tmp_path / "tool"
    (packages,) = (tool / "lib").glob("python3*/site-packages")
    (packages / "pip").mkdir()
    project = Project(dir=shop, name="shop", config=Config(), environ={"PATH": "/nowhere"})
    with pytest.raises(UsageError, match=f"`{tool}/bin/python -m pip install dbt-core dbt-duckdb`"):
        choose_engine(project)


def test_finding_it_starts_nothing_and_takes_no_time(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("something is started")

    active = venv(tmp_path / "active")
    venv(shop / ".venv")
    command(tmp_path / "bin" / "dbt", DOCKER)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    environ = {"VIRTUAL_ENV": str(active), "PATH": f"{tmp_path}/bin"}
    took = []
    for _ in range(20):
        began = time.process_time()
        find_installation(None, shop, environ)
        took.append(time.process_time() - began)
    assert min(took) < 0.01  # half a millisecond, in truth
