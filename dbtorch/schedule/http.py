"""What `serve` answers over HTTP: whether it is well, numbers, webhooks, and the pages."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from dbtorch.schedule.metrics import CONTENT_TYPE, Metrics
from dbtorch.schedule.state import ServeState
from dbtorch.schedule.webhooks import Webhooks
from dbtorch.web import server

#: Seconds without a turn after which the scheduler is stuck, and after which it is not ready.
_STUCK, _NOT_READY = 120.0, 30.0

#: Connections at a time, and seconds that one may take, all of its requests together.
MOST_CONNECTIONS, LONGEST = 100, 60.0


def application(
    state: ServeState,
    metrics: Metrics,
    hosts: list[str],
    webhooks: Webhooks | None = None,
    pages: Starlette | None = None,
) -> Starlette:
    """The answers, of which ``pages`` guard themselves. ``hosts`` are names it may be called by."""

    async def healthz(_: Request) -> Response:  # waits for no thread that the history keeps busy
        stuck = time.monotonic() - state.beat > _STUCK
        return PlainTextResponse("stuck\n" if stuck else "ok\n", 503 if stuck else 200)

    async def readyz(_: Request) -> Response:
        why = not_ready(state)
        return PlainTextResponse(f"{why or 'ready'}\n", 503 if why else 200)

    def numbers(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    routes: list[BaseRoute] = [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", numbers, methods=["GET"]),
    ]
    if webhooks is not None:
        routes.append(Route("/webhooks/{pipeline}", webhooks.answer, methods=["POST"]))
    if pages is not None:
        routes.append(Mount("/", pages))
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
    )


def not_ready(state: ServeState) -> str:
    """Why no run would start now; nothing if one would."""
    with state.lock:
        if state.problem:
            return "the history does not answer"
        if state.turned_at is None or time.monotonic() - state.beat > _NOT_READY:
            return "no turn of the scheduler has ended for a while"
        return "" if state.config_ok else "dbtorch.yml is broken"


def answering(app: Starlette, host: str, port: int, **more: Any) -> AbstractContextManager[int]:
    """Answer in a thread while it is open; yields the port. Raises `UsageError`."""
    return server.answering(app, host, port, http=_Connection, **more)


class _Connection(H11Protocol):  # type: ignore[misc]
    """One that may not keep a file of this process as long as it likes: runs need files, too."""

    _ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._ends = self.loop.call_later(LONGEST, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._ends is not None:
            self._ends.cancel()

    def _end(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._ends = self.loop.call_later(LONGEST, self._end)  # it is we who are slow
        else:
            self.transport.abort()
