"""Whatever a server answers to a step or to an alert, it is an outcome: in time, and no traceback."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from dbtorch.adapters.notify.webhook import Webhook
from dbtorch.adapters.steps import request
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.ports.notifier import NotDelivered
from dbtorch.step import Fail, Retry
from tests.alerts import a_delivery, a_failure
from tests.unit.evil import TEXTS
from tests.unit.loopback import take_request

STATUSES = ("200 OK", "204 No", "302 Found", "307 X", "401 No", "404 No", "429 Slow", "503 Busy")
ODD_STATUSES = ("", "abc", "-1 X", "99999999999 X", "100 Continue", "199 X", "999 \xff")
HEADERS = ("Retry-After", "Date", "Content-Length", "Location", "Content-Type", "Transfer-Encoding")
BODIES = ('{"state": "done", "id": 7}', "<html>", "\xff\xfe\x00", "[1e999, NaN]", "[" * 5000)
DATES = ("Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 0001 00:00:00 +1400", "Fri, 99 Foo")


def answers(chance: random.Random) -> bytes:
    """An answer that is wrong in some places, and sometimes no answer at all."""
    status = chance.choice(STATUSES if chance.random() < 0.8 else ODD_STATUSES)
    body = chance.choice([*BODIES, *TEXTS]).encode("utf-8", "replace")[:50_000]
    lines = [f"HTTP/1.1 {status}"]
    for name in chance.sample(HEADERS, chance.randrange(4)):
        value = chance.choice([*TEXTS, *DATES, "chunked", "/", "http://[", str(len(body))])
        lines.append(f"{name}: {value[:70_000]}")
    if chance.random() < 0.5:
        lines.append(f"Content-Length: {len(body)}")
    written = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body
    if chance.random() < 0.2:
        place = chance.randrange(len(written))
        written = written[:place] + chance.randbytes(9) + written[place:]
    return written[: chance.randrange(len(written))] if chance.random() < 0.2 else written


class RawServer:
    """Takes connections, reads what comes first, and says exactly what it was given."""

    def __init__(self) -> None:
        self.says = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/job"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, suppress(OSError):
                    take_request(connection)
                    connection.sendall(self.says)


@pytest.fixture
def server() -> Iterator[RawServer]:
    found = RawServer()
    yield found
    found.close()


def ended(server: RawServer, *ours: type[Exception]) -> Callable[..., Exception | None]:
    """Does something that asks the server; answers its own kind of failure, and lets no other."""

    def do(what: Callable[[], object]) -> Exception | None:
        try:
            json.dumps(what(), allow_nan=False)
        except ours as error:
            return error
        except BaseException as error:
            error.add_note(f"{server.says[:300]!r}")
            raise
        return None

    return do


def test_any_answer_to_an_alert(server: RawServer) -> None:
    chance, delivery = random.Random(14), a_delivery(a_failure(), notifier="webhook", address="")
    do = ended(server, NotDelivered)
    for _ in range(300):
        server.says = answers(chance)
        error = do(lambda: Webhook(server.url, "s", timeout=5.0).deliver(delivery, None))
        if isinstance(error, NotDelivered):
            assert error.retry_after is None or 0 <= error.retry_after < 10**10
            assert str(error)


CONTEXT = {
    "vars": {},
    "params": {},
    "outputs": {},
    "target": {},
    "run_id": "r1",
    "pipeline": "daily",
    "logical_date": "2026-03-01T00:00:00+00:00",
    "data_interval_start": "2026-03-01T00:00:00+00:00",
    "data_interval_end": "2026-03-02T00:00:00+00:00",
    "previous_success_end": None,
    "partition": None,
}


def asked(url: str, **more: object) -> dict[str, object]:
    return {
        "method": "GET",
        "url": url,
        "headers": {},
        "auth": None,
        "body": None,
        "timeout": 5.0,
        "expect": ["2xx"],
        "fail_when": "json.state | default('') == 'failed'",
        **more,
    }


def test_any_answer_to_a_step(server: RawServer) -> None:
    chance = random.Random(41)
    do = ended(server, Retry, Fail, request.Refused, request.NotInTime, TemplateError)
    for _ in range(300):
        server.says = answers(chance)
        poll = {
            **asked("{{ response.headers.location | default('') }}"),
            "until": "json.state == 'done'",
            "every": 0.0,
            "for": 0.0,
        }
        more = {"poll": poll} if chance.random() < 0.3 else {}
        error = do(lambda more=more: request.run(asked(server.url, **more), CONTEXT))
        if error is not None:
            assert str(error).strip()
            after = getattr(error, "after", None)
            assert after is None or 0 <= after < 10**10
