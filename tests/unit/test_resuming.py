"""What a retry asks dbt: what the run did, to the word, and nothing else."""

import pytest

from dbtorch.core.errors import UsageError
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.resume.retry import _words, refuse_another_run
from tests.stores import a_run


@pytest.mark.parametrize("option", ["--profiles-dir", "--state"])
def test_a_folder_is_the_same_wherever_it_is_named_from(tmp_path, option):
    project = tmp_path / "shop"
    (project / "profiles").mkdir(parents=True)
    first = RunOptions(dbt_args=(option, "profiles"), cwd=project)
    earlier = a_run(options=first.to_record())
    for cwd, text in (
        (project, "./profiles"),
        (tmp_path, "shop/profiles"),
        (tmp_path, str(project / "profiles")),
    ):
        refuse_another_run(earlier, RunOptions(dbt_args=(option, text), cwd=cwd))
    with pytest.raises(UsageError, match=f"{option} was profiles"):
        refuse_another_run(earlier, RunOptions(dbt_args=(option, "profiles"), cwd=tmp_path))


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbtorch.yml").write_text("pipelines: {nightly: {target: prod}}\n")

    def targets(default):
        outputs = "outputs: {dev: {type: duckdb}, prod: {type: duckdb}}"
        (tmp_path / "profiles.yml").write_text(f"shop: {{target: {default}, {outputs}}}\n")
        return open_project(str(tmp_path), environ={})

    return targets


@pytest.mark.parametrize(
    ("given", "default", "target", "pipeline", "asked"),
    [
        ((), "dev", "dev", "default", ()),
        (("--threads", "2"), "dev", "dev", "default", ("--threads", "2")),
        # the default is another one by now
        ((), "prod", "dev", "default", ("--target", "dev")),
        (("--target", "dev"), "dev", "dev", "default", ("--target", "dev")),
        # the pipeline says it, and said it
        ((), "dev", "prod", "nightly", ()),
        ((), "dev", "dev", "nightly", ("--target", "dev")),
    ],
)
def test_dbt_is_told_a_target_where_it_was_told_one(
    shop, tmp_path, monkeypatch, given, default, target, pipeline, asked
):
    """Another word for the same target costs dbt the parsing of the whole project."""
    monkeypatch.delenv("DBT_TARGET", raising=False)
    monkeypatch.delenv("DBT_PROFILES_DIR", raising=False)
    project = shop(default)
    first = RunOptions(dbt_args=given, cwd=tmp_path)
    earlier = a_run(target=target, pipeline=pipeline, options=first.to_record())
    now = RunOptions(cwd=tmp_path)
    assert _words(project, earlier, now, RunOptions.from_record(earlier)) == asked
