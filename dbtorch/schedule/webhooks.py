"""Requests that start a pipeline, signed as standardwebhooks.com says.

What is checked first costs least, and nothing is read without end: a request has so many bytes and
so many seconds, and only so many are read at once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbtorch.adapters.template import render
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.config import Config
from dbtorch.core.errors import DbtorchError, StoreError, UsageError
from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.core.text.from_outside import Unreadable, json_value
from dbtorch.ports.store import Store
from dbtorch.schedule.log import Log
from dbtorch.service.schedule.trigger import trigger

#: Bytes and seconds that a body may have, and how many are read at once.
MOST_BYTES, MOST_SECONDS, MOST_AT_ONCE = 64 * 1024, 10.0, 16

#: Seconds by which the time that is signed may differ from ours.
TOLERANCE = 300.0

#: Characters that an id may have, and a secret must.
_LONGEST_ID, _SHORTEST_SECRET = 200, 16

#: What a secret may begin with that is the base64 of its bytes.
_PREFIX = "whsec_"


class Refusal(Exception):
    """A request that starts nothing."""

    def __init__(self, status: int, why: str, after: int | None = None) -> None:
        super().__init__(why)
        self.status, self.after = status, after


@dataclass(slots=True)
class _Hook:
    """The webhook of a pipeline."""

    secret: bytes
    rate: int  # a minute
    left: float
    filled_at: float

    def take(self, now: float) -> None:
        """Raise `Refusal` when more come than may."""
        self.left = min(self.rate, self.left + (now - self.filled_at) * self.rate / 60)
        self.filled_at = now
        if self.left < 1:
            raise Refusal(429, "too many requests", 1 + int((1 - self.left) * 60 / self.rate))
        self.left -= 1


@dataclass(slots=True, kw_only=True)
class Webhooks:
    """All of them. What is read of dbtorch.yml is replaced as a whole when that changes."""

    store: Store  # that waits for nobody else's use of it
    log: Log
    environ: Mapping[str, str]
    clock: Callable[[], float] = time.time  # Unix time
    _config: Config = field(default_factory=Config, init=False)
    _hooks: dict[str, _Hook] = field(default_factory=dict, init=False)
    _reading: int = field(default=0, init=False)
    _told_at: float = field(default=0.0, init=False)

    def use(self, config: Config) -> None:
        """From now on these are the pipelines."""
        hooks = {}
        for name, pipeline in config.pipelines.items():
            said = pipeline.on.webhook if pipeline.on is not None else None
            if said is None:
                continue
            try:
                secret = _secret(said.secret, self.environ)
            except (TemplateError, ValueError) as error:
                why = f"requests of it are refused: {error}"
                self.log.write("webhook_off", level="error", pipeline=name, message=why)
                continue
            old = self._hooks.get(name)
            left = float(said.rate) if old is None else min(old.left, said.rate)
            hooks[name] = _Hook(secret, said.rate, left, self.clock())
        self._config, self._hooks = config, hooks

    async def answer(self, request: Request) -> Response:
        """What is said to a request."""
        name = request.path_params["pipeline"]
        who = request.client.host if request.client is not None else ""
        try:
            body = await self._accepted(request, name)
            return JSONResponse(await run_in_threadpool(self._triggered, name, who, *body), 202)
        except Refusal as error:
            self._tell(name, who, error)
            more = {"Retry-After": str(error.after)} if error.after is not None else {}
            if error.status in (408, 413, 503):
                more["Connection"] = "close"  # the rest of it is read by nobody
            return JSONResponse({"error": str(error)}, error.status, headers=more)

    async def _accepted(self, request: Request, name: str) -> tuple[str, Any]:
        """Its id, and what it says. Raises `Refusal`."""
        hook = self._hooks.get(name)
        if hook is None:
            raise Refusal(404, "there is no such webhook")
        id, signed_at, signatures = _signed(request.headers, self.clock())
        if self._reading >= MOST_AT_ONCE:
            raise Refusal(503, "busy", 5)
        self._reading += 1
        try:
            body = await asyncio.wait_for(_body(request), MOST_SECONDS)
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {MOST_SECONDS:g} s") from None
        finally:
            self._reading -= 1
        expected = _signature(hook.secret, id, signed_at, body)
        if not any(hmac.compare_digest(expected, one) for one in signatures):
            raise Refusal(401, "the signature is not that of this request")
        hook.take(self.clock())
        return id, _params(body)

    def _triggered(self, name: str, who: str, id: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Write it down. Raises `Refusal`."""
        cause = Cause(kind=CauseKind.WEBHOOK, text="webhook", by=who, key=id)
        try:
            found = trigger(self.store, self._config, name, params, cause=cause)
        except UsageError as error:
            raise Refusal(422, str(error)) from None
        except StoreError:
            raise Refusal(503, "the history does not answer", 5) from None
        except DbtorchError as error:
            raise Refusal(422, str(error)) from None
        if found.before is not None:
            raise Refusal(409, "a request with this id was received before; nothing is new")
        self.log.write("webhook", pipeline=name, by=who, id=id)
        return {"pipeline": name, "state": "queued" if found.pause is None else "paused"}

    def _tell(self, name: str, who: str, error: Refusal) -> None:
        """Say so, but not of each of a flood."""
        now = time.monotonic()
        if now - self._told_at >= 1:
            self._told_at = now
            about = {"pipeline": name[:100], "by": who, "status": error.status}
            self.log.write("webhook_refused", level="warning", message=str(error), **about)


