"""Slack: with a bot's token one message a run and its thread, with an incoming webhook a digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from dbtorch.adapters.notify import slack_blocks as blocks
from dbtorch.adapters.notify.base import NotifierError, refuse_in_clear
from dbtorch.adapters.notify.digest import told_of, worth_telling
from dbtorch.adapters.notify.slack_text import inline
from dbtorch.core.alerts.alert import from_json
from dbtorch.core.alerts.card import card_from_json
from dbtorch.core.alerts.outbox import Delivery, EntryKind, Style
from dbtorch.core.text.from_outside import seconds_to_wait
from dbtorch.ports.notifier import NotDelivered, Notifier

T = TypeVar("T")

#: Seconds that one request may take, where nothing else is said.
TIMEOUT = 10.0

#: Errors of Slack's Web API that pass. https://docs.slack.dev/reference/methods/chat.postMessage
_PASSING = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout",
     "service_unavailable", "team_added_to_org", "message_limit_exceeded"}
)  # fmt: skip

#: The message is there no more, or may not be changed any more.
_GONE = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})

#: What to do about the commonest mistakes.
_ADVICE = {
    "invalid_auth": "check alerts.slack.token",
    "not_authed": "check alerts.slack.token",
    "token_revoked": "check alerts.slack.token",
    "account_inactive": "check alerts.slack.token",
    "channel_not_found": "check the channel, and invite the bot to it",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "the channel is archived",
    "missing_scope": "give the bot the scope chat:write, and users:read.email to look people up",
}

_EVENT = "dbtorch_alert"


def place(settings: Mapping[str, Any]) -> str:
    """The channel; the one of an incoming webhook has no name here."""
    return str(settings.get("channel", "")) if settings.get("token") else "incoming-webhook"


def open(settings: Mapping[str, Any]) -> Notifier:
    """A bot where there is a token, an incoming webhook otherwise."""
    timeout = settings.get("timeout", TIMEOUT)
    for key in ("api_url", "webhook_url"):
        refuse_in_clear(str(settings.get(key) or ""), f"slack.{key}")
    if settings.get("token"):
        return SlackBot(settings["token"], api_url=settings.get("api_url"), timeout=timeout)
    if settings.get("webhook_url"):
        return SlackWebhook(settings["webhook_url"], timeout=timeout)
    raise NotifierError("alerts.slack needs a token or a webhook_url")


def preview(delivery: Delivery) -> str:
    """The blocks as text; mail addresses are not looked up."""
    body = delivery.entry.body
    if delivery.entry.kind is EntryKind.CARD:
        return blocks.as_text(blocks.card(card_from_json(body["card"]), _mention))
    loud = bool(body.get("loud"))
    return blocks.as_text(blocks.note(from_json(body["alert"]), _mention, loud=loud))


class SlackBot:
    """Implements `Notifier` over Slack's Web API."""

    style = Style.THREADS

    def __init__(self, token: str, *, api_url: str | None = None, timeout: float = TIMEOUT) -> None:
        self._token = token
        self._api_url = api_url
        self._timeout = timeout
        self._web: Any = None
        self._people: dict[str, str | None] = {}  # mail address -> Slack id

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """Post, update, or answer in a thread. Raises `NotDelivered`."""
        return _told(lambda: self._deliver(delivery, thread))

    def _deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        if delivery.entry.kind is EntryKind.CARD:
            return self._card(delivery)
        body = delivery.entry.body
        alert = from_json(body["alert"])
        first = thread.receipt if thread is not None and not thread.receipt.get("gone") else {}
        told = set(first.get("mentioned", ())) if body.get("follows") else set()
        loud = bool(body.get("loud")) and not (alert.mention and told >= set(alert.mention))
        message: dict[str, Any] = {
            "text": blocks.note_text(alert, self._mention, loud=loud),
            "blocks": blocks.note(alert, self._mention, loud=loud),
        }
        if first:
            message |= {"thread_ts": first["ts"], "reply_broadcast": bool(body.get("broadcast"))}
        return self._post(delivery, message, first.get("channel"))

    def _card(self, delivery: Delivery) -> Mapping[str, Any]:
        run = card_from_json(delivery.entry.body["card"])
        message = {
            "text": blocks.card_text(run),
            "blocks": blocks.card(run, self._mention),
        }
        receipt = dict(delivery.receipt)
        if not receipt:
            mentioned = {who for failure in run.open for who in failure.mention}
            posted = self._post(delivery, message, None)
            if not posted.get("found"):
                return {**posted, "mentioned": sorted(mentioned)}
            receipt = {**posted, "mentioned": sorted(mentioned)}
        if not receipt.get("gone"):
            receipt |= self._update(delivery.entry.key, receipt, message)
        return receipt

    def _update(
        self, key: str, receipt: Mapping[str, Any], message: Mapping[str, Any]
    ) -> dict[str, Any]:
        from slack_sdk.errors import SlackApiError

        try:
            self._client().chat_update(
                channel=receipt["channel"],
                ts=receipt["ts"],
                metadata=_metadata(key),
                **message,
            )
        except SlackApiError as error:
            if _code(error) not in _GONE:
                raise
            return {"gone": True}
        return {}

    def _post(
        self, delivery: Delivery, message: Mapping[str, Any], channel: str | None
    ) -> dict[str, Any]:
        """Post a message, unless an earlier try has arrived after all."""
        key = delivery.entry.key
        channel = channel or self._channel(delivery.entry.address)
        if delivery.unsure:
            found = self._find(key, channel, message.get("thread_ts"), delivery.created_at)
            if found is not None:
                return {"channel": channel, "ts": found, "found": True}
        answer = self._client().chat_postMessage(
            channel=channel,
            unfurl_links=False,
            unfurl_media=False,
            metadata=_metadata(key),
            **message,
        )
        return {"channel": answer["channel"] or channel, "ts": answer["ts"]}

    def _find(self, key: str, channel: str, thread: str | None, since: datetime) -> str | None:
        """The time stamp of a message that is there already; None where Slack does not say."""
        from slack_sdk.errors import SlackApiError

        asked: dict[str, Any] = {
            "channel": channel,
            "oldest": str(since.timestamp() - 60),
            "include_all_metadata": True,
            "limit": 200,
        }
        try:
            if thread is not None:
                answer = self._client().conversations_replies(ts=thread, **asked)
            else:
                answer = self._client().conversations_history(**asked)
        except SlackApiError as error:
            if _passes(error):
                raise
            return None  # not allowed to look, or a channel by its name
        for message in answer["messages"] or ():
            payload = (message.get("metadata") or {}).get("event_payload") or {}
            if payload.get("key") == key:
                return str(message["ts"])
        return None

    def _channel(self, address: str) -> str:
        if "@" not in address:
            return address
        found = self._person(address)
        if found is None:
            raise NotDelivered(f"nobody in Slack has the address {address}", hopeless=True)
        return found

    def _mention(self, people: Sequence[str]) -> str:
        """Slack's markup for people; a mail address that Slack does not know stays text."""
        words = []
        for who in people:
            id = self._person(who) if "@" in who else who
            group = id is not None and id.startswith("S")
            words.append(inline(who) if id is None else f"<!subteam^{id}>" if group else f"<@{id}>")
        return " ".join(words)

    def _person(self, address: str) -> str | None:
        from slack_sdk.errors import SlackApiError

        if address not in self._people:
            try:
                answer = self._client().users_lookupByEmail(email=address)
                self._people[address] = str(answer["user"]["id"])
            except SlackApiError as error:
                if _passes(error):
                    raise
                self._people[address] = None
        return self._people[address]

    def _client(self) -> Any:
        if self._web is None:
            from dbtorch.adapters.notify.slack_clients import web

            self._web = web(self._token, api_url=self._api_url, timeout=self._timeout)
        return self._web


