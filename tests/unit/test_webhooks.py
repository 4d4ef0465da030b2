"""Requests that start a pipeline, and all that must not."""

import base64
import hmac
import http.client
import io
import json
import socket
import threading
from contextlib import ExitStack, closing, suppress
from hashlib import sha256

import pytest

from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.errors import StoreError
from dbtorch.core.params import ParamSpec
from dbtorch.core.schedule.condition import Condition, TriggerSpec, Webhook
from dbtorch.core.schedule.ledger import Pause, ScheduleKey
from dbtorch.schedule import http as serve_http
from dbtorch.schedule import webhooks
from dbtorch.schedule.http import answering, application
from dbtorch.schedule.log import Log
from dbtorch.schedule.metrics import Metrics
from dbtorch.schedule.state import ServeState
from dbtorch.testing.store import MemoryStore
from dbtorch.web.server import hosts_of
from tests.stores import NOON
from tests.unit.serving import SHOP

SECRET = "a secret of twenty four"
NOW = 1_774_785_600


def config(**hook):
    hook = Webhook(secret="{{ env_var('HOOK') }}", **hook)
    spec = PipelineSpec(
        name="daily",
        target="dev",
        on=TriggerSpec(all=(Condition(webhook=hook),)),
        params={"country": ParamSpec(default="de", choices=("de", "fr"))},
    )
    return Config(pipelines={"daily": spec, "other": PipelineSpec(name="other")})


class Served:
    """What answers, and what it has written."""

    def __init__(self):
        self.store = MemoryStore(SHOP)
        self.said = io.StringIO()
        self.hooks = webhooks.Webhooks(
            store=self.store,
            log=Log(self.said),
            environ={"HOOK": SECRET},
            clock=lambda: self.now,
        )
        self.now = float(NOW)
        self.hooks.use(config())
        self.port = 0

    def post(self, body=b"", *, path="/webhooks/daily", **headers):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", path, body=body, headers={"Host": "localhost", **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")

    def send(self, body=b"", *, id="m1", at=None, secret=SECRET, signed=None, **more):
        """A request as it should be, but for what is said."""
        at = NOW if at is None else at
        told = body if signed is None else signed
        digest = hmac.new(secret.encode(), f"{id}.{at}.".encode() + told, sha256).digest()
        headers = {
            "webhook-id": id,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }
        return self.post(body, **{**headers, **more})

    def ticks(self):
        return [tick for _, tick in self.store.ticks()]

    def healthy(self):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            return connection.getresponse().read() == b"ok\n"


@pytest.fixture
def served():
    one, state = Served(), ServeState()
    app = application(state, Metrics(state, one.store), hosts_of("127.0.0.1", ()), one.hooks)
    with answering(app, "127.0.0.1", 0) as one.port:
        yield one


def test_a_signed_request_makes_a_row_that_any_server_starts(served):
    body = json.dumps({"params": {"country": "fr"}}).encode()
    assert served.send(body) == (202, {"pipeline": "daily", "state": "queued"})
    (tick,) = served.ticks()
    assert tick.state == "queued"
    assert (tick.cause.kind, tick.cause.key, tick.cause.by) == ("webhook", "m1", "127.0.0.1")
    assert tick.cause.params == {"country": "fr"}
    assert served.send(b"", id="m2")[0] == 202  # with the defaults
    assert served.ticks()[0].cause.params == {"country": "de"}


