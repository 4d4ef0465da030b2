"""What may be done at a page, by whoever has the token, and by no page of another site."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dbtorch.core.errors import UsageError
from dbtorch.core.text.from_outside import Unreadable, json_value
from dbtorch.service.wish import wish_of
from dbtorch.web.security import may_act

#: Bytes of what is posted, at most.
_MOST_BYTES = 64 << 10


class NotAllowed(UsageError):
    """What nobody may do here."""


class NoJson(UsageError):
    """A body of another type."""


async def act(request: Request) -> Response:
    """Do something as its command does, or with ``"dry_run": true`` name that alone.

    Raises `NotAllowed`, `UsageError`, and what the command raises.
    """
    site = request.app.state.site
    if not site.key:
        raise NotAllowed("nobody may act here: start it with a token (--token)")
    if not may_act(request, site.key):
        return JSONResponse({"error": "the token is missing, or another one"}, 401)
    said = await body_of(request)
    dry_run = isinstance(said, dict) and said.pop("dry_run", False) is True
    wish = wish_of(said)
    command = await run_in_threadpool(site.command, wish)
    if dry_run:
        return JSONResponse({"command": command})
    done = await run_in_threadpool(site.perform, wish)
    return JSONResponse({"command": command, "said": list(done)})


async def body_of(request: Request) -> Any:
    """What a request says in JSON. Raises `NoJson`, `UsageError`."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise NoJson("JSON is expected: Content-Type: application/json")
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > _MOST_BYTES:
            raise UsageError(f"the body has more than {_MOST_BYTES} bytes")
    try:
        return json_value(found.decode())
    except (Unreadable, UnicodeDecodeError):
        raise UsageError("the body is no JSON") from None