def _secret(said: str, environ: Mapping[str, str]) -> bytes:
    """The bytes to sign with. Raises `TemplateError`, `ValueError`."""
    text = str(render(said, env=environ, vars={}, run={}, outputs={})).strip()
    if len(text.removeprefix(_PREFIX)) < _SHORTEST_SECRET:
        raise ValueError(f"its secret is shorter than {_SHORTEST_SECRET} characters")
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"its secret begins with {_PREFIX} and is no base64") from None


def _signed(headers: Mapping[str, str], now: float) -> tuple[str, int, list[bytes]]:
    """Id, time and signatures of a request. Raises `Refusal`."""
    id, said = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (0 < len(id) <= _LONGEST_ID and id.isprintable() and id.isascii()):
        raise Refusal(401, "webhook-id is missing, or none")
    if not (said.isascii() and said.isdigit() and len(said) <= 12):
        raise Refusal(401, "webhook-timestamp is missing, or none")
    if abs(now - int(said)) > TOLERANCE:
        raise Refusal(401, f"webhook-timestamp is more than {TOLERANCE:g} s away")
    given = headers.get("webhook-signature", "").split(" ")[:10]
    signatures = [one[3:].encode() for one in given if one.startswith("v1,")]
    if not signatures:
        raise Refusal(401, "webhook-signature is missing, or none of v1")
    return id, int(said), signatures


def _signature(secret: bytes, id: str, at: int, body: bytes) -> bytes:
    digest = hmac.new(secret, f"{id}.{at}.".encode() + body, sha256).digest()
    return base64.b64encode(digest)


async def _body(request: Request) -> bytes:
    """All of it. Raises `Refusal` for one that is too long."""
    said = request.headers.get("content-length", "0")
    if not said.isdigit() or int(said[:20]) > MOST_BYTES:
        raise Refusal(413, f"the body has more than {MOST_BYTES:,} bytes")
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > MOST_BYTES:
            raise Refusal(413, f"the body has more than {MOST_BYTES:,} bytes")
    return bytes(found)


def _params(body: bytes) -> Mapping[str, Any]:
    """Parameters of the run. Raises `Refusal`."""
    if not body.strip():
        return {}
    try:
        said = json_value(body.decode())
    except (Unreadable, UnicodeDecodeError):
        raise Refusal(400, "the body is no JSON") from None
    params = said.get("params", {}) if isinstance(said, Mapping) else None
    if not isinstance(params, Mapping):
        raise Refusal(400, 'the body is no JSON object such as {"params": {"country": "de"}}')
    return params
