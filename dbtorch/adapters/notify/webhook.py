"""A generic webhook: every event is a POST of JSON, signed with HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from dbtorch.adapters.exchange import Answer
from dbtorch.adapters.notify.base import NotifierError
from dbtorch.adapters.notify.post import post
from dbtorch.core.alerts.outbox import Delivery, EntryKind, Style
from dbtorch.core.alerts.text import headline
from dbtorch.core.text.from_outside import seconds_to_wait
from dbtorch.ports.notifier import NotDelivered, Notifier

#: Seconds that one request may take, where nothing else is said.
TIMEOUT = 10.0

#: Version of the body, in the body.
VERSION = 1

#: Statuses besides 5xx that may be others a moment later.
_PASSING = frozenset({408, 409, 425, 429})


def place(settings: Mapping[str, Any]) -> str:  # noqa: ARG001  # every notifier is asked so
    """It has only one place, and its URL may be a secret."""
    return ""


def open(settings: Mapping[str, Any]) -> Notifier:
    """Posts to ``url``, signed where there is a ``secret``."""
    url = settings.get("url")
    if not url:
        raise NotifierError("alerts.webhook needs a url")
    if not str(url).startswith(("http://", "https://")):
        raise NotifierError("alerts.webhook.url must begin with https:// or http://")
    return Webhook(url, settings.get("secret", ""), timeout=settings.get("timeout", TIMEOUT))


def preview(delivery: Delivery) -> str:
    """The body; nothing is sent for a card."""
    if delivery.entry.kind is EntryKind.CARD:
        return ""
    return json.dumps(json.loads(body_of(delivery.entry.body)), indent=2, ensure_ascii=False)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=`` and the HMAC of time stamp, dot and body in hex."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Webhook:
    """Implements `Notifier` over HTTP."""

    style = Style.STREAM

    def __init__(
        self,
        url: str,
        secret: str = "",
        *,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret
        self._timeout = timeout
        self._clock = clock

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """POST an event; the same ``Dbtorch-Delivery`` every time it is tried."""
        if delivery.entry.kind is EntryKind.CARD:
            return delivery.receipt or {"skipped": True}
        id = hashlib.sha256(delivery.entry.key.encode()).hexdigest()[:32]
        return {"status": self._post(id, body_of(delivery.entry.body, id))}

    def _post(self, id: str, body: bytes) -> int:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "dbtorch",
            "Dbtorch-Delivery": id,
            "Dbtorch-Timestamp": timestamp,
        }
        if self._secret:
            headers["Dbtorch-Signature"] = signature(self._secret, timestamp, body)
        answer = post(
            self._url,
            body,
            headers,
            timeout=self._timeout,
            who="the webhook",
            named_by="alerts.webhook.url",
            whole=False,
        )
        if answer.status // 100 != 2:  # a redirect would make a GET without a body of the POST
            raise _refused(answer)
        return answer.status


def body_of(kept: Mapping[str, Any], delivery: str = "") -> bytes:
    """What is sent for a note of the outbox; its ``delivery`` is in it, and so in the signature."""
    alert = {name: None if value == "" else value for name, value in kept["alert"].items()}
    alert |= {"facts": dict(kept["alert"].get("facts", ()))}
    said = {
        "version": VERSION,
        "delivery": delivery,
        "headline": headline_of(kept),
        "loud": bool(kept.get("loud")),
        **alert,
    }
    return json.dumps(said, ensure_ascii=False, sort_keys=True).encode()


def headline_of(kept: Mapping[str, Any]) -> str:
    """The event in one line."""
    from dbtorch.core.alerts.alert import from_json

    return headline(from_json(kept["alert"]))


def _refused(answer: Answer) -> NotDelivered:
    asked = seconds_to_wait(answer.headers.get("retry-after"), datetime.now(UTC))
    passing = answer.status in _PASSING or answer.status >= 500
    text = f"the webhook answers {answer.status} {answer.reason}".rstrip()
    return NotDelivered(text, retry_after=asked, hopeless=not passing)