class SlackWebhook:
    """Implements `Notifier` over an incoming webhook: no threads, no updates, nobody looked up."""

    style = Style.DIGEST

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._timeout = timeout

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """Send one message, or nothing where a card says no more than before."""
        body = delivery.entry.body
        if delivery.entry.kind is EntryKind.NOTE:
            alert, loud = from_json(body["alert"]), bool(body.get("loud"))
            self._send(
                blocks.note_text(alert, _mention, loud=loud),
                blocks.note(alert, _mention, loud=loud),
            )
            return {"sent": True}
        run = card_from_json(body["card"])
        if worth_telling(run, delivery.receipt):
            self._send(blocks.card_text(run), blocks.card(run, _mention, details=True))
            return told_of(run)
        return delivery.receipt

    def _send(self, text: str, message: list[dict[str, Any]]) -> None:
        _told(lambda: self._request(text, message))

    def _request(self, text: str, message: list[dict[str, Any]]) -> None:
        from dbtorch.adapters.notify.slack_clients import webhook

        client = webhook(self._url, timeout=self._timeout)
        answer = client.send(text=text, blocks=message, unfurl_links=False, unfurl_media=False)
        if answer.status_code != 200:
            asked = {name.lower(): value for name, value in answer.headers.items()}
            raise _refused(answer.body.strip(), answer.status_code, asked.get("retry-after"))


def _metadata(key: str) -> dict[str, Any]:
    """What makes a message of ours found again."""
    return {"event_type": _EVENT, "event_payload": {"key": key}}


def _mention(people: Sequence[str]) -> str:
    """Ids mention; who is behind a mail address only the Web API knows."""
    known = [who for who in people if "@" not in who]
    marked = [f"<!subteam^{id}>" if id.startswith("S") else f"<@{id}>" for id in known]
    return " ".join([*marked, *(inline(who) for who in people if "@" in who)])


def _told(work: Callable[[], T]) -> T:
    """Do something with Slack, and say in one sentence what went wrong."""
    from slack_sdk.errors import SlackApiError, SlackClientError

    try:
        return work()
    except SlackApiError as error:
        answer = error.response
        headers = getattr(answer, "headers", None) or _part(answer, "headers") or {}
        asked = {str(name).lower(): value for name, value in headers.items()}
        raise _refused(_code(error), _status(error), asked.get("retry-after")) from error
    except SlackClientError as error:
        raise NotDelivered(f"Slack's client refuses: {error}", hopeless=True) from error


def _refused(code: str, status: int, retry_after: Any) -> NotDelivered:
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    asked = seconds_to_wait(retry_after, datetime.now(UTC))
    passing = code in _PASSING or status == 429 or status >= 500
    said = code[:200] if code and len(code) < 1000 and "<" not in code else f"status {status}"
    return NotDelivered(f"Slack answers {said}{advice}", retry_after=asked, hopeless=not passing)


def _passes(error: Any) -> bool:
    return _code(error) in _PASSING or _status(error) == 429 or _status(error) >= 500


def _code(error: Any) -> str:
    return str(_part(error.response, "error") or "")


def _status(error: Any) -> int:
    found = getattr(error.response, "status_code", None)
    return int(found if found is not None else _part(error.response, "status") or 0)


def _part(answer: Any, name: str) -> Any:
    try:
        return answer.get(name)
    except (AttributeError, ValueError):  # no JSON
        return None
