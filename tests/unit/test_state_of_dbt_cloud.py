"""A job of dbt Cloud as the state of production, against a server that behaves as that does."""

from datetime import UTC, datetime

import pytest

from dbtorch.service.production.find import NoState, find_state, open_state
from tests.unit.test_steps_dbt_cloud import ACCOUNT, JOB, TOKEN, serving

MANIFEST = {"metadata": {"generated_at": "2026-11-30T11:00:00Z", "dbt_version": "1.11.2"}}
NEWEST = [{"id": 100, "status": 10}]


@pytest.fixture
def told():
    """What the server answers, by path."""
    files = f"{ACCOUNT}/runs/100/artifacts"
    return {
        f"{ACCOUNT}/runs/": NEWEST,
        f"{files}/manifest.json": MANIFEST,
        f"{files}/run_results.json": {"results": []},
    }


@pytest.fixture
def job(told):
    with serving() as platform:

        def answer(method, path, body):
            found = told.get(path.partition("?")[0])
            return (404, None) if found is None else found if type(found) is tuple else (200, found)

        platform.answer = answer
        yield platform


def state(job, tmp_path, token=TOKEN):
    environ = {"DBT_CLOUD_API_TOKEN": token} if token else {}
    url = f"{job.url}/deploy/12/projects/5/jobs/{JOB}"
    return find_state(open_state(url, tmp_path, environ), tmp_path / "state")


def test_the_newest_success_of_a_job_is_a_state(job, tmp_path):
    found = state(job, tmp_path)
    assert (found.at, found.dbt_version) == (datetime(2026, 11, 30, 11, tzinfo=UTC), "1.11.2")
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "manifest.json",
        "run_results.json",
    ]
    asked = [path for _, path, _ in job.asked if path.startswith("/runs/?")]
    assert asked == [f"/runs/?job_definition_id={JOB}&status=10&order_by=-id&limit=1"]


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([], "has succeeded"),  # none yet
        (None, "answered 404|is not there"),
        ("x", "names no run that has succeeded"),
        ([{"id": 100, "status": 20}], "names no run that has succeeded"),
        ([{"id": "../1", "status": 10}], "names no run that has succeeded"),
        ((503, None), "answered 503 Service Unavailable"),
        ((302, None), "answered 302 Found"),
    ],
)
def test_what_is_no_success_is_no_state(job, told, tmp_path, runs, why):
    told[f"{ACCOUNT}/runs/"] = runs
    with pytest.raises(NoState, match=why):
        state(job, tmp_path)


def test_a_run_without_a_manifest_is_no_state(job, told, tmp_path):
    del told[f"{ACCOUNT}/runs/100/artifacts/manifest.json"]
    with pytest.raises(NoState, match=f"no state of production at {job.url}"):
        state(job, tmp_path)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "needs a token of a service account in DBT_CLOUD_API_TOKEN"),
        ("wr0ng", "answered 401 Unauthorized"),
        ("s3cret\nX: y", "DBT_CLOUD_API_TOKEN holds a character that HTTP forbids"),
    ],
)
def test_a_token_that_is_none_is_said_and_never_shown(job, tmp_path, token, why):
    with pytest.raises(NoState, match=why) as refused:
        state(job, tmp_path, token)
    assert not token or token[:6] not in str(refused.value)
