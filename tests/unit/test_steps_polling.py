"""Http steps that poll: start a job somewhere, ask until it is done."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtorch.core.config import StepSpec
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.steps import StepBench
from tests.unit.loopback import Answer, Server, serving, trickling


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


Bench = Callable[..., StepBench]


@pytest.fixture
def bench(tmp_path: Path, server: Server) -> Iterator[Bench]:
    """A bench whose only step is called "it"; SERVER is set to the server's URL."""
    benches: list[StepBench] = []
    environ = {**os.environ, "SERVER": server.url, "TOKEN": "s3cret", "NO_PROXY": "127.0.0.1"}

    def make(action: dict[str, Any], *, params: dict[str, Any] | None = None) -> StepBench:
        spec = StepSpec(name="it", type="http", action=action, params=params or {})
        outputs = {"ingest": {"rows": 42}}
        benches.append(StepBench(tmp_path, [spec], environ=environ, outputs=outputs))
        return benches[-1]

    yield make
    for one in benches:
        one.runner.close()


def started_job(server: Server, *states: Answer | int) -> dict[str, Any]:
    """An action that starts a job and asks after it, as most services want it."""
    server.says("/jobs", (201, {}, {"data": {"id": 7}}))
    server.says("/jobs/7", *states)
    return {
        "url": f"{server.url}/jobs",
        "method": "POST",
        "headers": {"Authorization": "Bearer {{ env_var('TOKEN') }}"},
        "poll": {
            "url": "{{ env_var('SERVER') }}/jobs/{{ response.json.data.id }}",
            "every": 0.01,
            "for": "20s",
            "until": "json.state == 'done'",
            "fail_when": "json.state == 'error'",
        },
    }


def state(name: str) -> Answer:
    return (200, {}, {"state": name})


def test_polling_goes_on_until_the_condition_holds(bench: Bench, server: Server) -> None:
    it = bench(started_job(server, state("queued"), state("running"), state("done")))

    outcome = it.run("it")

    assert outcome.state is State.SUCCESS, outcome.message
    assert outcome.output == {"status": 200, "json": {"state": "done"}}
    sent = [f"{method} {path}" for method, path, _, _ in server.requests]
    assert sent == ["POST /jobs", *["GET /jobs/7"] * 3]
    polled = server.requests[-1][2]
    assert polled["authorization"] == "Bearer s3cret"  # the same server gets the same headers
    assert "idempotency-key" not in polled


def test_the_url_to_poll_speaks_of_the_first_answer_as_conditions_do(
    bench: Bench, server: Server
) -> None:
    action = started_job(server, state("done"))
    action["poll"]["url"] = "{{ env_var('SERVER') }}/jobs/{{ json.data.id }}?after={{ status }}"

    assert bench(action).run("it").state is State.SUCCESS
    assert server.requests[-1][1] == "/jobs/7?after=201"


def test_a_job_that_fails_is_a_failure(bench: Bench, server: Server) -> None:
    it = bench(started_job(server, state("running"), state("error"), state("done")))

    outcome = it.run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.UNKNOWN)
    assert "json.state == 'error'" in outcome.message


def test_a_poll_that_fails_for_a_moment_is_asked_again(bench: Bench, server: Server) -> None:
    """Starting the job a second time because one question went unanswered would be wrong."""
    it = bench(started_job(server, 503, 429, state("done")))

    assert it.run("it").state is State.SUCCESS
    assert [method for method, *_ in server.requests].count("POST") == 1
    assert "asking again" in it.log("it")


def test_a_poll_that_can_never_work_ends_at_once(bench: Bench, server: Server) -> None:
    outcome = bench(started_job(server, 403, state("done"))).run("it")

    assert outcome.failure_class is FailureClass.CODE
    assert "answered 403 Forbidden" in outcome.message


