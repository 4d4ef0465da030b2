"""``dbtorch init`` writes a file that works, whatever part of it is used."""

import re
import shutil
from pathlib import Path

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.cli.main import main
from dbtorch.core.config import Config, Origin
from dbtorch.core.errors import DbtorchError, UsageError
from dbtorch.service.draft import write_draft

SAMPLE = Path(__file__).parents[2] / "sample_project"

MODELS = """\
version: 2
sources:
  - name: shop
    tables: [{name: orders}, {name: items}, {name: customers}, {name: payments}]
  - name: web-events
    tables: [{name: visits}]
  - {name: "bad: name"}
exposures:
  - {name: weekly_kpis, type: dashboard}
groups:
  - {name: finance, owner: {name: Finance Team, email: f@shop.example}}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nmodel-paths: [transform]\n")
    (tmp_path / "transform" / "deep").mkdir(parents=True)
    (tmp_path / "transform" / "deep" / "all.yaml").write_text(MODELS)
    (tmp_path / "transform" / "broken.yml").write_text("a: [")
    (tmp_path / "transform" / "list.yml").write_text("- a")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "profiles.yml").write_text("{}")
    return tmp_path


def uncommented(text):
    """Everything in use."""
    return re.sub(r"(?m)^# ", "", text)


def test_the_file_changes_nothing_as_it_is(project, capsys):
    assert main(["init", "--project-dir", str(project)]) == 0
    assert capsys.readouterr().out.startswith("Wrote dbtorch.yml for the project shop.\n")
    assert load(project) == Config(origin=Origin(file="dbtorch.yml"))


def test_all_examples_work_together(project):
    write_draft(project, force=False)
    file = project / "dbtorch.yml"
    file.write_text(uncommented(file.read_text()))
    config = load(project)
    assert set(config.steps) == {"ingest_shop", "ingest_web-events", "refresh_weekly_kpis"}
    assert config.steps["ingest_web-events"].action == "ingestion.web_events:load"
    assert config.steps["ingest_shop"].produces == ("source:shop",)
    assert config.steps["ingest_shop"].settings.owner == "Finance Team"
    assert config.steps["refresh_weekly_kpis"].after == ("exposure:weekly_kpis",)
    assert config.engine.profiles_dir == "profiles"
    assert config.pipelines["daily"].select == ("path:transform",)


def test_each_example_works_alone(project):
    write_draft(project, force=False)
    file = project / "dbtorch.yml"
    parts = re.findall(r"(?m)(?:^# .*\n)+", file.read_text())
    assert len(parts) >= 7  # the three steps are apart from each other
    for part in parts:
        inside = part.startswith("#   ")
        file.write_text(("steps:\n" if inside else "") + uncommented(part))
        assert load(project) != Config()


def test_a_project_without_sources_gets_no_step_for_one(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: tiny\n")
    write_draft(tmp_path, force=False)
    file = tmp_path / "dbtorch.yml"
    assert "declares no source" in file.read_text()
    file.write_text(uncommented(file.read_text()))
    steps = load(tmp_path).steps
    assert set(steps) == {"notify"}
    assert not any(step.produces for step in steps.values())


def test_the_sample_project(tmp_path):
    shutil.copy(SAMPLE / "dbt_project.yml", tmp_path)
    shutil.copytree(SAMPLE / "models", tmp_path / "models")
    write_draft(tmp_path, force=False)
    file = tmp_path / "dbtorch.yml"
    file.write_text(uncommented(file.read_text()))
    steps = load(tmp_path).steps
    assert {"ingest_shop", "refresh_weekly_kpis"} <= set(steps)


@pytest.mark.parametrize("name", ["dbtorch.yml", "dbtorch.yaml"])
def test_a_file_that_is_there_stays_unless_forced(project, name):
    (project / name).write_text("max_steps: 3")
    with pytest.raises(UsageError, match=f"^{name} is there already; --force replaces it$"):
        write_draft(project)
    assert load(project).max_steps == 3
    write_draft(project, force=True)
    assert load(project).max_steps == Config().max_steps


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"target/\n", b"target/\n.dbtorch/\n"),
        (b"target/", b"target/\n.dbtorch/\n"),  # the last line had no end
        (b"a\r\n", b"a\r\n.dbtorch/\r\n"),  # as on Windows
        (b"", b".dbtorch/\n"),
        (b"/.dbtorch\n", b"/.dbtorch\n"),  # there already, in other words
        (b"x\n.dbtorch/ \n", b"x\n.dbtorch/ \n"),
    ],
)
def test_git_ignores_what_dbtorch_writes(project, before, after):
    (project / ".gitignore").write_bytes(before)
    write_draft(project, force=False)
    assert (project / ".gitignore").read_bytes() == after


def test_no_gitignore_is_made(project):
    write_draft(project, force=False)
    assert not (project / ".gitignore").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is no dbt project: it has no dbt_project.yml"),
        ("name: [", "dbt_project.yml:1: is not valid YAML"),
        ("profile: x", "dbt_project.yml:1: gives the project no name"),
        ("", "dbt_project.yml:1: gives the project no name"),
    ],
)
def test_what_is_no_project_gets_one_sentence(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "dbt_project.yml").write_text(content)
    with pytest.raises(DbtorchError) as raised:
        write_draft(tmp_path)
    assert sentence in str(raised.value)
    assert not (tmp_path / "dbtorch.yml").exists()


def test_a_folder_that_cannot_be_written(project):
    (project / "dbtorch.yml").mkdir()
    with pytest.raises(UsageError) as raised:
        write_draft(project, force=True)
    wrong = "dbtorch.yml cannot be written: Is a directory; check its permissions"
    assert str(raised.value).endswith(wrong)
