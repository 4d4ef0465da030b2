"""Http steps, against a real server on the loopback interface."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.steps.base import Call, StepError
from dbtorch.adapters.steps.http_step import check, command
from dbtorch.core.config import StepSpec
from dbtorch.core.failures.classify import seconds_to_wait
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.steps import StepBench
from tests.unit.loopback import Server, answering, serving, trickling


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


def test_a_request_is_sent_as_it_was_written(bench: Bench, server: Server) -> None:
    server.says("/refresh", (202, {}, {"job": "j7"}))
    it = bench(
        {
            "url": "{{ env_var('SERVER') }}/refresh?full=1",
            "method": "put",
            "headers": {"Authorization": "Bearer {{ env_var('TOKEN') }}"},
            "json": {"rows": "{{ outputs.ingest.rows }}", "note": "run {{ run.id }}"},
        }
    )

    outcome = it.run("it")

    assert outcome.state is State.SUCCESS, outcome.message
    assert outcome.output == {"status": 202, "json": {"job": "j7"}}
    ((method, _, headers, body),) = server.requests
    assert method == "PUT"
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"rows": 42, "note": "run bench"}  # alone it keeps its type
    log = it.log("it")
    assert log == f"PUT {server.url}/refresh -> 202\n"  # neither query nor token


def test_every_attempt_sends_the_same_idempotency_key(bench: Bench, server: Server) -> None:
    server.says("/", 200)
    it = bench({"url": f"{server.url}/", "method": "POST"})

    for number in (1, 2):
        it.run("it", number)

    keys = {headers["idempotency-key"] for _, _, headers, _ in server.requests}
    assert len(server.requests) == 2
    assert len(keys) == 1


def prepared(action: dict[str, Any]) -> dict[str, Any]:
    """The request that an action without templates comes to."""

    def as_it_is(template: Any, *, native: bool = False) -> Any:
        return template

    call = Call(context={"idempotency_key": "k1"}, python="python", render=as_it_is)
    request: dict[str, Any] = json.loads(command(action, call).stdin or "")["request"]
    return request


@pytest.mark.parametrize(
    ("action", "method", "body"),
    [
        ({}, "GET", None),
        ({"body": "plain"}, "POST", "plain"),
        ({"body": {"a": 1}}, "POST", '{"a": 1}'),
        ({"json": []}, "POST", "[]"),
        ({"json": None}, "POST", "null"),
        ({"method": "delete"}, "DELETE", None),
    ],
)
def test_the_method_follows_from_the_body(
    action: dict[str, Any], method: str, body: str | None
) -> None:
    request = prepared({"url": "http://x", **action})

    assert (request["method"], request["body"]) == (method, body)


def test_an_idempotency_key_of_ones_own_stays() -> None:
    ours = prepared({"url": "http://x"})
    theirs = prepared({"url": "http://x", "headers": {"idempotency-key": "mine"}})

    assert ours["headers"] == {"Idempotency-Key": "k1"}
    assert theirs["headers"] == {"idempotency-key": "mine"}


@pytest.mark.parametrize("auth", [["key", "{{ env_var('TOKEN') }}"], "key:{{ env_var('TOKEN') }}"])
def test_basic_authentication(bench: Bench, server: Server, auth: Any) -> None:
    server.says("/", 200)

    bench({"url": f"{server.url}/", "auth": auth}).run("it")

    assert server.requests[0][2]["authorization"] == "Basic a2V5OnMzY3JldA=="


@pytest.mark.parametrize(
    ("status", "failure_class"),
    [
        (408, FailureClass.TRANSIENT),  # Request Timeout
        (425, FailureClass.TRANSIENT),  # Too Early
        (429, FailureClass.TRANSIENT),  # Too Many Requests
        (500, FailureClass.TRANSIENT),
        (503, FailureClass.TRANSIENT),
        (400, FailureClass.CODE),
        (401, FailureClass.CODE),
        (404, FailureClass.CODE),
        (304, FailureClass.CODE),
    ],
)
def test_a_status_nobody_expected_is_a_failure(
    bench: Bench, server: Server, status: int, failure_class: FailureClass
) -> None:
    text = "" if status == 304 else "no such\nthing"
    server.says("/x", (status, {}, text))

    outcome = bench({"url": f"{server.url}/x?token=s3cret"}).run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, failure_class)
    assert outcome.message.startswith(f"GET {server.url}/x answered {status} ")
    assert outcome.message.endswith("no such thing" if text else "Modified")


@pytest.mark.parametrize(
    ("expect", "status", "good"),
    [
        ([200, 409], 409, True),
        (409, 409, True),
        ("2xx", 204, True),
        (["2xx", 404], 404, True),
        ([200], 204, False),
    ],
)
def test_what_is_expected_can_be_said(
    bench: Bench, server: Server, expect: Any, status: int, good: bool
) -> None:
    server.says("/", status)

    outcome = bench({"url": f"{server.url}/", "expect": expect}).run("it")

    assert (outcome.state is State.SUCCESS) is good


def test_a_rule_of_the_user_may_be_about_a_status(tmp_path: Path, server: Server) -> None:
    server.says("/", 409)
    spec = StepSpec(name="it", type="http", action={"url": f"{server.url}/"})
    rule = Rule(failure_class=FailureClass.TRANSIENT, http_status=("409",))

    with (
        StepBench(tmp_path, [spec]) as without,
        StepBench(tmp_path, [spec], failure_classes=[rule]) as own,
    ):
        assert without.run("it").failure_class is FailureClass.CODE
        assert own.run("it").failure_class is FailureClass.TRANSIENT


def test_retry_after_is_how_long_to_wait(bench: Bench, server: Server) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    server.says("/", (503, {"Retry-After": "17"}, None), (429, {"Retry-After": later}, None))
    it = bench({"url": f"{server.url}/"})

    assert it.run("it", 1).retry_after == 17
    assert it.run("it", 2).retry_after == pytest.approx(90, abs=10)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Sun, 01 Mar 2026 00:01:00 GMT", 60.0),
        ("Sat, 28 Feb 2026 00:00:00 GMT", 0.0),  # long ago
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_both_forms_of_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, datetime(2026, 3, 1, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("url", "failure_class", "said"),
    [
        ("http://127.0.0.1:1/x", FailureClass.TRANSIENT, "Connection refused"),
        ("http://name.invalid/x", FailureClass.TRANSIENT, "GET http://name.invalid/x: "),
        ("ftp://127.0.0.1/x", FailureClass.CODE, "'ftp://127.0.0.1/x' is no http or https URL"),
        ("{{ env_var('NOPE') }}/x", FailureClass.CODE, "not provided: 'NOPE'"),
    ],
)
def test_a_server_that_cannot_be_reached(
    bench: Bench, url: str, failure_class: FailureClass, said: str
) -> None:
    outcome = bench({"url": url}).run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, failure_class)
    assert said in outcome.message


def test_a_server_that_does_not_answer_in_time_is_transient(bench: Bench, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        outcome = bench({"url": url, "timeout": 0.1}).run("it")

    assert outcome.failure_class is FailureClass.TRANSIENT
    assert "it took longer than 0.1 s" in outcome.message


def test_a_header_that_http_forbids_is_not_repeated(bench: Bench, server: Server) -> None:
    it = bench({"url": f"{server.url}/", "headers": {"Authorization": "s3cret\n"}})

    outcome = it.run("it")

    assert outcome.failure_class is FailureClass.CODE
    assert "holds a character that HTTP forbids" in outcome.message
    assert "s3cret" not in outcome.message + it.log("it")


def test_redirects_are_followed_within_one_server_only(bench: Bench, server: Server) -> None:
    server.says("/old", (302, {"Location": "/new"}, None))
    server.says("/new", (200, {}, "here"))
    server.says("/away", (302, {"Location": "http://other.invalid/"}, None))

    assert bench({"url": f"{server.url}/old"}).run("it").output == {"status": 200, "text": "here"}
    assert "answered 302 Found" in bench({"url": f"{server.url}/away"}).run("it").message


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_keeps_everything(
    bench: Bench, server: Server, status: int
) -> None:
    server.says("/old", (status, {"Location": "/new"}, None))
    server.says("/new", (200, {}, "here"))
    it = bench({"url": f"{server.url}/old", "json": {"a": 1}, "auth": "key:pass"})

    assert it.run("it").output == {"status": 200, "text": "here"}
    sent = [(method, path, body) for method, path, _, body in server.requests]
    assert sent == [("POST", "/old", '{"a": 1}'), ("POST", "/new", '{"a": 1}')]
    assert server.requests[1][2]["authorization"] == "Basic a2V5OnBhc3M="


@pytest.mark.parametrize("status", [301, 302, 303])
def test_what_was_sent_is_not_answered_by_a_page(bench: Bench, server: Server, status: int) -> None:
    server.says("/old", (status, {"Location": "/new"}, None))
    server.says("/new", (200, {}, "here"))

    outcome = bench({"url": f"{server.url}/old", "method": "POST"}).run("it")

    assert outcome.state is State.FAILED
    assert f"answered {status}" in outcome.message
    assert "only redirects of GET" in outcome.message
    assert len(server.requests) == 1


def test_a_status_of_a_redirect_may_be_expected(bench: Bench, server: Server) -> None:
    server.says("/old", (302, {"Location": "/new"}, None))

    outcome = bench({"url": f"{server.url}/old", "method": "POST", "expect": 302}).run("it")

    assert outcome.output == {"status": 302, "text": ""}


@pytest.mark.parametrize("status", [302, 307])
def test_another_server_never_gets_what_was_for_the_first(
    bench: Bench, server: Server, status: int
) -> None:
    headers = {"Cookie": "s3cret", "X-Api-Key": "s3cret"}
    with serving() as other:
        other.says("/", (200, {}, "thanks"))
        server.says("/", (status, {"Location": f"{other.url}/"}, None))
        said = {"url": f"{server.url}/", "headers": headers, "auth": "a:s3cret"}
        outcome = bench(said).run("it")
        assert other.requests == []

    assert outcome.state is State.FAILED


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cret@127.0.0.1/x",
        "user:s3cret@127.0.0.1/x",
        "127.0.0.1/x?token=s3cret",
        "ftp://127.0.0.1/x?token=s3cret",
        "http://[s3cret@/",
    ],
)
def test_a_url_that_is_none_is_not_repeated(bench: Bench, url: str) -> None:
    it = bench({"url": url})

    outcome = it.run("it")

    assert outcome.failure_class is FailureClass.CODE
    assert "is no http or https URL" in outcome.message
    assert "s3cret" not in outcome.message + it.log("it")


def test_redirects_in_a_circle_end(bench: Bench, server: Server) -> None:
    server.says("/a", (302, {"Location": "/b"}, None))
    server.says("/b", (307, {"Location": "/a"}, None))

    outcome = bench({"url": f"{server.url}/a"}).run("it")

    assert outcome.failure_class is FailureClass.CODE
    assert "more than 10 redirects" in outcome.message


#: Answers that are not whole, as they come over the line, and what is said of them.
PARTS = [
    (b'Content-Length: 100\r\n\r\n{"error": "no capacity', "cut off after 22 bytes of 100"),
    (b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n', "was cut off"),
    (b'Transfer-Encoding: chunked\r\n\r\n50\r\n{"a":', "was cut off"),
    (b"Content-Length: ten\r\n\r\n{}", "a Content-Length that is none: 'ten'"),
    (b"Content-Length: 99000000\r\n\r\n{}", "99,000,000 bytes, and at most 10,485,760 are read"),
    (b"Content-Length: 100\r\n\r\n", "cut off after 0 bytes of 100"),
    (b"Content-Type: text/plain\r\n", "cut off in its headers"),
    (b"", "closed connection"),
]


@pytest.mark.parametrize(("rest", "said"), PARTS)
def test_an_answer_that_is_not_whole_is_a_failure(bench: Bench, rest: bytes, said: str) -> None:
    """Also for who looks only at what an error would be in."""
    head = b"HTTP/1.1 200 OK\r\n" if rest else b""
    with answering(head + rest) as url:
        outcome = bench({"url": url, "fail_when": "json.error | default(none)"}).run("it")

    assert outcome.state is State.FAILED
    assert said in outcome.message


def test_an_answer_without_an_end_is_a_failure(bench: Bench) -> None:
    with answering(b"HTTP/1.0 200 OK\r\n\r\n", *[b" " * (1 << 20)] * 11, b'{"error": 1}') as url:
        outcome = bench({"url": url, "fail_when": "json.error | default(none)"}).run("it")

    assert outcome.state is State.FAILED
    assert "more than the 10,485,760 bytes that are read" in outcome.message


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_server_that_trickles_has_no_more_time_than_any_other(bench: Bench, where: str) -> None:
    """Each of its bytes comes in time."""
    head = b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with trickling(head if where == "body" else b"HTTP/1.0 200 OK\r\nX: ") as (host, port):
        outcome = bench({"url": f"http://{host}:{port}/", "timeout": 0.5}).run("it")

    assert outcome.failure_class is FailureClass.TRANSIENT
    assert "it took longer than 0.5 s" in outcome.message


@pytest.mark.parametrize(
    "body",
    ["", " ", "<html>", '{"error": "full", "n": NaN}', '{"error": "full", "n": 1e999}', "[" * 9000],
)
def test_what_cannot_be_judged_has_failed(bench: Bench, server: Server, body: str) -> None:
    server.says("/", (200, {}, body))
    it = bench({"url": f"{server.url}/", "fail_when": "json.error | default(none)"})

    outcome = it.run("it")

    assert outcome.state is State.FAILED
    assert "cannot be judged, the answer is no JSON" in outcome.message


@pytest.mark.parametrize(
    ("body", "until", "said"),
    [
        ("<html>", "json.status | default('') not in ('busy',)", "until (json.status | default"),
        ("", "json.status | default('') not in ('busy',)", "the answer is no JSON (it is empty)"),
        ({"status": "busy"}, "json.items", "there is no 'items' (there is: status)"),
    ],
)
def test_polling_is_not_over_because_of_what_is_not_there(
    bench: Bench, server: Server, body: Any, until: str, said: str
) -> None:
    server.says("/", (200, {}, body))

    outcome = bench({"url": f"{server.url}/", "poll": {"until": until}}).run("it")

    assert outcome.state is State.FAILED
    assert said in outcome.message


def test_an_answer_too_large_to_hand_on_is_left_out(bench: Bench, server: Server) -> None:
    """The call itself has succeeded; doing it again would do harm."""
    server.says("/", (200, {}, "x" * 70_000))
    it = bench({"url": f"{server.url}/"})

    assert it.run("it").output == {"status": 200}
    assert "is not kept as output" in it.log("it")


def test_fail_when_looks_at_the_answer(bench: Bench, server: Server) -> None:
    server.says("/", (200, {}, {"ok": False, "error": "no such flow"}))

    outcome = bench({"url": f"{server.url}/", "fail_when": "not json.ok"}).run("it")

    assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.UNKNOWN)
    assert "answered what fail_when (not json.ok) names" in outcome.message
    assert "no such flow" in outcome.message


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("https://bi.example", "http must be a mapping with at least a url"),
        ({"method": "POST"}, "http must be a mapping with at least a url"),
        ({"url": "x", "methd": "POST"}, "http has no key 'methd'; did you mean 'method'?"),
        ({"url": "x", "body": "a", "json": {}}, "http has both body and json; keep one of them"),
        ({"url": "x", "headers": ["a"]}, "http.headers must be a mapping of names to values"),
        ({"url": "x", "timeout": "soon"}, "http.timeout is 'soon'; a duration is "),
        ({"url": "x", "timeout": 0}, "http.timeout is 0; it must be longer than nothing"),
        ({"url": "x", "expect": [20]}, "http.expect must hold statuses such as 200 or 2xx"),
        ({"url": "x", "auth": "token"}, "http.auth must be [user, password]"),
        ({"url": "x", "poll": {"every": 3}}, "http.poll must be a mapping with an until"),
        ({"url": "x", "poll": {"until": "json.a", "evry": 1}}, "did you mean 'every'?"),
        ({"url": "x", "poll": {"until": "json.a", "for": "1 week"}}, "http.poll.for is '1 week'"),
        ({"url": "x", "poll": {"until": "json.a ="}}, "http.poll.until is no expression: "),
        ({"url": "x", "fail_when": "json.a ="}, "http.fail_when is no expression: "),
        # names that are not there when the job has been started
        (
            {"url": "x", "fail_when": "jsn.a"},
            "http.fail_when speaks of 'jsn', which is not known there; did you mean 'json'?",
        ),
        (
            {"url": "x", "poll": {"until": "{{ answer.a }}"}},
            "http.poll.until speaks of 'answer', which is not known there",
        ),
        (
            {"url": "x", "poll": {"until": "status", "url": "x/{{ respons.json.id }}"}},
            "url of http.poll speaks of 'respons'",
        ),
        (
            {"url": "x", "poll": {"until": "status", "headers": {"X": "{{ jsn }}"}}},
            "X of http.poll speaks of 'jsn'",
        ),
    ],
)
def test_an_action_that_can_never_work_is_refused_before_anything_starts(
    action: Any, said: str
) -> None:
    with pytest.raises(StepError) as caught:
        check(action)

    assert said in str(caught.value)


def test_values_that_are_templates_are_checked_when_they_are_known() -> None:
    check(
        {
            "url": "{{ env_var('URL') }}",
            "timeout": "{{ params.timeout }}",
            "expect": "{{ params.expect }}",
            "auth": "{{ env_var('AUTH') }}",
            "poll": {"until": "{{ json.done }}", "every": "{{ params.every }}"},
        }
    )
