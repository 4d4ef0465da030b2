"""``http:`` sends a request and, where asked to, polls a second URL until a condition holds."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dbtorch.adapters.config.http_keys import HTTP, POLL
from dbtorch.adapters.steps.base import CHILD, Call, Command, StepError, known_keys
from dbtorch.adapters.template import broken, unknown
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.failures.scrub import named_secrets, passwords_of
from dbtorch.core.text import durations
from dbtorch.core.text.nearest import did_you_mean

#: Where dbtorch itself is imported from.
_ROOT = CHILD.parents[3]

#: Rendered only when there is an answer to speak of.
_LATE = ("url", "headers", "until", "fail_when")


#: What conditions know, and what those of `poll` know besides; its url and headers have functions.
_NAMES = ("status", "json", "text", "headers", "run", "params", "outputs", "target", "vars")
_NAMES_OF_POLL = (*_NAMES, "response", "sent_at")
_FUNCTIONS = ("env_var", "var")

#: It talks to a server, and leaves the project's database alone.
opens_database = False


def check(action: Any) -> None:
    """The action is a mapping with at least a ``url``."""
    if not isinstance(action, Mapping) or not action.get("url"):
        raise StepError("http must be a mapping with at least a url")
    known_keys(action, sorted(key.name for key in HTTP.keys), what="http")
    if "body" in action and "json" in action:
        raise StepError("http has both body and json; keep one of them")
    _check_common(action, what="http")
    _check_names(_condition(action.get("fail_when")), _NAMES, what="http.fail_when")
    poll = action.get("poll")
    if poll is None:
        return
    if not isinstance(poll, Mapping) or not isinstance(poll.get("until"), str):
        raise StepError('http.poll must be a mapping with an until, such as "json.done"')
    known_keys(poll, sorted(key.name for key in POLL.keys), what="http.poll")
    _check_common(poll, what="http.poll")
    for key in ("until", "fail_when"):
        _check_names(_condition(poll.get(key)), _NAMES_OF_POLL, what=f"http.poll.{key}")
    for key, text in {"url": poll.get("url"), **poll.get("headers", {})}.items():
        _check_names(text, (*_NAMES_OF_POLL, *_FUNCTIONS), what=f"{key} of http.poll")
    for key in ("every", "for"):
        if not _is_template(poll.get(key)):
            _seconds(poll.get(key, 1), what=f"http.poll.{key}")


def command(action: Any, call: Call) -> Command:
    """The child process, told what to send.

    It runs in dbtorch's own interpreter, which has what `until` and `fail_when` need. Headers
    and bodies travel through its standard input, because they carry secrets.
    """
    check(action)
    early = {key: value for key, value in action.items() if key not in ("poll", "fail_when")}
    request = request_of(call.render(early, native=False) | _json(action, call))
    request["fail_when"] = action.get("fail_when")
    if "idempotency-key" not in map(str.lower, request["headers"]):
        request["headers"]["Idempotency-Key"] = call.context["idempotency_key"]
    if "poll" in action:
        request["poll"] = _poll(action["poll"], call)
    job = {"kind": "http", "request": request, "context": call.context, "root": str(_ROOT)}
    return Command(
        argv=(sys.executable, "-u", str(CHILD)),
        stdin=json.dumps(job),
        result=True,
        secrets=_secrets(request, call),
    )


def _secrets(request: Mapping[str, Any], call: Call) -> tuple[str, ...]:
    """What of a request nobody may be shown, whoever says it back."""
    found = [*named_secrets(request["headers"]), *passwords_of(str(request["url"]))]
    if request["auth"]:
        user, _, password = request["auth"].partition(":")
        found += [password, f"{user}:{password}"]
    if "poll" in request:
        for name, value in request["poll"]["headers"].items():
            with contextlib.suppress(TemplateError):  # it speaks of an answer
                found += named_secrets({name: call.render(value)})
    # "Bearer", or another scheme, is none
    return tuple(text for one in found for text in (one, one.partition(" ")[2]) if text)


def _seconds(value: Any, *, what: str) -> float:
    try:
        found = durations.seconds(value)
    except ValueError as error:
        raise StepError(f"{what} is {value!r}; {error}") from None
    if found == 0:
        raise StepError(f"{what} is {value!r}; it must be longer than nothing")
    return found


def _check_common(action: Mapping[str, Any], *, what: str) -> None:
    if not isinstance(action.get("headers", {}), Mapping):
        raise StepError(f"{what}.headers must be a mapping of names to values")
    if not _is_template(action.get("timeout")):
        _seconds(action.get("timeout", 1), what=f"{what}.timeout")
    if not _is_template(action.get("expect")):
        _statuses(action.get("expect"), what=f"{what}.expect")
    if not _is_template(action.get("auth")):
        _auth(action.get("auth"))
    for key in ("until", "fail_when"):
        wrong = broken(str(action[key])) if action.get(key) else None
        if wrong:
            raise StepError(f"{what}.{key} is no expression: {wrong}")


def _check_names(template: Any, known: Sequence[str], *, what: str) -> None:
    """Refuse a name that is not there before anything is sent: later the job would have started."""
    for name in unknown(template, known) if isinstance(template, str) else ():
        hint = did_you_mean(name, known, quote="'") or f"; known are {', '.join(known)}"
        raise StepError(f"{what} speaks of {name!r}, which is not known there{hint}")


def _condition(said: Any) -> Any:
    """A condition as a template: it may be written without braces."""
    return f"{{{{ {said} }}}}" if isinstance(said, str) and not _is_template(said) else said


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _statuses(expect: Any, *, what: str) -> list[str]:
    """Statuses as text, ``2xx`` standing for a hundred of them."""
    if expect is None:
        return ["2xx"]
    found = [str(one) for one in (expect if isinstance(expect, (list, tuple)) else [expect])]
    for one in found:
        if not re.fullmatch(r"[1-5](\d\d|xx)", one):
            raise StepError(f"{what} must hold statuses such as 200 or 2xx, not {one!r}")
    return found


def _json(action: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """The body under ``json``, where a lone expression keeps its type."""
    if "json" not in action:
        return {}
    return {"body": json.dumps(call.render(action["json"], native=True))}


def request_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is sent, of what was said and rendered. Raises `StepError`."""
    headers = {str(name): str(value) for name, value in said.get("headers", {}).items()}
    if "json" in said and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/json"
    body = said.get("body")
    return {
        "url": said["url"],
        "method": str(said.get("method", "GET" if body is None else "POST")).upper(),
        "headers": headers,
        "auth": _auth(said.get("auth")),
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "expect": _statuses(said.get("expect"), what="http.expect"),
        "timeout": _seconds(said.get("timeout", 60), what="http.timeout"),
    }


def _auth(said: Any) -> str | None:
    """User and password of basic authentication, as ``user:password``."""
    if isinstance(said, (list, tuple)) and len(said) == 2:
        return f"{said[0]}:{said[1]}"
    if said is None or (isinstance(said, str) and ":" in said):
        return said
    raise StepError('http.auth must be [user, password] or "user:password"')


def _poll(said: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Its url, headers and conditions stay templates: they may speak of the first answer."""
    early = {key: value for key, value in said.items() if key not in _LATE}
    said = {**said, **call.render(early)}
    return {
        "url": said.get("url"),
        "method": str(said.get("method", "GET")).upper(),
        "headers": said.get("headers", {}),
        "expect": _statuses(said.get("expect"), what="http.poll.expect"),
        "timeout": _seconds(said.get("timeout", 60), what="http.poll.timeout"),
        "every": _seconds(said.get("every", 10), what="http.poll.every"),
        "for": _seconds(said.get("for", "1h"), what="http.poll.for"),
        "until": said["until"],
        "fail_when": said.get("fail_when"),
    }
