"""Where lines go: a stream that may go away at any time."""

from __future__ import annotations

import contextlib
import os
from typing import TextIO

from dbtorch.cli.text.terminal import encodable, shown


class Output:
    """Writes to a stream, and goes quiet when nobody reads it any more.

    A run goes on when the reader of its output has left (``dbtorch run | head``).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._open = True

    @property
    def open(self) -> bool:
        """Whether somebody still reads."""
        return self._open

    def line(self, text: str = "") -> None:
        """Write one line, or several with their own line breaks in between."""
        self.write(f"{shown(text)}\n")

    def write(self, text: str) -> None:
        """Write and flush, so that a line is there when it happens; orders to a terminal too."""
        if not self._open:
            return
        try:
            self._stream.write(encodable(text, self._stream))
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            self._fall_silent()

    def _fall_silent(self) -> None:
        """Stop writing; let what is buffered go nowhere, or Python complains about it at exit."""
        self._open = False
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)
