"""`dbtorch pause` and `resume`, and the same in Python."""

import pytest

from dbtorch import Project
from dbtorch.cli.main import main
from dbtorch.core.errors import NotFound, NothingToDo, UsageError
from tests.serving.farm import a_project


@pytest.fixture
def folder(tmp_path):
    a_project(tmp_path, 1)
    with (tmp_path / "dbtorch.yml").open("a") as file:
        file.write("  by_hand: {}\n")
    return tmp_path


def test_a_pause_says_who_and_why_until_somebody_resumes(folder, capsys):
    words = ["--project-dir", str(folder)]
    assert main(["pause", "p0", "--reason", "the warehouse moves", *words]) == 0
    assert "pipeline p0 is paused by " in (said := capsys.readouterr().out)
    assert said.rstrip().endswith(": the warehouse moves")
    assert main(["pause", "p0", *words]) == 0
    assert "; before, it was paused by " in capsys.readouterr().out
    assert main(["resume", "p0", *words]) == 0
    assert capsys.readouterr().out.startswith("pipeline p0 runs again (it was paused by ")


def test_in_python_it_is_the_same(folder):
    project = Project(folder)
    assert project.pause("p0", reason="so").before is None
    assert project.pause("p0").before.reason == "so"
    assert project.resume("p0").pause is None
    with pytest.raises(NothingToDo, match="is not paused by anybody"):
        project.resume("p0")


def test_what_cannot_be_paused_says_why(folder):
    with pytest.raises(UsageError, match="pipeline by_hand has no schedule and no `on`"):
        Project(folder).pause("by_hand")
    with pytest.raises(NotFound, match="has no pipeline 'nope'"):
        Project(folder).pause("nope")
