"""Which engine is taken, by what is configured and what is installed."""

import sys
from dataclasses import replace

import pytest

from dbtorch.cli.engines import choose_engine
from dbtorch.cli.project import Project
from dbtorch.core.config import Config, EngineSpec, EngineType

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
    [("dbt2", "dbt2"), ("env/bin/dbt", "{dir}/env/bin/dbt"), ("/opt/dbt", "/opt/dbt")],
)
def test_an_executable_that_is_named_is_taken(project, named, executable):
    found = choice(project, executable=named)
    assert (found.type, found.executable) == (
        EngineType.PROCESS,
        executable.format(dir=project.dir),
    )


def test_the_dbt_of_these_tests_has_a_session():
    project = Project(dir=None, name="shop", config=Config())
    assert project.python == sys.executable
    assert choose_engine(project).type is EngineType.SESSION
