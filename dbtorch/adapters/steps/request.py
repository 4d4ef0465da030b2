"""What an http step does in its own process: the request, then polling."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from dbtorch.adapters.exchange import Budget, TooLong, exchange
from dbtorch.adapters.steps.base import MAX_OUTPUT, one_line
from dbtorch.adapters.steps.context import run_of
from dbtorch.adapters.template import evaluate, render
from dbtorch.core.failures.classify import classify
from dbtorch.core.model.state import FailureClass
from dbtorch.core.text.from_outside import Unreadable, json_value, moment, seconds_to_wait
from dbtorch.step import Fail, Retry

#: Headers of the first request that polling does not repeat.
_OF_THE_BODY = ("content-type", "idempotency-key")

#: Bytes that an answer may have; one that has more is not judged by half of it.
_MAX_BODY = 10 * 1024 * 1024

#: Redirects, those of them that keep method and body, and how many may follow each other.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AS_IT_WAS = frozenset({307, 308})
_MOST_REDIRECTS = 10

#: Ports where a URL names none.
_PORTS = {"http": 80, "https": 443}

#: Seconds that even the last question of polling has.
_LEAST = 1.0

_SPEAKS_OF_JSON = re.compile(r"\bjson\b")


class Refused(Exception):
    """The other side says it failed; whether another attempt helps is unknown."""

    dbtorch_outcome = FailureClass.UNKNOWN.value


class NotInTime(Exception):
    """The condition did not come true in the time it had."""

    dbtorch_outcome = FailureClass.TIMEOUT.value


class NotNow(Retry):
    """A status that the same request may not get a moment later."""

    def __init__(self, brief: str, answer: Answer) -> None:
        after = seconds_to_wait(answer.headers.get("retry-after"), datetime.now(UTC))
        super().__init__(_quoting(brief, answer), after=after)
        self.brief = brief
        self.evidence = [{"http_status": answer.status}]


class Never(Fail):
    """A status that the same request will always get."""

    def __init__(self, brief: str, answer: Answer) -> None:
        super().__init__(_quoting(brief, answer))
        self.evidence = [{"http_status": answer.status}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    text: str
    json: Any  # None when the text is no JSON
    no_json: str = ""  # why

    def names(self) -> dict[str, Any]:
        """What conditions and templates know of it."""
        return {
            "status": self.status,
            "headers": self.headers,
            "text": self.text,
            "json": self.json,
        }


def run(request: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Send it, poll where asked to, answer the step's output."""
    known = {name: context[name] for name in ("vars", "params", "outputs", "target")}
    known["run"] = run_of(context)
    answer = expected(request)
    _check(request, answer, known)
    if "poll" in request:
        known |= {"response": answer.names(), "sent_at": _sent_at(answer)}
        answer = _poll(_following(request, known), known)
    return _output(answer)


