"""Lets each process of pytest have a zygote of its own, once a test starts the first dbt."""

from __future__ import annotations

import itertools
import os
import platform
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.environments import cache
from tests.zygote.client import BESIDE, WANTED, Zygote, early, install, kind_of

#: Whether this system can have one.
CAN = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}


#: What a zygote of this process may have otherwise than this process: some tests want one order.
_SEED = "PYTHONHASHSEED"


class _Ours:
    """The zygotes of this process, by interpreter and by the variable that they differ in."""

    zygotes: dict[tuple[str, str], Zygote | None] = {}
    processes: list[subprocess.Popen[bytes]] = []
    lock = threading.Lock()


def choose(
    words: Sequence[str], executable: str, cwd: str, environ: Mapping[str, str]
) -> Zygote | None:
    """Who makes the process of a command, if anybody does."""
    python = sys.executable
    if words[1:3] == ["-m", "dbtorch"]:
        python = _driven(words, cwd) or python
    elif words[1:3] != BESIDE and executable.startswith(str(cache())):
        python = os.path.join(os.path.dirname(executable), "python")
    return zygote(environ, python) if kind_of(words, executable, python) else None


def _driven(words: Sequence[str], cwd: str) -> str:
    """The interpreter of ours that a project wants to drive; nothing where there is no other."""
    folder = dict(itertools.pairwise(words)).get("--project-dir", "")
    try:
        config = Path(os.getcwd(), cwd, folder, "dbtorch.yml").read_text()
    except (OSError, ValueError):
        return ""
    found = re.search(rf"\bpython: ({re.escape(str(cache()))}/[\w.-]+/bin/python)\b", config)
    return found[1] if found else ""


def zygote(environ: Mapping[str, str] = os.environ, python: str = sys.executable) -> Zygote | None:
    """The one there is for such an environment and that interpreter, or a new one."""
    if (
        not CAN
        or os.environ.get(WANTED) == "0"
        or _but_for_seed(environ) != _but_for_seed(os.environ)
    ):
        return None
    seed = environ.get(_SEED, "")
    with _Ours.lock:
        if (python, seed) not in _Ours.zygotes:
            _Ours.zygotes[python, seed] = None  # while it is started
            _Ours.zygotes[python, seed] = _started(python, {_SEED: seed} if seed else {})
        return _Ours.zygotes[python, seed]


def _but_for_seed(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in early(environ).items() if name != _SEED}


def _started(python: str, more: Mapping[str, str]) -> Zygote:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", _SEED)}
    environ = {**kept, **more}
    with theirs:
        process = subprocess.Popen(
            [python, str(Path(__file__).with_name("server.py")), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environ,
            pass_fds=(theirs.fileno(),),
        )
    _Ours.processes.append(process)
    return Zygote(ours.detach(), environ, python)


def zygote_pids() -> set[int]:
    """Process ids of the zygotes of this process."""
    return {process.pid for process in _Ours.processes}


def zygote_files() -> set[int]:
    """File descriptors by which they are asked."""
    return {found.fileno() for found in _Ours.zygotes.values() if found is not None}


def pytest_configure(config: pytest.Config) -> None:
    """From now on."""
    install(choose)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left."""
    for process in _Ours.processes:
        process.kill()
        process.wait()
