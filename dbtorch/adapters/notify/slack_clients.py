"""slack-sdk's clients, each request of which is one exchange in one budget of time."""

from __future__ import annotations

import logging
from typing import Any
from urllib.request import Request

from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse

from dbtorch.adapters.exchange import Answer
from dbtorch.adapters.notify.post import send


def web(token: str, *, api_url: str | None, timeout: float) -> WebClient:
    """A client of the Web API; it tries nothing again, the outbox does."""
    where = {} if api_url is None else {"base_url": api_url}
    return _Web(token=token, timeout=timeout, retry_handlers=[], logger=_silent(), **where)


def webhook(url: str, *, timeout: float) -> WebhookClient:
    """A client of an incoming webhook; it tries nothing again, the outbox does."""
    return _Webhook(url, timeout=timeout, retry_handlers=[], logger=_silent())


class _Web(WebClient):  # type: ignore[misc]
    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        """What slack-sdk asks urlopen for, whose time-out is one of each read."""
        answer = _asked(req, self.timeout, named_by="alerts.slack.token or api_url")
        return {"status": answer.status, "headers": answer.headers, "body": _text(answer)}


class _Webhook(WebhookClient):  # type: ignore[misc]
    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        """The same of a webhook, whose URL is a secret."""
        answer = _asked(req, self.timeout, named_by="alerts.slack.webhook_url")
        return WebhookResponse(
            url=url, status_code=answer.status, body=_text(answer), headers=answer.headers
        )


def _asked(request: Request, timeout: float, *, named_by: str) -> Answer:
    return send(lambda: request, timeout=timeout, who="Slack", named_by=named_by)


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")


def _silent() -> logging.Logger:
    """A logger that says nothing: the outbox keeps what went wrong, and a token is in a header."""
    logger = logging.getLogger("dbtorch.slack_sdk")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    return logger
