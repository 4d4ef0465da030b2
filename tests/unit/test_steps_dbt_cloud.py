"""A step that runs a job of the dbt platform, against a server that behaves as that does."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.steps import dbt_cloud, dbt_cloud_step
from dbtorch.adapters.steps.base import StepError
from dbtorch.adapters.steps.request import Refused
from dbtorch.core.config import StepSpec
from dbtorch.core.model.state import FailureClass, State
from dbtorch.step import Fail
from dbtorch.testing.steps import StepBench
from tests.waiting import PATIENCE

ACCOUNT, JOB, TOKEN = "/api/v2/accounts/12", 34, "tok-s3cret"

QUEUED, RUNNING, SUCCESS, ERROR, CANCELLED = 1, 3, 10, 20, 30

RESULTS = {
    "results": [
        {"unique_id": "model.shop.a", "status": "success", "execution_time": 1.25},
        {"unique_id": "model.shop.b", "status": "success", "execution_time": 0.5},
    ]
}
BROKEN = {
    "results": [
        {"unique_id": "model.shop.a", "status": "success", "execution_time": 1.25},
        {"unique_id": "model.shop.b", "status": "error", "message": "Database Error: no table"},
    ]
}


class Platform(ThreadingHTTPServer):
    """Runs of one job, which go through the states that a test says, one a look."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: list[dict[str, Any]] = []
        self.will: list[tuple[list[int], Any]] = []  # of the next runs: their states, results
        self.trouble: list[tuple[int, dict[str, str]]] = []  # answers to what is asked next
        self.asked: list[tuple[str, str, Any]] = []
        self.begun = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def begin(self, cause: str) -> dict[str, Any]:
        states, results = self.will.pop(0)
        run = {
            "id": 100 + len(self.runs),
            "status": states[0],
            "trigger": {"cause": cause},
            "href": f"{self.url}/runs/{100 + len(self.runs)}",
            "status_message": None,
            "states": list(states),
            "results": results,
        }
        self.runs.append(run)
        return run

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        place, _, query = path.removeprefix(ACCOUNT).partition("?")
        match [method, *place.strip("/").split("/")]:
            case ["GET", "runs"] if f"job_definition_id={JOB}" in query and "order_by=-id" in query:
                return 200, [shown(run) for run in reversed(self.runs)]
            case ["POST", "jobs", number, "run"] if number == str(JOB):
                return 200, shown(self.begin(body["cause"]))
            case ["POST", "jobs", number, "rerun"] if number == str(JOB):
                return 200, shown(self.begin("Rerun from failure"))
            case ["GET", "runs", number]:
                run = self.of(number)
                if len(run["states"]) > 1:
                    run["states"].pop(0)
                run["status"] = run["states"][0]
                if run["status"] == RUNNING:
                    self.begun.set()
                return 200, shown(run)
            case ["POST", "runs", number, "cancel"]:
                self.of(number)["states"] = [CANCELLED]
                return 200, shown(self.of(number))
            case ["GET", "runs", number, "artifacts", "run_results.json"]:
                found = self.of(number)["results"]
                return (200, found) if found else (404, None)
        return 404, None

    def of(self, number: str) -> dict[str, Any]:
        return next(run for run in self.runs if run["id"] == int(number))


