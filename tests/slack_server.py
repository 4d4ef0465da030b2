"""A server that behaves like Slack's Web API and its incoming webhooks, on the loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

TOKEN = "xoxb-1-right"
CHANNELS = {"#data": "C0000DATA", "#ops": "C00000OPS"}
PEOPLE = {"ana@example.com": "U0000ANA"}

#: Takes over one request: is given the handler, and says whether it has answered.
Trouble = Callable[["_Handler"], bool]


class Slack(ThreadingHTTPServer):
    """Keeps messages as Slack would show them, and every call it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.trouble: list[Trouble] = []  # one for each of the next requests
        self.always: Trouble | None = None
        self.may_look = True
        self.closing = threading.Event()  # nobody waits for an answer any more
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/"

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/services/T0/B0/right"

    def called(self, method: str) -> list[dict[str, Any]]:
        return [said for name, said in self.calls if name == method]

    def top_level(self) -> list[dict[str, Any]]:
        return [one for one in self.messages if "thread_ts" not in one]

    def thread(self, ts: str) -> list[dict[str, Any]]:
        return [one for one in self.messages if one.get("thread_ts") == ts]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""

    # ------------------------------------------------------------ Slack's methods

    def answer(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            known = {
                "chat.postMessage": self._post,
                "chat.update": self._update,
                "users.lookupByEmail": self._person,
                "conversations.history": self._history,
                "conversations.replies": self._history,
            }
            if method not in known:
                return _error("unknown_method")
            return known[method](said)

    def _post(self, said: dict[str, Any]) -> dict[str, Any]:
        channel = CHANNELS.get(said["channel"], said["channel"])
        if channel not in {*CHANNELS.values(), *PEOPLE.values()}:
            return _error("channel_not_found")
        if (wrong := _wrong_blocks(said)) is not None:
            return wrong
        thread = said.get("thread_ts")
        if thread is not None and thread not in {one["ts"] for one in self.messages}:
            return _error("thread_not_found")
        ts = f"1700000000.{len(self.messages):06d}"
        kept = {**said, "channel": channel, "ts": ts}
        self.messages.append(kept)
        return {"ok": True, "channel": channel, "ts": ts, "message": {}}

    def _update(self, said: dict[str, Any]) -> dict[str, Any]:
        if not said["channel"].startswith("C"):
            return _error("channel_not_found")  # names are not taken here
        if (wrong := _wrong_blocks(said)) is not None:
            return wrong
        for message in self.messages:
            if (message["channel"], message["ts"]) == (said["channel"], said["ts"]):
                message.update(text=said["text"], blocks=said["blocks"], edited=True)
                return {"ok": True, "channel": said["channel"], "ts": said["ts"], "text": ""}
        return _error("message_not_found")

    def _person(self, said: dict[str, Any]) -> dict[str, Any]:
        id = PEOPLE.get(said["email"])
        return _error("users_not_found") if id is None else {"ok": True, "user": {"id": id}}

    def _history(self, said: dict[str, Any]) -> dict[str, Any]:
        if not self.may_look:
            return _error("missing_scope")
        if said["channel"] not in CHANNELS.values():
            return _error("channel_not_found")
        thread = said.get("ts")
        found = [
            one
            for one in self.messages
            if one["channel"] == said["channel"]
            and (one.get("thread_ts") == thread or (thread and one["ts"] == thread))
        ]
        return {"ok": True, "messages": found[::-1]}


class _Handler(BaseHTTPRequestHandler):
    server: Slack

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.said = self._said()
        path = self.path.partition("?")[0]
        self.method = path.rpartition("/")[2]
        self.server.calls.append((self.method, self.said))
        trouble = self.server.trouble.pop(0) if self.server.trouble else self.server.always
        if trouble is not None and trouble(self):
            return
        if path.startswith("/services/"):
            self._webhook(path)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(200, _error("invalid_auth"))
        else:
            self.reply(200, self.server.answer(self.method, self.said))

    do_GET = do_POST  # noqa: N815  # the base class's names

    def _webhook(self, path: str) -> None:
        if not path.endswith("/right"):
            self.reply(404, "no_service")
        elif _wrong_blocks(self.said) is not None:
            self.reply(400, "invalid_blocks")
        else:
            self.server.messages.append({**self.said, "ts": str(len(self.server.messages))})
            self.reply(200, "ok")

    def reply(self, status: int, said: Any, headers: dict[str, str] | None = None) -> None:
        text = said if isinstance(said, str) else json.dumps(said)
        kind = "text/html" if isinstance(said, str) else "application/json; charset=utf-8"
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _said(self) -> dict[str, Any]:
        if "json" in (self.headers.get("Content-Type") or ""):
            return json.loads(self.body)
        return {name: values[0] for name, values in parse_qs(self.body).items()}

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


def _wrong_blocks(said: dict[str, Any]) -> dict[str, Any] | None:
    """Slack's limits: https://docs.slack.dev/reference/block-kit/blocks."""
    blocks = said.get("blocks", [])
    if len(blocks) > 50:
        return _error("invalid_blocks")
    for block in blocks:
        texts = [block.get("text"), *block.get("elements", []), *block.get("fields", [])]
        for text in filter(None, texts):
            if not 1 <= len(text["text"]) <= 3000:
                return _error("invalid_blocks")
    return None


def _error(name: str) -> dict[str, Any]:
    return {"ok": False, "error": name}


# -------------------------------------------------------------------- troubles


def rate_limited(seconds: int) -> Trouble:
    def trouble(handler: _Handler) -> bool:
        handler.reply(429, _error("ratelimited"), {"Retry-After": str(seconds)})
        return True

    return trouble


def broken(handler: _Handler) -> bool:
    handler.reply(500, "<html>Server Error</html>")
    return True


def drops(handler: _Handler) -> bool:
    """The connection ends without an answer, and nothing was done."""
    handler.close_connection = True
    return True


def arrives_and_drops(handler: _Handler) -> bool:
    """The message arrives, its answer does not."""
    handler.server.answer(handler.method, handler.said)
    handler.close_connection = True
    return True


def slow(seconds: float) -> Trouble:
    def trouble(handler: _Handler) -> bool:
        handler.server.closing.wait(seconds)
        return False

    return trouble


@contextmanager
def slack_server() -> Iterator[Slack]:
    """Slack, while the block runs."""
    with Slack() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
