"""A ``dbtorch`` for shells of tests: what one types is started by pytest, so that it may be a copy.

A copy is a child of who asks its zygote, and a shell does not. The command that the shell finds hands its
words, its folder, its environment and its open files to pytest, and ends as what that has started.
"""

from __future__ import annotations

import marshal
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.zygote.plugin import CAN

_MAX_BYTES = 200_000

_COMMAND = """\
#!{python} -IS
import marshal, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
    asked.connect({path!r})
    job = marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ)))
    socket.send_fds(asked, [job], [0, 1, 2])
    sys.exit(int(asked.recv(20) or 1))
"""


@contextmanager
def command_for_shells() -> Iterator[str]:
    """A folder for ``PATH``, with the command in it where there are copies; it works in the block."""
    with ExitStack() as left:
        folder = left.enter_context(TemporaryDirectory())  # the path of a socket must be short
        if not CAN:
            yield folder
            return
        path, command = Path(folder, "socket"), Path(folder, "dbtorch")
        command.write_text(_COMMAND.format(python=sys.executable, path=str(path)))
        command.chmod(0o755)
        listening = left.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, folder))
        thread.start()
        try:
            yield folder
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, folder: str) -> None:
    """One at a time, as a shell waits for each."""
    while True:
        try:
            asked, _ = listening.accept()
        except OSError:  # it is shut down
            return
        with asked:
            content, files, _, _ = socket.recv_fds(asked, _MAX_BYTES, 3)
            asked.send(b"%d" % _run(marshal.loads(content), files, folder))


def _run(job: Any, files: list[int], folder: str) -> int:
    words, cwd, environ = job
    kept = [one for one in environ.get("PATH", "").split(os.pathsep) if one != folder]
    environ["PATH"] = os.pathsep.join(kept)
    with ExitStack() as opened:
        for file in files:
            opened.callback(os.close, file)
        stdin, stdout, stderr = files
        done = subprocess.run(
            [sys.executable, "-m", "dbtorch", *words],
            cwd=cwd,
            env=environ,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            check=False,
        )
    return done.returncode % 256
