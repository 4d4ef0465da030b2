"""Which engine is taken, by what is configured and what is installed."""

import sys
from dataclasses import replace

import pytest

from dbtorch.core.config import Config, EngineSpec, EngineType
from dbtorch.core.errors import ProjectError
from dbtorch.service.project.project import Project
from dbtorch.service.wiring.engines import choose_engine

SCRIPT, BINARY = b"#!/usr/bin/python3\n", b"\x7fELF"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_bytes(SCRIPT)
    (tmp_path / "bin" / "python").chmod(0o755)
    return Project(dir=tmp_path, name="shop", config=Config(engine=EngineSpec(python="bin/python")))


def choice(project, **engine):
    spec = replace(project.config.engine, **engine)
    return choose_engine(replace(project, config=replace(project.config, engine=spec)))


@pytest.mark.parametrize(
    ("installed", "type", "chosen"),
    [
        (SCRIPT, EngineType.AUTO, EngineType.SESSION),
        (BINARY, EngineType.AUTO, EngineType.PROCESS),
        (None, EngineType.AUTO, EngineType.SESSION),
        (BINARY, EngineType.SESSION, EngineType.SESSION),
        (SCRIPT, EngineType.PROCESS, EngineType.PROCESS),
    ],
)
def test_the_dbt_beside_the_interpreter_decides(project, installed, type, chosen):
    if installed is not None:
        (project.dir / "bin" / "dbt").write_bytes(installed)
    found = choice(project, type=type)
    assert found.type is chosen
    if found.type is EngineType.PROCESS:
        assert found.executable == str(project.dir / "bin" / "dbt")


@pytest.mark.parametrize(
    ("named", "executable"),
    [
        ("dbt2", "dbt2"),
        ("./dbt2", "{dir}/dbt2"),
        ("env/bin/dbt", "{dir}/env/bin/dbt"),
        ("/opt/dbt", "/opt/dbt"),
    ],
)
def test_an_executable_that_is_named_is_taken(project, named, executable):
    found = choice(project, executable=named)
    assert (found.type, found.executable) == (
        EngineType.PROCESS,
        executable.format(dir=project.dir),
    )


@pytest.mark.parametrize("key", ["executable", "python"])
def test_a_file_of_the_project_is_not_named_as_if_it_were_on_the_path(project, key):
    (project.dir / "mine").write_bytes(SCRIPT)
    with pytest.raises(ProjectError) as refused:
        choice(project, **{key: "mine"})
    assert str(refused.value) == (
        f"dbtorch.yml: engine.{key}: mine is not on the path; write ./mine for the file in the"
        " project's folder"
    )


def test_the_dbt_of_these_tests_has_a_session(tmp_path):
    project = Project(dir=tmp_path, name="shop", config=Config(), environ={})
    assert project.python == sys.executable
    assert choose_engine(project).type is EngineType.SESSION


def test_auto_is_what_is_done_anyway(tmp_path):
    spec = EngineSpec(python="auto")
    project = Project(dir=tmp_path, name="shop", config=Config(engine=spec), environ={})
    assert project.python == sys.executable