def _sent_at(answer: Answer) -> str:
    """When the first request was answered, in UTC, by the server's own clock if it tells."""
    date = moment(answer.headers.get("date")) or datetime.now(UTC)
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _following(request: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The polling request: its templates know the first answer and its parts."""
    poll = request["poll"]
    rendered = render(
        # what is rendered already may hold what others said, and is no template
        {"url": poll["url"] or "", "headers": poll["headers"]},
        env=os.environ,
        vars=known["vars"],
        run=known["run"],
        outputs=known["outputs"],
        extra={**known["response"], **known},
    )
    url = urljoin(request["url"], rendered["url"])  # services answer relative Locations, too
    headers: dict[str, str] = {}
    auth = None
    if origin(url) == origin(request["url"]):
        # Another server has no business with what was meant for the first one.
        headers = {k: v for k, v in request["headers"].items() if k.lower() not in _OF_THE_BODY}
        auth = request["auth"]
    headers.update({str(k): str(v) for k, v in rendered["headers"].items()})
    return {**poll, "url": url, "headers": headers, "auth": auth, "body": None}


def _poll(request: Mapping[str, Any], known: Mapping[str, Any]) -> Answer:
    """Ask again and again until the condition holds; a failed call is just asked again."""
    deadline = time.monotonic() + request["for"]
    last = ""
    while True:
        wait = float(request["every"])
        left = max(deadline - time.monotonic(), _LEAST)
        try:
            answer = expected({**request, "timeout": min(request["timeout"], left)})
        except Retry as error:
            last = str(error)
            wait = max(wait, error.after or 0.0)  # as far as there is time
            print(f"{getattr(error, 'brief', last)}; asking again")
        else:
            _check(request, answer, known)
            if evaluate(request["until"], {**known, **answer.names()}):
                _judge(request, "until", answer)
                return answer
            last = f"last answer: {answer.status} {answer.text}"
        left = deadline - time.monotonic()
        if left <= 0:
            within = f"within {request['for']:g} s"
            raise NotInTime(f"{request['until']} did not come true {within}; {last}")
        time.sleep(min(wait, left))


def _check(request: Mapping[str, Any], answer: Answer, known: Mapping[str, Any]) -> None:
    condition = request["fail_when"]
    _judge(request, "fail_when", answer)
    if condition and evaluate(condition, {**known, **answer.names()}):
        named = f"answered what fail_when ({condition}) names: {answer.text}"
        raise Refused(f"{_shown(request)} {named}")


def _judge(request: Mapping[str, Any], name: str, answer: Answer) -> None:
    """Let no condition that speaks of JSON say anything of an answer that has none."""
    condition = request[name]
    if condition and answer.no_json and _SPEAKS_OF_JSON.search(condition):
        why = f"the answer is no JSON ({answer.no_json})"
        raise Refused(f"{_shown(request)}: {name} ({condition}) cannot be judged, {why}")


def _expect(request: Mapping[str, Any], answer: Answer) -> None:
    """Raise what a status means that was not expected.

    The body is quoted whole: it is cut where secrets are taken out of it before.
    """
    status = answer.status
    if is_expected(request, status):
        return
    phrase = http.client.responses.get(status, "")
    brief = f"{_shown(request)} answered {status} {phrase}".rstrip()
    if status in _REDIRECTS:
        brief += "; only redirects of GET, or with 307 or 308, and to the same server are followed"
    transient = classify([{"http_status": status}], "") is FailureClass.TRANSIENT
    raise NotNow(brief, answer) if transient else Never(brief, answer)


def expected(request: Mapping[str, Any]) -> Answer:
    """The answer to one request, of a status that means success.

    Raises `Retry` where a moment later it may be another one, and `Fail`.
    """
    answer = _send(request)
    _expect(request, answer)
    return answer


def is_expected(request: Mapping[str, Any], status: int) -> bool:
    """Whether a status means success."""
    return str(status) in request["expect"] or f"{status // 100}xx" in request["expect"]


def _send(request: Mapping[str, Any]) -> Answer:
    shown = _shown(request)
    try:
        with Budget(request["timeout"]) as budget:
            return _followed(request, budget)
    except TooLong as error:
        raise Fail(f"{shown}: {error}") from None
    except (ValueError, http.client.InvalidURL):
        # Python's own text would quote the header, and with it a secret.
        raise Fail(f"{shown}: a header or the URL holds a character that HTTP forbids") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Fail(f"{shown}: {one_line(str(reason))}") from None
        why = one_line(str(reason)) or type(reason).__name__
        raise Retry(f"{shown}: {why}") from None


def _followed(request: Mapping[str, Any], budget: Budget) -> Answer:
    """The answer at the end of all redirects that may be followed."""
    for _ in range(_MOST_REDIRECTS + 1):
        answer = _exchanged(request, budget)
        place = _redirected(request, answer)
        if place is None:
            return answer
        request = {**request, "url": place}
    raise Fail(f"{_shown(request)}: more than {_MOST_REDIRECTS} redirects")


def _exchanged(request: Mapping[str, Any], budget: Budget) -> Answer:
    answer = answered(request, budget)
    print(f"{_shown(request)} -> {answer.status}")
    return answer


def answered(request: Mapping[str, Any], budget: Budget) -> Answer:
    """What is answered, whatever it is. Raises `Fail`, `OSError`, `HTTPException`, `ValueError`."""
    came = exchange(_prepared(request), budget, most=_MAX_BODY)
    text = came.body.decode("utf-8", errors="replace")
    said, broken = _parsed(text)
    return Answer(status=came.status, headers=came.headers, text=text, json=said, no_json=broken)


def _redirected(request: Mapping[str, Any], answer: Answer) -> str | None:
    """Where to go on; None where the answer itself is one, be it of a status nobody expected.

    Another server has no business with what is in headers and body, and to answer what was sent
    with a page to look at is no success.
    """
    said = answer.headers.get("location")
    if not said or answer.status not in _REDIRECTS or is_expected(request, answer.status):
        return None
    place = urljoin(request["url"], said)
    repeatable = request["method"] in ("GET", "HEAD") or answer.status in _AS_IT_WAS
    return place if repeatable and origin(place) == origin(request["url"]) else None


def _prepared(request: Mapping[str, Any]) -> urllib.request.Request:
    url, body = request["url"], request["body"]
    if origin(url) is None:
        raise Fail(f"{_bare(url)!r} is no http or https URL")
    headers = dict(request["headers"])
    if request["auth"]:
        token = base64.b64encode(str(request["auth"]).encode()).decode()
        headers.setdefault("Authorization", f"Basic {token}")
    headers.setdefault("User-Agent", "dbtorch")
    data = None if body is None else body.encode()
    return urllib.request.Request(  # noqa: S310  # the scheme was looked at above
        url, data=data, headers=headers, method=request["method"]
    )


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, server and port; None for what is no URL of http, or has somebody's login in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]


def _parsed(text: str) -> tuple[Any, str]:
    """What JSON says, and what is wrong with it where it says nothing."""
    if not text.strip():
        return None, "it is empty"
    try:
        return json_value(text), ""
    except Unreadable as error:
        return None, one_line(str(error), limit=200)


def _output(answer: Answer) -> dict[str, Any]:
    """Status and body; a body too large to hand on stays out, for the call itself succeeded."""
    body = {"json": answer.json} if answer.json is not None else {"text": answer.text}
    output = {"status": answer.status, **body}
    if len(json.dumps(output).encode()) <= MAX_OUTPUT:
        return output
    print(f"the answer is larger than {MAX_OUTPUT:,} bytes and is not kept as output")
    return {"status": answer.status}


def _quoting(brief: str, answer: Answer) -> str:
    return f"{brief}: {answer.text}" if answer.text.strip() else brief


def _shown(request: Mapping[str, Any]) -> str:
    """Method and URL, without the parts that carry secrets."""
    return f"{request['method']} {_bare(request['url'])}"


def _bare(url: str) -> str:
    """A URL, or what was meant to be one, without login, query and fragment."""
    place = re.split("[?#]", url)[0]
    scheme, there, rest = place.partition("://")
    if not there:
        return place.rpartition("@")[2]
    server, slash, path = rest.partition("/")
    return f"{scheme}://{server.rpartition('@')[2]}{slash}{path}"