def shown(run: dict[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ("id", "status", "trigger", "href", "status_message")}


class _Handler(BaseHTTPRequestHandler):
    server: Platform

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        body = json.loads(text) if text else None
        self.server.asked.append((self.command, self.path.removeprefix(ACCOUNT), body))
        headers: dict[str, str] = {}
        if self.headers["Authorization"] != f"Token {TOKEN}":
            status, data = 401, None
        elif self.server.trouble:
            (status, headers), data = self.server.trouble.pop(0), None
        else:
            status, data = self.server.answer(self.command, self.path, body)
        is_artifact = "/artifacts/" in self.path
        said = json.dumps(data if is_artifact else {"status": {"code": status}, "data": data})
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(said))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_POST = _answer  # noqa: N815  # the base class's names

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@contextmanager
def serving() -> Iterator[Platform]:
    with Platform() as platform:
        thread = threading.Thread(target=platform.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield platform
        finally:
            platform.shutdown()
            thread.join()


@pytest.fixture
def platform() -> Iterator[Platform]:
    with serving() as platform:
        yield platform


Bench = Callable[..., StepBench]


@pytest.fixture
def bench(tmp_path: Path, platform: Platform) -> Iterator[Bench]:
    """A bench whose only step is called "it"."""
    benches: list[StepBench] = []
    environ = {**os.environ, "DBT_CLOUD_API_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}

    def make(**more: Any) -> StepBench:
        said = {"account": 12, "job": JOB, "url": platform.url, "every": 0.01, "for": "100s"}
        spec = StepSpec(name="it", type="dbt_cloud", action={**said, **more})
        benches.append(StepBench(tmp_path, [spec], environ=environ))
        return benches[-1]

    yield make
    for one in benches:
        one.runner.close()


def posts(platform: Platform) -> list[str]:
    return [path for method, path, _ in platform.asked if method == "POST"]


def test_a_job_runs_and_each_of_its_nodes_is_told(bench: Bench, platform: Platform) -> None:
    platform.will = [([QUEUED, 2, RUNNING, RUNNING, SUCCESS], RESULTS)]
    mine = bench(steps=["dbt build --select {{ run.logical_date.date() }}"])
    outcome = mine.run("it")
    assert outcome.state is State.SUCCESS, mine.log("it")
    assert outcome.output == {
        "run_id": 100,
        "url": f"{platform.url}/runs/100",
        "counts": {"success": 2},
        "nodes": {"model.shop.a": "success", "model.shop.b": "success"},
    }
    (begun,) = (body for method, path, body in platform.asked if path == f"/jobs/{JOB}/run/")
    assert begun == {
        "cause": "dbtorch run bench, step it",
        "steps_override": ["dbt build --select 2026-03-01"],
    }
    log = mine.log("it")
    assert "model.shop.a success in 1.2 s" in log
    assert TOKEN not in log


def test_a_server_that_is_busy_is_asked_again(bench: Bench, platform: Platform) -> None:
    platform.will = [([RUNNING, RUNNING, SUCCESS], RESULTS)]
    mine = bench()
    platform.begun.clear()

    def begin(cause: str, real: Callable[[str], dict[str, Any]] = platform.begin) -> dict[str, Any]:
        platform.trouble = [(429, {"Retry-After": "0"}), (503, {}), (500, {})]
        return real(cause)

    platform.begin = begin  # type: ignore[method-assign]
    outcome = mine.run("it")
    assert outcome.state is State.SUCCESS, mine.log("it")
    log = mine.log("it")
    assert "429" in log
    assert "503" in log
    assert posts(platform) == [f"/jobs/{JOB}/run/"]


def test_one_that_is_busy_from_the_beginning_is_left_to_the_policy(
    bench: Bench, platform: Platform
) -> None:
    platform.trouble = [(429, {"Retry-After": "7"})] * 2
    outcome = bench().run("it")
    assert outcome.state is State.FAILED
    assert outcome.failure_class is FailureClass.TRANSIENT
    assert outcome.retry_after == 7
    assert not platform.runs


def test_a_run_that_fails_names_its_nodes_and_is_continued(
    bench: Bench, platform: Platform
) -> None:
    platform.will = [([RUNNING, ERROR], BROKEN), ([RUNNING, SUCCESS], RESULTS)]
    mine = bench()
    outcome = mine.run("it")
    assert outcome.state is State.FAILED
    assert outcome.failure_class is FailureClass.UNKNOWN
    assert outcome.message == (
        "run 100 of dbt Cloud: error; model.shop.b: Database Error: no table"
    )
    assert mine.run("it", 2).state is State.SUCCESS
    assert posts(platform) == [f"/jobs/{JOB}/run/", f"/jobs/{JOB}/rerun/"]


def test_another_run_of_the_job_is_not_continued(bench: Bench, platform: Platform) -> None:
    platform.will = [
        ([ERROR], BROKEN),
        ([ERROR], BROKEN),
        ([SUCCESS], RESULTS),
    ]
    platform.begin("dbtorch run bench, step it")
    platform.begin("somebody's")
    assert bench().run("it").state is State.SUCCESS
    assert posts(platform) == [f"/jobs/{JOB}/run/"]


def test_a_run_whose_step_was_lost_is_followed_and_not_started_twice(
    bench: Bench, platform: Platform
) -> None:
    platform.will = [([RUNNING, RUNNING, SUCCESS], RESULTS)]
    platform.begin("dbtorch run bench, step it")
    outcome = bench().run("it", 2)
    assert outcome.state is State.SUCCESS
    assert outcome.output["run_id"] == 100
    assert not posts(platform)


def test_a_server_that_does_not_answer_costs_no_run_that_goes_on(
    bench: Bench, platform: Platform
) -> None:
    platform.will = [([RUNNING, RUNNING, SUCCESS], RESULTS)]
    platform.begin("dbtorch run bench, step it")
    platform.trouble = [(503, {})]
    mine = bench()
    assert mine.run("it", 2).failure_class is FailureClass.TRANSIENT
    assert mine.run("it", 3).state is State.SUCCESS
    assert not posts(platform)


@pytest.mark.parametrize(
    ("states", "results", "why"),
    [
        ([RUNNING, SUCCESS], BROKEN, "says success, and its results say otherwise"),
        ([RUNNING, CANCELLED], None, "run 100 of dbt Cloud: cancelled"),
        ([RUNNING, 77], RESULTS, "status 77, which nobody knows"),
        ([SUCCESS], {"results": [{"unique_id": "a", "status": "odd"}]}, "otherwise; a: odd"),
        ([SUCCESS], {"results": [{"unique_id": "a", "status": ["ok"]}]}, "results say otherwise"),
        ([SUCCESS], {"results": ["model.shop.a"]}, "run_results.json of run 100"),
        ([SUCCESS], {"metadata": {}}, "run_results.json of run 100"),
    ],
)
def test_what_is_no_success_is_none(
    bench: Bench, platform: Platform, states: list[int], results: Any, why: str
) -> None:
    platform.will = [(states, results)]
    outcome = bench().run("it")
    assert outcome.state is State.FAILED
    assert why in outcome.message


@pytest.mark.parametrize("place", ["list", "begin", "run"])
@pytest.mark.parametrize(
    "said",
    [
        *(None, True, "x", [], [[]], {}, {"id": None, "status": 3}, {"id": "../5", "status": 10}),
        *({"id": 100}, {"id": 100, "status": [10]}, {"id": 101, "status": 10, "trigger": "x"}),
    ],
)
def test_an_answer_that_is_none_is_refused_in_a_sentence(
    platform: Platform, place: str, said: Any
) -> None:
    """Whatever the server says of runs; what has begun is cancelled."""
    platform.will = [([RUNNING, SUCCESS], RESULTS)]
    real = platform.answer
    ids = {"list": "runs/?", "begin": f"jobs/{JOB}/run/", "run": "runs/100/"}

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        told = path.removeprefix(f"{ACCOUNT}/").partition("job_def")[0]
        if told == ids[place]:
            return 200, [said] if place == "list" else said
        return real(method, path, body) if "101" not in told else (404, None)

    platform.answer = answer  # type: ignore[method-assign]
    job = {"url": platform.url, "account": 12, "job": JOB, "token": TOKEN, "steps": []}
    if place == "list" and isinstance(said, dict) and "trigger" in said:
        said.pop("id")  # with it, it is somebody's run
    with pytest.raises(
        Refused if place == "run" else (Refused, Fail), match=r"dbt Cloud|/runs/101"
    ):
        dbt_cloud.run({**job, "every": 0.01, "for": 100}, {"run_id": "r", "step": "s"})
    assert place != "run" or posts(platform)[-1] == "/runs/100/cancel/"


def test_a_run_without_results_is_what_the_platform_says(bench: Bench, platform: Platform) -> None:
    platform.will = [([RUNNING, SUCCESS], None)]
    mine = bench()
    assert mine.run("it").state is State.SUCCESS
    assert "the run has left no run_results.json" in mine.log("it")


def test_who_cancels_the_step_cancels_the_run(bench: Bench, platform: Platform) -> None:
    platform.will = [([QUEUED, *[RUNNING] * 100_000], None)]
    mine = bench()
    attempt = mine.start("it")
    assert platform.begun.wait(PATIENCE)
    mine.runner.cancel(attempt)
    mine.outcome(attempt)
    assert posts(platform)[-1] == "/runs/100/cancel/"
    assert platform.of("100")["states"] == [CANCELLED]


def test_one_that_takes_too_long_is_cancelled(bench: Bench, platform: Platform) -> None:
    platform.will = [([RUNNING] * 100_000, None)]
    outcome = bench(**{"for": 0.05}).run("it")
    assert outcome.failure_class is FailureClass.TIMEOUT
    assert posts(platform)[-1] == "/runs/100/cancel/"


def test_a_wrong_token_is_no_reason_to_try_again(bench: Bench, platform: Platform) -> None:
    outcome = bench(token="another").run("it")
    assert outcome.failure_class is FailureClass.CODE
    assert "401" in outcome.message


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ({"job": 1}, "at least an account and a job"),
        ({"account": 1, "job": "daily"}, "dbt_cloud.job is 'daily'; a number"),
        ({"account": 1, "job": 2, "stepz": []}, "did you mean"),
        ({"account": 1, "job": 2, "every": "soon"}, "dbt_cloud.every is 'soon'"),
        ({"account": 1, "job": 2, "steps": {"a": 1}}, "a list of commands"),
    ],
)
def test_what_can_never_work_is_refused(action: Any, why: str) -> None:
    with pytest.raises(StepError, match=why):
        dbt_cloud_step.check(action)
