"""The language server that editors have for YAML: what it underlines in a file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.environments import Unavailable
from tests.npm import node_modules

PACKAGE = "yaml-language-server@2.0.0"


class Editor:
    """An editor that has a folder open."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process, self._folder, self._last = process, folder, 0

    def begin(self) -> None:
        """Say what an editor says first."""
        folder = {"uri": self._folder.as_uri(), "name": "project"}
        self._send("initialize", processId=None, capabilities={}, workspaceFolders=[folder])
        self._until(lambda said: said.get("id") == self._last and "result" in said)
        self._tell("initialized")

    def underlined(self, name: str) -> list[tuple[int, str]]:
        """Lines of a file that are underlined, 1 is the first, and what is said of each."""
        path = self._folder / name
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1}
        self._tell("textDocument/didOpen", textDocument={**document, "text": path.read_text()})
        said = self._until(
            lambda said: (
                said.get("method") == "textDocument/publishDiagnostics"
                and said["params"]["uri"] == path.as_uri()
            )
        )
        return [
            (one["range"]["start"]["line"] + 1, one["message"])
            for one in said["params"]["diagnostics"]
        ]

    def _send(self, method: str, **params: Any) -> None:
        self._last += 1
        self._write({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})

    def _tell(self, method: str, **params: Any) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        body = json.dumps(message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _until(self, wanted: Any) -> dict[str, Any]:
        """The first message that is wanted; the server's own questions are answered with nothing."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            size = int(line.partition(b":")[2])
            while self._process.stdout.readline().strip():
                pass
            said: dict[str, Any] = json.loads(self._process.stdout.read(size))
            if "id" in said and "method" in said:
                empty = [None] * len(said["params"].get("items", ()))
                self._write({"jsonrpc": "2.0", "id": said["id"], "result": empty or None})
            if wanted(said):
                return said
        raise AssertionError("the language server has ended")


@contextmanager
def editor(folder: Path) -> Iterator[Editor]:
    """An editor with the language server; the test is skipped where that cannot be had."""
    try:
        command = [str(node_modules(PACKAGE) / ".bin" / "yaml-language-server"), "--stdio"]
    except Unavailable as reason:
        pytest.skip(str(reason))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        try:
            found = Editor(process, folder)
            found.begin()
            yield found
        finally:
            process.kill()
