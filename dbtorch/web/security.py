"""Who is answered: pages of this server, programs with its token, and nobody else's pages."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def cookie_of(token: str) -> str:
    """What holds a token in a browser: ports of a machine share cookies, so each has its own."""
    return f"dbtorch_token_{hashlib.sha256(token.encode()).hexdigest()[:8]}"


_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
        " object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

#: Needed by who has no token yet.
_OPEN = ("/static/", "/token", "/api/v1/session")


class Guard:
    """Refuses what comes from other sites, and with a ``token`` whoever has not got it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """An empty token: everybody who reaches the server may read."""
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refusal(HTTPConnection(scope))
        await (refused or self._app)(scope, receive, with_headers)

    def _refusal(self, request: HTTPConnection) -> ASGIApp | None:
        if request.scope["method"] not in ("GET", "HEAD") and not _is_own(request):
            return PlainTextResponse("another site may not do this\n", 403)
        if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
            return PlainTextResponse("there is no such address\n", 400)  # and no name has it
        path = request.url.path.removeprefix(request.scope.get("root_path", ""))
        if not self._token or path.startswith(_OPEN) or may_act(request, self._token):
            return None
        if path.startswith("/api/"):
            return JSONResponse({"error": "the token is missing, or another one"}, 401)
        return PlainTextResponse(
            "open the address that `dbtorch ui` has printed: its token is missing here\n", 401
        )


def may_act(request: HTTPConnection, token: str) -> bool:
    """Whether it comes with the token."""
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    found = said if kind.lower() == "bearer" else request.cookies.get(cookie_of(token), "")
    return is_same(str(found), token)


def is_same(token: str, known: str) -> bool:
    """Whether it is the token, in a time that says nothing about it."""
    return hmac.compare_digest(token.encode(), known.encode())


def _is_own(request: HTTPConnection) -> bool:
    """Whether it comes from a page of this server, or from no browser at all."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return bool(site in ("same-origin", "none"))
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")
