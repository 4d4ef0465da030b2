"""A generic webhook: every event is a POST of JSON, signed with HMAC-SHA256."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError, URLError

from dbtorch.adapters.notify.base import NotifierError
from dbtorch.core.alert_text import headline
from dbtorch.core.failure import seconds_to_wait
from dbtorch.core.outbox import Delivery, EntryKind, Style
from dbtorch.ports import NotDelivered, Notifier

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
        self._opener = urllib.request.build_opener(_NoRedirect)

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """POST an event; the same ``Dbtorch-Delivery`` every time it is tried."""
        if delivery.entry.kind is EntryKind.CARD:
            return delivery.receipt or {"skipped": True}
        return {"status": self._post(delivery.entry.key, body_of(delivery.entry.body))}

    def _post(self, key: str, body: bytes) -> int:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "dbtorch",
            "Dbtorch-Delivery": hashlib.sha256(key.encode()).hexdigest()[:32],
            "Dbtorch-Timestamp": timestamp,
        }
        if self._secret:
            headers["Dbtorch-Signature"] = signature(self._secret, timestamp, body)
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310  # checked in open()
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                raise _refused(error) from error
        except TimeoutError as error:
            raise NotDelivered("the webhook did not answer in time", unsure=True) from error
        except URLError as error:
            late = isinstance(error.reason, TimeoutError)
            what = "did not answer in time" if late else f"is not reached: {error.reason}"
            raise NotDelivered(f"the webhook {what}", unsure=late) from error
        except (OSError, http.client.HTTPException) as error:
            text = f"the connection to the webhook broke: {error or type(error).__name__}"
            raise NotDelivered(text, unsure=True) from error
        except ValueError as error:
            raise NotDelivered(f"alerts.webhook.url is wrong: {error}", hopeless=True) from error


def body_of(kept: Mapping[str, Any]) -> bytes:
    """What is sent for a note of the outbox."""
    alert = dict(kept["alert"])
    alert |= {"facts": dict(alert.get("facts", ()))}
    said = {
        "version": VERSION,
        "headline": headline_of(kept),
        "loud": bool(kept.get("loud")),
        **alert,
    }
    return json.dumps(said, ensure_ascii=False, sort_keys=True).encode()


def headline_of(kept: Mapping[str, Any]) -> str:
    """The event in one line."""
    from dbtorch.core.alerts import from_json

    return headline(from_json(kept["alert"]))


def _refused(error: HTTPError) -> NotDelivered:
    asked = seconds_to_wait(error.headers.get("Retry-After"), datetime.now(UTC))
    passing = error.code in _PASSING or error.code >= 500
    text = f"the webhook answers {error.code} {error.reason}".rstrip()
    return NotDelivered(text, retry_after=asked, hopeless=not passing)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would make a GET without a body of the POST."""

    def redirect_request(self, *args: Any) -> None:
        """Follow none: the status is the answer."""
