"""What an http step does in its own process: the request, then polling."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from dbtorch.adapters.steps.base import MAX_OUTPUT, one_line
from dbtorch.adapters.steps.context import run_of
from dbtorch.adapters.template import evaluate, render
from dbtorch.core.failure import classify, seconds_to_wait
from dbtorch.core.state import FailureClass
from dbtorch.step import Fail, Retry

#: Headers of the first request that polling does not repeat.
_OF_THE_BODY = ("content-type", "idempotency-key")

#: Bytes of an answer that are read at all.
_MAX_BODY = 10 * 1024 * 1024


class Refused(Exception):
    """The other side says it failed; whether another attempt helps is unknown."""

    dbtorch_outcome = FailureClass.UNKNOWN.value


class NotInTime(Exception):
    """The condition did not come true in the time it had."""

    dbtorch_outcome = FailureClass.TIMEOUT.value


class NotNow(Retry):
    """A status that the same request may not get a moment later."""

    def __init__(self, message: str, answer: Answer) -> None:
        now = datetime.now(UTC)
        super().__init__(message, after=seconds_to_wait(answer.headers.get("retry-after"), now))
        self.evidence = [{"http_status": answer.status}]


class Never(Fail):
    """A status that the same request will always get."""

    def __init__(self, message: str, answer: Answer) -> None:
        super().__init__(message)
        self.evidence = [{"http_status": answer.status}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    text: str
    json: Any  # None when the text is no JSON

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
    answer = _send(request)
    _expect(request, answer)
    _check(request, answer, known)
    if "poll" in request:
        known |= {"response": answer.names(), "sent_at": _sent_at(answer)}
        answer = _poll(_following(request, known), known)
    return _output(answer)


def _sent_at(answer: Answer) -> str:
    """When the first request was answered, in UTC, by the server's own clock if it tells."""
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        date = datetime.now(UTC)
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _following(request: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The polling request: its templates know the first answer as ``response``."""
    poll = request["poll"]
    rendered = render(
        {"url": poll["url"] or request["url"], "headers": poll["headers"]},
        env=os.environ,
        vars=known["vars"],
        run=known["run"],
        outputs=known["outputs"],
        extra=known,
    )
    url = urljoin(request["url"], rendered["url"])  # services answer relative Locations, too
    headers: dict[str, str] = {}
    auth = None
    if urlsplit(url)[:2] == urlsplit(request["url"])[:2]:
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
        try:
            answer = _send(request)
            _expect(request, answer)
        except Retry as error:
            last = str(error)
            wait = max(wait, error.after or 0.0)
            print(f"{last}; asking again")
        else:
            _check(request, answer, known)
            if evaluate(request["until"], {**known, **answer.names()}):
                return answer
            last = f"last answer: {answer.status} {one_line(answer.text, limit=200)}"
        if time.monotonic() + wait > deadline:
            within = f"within {request['for']:g} s"
            raise NotInTime(f"{request['until']} did not come true {within}; {last}")
        time.sleep(wait)


def _check(request: Mapping[str, Any], answer: Answer, known: Mapping[str, Any]) -> None:
    condition = request["fail_when"]
    if condition and evaluate(condition, {**known, **answer.names()}):
        text = one_line(answer.text, limit=300)
        raise Refused(f"{_shown(request)} answered what fail_when ({condition}) names: {text}")


def _expect(request: Mapping[str, Any], answer: Answer) -> None:
    """Raise what a status means that was not expected."""
    status = answer.status
    if str(status) in request["expect"] or f"{status // 100}xx" in request["expect"]:
        return
    phrase = http.client.responses.get(status, "")
    text = one_line(answer.text, limit=200)
    message = f"{_shown(request)} answered {status} {phrase}".rstrip() + (text and f": {text}")
    transient = classify([{"http_status": status}], "") is FailureClass.TRANSIENT
    raise NotNow(message, answer) if transient else Never(message, answer)


def _send(request: Mapping[str, Any]) -> Answer:
    shown = _shown(request)
    try:
        answer = _exchange(_prepared(request), request["timeout"])
    except ssl.SSLCertVerificationError as error:
        raise Fail(f"{shown}: {one_line(str(error))}") from None
    except (ValueError, http.client.InvalidURL):
        # Python's own text would quote the header, and with it a secret.
        raise Fail(f"{shown}: a header or the URL holds a character that HTTP forbids") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Fail(f"{shown}: {one_line(str(reason))}") from None
        why = one_line(str(reason)) or type(reason).__name__
        raise Retry(f"{shown}: {why}") from None
    print(f"{shown} -> {answer.status}")
    return answer


def _prepared(request: Mapping[str, Any]) -> urllib.request.Request:
    url, body = request["url"], request["body"]
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise Fail(f"{url!r} is no http or https URL")
    headers = dict(request["headers"])
    if request["auth"]:
        token = base64.b64encode(str(request["auth"]).encode()).decode()
        headers.setdefault("Authorization", f"Basic {token}")
    headers.setdefault("User-Agent", "dbtorch")
    data = None if body is None else body.encode()
    return urllib.request.Request(  # noqa: S310  # the scheme was looked at above
        url, data=data, headers=headers, method=request["method"]
    )


def _exchange(request: urllib.request.Request, timeout: float) -> Answer:
    opener = urllib.request.build_opener(_SameServer)
    try:
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        response = error  # an answer like any other
    with response:
        text = response.read(_MAX_BODY).decode("utf-8", errors="replace")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status, headers=headers, text=text, json=_parsed(text))


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one server only: headers carry secrets."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            return None  # the redirect itself becomes the answer
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _output(answer: Answer) -> dict[str, Any]:
    """Status and body; a body too large to hand on stays out, for the call itself succeeded."""
    body = {"json": answer.json} if answer.json is not None else {"text": answer.text}
    output = {"status": answer.status, **body}
    if len(json.dumps(output).encode()) <= MAX_OUTPUT:
        return output
    print(f"the answer is larger than {MAX_OUTPUT:,} bytes and is not kept as output")
    return {"status": answer.status}


def _shown(request: Mapping[str, Any]) -> str:
    """Method and URL, without the parts that carry secrets."""
    parts = urlsplit(request["url"])
    server = parts.netloc.rpartition("@")[2]
    return f"{request['method']} {urlunsplit((parts.scheme, server, parts.path, '', ''))}"
