"""One exchange with a server, all of it in one budget of time, and its answer whole or not at all.

A time-out of a socket is one of each read: a server that sends a byte now and then holds its client
for ever. So whatever talks over a connection of a `Budget` is cut off when that is used up.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

#: Bytes of a body that are read at once.
_PIECE = 1 << 16

#: Seconds more that a single read may have, should nothing cut it off.
_MARGIN = 5.0


class Broken(http.client.HTTPException):
    """An answer that is not whole; the text says so."""


class TooLong(Broken):
    """An answer of which nobody has said that it may be so long."""


class Budget:
    """So many seconds for everything that is done over its connections.

    >>> with Budget(10) as budget:
    ...     budget.connect(("example.com", 25))

    When they are over, connections are cut off, and leaving the block raises `TimeoutError`.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._over = False
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        late = self._over or (error is not None and time.monotonic() >= self._until)
        if late and (error is None or isinstance(error, Exception)):
            raise self._used_up() from None

    def left(self) -> float:
        """Seconds that are left. Raises `TimeoutError` when there are none."""
        found = self._until - time.monotonic()
        if found <= 0:
            raise self._used_up()
        return found

    def connect(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """A connection, as `socket.create_connection` makes them. Raises `OSError`."""
        failed: OSError | None = None
        for family, type, proto, _name, where in self._resolved(*address):
            connection = socket.socket(family, type, proto)
            try:
                connection.settimeout(self.left())
                connection.connect(where)
                connection.settimeout(self.left() + _MARGIN)  # it is cut off before that
                self._watch(connection)
            except OSError as error:
                connection.close()
                failed = error
            else:
                return connection
        raise failed or OSError(f"{address[0]} has no address")

    def _resolved(self, host: str, port: int) -> list[Any]:
        """Addresses; nothing can interrupt a resolver, so one that does not answer is left."""
        found: list[Any] = []
        failed: list[Exception] = []

        def resolve() -> None:
            try:
                found.extend(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
            except Exception as error:  # a name of 64 letters between dots is a UnicodeError
                failed.append(error)

        thread = threading.Thread(target=resolve, daemon=True)
        thread.start()
        thread.join(self.left())
        if failed:
            raise failed[0]
        if not found:
            raise self._used_up()
        return found

    def _watch(self, connection: socket.socket) -> None:
        """Keep a second handle: the first one may become another object (TLS), or be closed."""
        with self._lock:
            if self._over:
                raise self._used_up()
            self._connections.append(connection.dup())

    def _cut(self) -> None:
        with self._lock:
            self._over = True
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has gone by itself
                    continue

    def _used_up(self) -> TimeoutError:
        return TimeoutError(f"it took longer than {self._seconds:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    reason: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def exchange(
    request: urllib.request.Request, budget: Budget, *, most: int, whole: bool = True
) -> Answer:
    """Send a request and read its answer, of which a body may have ``most`` bytes.

    Redirects are answers like any other. Proxies are those of the environment. Without ``whole``
    the body is not read. Raises `OSError`, `http.client.HTTPException` (`Broken` is one) and
    `ValueError` for what cannot be sent.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _Plain(budget), _Secure(budget)):
        opener.add_handler(handler)
    response = opener.open(request, timeout=budget.left())
    if response is None:
        raise ValueError(f"{request.type} is not spoken here")
    answer = cast("http.client.HTTPResponse", response)
    with answer:
        body = _body(answer, most) if whole else b""
    names = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(status=answer.status, reason=answer.reason or "", headers=names, body=body)


def _body(answer: http.client.HTTPResponse, most: int) -> bytes:
    """All of a body; `Broken` when it ends before its end, or is too long."""
    said = answer.headers.get("Content-Length", "")
    chunked = bool(answer.chunked)
    if said and not chunked and answer.length is None:
        raise Broken(f"the answer has a Content-Length that is none: {said[:40]!r}")
    if (answer.length or 0) > most:
        raise TooLong(f"the answer has {answer.length:,} bytes, and at most {most:,} are read")
    found = bytearray()
    try:
        while piece := answer.read(_PIECE):
            found += piece
            if len(found) > most:
                raise TooLong(f"the answer has more than the {most:,} bytes that are read")
    except http.client.IncompleteRead:  # in chunks
        raise Broken("the answer was cut off") from None
    if answer.length:  # of what was promised
        raise Broken(f"the answer was cut off after {len(found):,} bytes of {said}")
    return bytes(found)


class _Plain(urllib.request.HTTPHandler):
    """Opens http:// with connections of a budget."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Send it."""
        return self.do_open(_Within, req, budget=self._budget)  # type: ignore[arg-type]


class _Secure(urllib.request.HTTPSHandler):
    """Opens https:// with connections of a budget."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Send it."""
        return self.do_open(_WithinTls, req, budget=self._budget)  # type: ignore[arg-type]


class _Whole(http.client.HTTPResponse):
    """An answer whose headers end with an empty line; `http.client` takes any end for one."""

    def begin(self) -> None:
        """Read status and headers. Raises `Broken`."""
        seen = _Seen(self.fp)
        self.fp = cast("io.BufferedReader", seen)
        try:
            super().begin()
        finally:
            self.fp = seen.file
        if seen.last.strip(b"\r\n") or not seen.last:
            self.close()
            raise Broken("the answer was cut off in its headers")


class _Seen:
    """A file of which it is known what the last line was."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        """Read a line."""
        self.last = self.file.readline(limit)
        return self.last

    def close(self) -> None:
        """`http.client` closes it when it has read nonsense."""
        self.file.close()


class _Within(http.client.HTTPConnection):
    """A connection of a budget."""

    response_class = _Whole

    def __init__(self, host: str, *, budget: Budget, **more: Any) -> None:
        super().__init__(host, **more)
        self._create_connection = budget.connect


class _WithinTls(http.client.HTTPSConnection):
    """A connection of a budget, with TLS."""

    response_class = _Whole

    def __init__(self, host: str, *, budget: Budget, **more: Any) -> None:
        super().__init__(host, context=ssl.create_default_context(), **more)
        self._create_connection = budget.connect

    def connect(self) -> None:
        """Connect; its end counts only when the other side has said that this is the end."""
        super().connect()
        cast("Any", self.sock).suppress_ragged_eofs = False
