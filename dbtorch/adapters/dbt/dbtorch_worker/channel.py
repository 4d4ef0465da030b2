"""The private socket to the supervisor: JSON, one message a line."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]


class Channel:
    """Both directions of the private socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._lock = threading.Lock()
        self.incoming: queue.SimpleQueue[Message] = queue.SimpleQueue()
        #: Asked first, on the reader's thread; answers whether it has dealt with the message.
        self.at_once: Callable[[Message], bool] = lambda _: False
        #: Called when the supervisor is gone; this process ends afterwards.
        self.on_end: Callable[[], None] = lambda: None

    def listen(self) -> None:
        """Read messages in a thread of its own; a supervisor that is gone ends this process."""
        threading.Thread(target=self._read, name="dbtorch-channel", daemon=True).start()

    def send(self, type: str, **fields: Any) -> None:
        """Send one message; safe from any thread."""
        line = json.dumps({"type": type, **fields}, default=str).encode() + b"\n"
        with self._lock:
            self._socket.sendall(line)

    def _read(self) -> None:
        # A supervisor that is killed may leave half a line.
        with contextlib.suppress(OSError, ValueError), self._socket.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                if not self.at_once(message):
                    self.incoming.put(message)
        self.on_end()
        os._exit(70)


def leave(status: int) -> None:
    """End as Python does, but for taking everything apart, which takes its time."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
