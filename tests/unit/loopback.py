"""A real HTTP server on the loopback interface that answers what it was told to."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import parse_headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], Any]


class Server(ThreadingHTTPServer):
    """Answers what it was told to, in order, the last answer again and again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, str, dict[str, str], str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def says(self, path: str, *answers: Answer | int) -> None:
        full = [(one, {}, None) if isinstance(one, int) else one for one in answers]
        self.answers[path] = full


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers, body))
        path = self.path.partition("?")[0]
        waiting = self.server.answers.get(path, [(404, {}, "nothing here")])
        status, headers, said = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        text = said if isinstance(said, str) else "" if said is None else json.dumps(said)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815  # the base class's names

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers while the block runs."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def trickling(head: bytes) -> Iterator[tuple[str, int]]:
    """A server that never comes to an end, and never says nothing for long; its host and port."""
    stop = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(head)
            while not stop.wait(0.05):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            stop.set()
            thread.join()


def take_request(connection: socket.socket) -> None:
    """Read a whole request: who closes over what nobody has read resets the connection."""
    with connection.makefile("rb") as file:
        file.readline()
        file.read(int(parse_headers(file).get("Content-Length") or 0))


@contextmanager
def answering(*parts: bytes) -> Iterator[str]:
    """A server that says these bytes to whoever comes, as fast as they are taken."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    take_request(connection)
                    for part in parts:
                        connection.sendall(part)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            stop.set()
            thread.join()
