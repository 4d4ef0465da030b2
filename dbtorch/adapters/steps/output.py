"""What a process prints goes to the log as it happens, without the values of secrets."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_HIDDEN = "*****"

#: Seconds for what was printed last to arrive; somebody outside the group may never stop.
_PATIENCE = 2.0


def hidden(value: Any, secrets: Iterable[str]) -> Any:
    """JSON, with secrets hidden in every text, keys included."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {hidden(key, secrets): hidden(one, secrets) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(one, secrets) for one in value]
    return value


class Output:
    """Where a process prints to: the log itself, or a pipe to it when there are secrets."""

    def __init__(self, log: Path, secrets: Iterable[str]) -> None:
        """Open the log. Raises `OSError`."""
        self._secrets = tuple(os.fsencode(secret) for secret in secrets)
        self._file = log.open("ab", buffering=0)
        self._thread: threading.Thread | None = None
        self.fd = self._file.fileno()  # for the process to write to
        if self._secrets:
            read, self.fd = os.pipe()
            self._thread = threading.Thread(target=self._copy, args=(read,), daemon=True)
            self._thread.start()

    def handed_over(self) -> None:
        """Let go of this side's end: the process has it, or could not be started."""
        if self._thread is None:
            self._file.close()
        else:
            os.close(self.fd)

    def drain(self) -> None:
        """Wait for what was printed; to be called when the process has ended."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _copy(self, read: int) -> None:
        with contextlib.suppress(OSError), open(read, "rb", buffering=0) as pipe, self._file:
            for chunk in scrubbed(iter(lambda: pipe.read(1 << 16), b""), self._secrets):
                self._file.write(chunk)


def scrubbed(chunks: Iterable[bytes], secrets: tuple[bytes, ...]) -> Iterator[bytes]:
    """The same bytes without secrets; held back is only what may be the beginning of one."""
    every = re.compile(b"|".join(re.escape(secret) for secret in secrets))
    held = b""
    for chunk in chunks:
        text = held + chunk
        sure = len(text) - _beginning(text, secrets)
        done, parts = 0, []
        for match in every.finditer(text):
            if match.start() >= sure:
                break  # it may be the beginning of a longer one
            parts += [text[done : match.start()], _HIDDEN.encode()]
            done = match.end()
        cut = max(done, sure)
        held = text[cut:]
        if said := b"".join([*parts, text[done:cut]]):
            yield said
    if held:
        yield every.sub(_HIDDEN.encode(), held)


def _beginning(text: bytes, secrets: tuple[bytes, ...]) -> int:
    """How many bytes at the end may be the beginning of a secret."""
    longest = min(len(text), max(len(secret) for secret in secrets) - 1)
    for length in range(longest, 0, -1):
        end = text[-length:]
        if any(len(secret) > length and secret.startswith(end) for secret in secrets):
            return length
    return 0
