"""The generic webhook: what it sends, how it is signed, and what it makes of answers."""

import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from dbtorch.adapters.notify import webhook
from dbtorch.adapters.notify.base import NotifierError
from dbtorch.core.alerts.alert import AlertEvent
from dbtorch.core.alerts.outbox import next_try
from dbtorch.ports.notifier import NotDelivered
from tests.alerts import a_card, a_delivery, a_failure, one_of_each
from tests.unit.loopback import answering, serving, trickling
from tests.waiting import PATIENCE

SECRET = "don't tell ☃"


@pytest.fixture
def server():
    with serving() as found:
        found.says("/in", 204)
        yield found


def a_hook(server, **given):
    return webhook.Webhook(
        f"{server.url}/in", SECRET, timeout=PATIENCE, clock=lambda: 1_772_366_580.9, **given
    )


def refused(server) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        a_hook(server).deliver(a_delivery(a_failure(), notifier="webhook", address=""), None)
    return caught.value


def test_an_event_is_a_post_of_json(server):
    a_hook(server).deliver(a_delivery(a_failure(facts=(("Age", "31h"),))), None)
    ((method, _, headers, body),) = server.requests
    said = json.loads(body)
    assert method == "POST"
    assert headers["content-type"].startswith("application/json")
    assert (said["version"], said["event"], said["severity"]) == (1, "failed", "error")
    assert said["headline"] == "model fct_orders failed"
    assert said["logical_date"] == "2026-03-01T06:00:00+00:00"
    assert said["facts"] == {"Age": "31h"}
    assert said["loud"] is True


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_finds_the_same_signature(server, tmp_path):
    a_hook(server).deliver(a_delivery(a_failure(message="naïve ☃")), None)
    ((_, _, headers, body),) = server.requests
    assert headers["dbtorch-timestamp"] == "1772366580"
    signed = tmp_path / "signed"
    signed.write_bytes(headers["dbtorch-timestamp"].encode() + b"." + body.encode())
    answer = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-r", str(signed)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert headers["dbtorch-signature"] == f"sha256={answer.stdout.split()[0]}"


def test_another_time_or_another_body_is_another_signature():
    signatures = {
        webhook.signature(SECRET, "1", b"body"),
        webhook.signature(SECRET, "2", b"body"),
        webhook.signature(SECRET, "1", b"body2"),
        webhook.signature("other", "1", b"body"),
    }
    assert len(signatures) == 4


def test_without_a_secret_nothing_is_signed(server):
    webhook.Webhook(f"{server.url}/in", timeout=PATIENCE).deliver(a_delivery(a_failure()), None)
    assert "dbtorch-signature" not in server.requests[0][2]


def test_every_try_at_an_event_has_the_same_name_and_every_event_its_own(server):
    hook = a_hook(server)
    for alert in (a_failure(), a_failure(), *one_of_each().values()):
        hook.deliver(a_delivery(alert), None)
    names = [headers["dbtorch-delivery"] for _, _, headers, _ in server.requests]
    assert names[0] == names[1] == hashlib.sha256(a_failure().key.encode()).hexdigest()[:32]
    # the failure, and a reminder of the same one, are one event
    assert len(set(names)) == len(AlertEvent) - 1


def test_a_card_is_no_event(server):
    a_hook(server).deliver(a_delivery(a_card(a_failure())), None)
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "hopeless", "retry_after"),
    [
        ((429, {"Retry-After": "7"}, None), False, 7.0),
        ((503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None), False, 0.0),
        (500, False, None),
        (401, True, None),
        (404, True, None),
        ((302, {"Location": "/elsewhere"}, None), True, None),  # a POST is not led elsewhere
    ],
)
def test_what_is_tried_again(server, answer, hopeless, retry_after):
    server.says("/in", answer)
    error = refused(server)
    assert "the webhook answers" in str(error)
    assert (error.hopeless, error.retry_after, error.unsure) == (hopeless, retry_after, False)
    assert len(server.requests) == 1


def test_out_of_reach():
    hook = webhook.Webhook("http://127.0.0.1:1/in", SECRET, timeout=1.0)
    with pytest.raises(NotDelivered, match="the webhook is not reached"):
        hook.deliver(a_delivery(a_failure()), None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "alerts.webhook needs a url"), ({"url": "file:///etc/passwd"}, "must begin with")],
)
def test_what_is_no_webhook(settings, said):
    with pytest.raises(NotifierError, match=said):
        webhook.open(settings)


def test_a_server_that_trickles_has_no_more_time_than_any_other():
    with trickling(b"HTTP/1.0 200 OK\r\nX: ") as (host, port):
        hook = webhook.Webhook(f"http://{host}:{port}/in", SECRET, timeout=0.3)
        with pytest.raises(NotDelivered, match="the webhook did not answer in time") as caught:
            hook.deliver(a_delivery(a_failure()), None)
    assert caught.value.unsure


def test_a_status_without_the_end_of_its_headers_is_no_answer():
    with answering(b"HTTP/1.0 200 OK\r\nX: y") as url:
        hook = webhook.Webhook(url, SECRET, timeout=5.0)
        with pytest.raises(NotDelivered, match="the answer was cut off in its headers"):
            hook.deliver(a_delivery(a_failure()), None)


@pytest.mark.parametrize(
    "url", ["http://h/services/T0P SECRET", "http://h/T0P\nSECRET", "http://h:T0PSECRET/x"]
)
def test_a_url_that_cannot_be_used_is_not_repeated(url):
    with pytest.raises(NotDelivered) as caught:
        webhook.Webhook(url, timeout=1.0).deliver(a_delivery(a_failure()), None)
    assert str(caught.value) == "alerts.webhook.url holds a character that HTTP forbids"
    assert caught.value.hopeless


@pytest.mark.parametrize("asked", ["999999999999", "Fri, 31 Dec 9999 23:59:59 -1200", "inf"])
def test_nobody_can_ask_for_peace_for_ever(server, asked):
    server.says("/in", (503, {"Retry-After": asked}, None))
    now = datetime(2026, 3, 1, tzinfo=UTC)
    again = next_try(1, now, lambda: 0.5, asked=refused(server).retry_after)
    assert again - now <= timedelta(seconds=1800)
