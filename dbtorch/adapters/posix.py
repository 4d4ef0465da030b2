"""Starting a process without `subprocess`.

For what is started before everything else: importing `subprocess` takes longer than all that is
needed until then, Python itself included.
"""

from __future__ import annotations

import os

from dbtorch.adapters.turns import InFront

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: SIGPIPE and SIGXFSZ, which Python ignores and no other program expects to find ignored.
_RESTORED = (13, 25)


def start(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: int | None = None,
    output: int | None = None,
) -> int:
    """Start a command as a session of its own, in the current folder; answers the process's id.

    ``output`` is for what it prints and for its errors; what is None is ``/dev/null``. A command
    without a slash is looked up in our own ``PATH``. Raises `OSError`.
    """
    given = [(0, stdin), (1, output), (2, output)]
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, file, number) for number, file in given if file is not None
    ]
    actions += [
        (os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0)
        for number, file in given
        if file is None
    ]
    said: dict[str, Any] = {"file_actions": actions, "setsigdef": _RESTORED}
    with InFront():
        try:
            return os.posix_spawnp(command[0], [*command], environ, setsid=True, **said)
        except NotImplementedError:  # a system whose sessions are made otherwise
            return os.posix_spawnp(command[0], [*command], environ, setpgroup=0, **said)


def has_ended(pid: int) -> bool:
    """Whether a process that was started here has ended; if so, it is forgotten."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def wait(pid: int) -> None:
    """Wait until a process that was started here has ended."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return
