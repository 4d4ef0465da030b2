"""Answering HTTP: on which address, by which names, and to whom."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dbtorch.core.errors import UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette

#: Names by which a server on loopback may be called: another one is a page of somebody else's that
#: had its name lead here.
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

#: Characters of a token that somebody has thought of, at least.
_SHORTEST = 16

#: Connections at once: more are refused, so that files are left for everything else of a process.
_MOST = 500

#: Seconds that answers under way have when the server ends: those of pages that watch never end.
_PATIENCE = 1


def hosts_of(host: str, more: tuple[str, ...]) -> list[str]:
    """Names by which it may be called: those that were said, and on loopback its own."""
    own = [host] if host not in ("0.0.0.0", "::") else []  # noqa: S104
    return [*_LOOPBACK, *own, *more]


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_of(said: str, environ: Mapping[str, str]) -> str:
    """The token that a reader must have, as it is said or configured. Raises `UsageError`."""
    token = said or environ.get("DBTORCH_UI_TOKEN", "")
    if token and len(token) < _SHORTEST:
        raise UsageError(
            f"--token has {len(token)} characters: use {_SHORTEST} or more, or leave it out for"
            " a new one"
        )
    return token


def root_path_of(text: str) -> str:
    """What a proxy has put in front of all addresses. Raises `UsageError`."""
    if text and not text.startswith("/"):
        raise UsageError(f"--root-path is {text!r}: it begins with a slash, as in /dbtorch")
    return text.rstrip("/")


@contextmanager
def answering(app: Starlette, host: str, port: int, **more: Any) -> Iterator[int]:
    """Answer in a thread while it is open; yields the port. ``more`` is for uvicorn.

    Raises `UsageError`.
    """
    import uvicorn

    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not each who was refused
    listener = _listener(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST,
        timeout_graceful_shutdown=_PATIENCE,
        **more,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, args=([listener],), name="dbtorch-http", daemon=True
    )
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        app.state.ending = True  # pages that watch would never let it end
        server.should_exit = True
        thread.join(5)
        listener.close()


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise UsageError(
            f"nothing can be answered on {host}, port {port} ({why}): choose another --port"
        ) from error
