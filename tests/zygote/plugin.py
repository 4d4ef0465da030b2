"""Lets each process of pytest have a zygote of its own, once a test starts the first dbt."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.zygote.client import WANTED, Zygote, early, install

#: Whether this system can have one.
CAN = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}


#: What a zygote of this process may have otherwise than this process: some tests want one order.
_SEED = "PYTHONHASHSEED"


class _Ours:
    """The zygotes of this process, by the variable that they differ in."""

    zygotes: dict[str, Zygote | None] = {}
    processes: list[subprocess.Popen[bytes]] = []
    lock = threading.Lock()


def zygote(environ: Mapping[str, str] = os.environ) -> Zygote | None:
    """The one there is for such an environment, or a new one."""
    if (
        not CAN
        or os.environ.get(WANTED) == "0"
        or _but_for_seed(environ) != _but_for_seed(os.environ)
    ):
        return None
    seed = environ.get(_SEED, "")
    with _Ours.lock:
        if seed not in _Ours.zygotes:
            _Ours.zygotes[seed] = None  # while it is started
            _Ours.zygotes[seed] = _started({_SEED: seed} if seed else {})
        return _Ours.zygotes[seed]


def _but_for_seed(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in early(environ).items() if name != _SEED}


def _started(more: Mapping[str, str]) -> Zygote:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", _SEED)}
    environ = {**kept, **more}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py")), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environ,
            pass_fds=(theirs.fileno(),),
        )
    _Ours.processes.append(process)
    return Zygote(ours.detach(), environ)


def zygote_pids() -> set[int]:
    """Process ids of the zygotes of this process."""
    return {process.pid for process in _Ours.processes}


def zygote_files() -> set[int]:
    """File descriptors by which they are asked."""
    return {found.fileno() for found in _Ours.zygotes.values() if found is not None}


def pytest_configure(config: pytest.Config) -> None:
    """From now on."""
    install(zygote)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left."""
    for process in _Ours.processes:
        process.kill()
        process.wait()
