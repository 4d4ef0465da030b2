"""A run that cannot begin is in the history, is no green, and is told; no dbt is started for it."""

from dataclasses import replace

import pytest

import dbtorch
from dbtorch.adapters.clock import SystemClock
from dbtorch.core.errors import EngineError
from dbtorch.core.plan import SESSION_OPEN
from dbtorch.service.history.store import open_history
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.run.context import NOT_BEGUN, RunContext
from dbtorch.service.run.lease import lease_of
from dbtorch.service.run.not_begun import record_not_begun
from tests.waiting import PATIENCE

PROFILES = "shop: {outputs: {live: {type: duckdb, path: w.duckdb}}, target: live}"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbtorch.yml").write_text(
        "version: 1\nalerts: {webhook: {url: 'http://127.0.0.1:1/'}}\n"
        "defaults: {owner: finance}\n"
        "pipelines: {daily: {owner: ops}}\n"
    )
    return tmp_path


@pytest.fixture
def project(folder):
    environ = {"HOME": str(folder / "home"), "PATH": ""}
    return dbtorch.Project(folder, environ=environ)


def fails(project, **given):
    """What a run does that cannot begin."""
    with pytest.raises(dbtorch.ProjectError, match=r"profiles\.yml") as error:
        project.run(pipeline="daily", **given)
    return error.value


def outbox(folder):
    with open_history(str(folder), None) as store:
        return [delivery.entry.body for delivery in store.outbox()]


def test_it_is_in_the_history_and_no_green(project):
    said = fails(project, select="orders")
    run = project.show("latest")
    assert (run.state, run.ok) == ("failed", False)
    assert [(node.id, str(node.reason)) for node in run.failed] == [(SESSION_OPEN, str(said))]
    assert (run.record.pipeline, run.record.partial) == ("daily", True)
    assert [listed.state for listed in project.runs()] == ["failed"]
    fails(project)
    assert not project.show("latest").record.partial
    (item,) = [item for item in project.health().items if item.name == "daily"]
    assert item.health == "failed"


def test_its_owner_is_told(project, folder):
    said = fails(project)
    bodies = outbox(folder)
    told = [body["alert"] for body in bodies if "alert" in body]
    (failed,) = [alert for alert in told if alert["event"] == "failed"]
    assert failed["owner"] == "ops"
    assert str(said) in failed["message"]


def test_who_has_chosen_a_part_reads_it_and_nobody_else_is_told(project, folder):
    fails(project, select="orders")
    assert outbox(folder) == []


def test_a_target_that_is_none_of_the_profiles_is_a_slip(project, folder):
    (folder / "profiles.yml").write_text(PROFILES)
    broken(folder, dbt_args=("--target", "liev"))
    assert project.runs() == ()


def test_on_a_target_for_trying_nobody_is_told(folder):
    (folder / "profiles.yml").write_text(PROFILES.replace("live", "dev"))
    broken(folder)
    assert outbox(folder) == []


def broken(folder, dbt_args=(), **context):
    """Write a run whose dbt could not parse; answers its id."""
    project = open_project(str(folder))
    options = RunOptions(project_dir=str(folder), pipeline="daily", dbt_args=dbt_args)
    config = project.config.pipelines["daily"]
    about = RunContext.of(config, None, SystemClock().now(), run_id="r1")
    record_not_begun(project, options, replace(about, **context), EngineError("no such macro"))
    return about.run_id


def test_where_no_profile_is_left_it_is_a_run_on_the_target_of_the_run_before(folder, project):
    (folder / "profiles.yml").write_text(PROFILES)
    broken(folder)
    (folder / "profiles.yml").unlink()
    fails(project)
    (folder / "profiles.yml").write_text(PROFILES)
    newest, before = project.runs()  # by what the target is now
    assert newest.run.target == before.run.target == "live"
    assert project.show("latest").record.options[NOT_BEGUN]


def test_while_another_run_of_the_pipeline_goes_on_nothing_is_written(folder, project):
    (folder / "profiles.yml").write_text(PROFILES)
    broken(folder)
    with open_history(str(folder), None, writes=True) as store:
        lease, _ = store.acquire(replace(lease_of(store, store.run("r1")), run_id="another"))
        broken(folder, run_id="r2")
        assert [listed.run.run_id for listed in project.runs()] == ["r1"]
        store.release(lease)
    broken(folder, run_id="r2")
    assert {listed.run.run_id for listed in project.runs()} == {"r1", "r2"}


def test_a_retry_is_of_the_run_that_was_latest_when_it_was_called(folder, project):
    (folder / "profiles.yml").write_text(PROFILES)
    with pytest.raises(dbtorch.StoreError):
        project.start_retry()
    broken(folder)
    with pytest.raises(dbtorch.NotFound):
        project.start_rerun("r9", select="orders")
    (folder / "profiles.yml").unlink()
    handle = project.start_retry("latest")
    assert handle.id == "r1"
    with pytest.raises(dbtorch.ProjectError, match=r"profiles\.yml"):
        handle.wait(PATIENCE)