def test_a_condition_that_does_not_come_true_in_time_is_a_timeout(
    bench: Bench, server: Server
) -> None:
    action = started_job(server, state("running"))
    action["poll"]["for"] = 0.05

    outcome = bench(action).run("it")

    assert outcome.failure_class is FailureClass.TIMEOUT
    assert outcome.message.startswith("json.state == 'done' did not come true within 0.05 s")
    assert "running" in outcome.message


def test_a_condition_that_cannot_be_evaluated_says_so(bench: Bench, server: Server) -> None:
    action = started_job(server, state("running"))
    action["poll"]["fail_when"] = "json.stauts == 'error'"

    outcome = bench(action).run("it")

    assert outcome.failure_class is FailureClass.CODE
    assert "there is no 'stauts' (there is: state)" in outcome.message


def test_another_server_does_not_get_the_first_ones_headers(bench: Bench, server: Server) -> None:
    action = started_job(server)
    with serving() as other:
        other.says("/jobs/7", state("done"))
        action["poll"]["url"] = other.url + "/jobs/{{ response.json.data.id }}"
        action["poll"]["headers"] = {"X-Run": "{{ run.id }}"}
        outcome = bench(action).run("it")

    assert outcome.state is State.SUCCESS, outcome.message
    headers = other.requests[0][2]
    assert "authorization" not in headers
    assert headers["x-run"] == "bench"


def test_polling_alone_is_a_sensor(bench: Bench, server: Server) -> None:
    server.says("/file", 404, 404, 200)
    poll = {"until": "status == 200", "expect": [200, 404], "every": 0.01}

    outcome = bench({"url": f"{server.url}/file", "expect": [200, 404], "poll": poll}).run("it")

    assert outcome.state is State.SUCCESS
    assert len(server.requests) == 3


def test_a_poll_can_be_cancelled(bench: Bench, server: Server) -> None:
    action = started_job(server, state("running"))
    action["poll"]["every"] = 30
    action["poll"]["for"] = "1h"
    it = bench(action)
    attempt = it.start("it")
    it.started(attempt)

    it.runner.cancel(attempt)

    assert it.outcome(attempt).message == "terminated"


def test_a_service_that_only_tells_when_it_last_succeeded(bench: Bench, server: Server) -> None:
    """Fivetran's way: what counts is a success after the request was sent."""
    before, after = "2020-01-01T00:00:00.1Z", "2999-01-01T00:00:00.1Z"
    server.says("/sync", (200, {}, {"code": "Success"}))
    server.says(
        "/connection",
        *((200, {}, {"data": {"succeeded_at": when}}) for when in (None, before, after)),
    )
    until = "json.data.succeeded_at and json.data.succeeded_at > sent_at"
    poll = {"url": "/connection", "until": until, "every": 0.01}

    outcome = bench({"url": f"{server.url}/sync", "method": "POST", "poll": poll}).run("it")

    assert outcome.output["json"] == {"data": {"succeeded_at": after}}


def test_conditions_know_the_first_answer_and_the_run(bench: Bench, server: Server) -> None:
    server.says("/jobs", (202, {"Location": "/jobs/9"}, {"wanted": "b"}))
    server.says("/jobs/9", (200, {}, {"is": "a"}), (200, {}, {"is": "b"}))
    until = "json.is == response.json.wanted and run.id == 'bench'"
    poll = {"url": "{{ response.headers.location }}", "until": until, "every": 0.01}

    outcome = bench({"url": f"{server.url}/jobs", "body": "", "poll": poll}).run("it")

    assert outcome.output["json"] == {"is": "b"}


def test_a_server_that_trickles_does_not_hold_up_polling(bench: Bench) -> None:
    """Neither for longer than polling lasts."""
    with trickling(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n") as (host, port):
        poll = {"until": "json.done", "timeout": 600, "for": 0.2, "every": 0.1}
        poll["url"] = f"http://{host}:{port}/"
        with serving() as first:
            first.says("/", 200)
            outcome = bench({"url": f"{first.url}/", "poll": poll}).run("it")

    assert outcome.failure_class is FailureClass.TIMEOUT
    assert "did not come true within 0.2 s" in outcome.message
