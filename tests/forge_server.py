"""A server that keeps comments of pull requests as GitHub, GitLab and Bitbucket do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "right"

#: Status, headers and body of an answer that is none of ours.
Trouble = tuple[int, dict[str, str], dict[str, Any]]


class ForgeServer(ThreadingHTTPServer):
    """Comments, a few on each page whatever somebody asks for, and every call it got."""

    daemon_threads = True
    per_page = 2

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.comments: list[dict[str, Any]] = []
        self.pulls: dict[str, str] = {}  # number -> state, as this forge calls it
        self.calls: list[str] = []
        self.trouble: list[Trouble | None] = []  # one for each of the next requests
        self.after_posting: Callable[[], Trouble] | None = None  # it is kept, and nobody hears so
        self.next_at = ""  # where the next page is said to be, if not here

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def said(self) -> list[str]:
        return [text_of(one) for one in self.comments]

    def say(self, text: str) -> None:
        self.comments.append({"id": len(self.comments) + 1, "body": text, "content": {"raw": text}})


def text_of(comment: dict[str, Any]) -> str:
    return str(comment["content"]["raw"])


class _Handler(BaseHTTPRequestHandler):
    server: ForgeServer

    def _any(self) -> None:
        where = urlsplit(self.path)
        self.server.calls.append(f"{self.command} {where.path}")
        size = int(self.headers.get("Content-Length") or 0)
        said = json.loads(self.rfile.read(size)) if size else {}
        trouble = self.server.trouble.pop(0) if self.server.trouble else None
        if trouble is not None:
            self._answer(*trouble)
        elif not self._allowed():
            self._answer(401, {}, {"message": "Bad credentials"})
        elif where.path.rpartition("/")[0].endswith(("/pulls", "_requests", "/pullrequests")):
            state = self.server.pulls.get(where.path.rpartition("/")[2])
            found = {"state": state} if state else {"message": "Not Found"}
            self._answer(200 if state else 404, {}, found)
        elif self.command == "GET":
            self._list(where.path, int(parse_qs(where.query).get("page", ["1"])[0]))
        else:
            self._keep(where.path, said.get("body") or said["content"]["raw"])

    do_GET = do_POST = do_PATCH = do_PUT = _any  # noqa: N815

    def _allowed(self) -> bool:
        return TOKEN in (
            self.headers.get("Authorization", "").removeprefix("Bearer "),
            self.headers.get("PRIVATE-TOKEN"),
        )

    def _list(self, path: str, page: int) -> None:
        size = self.server.per_page
        shown = self.server.comments[(page - 1) * size : page * size]
        more = page * size < len(self.server.comments)
        following = self.server.next_at or f"{self.server.url}{path}?page={page + 1}"
        if "repositories" in path:  # Bitbucket
            self._answer(200, {}, {"values": shown, **({"next": following} if more else {})})
            return
        self._answer(200, {"Link": f'<{following}>; rel="next"'} if more else {}, shown)

    def _keep(self, path: str, text: str) -> None:
        if self.command == "POST":
            self.server.say(text)
            if self.server.after_posting is not None:
                answer, self.server.after_posting = self.server.after_posting(), None
                self._answer(*answer)
                return
        else:
            number = int(path.rpartition("/")[2])
            (found,) = [one for one in self.server.comments if one["id"] == number]
            found |= {"body": text, "content": {"raw": text}}
        self._answer(201, {}, {"id": len(self.server.comments)})

    def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def forge_server() -> Iterator[ForgeServer]:
    with ForgeServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
