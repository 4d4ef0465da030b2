"""Who starts a process asks the zygote for it, where that one can make it.

A dbtorch imports this before everything else: it must import nothing that Python does not start with.
"""

from __future__ import annotations

import _posixsubprocess
import _socket
import _thread
import array
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    #: The zygote for a command: its words, what is executed, the folder, the environment.
    Choose = Callable[[Sequence[str], str, str, Mapping[str, str]], "Zygote | None"]

#: ``DBTORCH_TEST_ZYGOTE=0`` starts everything as ever.
WANTED = "DBTORCH_TEST_ZYGOTE"

#: What follows an interpreter of another orchestrator whose dbts are to be copies; to Python it says
#: nothing.
BESIDE = ["-X", "beside"]

#: Bytes of a request and file descriptors that a socket takes in one go.
_MAX_BYTES, _MAX_FILES = 100_000, 200

#: Variables that count while Python starts, or while dbt is imported.
_EARLY = (
    *("PYTHON", "LD_", "LANG", "LC_", "MSGPACK_", "NETWORKX_", "OTEL_", "PROTOCOL_BUFFERS_"),
    *("DBT_RECORDER_", "DBT_ENGINE_RECORDER_", "DBT_MACRO_DEBUGGING", "DBT_PACKAGE_HUB_URL"),
    *("DBT_DOWNLOADS_DIR", "TZ"),
)
#: These do as well, and a copy follows them.
_FOLLOWED = ("PYTHONDONTWRITEBYTECODE",)


class Zygote:
    """The zygote of this process, which is a child of it."""

    def __init__(self, socket: int, environ: Mapping[str, str], python: str) -> None:
        """``socket`` is a file descriptor; the others are what the zygote was started with."""
        self.python = python
        self._socket = _socket.socket(fileno=socket)
        self._lock = _thread.allocate_lock()
        self._early = early(environ)
        self._owner = os.getpid()

    def fileno(self) -> int:
        """The file descriptor by which it is asked."""
        return self._socket.fileno()

    def start(
        self,
        words: Sequence[str],
        *,
        executable: str,
        cwd: str | None,
        environ: Mapping[str, str],
        files: Mapping[int, int],
        session: bool = False,
        group: int = -1,
    ) -> int | None:
        """Start a command; answers its process id, or None where it must be started as ever.

        ``files`` are open ones by the numbers they have there.
        """
        kind = kind_of(words, executable, self.python)
        folder = os.path.join(os.getcwd(), cwd or "")
        if not kind or early(environ) != self._early or len(files) > _MAX_FILES:
            return None
        if any(map(os.isatty, files.values())):
            return None
        asked = marshal.dumps(
            {
                "kind": kind,
                "executable": executable,
                "words": list(words),
                "cwd": folder,
                "environ": dict(environ),
                "files": list(files),
                "session": session,
                "group": group,
            }
        )
        if len(asked) > _MAX_BYTES or self._owner != os.getpid():
            return None
        return self._ask(asked, list(files.values()))

    def _ask(self, asked: bytes, files: list[int]) -> int | None:
        placed, place = os.pipe()  # as `subprocess` waits for `execve(2)`
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [*files, place]))
        try:
            with self._lock:
                self._socket.sendmsg([asked], [rights])
                os.close(place)
                place = -1
                answer = self._socket.recv(_MAX_BYTES)  # nothing: it is to be started as ever
            if answer:
                os.read(placed, 1)  # it leads its session and its group, or has ended
        except OSError:
            return None
        finally:
            os.close(placed)
            if place >= 0:
                os.close(place)
        return int(answer) if answer else None


def kind_of(words: Sequence[str], executable: str, python: str) -> str:
    """What is started: dbt, a dbtorch, who starts dbts, or nothing that an interpreter's zygote knows."""
    if list(words[1:3]) == BESIDE:
        return "beside"
    if executable == sys.executable and list(words[1:3]) == ["-m", "dbtorch"]:
        return "dbtorch"
    if executable != python:
        is_script = os.path.dirname(executable) == os.path.dirname(python)
        return "dbt" if is_script and os.path.basename(executable) == "dbt" else ""
    match words[1:3]:
        case ["-c", code] if "dbtorch_worker." in code or "dbt.cli.main" in code:
            return "dbt"
        case ["-m", "dbt.cli.main"]:
            return "dbt"
    return ""


def early(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a copy cannot follow."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(_EARLY) and name not in _FOLLOWED
    }


def install(choose: Choose) -> None:
    """Let this process start through a zygote what that one can make."""
    _posixsubprocess.fork_exec = _fork_exec(_posixsubprocess.fork_exec, choose)
    if "subprocess" in sys.modules:
        sys.modules["subprocess"]._fork_exec = _posixsubprocess.fork_exec  # type: ignore[attr-defined]


def _fork_exec(real: Any, choose: Choose) -> Any:
    def fork_exec(*given: Any) -> int:
        (words, executables, close_fds, keep, cwd, env, stdin, _, _, stdout, _, stderr, *rest) = (
            given
        )
        _, errors, _, session, group, gid, gids, uid, umask, before, *_ = rest
        as_ever = (gid, gids, uid, before) != (None, None, None, None) or umask != -1
        words = [os.fsdecode(word) for word in words]
        executable = os.fsdecode(executables[0])
        environ = dict(os.environ) if env is None else _decoded(env)
        folder = None if cwd is None else os.fsdecode(cwd)
        found = None
        if not as_ever and close_fds:
            found = choose(words, executable, folder or "", environ)
        if found is not None:
            files = {number: number for number in keep if number != errors}
            for number, file in enumerate((stdin, stdout, stderr)):
                files[number] = number if file == -1 else file
            pid = found.start(
                words,
                executable=executable,
                cwd=folder,
                environ=environ,
                files=files,
                session=bool(session),
                group=group,
            )
            if pid is not None:
                return pid
        return int(real(*given))

    return fork_exec


def _decoded(env: list[bytes]) -> dict[str, str]:
    pairs = (os.fsdecode(entry).partition("=") for entry in env)
    return {name: value for name, _, value in pairs}
