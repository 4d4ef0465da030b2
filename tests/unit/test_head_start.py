"""A kept answer holds exactly as long as nothing it rests on has changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbtorch.core.model.graph import Kind, Node
from dbtorch.ports.engine import Hook, Selected
from dbtorch.service.planning.manifest_cache import ManifestCache, same


def selected(tmp_path):
    return Selected(
        nodes=(Node(id="model.a", kind=Kind.MODEL, name="a", meta={"dbtorch": {"retries": 1}}),),
        edges=(("source.s", "model.a"),),
        selected=frozenset({"model.a"}),
        selected_edges=(),
        selected_sources=frozenset(),
        resolved={"a": frozenset({"model.a"})},
        hooks=(Hook(id="operation.x", name="x"),),
        threads=4,
        fail_fast=False,
        target={"name": "dev", "path": "x.duckdb"},
        exclusive_file=None,
        vars={"day": "2026-01-01"},
        dbt_version="1.11.0",
        adapter="duckdb 1.11.0",
        project="shop",
        project_dir=tmp_path,
        target_path=tmp_path / "target",
        manifest_hash="abc",
        watched=(str(tmp_path / "models"), str(tmp_path / "dbt_project.yml")),
        env_vars=("REGION",),
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.sql").write_text("select 1")
    (tmp_path / "dbt_project.yml").write_text("name: shop")
    return tmp_path


def test_an_answer_is_recalled_as_it_was_kept(project):
    ManifestCache(project, ["--select", "a"], {}).keep(selected(project))
    assert ManifestCache(project, ["--select", "a"], {}).recall() == selected(project)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: (p / "models" / "a.sql").write_text("select 22"),  # a file of another size
        lambda p: (p / "models" / "b.sql").write_text("select 2"),  # a new file
        lambda p: (p / "models" / "a.sql").unlink(),  # a file that is gone
        lambda p: (p / "dbt_project.yml").unlink(),  # a watched file itself
        lambda p: next((p / ".dbtorch" / "cache").iterdir()).write_text("{"),  # a cut-off cache
    ],
)
def test_a_change_of_what_dbt_reads_ends_it(project, change):
    ManifestCache(project, [], {}).keep(selected(project))
    change(project)
    assert ManifestCache(project, [], {}).recall() is None


def test_files_dbt_does_not_read_change_nothing(project):
    ManifestCache(project, [], {}).keep(selected(project))
    (project / "landing.csv").write_text("1")
    assert ManifestCache(project, [], {}).recall() is not None


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["--select", "b"], {}),  # other options
        ([], {"REGION": "eu"}),  # a variable that the project reads
        (["--state", "prod"], {}),  # depends on files elsewhere
        ([], {"DBT_STATE": "prod"}),
        ([], {"DBT_TARGET": "prod"}),  # an option of dbt's
        ([], {"HOME": "/home/other"}),  # where profiles are
    ],
)
def test_it_is_not_taken_for_something_else(project, words, environ):
    ManifestCache(project, [], {}).keep(selected(project))
    assert ManifestCache(project, words, environ).recall() is None


@pytest.mark.parametrize("name", ["DBT_STATE", "DBT_ENGINE_STATE", "DBT_DEFER_STATE"])
def test_an_answer_that_depends_on_files_elsewhere_is_not_kept(project, name):
    ManifestCache(project, [], {name: "prod"}).keep(selected(project))
    assert ManifestCache(project, [], {name: "prod"}).recall() is None


def test_a_variable_the_project_does_not_read_changes_nothing(project):
    ManifestCache(project, [], {}).keep(selected(project))
    assert ManifestCache(project, [], {"SHLVL": "3"}).recall() is not None


def test_answers_are_the_same_whatever_the_order_of_their_edges(project):
    one = replace(selected(project), selected_edges=(("a", "b"), ("c", "d")))
    other = replace(one, selected_edges=(("c", "d"), ("a", "b")))
    assert same(one, other)
    assert not same(one, replace(other, threads=1))
    assert not same(one, replace(other, project_dir=Path("x"), manifest_hash="other"))
