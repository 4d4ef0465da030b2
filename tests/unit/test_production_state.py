"""Publishing the state of production, and finding it again."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.adapters.run_files import file_safe
from dbtorch.core.config import Config, StepSpec
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import RunState
from dbtorch.core.production import commit_in, fingerprint, name_of
from dbtorch.service.production import publish as publishing
from dbtorch.service.production.find import NoState, find_state, open_state, refuse_old
from dbtorch.service.production.publish import NotPublished, publish
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
STEP = StepSpec(name="load", type="command", action="echo", produces=("source:raw.orders",))

RUN = RunRecord(
    run_id="r1",
    pipeline="daily",
    project="shop",
    target="prod",
    logical_date=NOON,
    data_interval_start=NOON,
    data_interval_end=NOON,
    state=RunState.SUCCESS,
    started_at=NOON,
    dbt_version="1.11.2",
    adapter="duckdb 1.11.1",
    dbtorch_version="0.1.0",
    git_commit="a" * 40,
    git_dirty=False,
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    config = Config(steps={"load": STEP}, project_id="acme/shop")
    return Project(dir=tmp_path, name="shop", config=config, environ={})


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    manifest = {"metadata": {"generated_at": "2026-11-30T11:00:00Z", "dbt_version": "1.10.0"}}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "token": "hunter2secret"}))
    (folder / "run_results.json").write_text("{}")
    return folder


def published(
    project: Project,
    target: Path,
    *,
    at: datetime = NOON,
    run: RunRecord = RUN,
    url: str | None = None,
) -> str:
    return publish(
        project,
        RunOptions(artifacts_url=url or str(project.dir / "kept"), environ={}),
        run,
        target_path=target,
        began=datetime.fromtimestamp(0, UTC),
        now=at,
        hide=Scrubber({"hunter2secret"}),
    )


def states(project: Project):
    return open_state(str(shop(project.dir) / "daily"), project.dir)


def shop(folder: Path) -> Path:
    return folder / "kept" / "_state" / file_safe("acme/shop")


def test_what_is_published_is_found_with_what_it_was_built_from(project, target, tmp_path):
    url = published(project, target)
    found = find_state(states(project), tmp_path / "state")
    assert (found.url, found.at, found.commit) == (url, NOON, "a" * 40)
    assert found.dbt_version == "1.11.2"
    assert found.published is not None
    assert found.published.steps == {"load": fingerprint(STEP)}
    assert {path.name for path in found.folder.iterdir()} == {
        *("dbtorch.json", "manifest.json", "run_results.json")
    }
    assert "hunter2secret" not in (found.folder / "manifest.json").read_text()


def test_the_newest_state_counts_unless_a_commit_is_known(project, target, tmp_path):
    published(project, target)
    later = replace(RUN, run_id="r2", git_commit="b" * 40)
    newest = published(project, target, at=NOON + timedelta(hours=1), run=later)
    place = states(project)
    assert find_state(place, tmp_path / "s1").url == newest
    of_base = find_state(place, tmp_path / "s2", base=["c" * 40, "a" * 40])
    assert of_base.commit == "a" * 40
    assert find_state(place, tmp_path / "s3", base=["d" * 40]).url == newest


def test_what_was_built_from_more_than_a_commit_does_not_stand_for_it(project, target, tmp_path):
    published(project, target)
    dirty = replace(RUN, run_id="r2", git_commit="b" * 40, git_dirty=True)
    published(project, target, at=NOON + timedelta(hours=1), run=dirty)
    clean = replace(RUN, run_id="r3", git_commit="c" * 40)
    published(project, target, at=NOON + timedelta(hours=2), run=clean)
    found = find_state(states(project), tmp_path / "state", base=["b" * 40, "a" * 40])
    assert found.commit == "a" * 40


def test_a_state_that_was_not_finished_is_not_found(project, target, tmp_path):
    first = published(project, target)
    place = open_artifacts(str(shop(tmp_path)), "daily", tmp_path)
    half = name_of(NOON + timedelta(hours=1), "b" * 40, "r2")
    place.put(half, "manifest.json", [b"{"])  # killed here: no description, no pointer
    assert find_state(states(project), tmp_path / "s1").url == first
    assert find_state(states(project), tmp_path / "s2", base=["b" * 40, "a" * 40]).url == first


def test_a_state_that_somebody_has_changed_is_refused(project, target, tmp_path):
    url = published(project, target)
    (Path(url.removeprefix("file://")) / "manifest.json").write_text("{}")
    with pytest.raises(NoState, match=r"manifest\.json is not what was published"):
        find_state(states(project), tmp_path / "state")


def test_old_states_are_removed(project, target, monkeypatch):
    monkeypatch.setattr(publishing, "KEPT", 2)
    for hour in range(4):
        published(project, target, at=NOON + timedelta(hours=hour))
    kept = sorted(set(states(project).runs()) - {"latest"})
    assert [name[9:11] for name in kept] == ["14", "15"]


def test_a_run_that_wrote_no_artifacts_is_not_published(project, target):
    (target / "run_results.json").unlink()
    with pytest.raises(NotPublished, match=r"dbt has written no run_results\.json"):
        published(project, target)


def test_a_place_that_cannot_be_written_is_said(project, target):
    (project.dir / "kept").write_text("a file")
    with pytest.raises(NotPublished, match="kept"):
        published(project, target)


def test_a_folder_of_dbts_own_is_a_state(project, target, tmp_path):
    found = find_state(open_state("target", tmp_path), tmp_path / "state")
    assert found.published is None
    assert (found.commit, found.dbt_version) == ("", "1.10.0")
    assert found.at == datetime(2026, 11, 30, 11, tzinfo=UTC)
    assert (found.folder / "run_results.json").is_file()


def test_no_state_is_loud(tmp_path):
    with pytest.raises(NoState, match="--no-state full"):
        find_state(open_state("nowhere", tmp_path), tmp_path / "state")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "manifest.json").write_text("[]")
    with pytest.raises(NoState, match="is no manifest of dbt"):
        find_state(open_state("there", tmp_path), tmp_path / "state")


# each is a description that cannot be one
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1}'])
def test_a_pointer_that_says_nothing_is_refused(tmp_path, text):
    place = open_artifacts(str(tmp_path), "daily", tmp_path)
    place.put("latest", "state.json", [text.encode()])
    with pytest.raises(NoState, match="does not describe a state of production"):
        find_state(place, tmp_path / "state")


def test_a_state_that_is_too_old_is_refused(project, target, tmp_path):
    published(project, target)
    found = find_state(states(project), tmp_path / "state")
    refuse_old(found, 3600, NOON + timedelta(hours=1))
    refuse_old(found, None, NOON + timedelta(days=400))
    with pytest.raises(NoState, match=r"published 2h ago .* --max-state-age 1h: "):
        refuse_old(found, 3600, NOON + timedelta(hours=2))


def test_the_commit_can_be_read_from_a_name():
    assert commit_in(name_of(NOON, "abcdef0123456789", "my_run")) == "abcdef012345"
    assert commit_in(name_of(NOON, "", "my_run")) == ""


def test_a_fingerprint_changes_with_what_a_step_does():
    assert fingerprint(replace(STEP, description="other", name="x")) == fingerprint(STEP)
    changes = [
        *({"action": "date"}, {"type": "python"}, {"produces": ()}, {"after": ("step:a",)}),
        *({"when": "no"}, {"params": {"a": 1}}, {"env": {"A": "b"}}, {"checksum": "1"}),
    ]
    found = {fingerprint(replace(STEP, **change)) for change in changes}
    assert len(found) == len(changes)
    assert fingerprint(STEP) not in found