def test_what_is_signed_with_bytes_is_what_the_standard_says(served):
    """The example of standardwebhooks.com, so that its libraries can be used."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert webhooks._secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", {}) == secret
    signed = webhooks._signature(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == b"g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("given", "status", "why"),
    [
        ({"secret": "another one, as long"}, 401, "the signature is not that of this request"),
        ({"signed": b"another body"}, 401, "the signature is not"),
        ({"webhook-signature": ""}, 401, "webhook-signature is missing"),
        ({"webhook-signature": "v1," + "A" * 4000}, 401, "the signature is not"),
        ({"webhook-signature": "v2,AAAA"}, 401, "none of v1"),
        ({"webhook-id": "other"}, 401, "the signature is not"),  # an id is signed, too
        ({"webhook-id": ""}, 401, "webhook-id is missing"),
        ({"id": "x" * 201}, 401, "webhook-id is missing, or none"),
        ({"at": NOW - 301}, 401, "webhook-timestamp is more than 300 s away"),
        ({"at": NOW + 301}, 401, "webhook-timestamp is more than 300 s away"),
        ({"webhook-timestamp": "-1"}, 401, "webhook-timestamp is missing, or none"),
        ({"webhook-timestamp": "9" * 5000}, 401, "webhook-timestamp is missing, or none"),
        ({"path": "/webhooks/other"}, 404, "there is no such webhook"),
        ({"path": "/webhooks/no%0Asuch"}, 404, "there is no such webhook"),
        ({"body": b"{"}, 400, "the body is no JSON"),
        ({"body": b"\xff\xfe"}, 400, "the body is no JSON"),
        ({"body": b"[" * 60_000}, 400, "the body is no JSON"),
        ({"body": b'["country"]'}, 400, "no JSON object"),
        ({"body": b'{"params": 1}'}, 400, "no JSON object"),
        ({"body": b'{"params": {"country": "it"}}'}, 422, "expected one of de, fr"),
        ({"body": b'{"params": {"land": "de"}}'}, 422, "has no parameter 'land'"),
        ({"body": b"x" * (64 * 1024 + 1)}, 413, "the body has more than 65,536 bytes"),
        ({"Content-Length": "999999999"}, 413, "the body has more than 65,536 bytes"),
    ],
)
def test_what_is_not_as_it_should_be_starts_nothing(served, given, status, why):
    found, said = served.send(**given)
    assert found == status
    assert why in said["error"]
    assert served.ticks() == []
    assert served.healthy()
    assert SECRET not in served.said.getvalue()


def test_the_same_again_is_refused_whoever_sends_it(served):
    assert served.send(b"{}")[0] == 202
    for _ in range(3):
        assert served.send(b"{}")[0] == 409
    assert served.send(b"{}", at=NOW + 1)[0] == 409  # signed anew: the id is what counts
    assert len(served.ticks()) == 1


def test_of_the_same_sent_many_times_at_once_one_counts(served):
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(served.send(b"{}")[0])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202] + [409] * 7
    assert len(served.ticks()) == 1


def test_a_flood_is_held_off_and_forged_ones_take_nobody_s_place(served):
    served.hooks.use(config(rate=3))
    for number in range(50):
        assert served.send(id=f"forged-{number}", secret="b" * 20)[0] == 401
    statuses = [served.send(id=f"m{number}")[0] for number in range(10)]
    assert statuses == [202] * 3 + [429] * 7
    assert len(served.ticks()) == 3
    served.hooks.use(config(rate=3))  # dbtorch.yml was read again
    assert served.send(id="m11")[0] == 429
    served.now += 20
    assert served.send(id="m12")[0] == 202
    assert served.healthy()
    assert served.said.getvalue().count("webhook_refused") <= 5  # not a line for each


def raw(port, text):
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(text.encode())
    return connection


def test_who_is_slow_is_left_and_holds_nobody_up(served, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_SECONDS", 0.2)
    head = (
        "POST /webhooks/daily HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        f"webhook-id: m1\r\nwebhook-timestamp: {NOW}\r\nwebhook-signature: v1,AAAA\r\n\r\n"
    )
    with ExitStack() as stack:
        slow = [stack.enter_context(raw(served.port, head + "{")) for _ in range(4)]
        answers = [one.recv(1000).decode() for one in slow]
    assert all(one.startswith("HTTP/1.1 408") for one in answers)
    assert served.send(b"{}")[0] == 202


def test_only_so_many_bodies_are_read_at_once(served, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_AT_ONCE", 0)
    assert served.send(b"{}") == (503, {"error": "busy"})
    assert served.healthy()


def test_a_head_that_does_not_come_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(serve_http, "LONGEST", 0.2)
    for begun in ("POST /webhooks/daily HTTP/1.1\r\nHost: loc", ""):
        with raw(served.port, begun) as one, suppress(ConnectionResetError):
            assert one.recv(1000) == b""
    assert served.healthy()


def test_there_are_only_so_many_connections(served, monkeypatch):
    monkeypatch.setattr(serve_http, "MOST_CONNECTIONS", 0)
    with pytest.raises((ConnectionResetError, http.client.BadStatusLine)):
        served.post()
    monkeypatch.setattr(serve_http, "MOST_CONNECTIONS", 100)
    assert served.healthy()


def test_nonsense_on_the_wire_is_answered_and_forgotten(served):
    for text in ("\x00\x01\x02\r\n\r\n", "POST / HTTP/9.9\r\n\r\n", "A" * 200_000):
        with raw(served.port, "") as one, suppress(OSError):
            one.sendall(text.encode())
            one.shutdown(socket.SHUT_WR)
            assert not one.recv(1000).startswith(b"HTTP/1.1 2")
    assert served.healthy()
    assert served.ticks() == []


def test_of_a_paused_pipeline_it_leaves_a_row(served):
    served.store.pause(ScheduleKey("daily", "dev (x)"), Pause(at=NOON, by="ana@box"))
    assert served.send(b"{}") == (202, {"pipeline": "daily", "state": "paused"})
    (tick,) = served.ticks()
    assert (tick.state, tick.reason) == ("skipped", "paused")


def test_a_history_that_is_away_is_told_as_such(served, monkeypatch):
    def away(*_, **__):
        raise StoreError("cannot connect to postgresql://user@db")

    monkeypatch.setattr(served.store, "trigger", away)
    assert served.send(b"{}") == (503, {"error": "the history does not answer"})
    monkeypatch.undo()
    assert served.send(b"{}")[0] == 202  # the same id: it was not taken


@pytest.mark.parametrize("environ", [{}, {"HOOK": "short"}, {"HOOK": "whsec_no base64 at all!"}])
def test_a_secret_that_is_none_turns_it_off_and_the_log_says_so(served, environ):
    served.hooks.environ = environ
    served.hooks.use(config())
    assert served.send(b"{}")[0] == 404
    assert "webhook_off" in served.said.getvalue()
