"""Each recipe of docs/steps.md for a service does with it what its heading says.

The service is a loopback server that answers as the service documents it; only hosts and pauses differ.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.core.model.state import State
from dbtorch.testing.steps import StepBench
from tests.pages import PAGES
from tests.unit.loopback import Answer, Server, serving

PAGE = PAGES["docs/steps.md"].read_text()
SECRETS = ("FIVETRAN_KEY", "FIVETRAN_SECRET", "AIRBYTE_TOKEN", "POWERBI_TOKEN")
AIRBYTE_JOB = "/v1/jobs/9"
REFRESHES = "/v1.0/myorg/groups/my-group/datasets/my-dataset/refreshes"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def says(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return status, headers or {}, body


def fivetran(server: Server, *, good: bool) -> None:
    connection = "/v1/connections/speak_inexpensive"
    server.says(f"{connection}/sync", says({"code": "Success"}))
    late, never = "9999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
    ended = {"succeeded_at": late if good else never, "failed_at": None if good else late}
    before = {"data": {"succeeded_at": never, "failed_at": None}}
    server.says(connection, says(before), says({"data": ended}))


def airbyte(server: Server, *, good: bool) -> None:
    server.says("/v1/jobs", says({"jobId": 9, "status": "running"}))
    ended = "succeeded" if good else "failed"
    server.says(AIRBYTE_JOB, says({"status": "running"}), says({"status": ended}))


def power_bi(server: Server, *, good: bool) -> None:
    server.says(REFRESHES, says(None, 202, {"Location": f"{server.url}{REFRESHES}/r1"}))
    ended = {"status": "Completed" if good else "Failed"}
    server.says(f"{REFRESHES}/r1", says({"status": "Unknown"}, 202), says(ended))


def recipe(heading: str, server: Server, folder: Path) -> StepBench:
    """A bench for the step below a heading."""
    section = PAGE[PAGE.index(f"\n### {heading}\n") :]
    text = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0]
    text = re.sub(r"https://(?:api|cloud|partner)\.[\w.]+", server.url, text)
    text = re.sub(r"every: \w+", "every: 0.01", text)
    (folder / "dbtorch.yml").write_text(f"version: 1\n{text}")
    environ = {**os.environ, **dict.fromkeys(SECRETS, "a secret"), "NO_PROXY": "127.0.0.1"}
    return StepBench(folder, [*load(folder, environ=environ).steps.values()], environ=environ)


@pytest.mark.parametrize("good", [True, False], ids=["succeeds", "fails"])
@pytest.mark.parametrize(
    ("heading", "answers", "step"),
    [
        ("Fivetran: sync a connection", fivetran, "fivetran_salesforce"),
        ("Airbyte: run a sync job", airbyte, "airbyte_orders"),
        ("Power BI: refresh a semantic model", power_bi, "powerbi_sales"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_recipe_starts_a_job_once_and_waits_for_its_end(
    heading: str, answers, step: str, good: bool, server: Server, tmp_path: Path
) -> None:
    answers(server, good=good)
    with recipe(heading, server, tmp_path) as bench:
        outcome = bench.run(step)
        log = bench.log(step)
    assert outcome.state is (State.SUCCESS if good else State.FAILED), log
    methods = [method for method, *_ in server.requests]
    assert methods == ["POST", "GET", "GET"]
    assert "a secret" not in log


def test_what_only_polls_waits_for_what_is_not_there_yet(server: Server, tmp_path: Path) -> None:
    server.says("/exports/2026-03-01.csv", 404, 404, 200)
    with recipe("Wait for something", server, tmp_path) as bench:
        assert bench.run("partner_export").state is State.SUCCESS
    assert [method for method, *_ in server.requests] == ["HEAD"] * 3
