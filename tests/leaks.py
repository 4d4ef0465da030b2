"""Whatever a test leaves open in its process fails that test, and not one that comes later."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tests.zygote.plugin import zygote_files, zygote_pids

_FILES = Path("/proc/self/fd")
_TASKS = Path("/proc/self/task")


def open_things() -> set[str]:
    """Threads, processes that were started here, and open files; where the system tells of them."""
    found = {f"thread {one.name} ({one.ident})" for one in threading.enumerate()}
    if sys.platform != "linux":
        return found
    for tasks in _TASKS.glob("*/children"):
        with suppress(OSError):  # the thread has just ended
            found |= {f"process {pid}" for pid in tasks.read_text().split()}
    for number in os.listdir(_FILES):  # noqa: PTH208 (it is done for every test)
        with suppress(OSError):  # what has just listed them
            found.add(f"file {number}: {_FILES.joinpath(number).readlink()}")
    ours = {f"process {pid}" for pid in zygote_pids()} | {f"file {one}" for one in zygote_files()}
    return {one for one in found if one.partition(":")[0] not in ours}


#: What fixtures of more than a test have opened.
_shared: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """Fixtures of more than a test may come up while one runs."""
    before = open_things() if fixturedef.scope != "function" else None
    try:
        return (yield)
    finally:
        if before is not None:
            _shared.update(open_things() - before)


def _path(thing: str) -> str:
    return thing.partition(": ")[2]


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Nothing that is opened in the block is open a moment after it."""
    before = open_things()
    yield

    def left() -> set[str]:
        found = open_things() - before - _shared
        # SQLite closes no file on which another connection of the process has a lock: it keeps it
        databases = {_path(one) for one in before | _shared if one.endswith(".db")}
        return {one for one in found if _path(one) not in databases}

    if left():
        gc.collect()  # what only a circle of references holds is not the test's
    assert eventually(lambda: not left()), f"it leaves open: {sorted(left())}"
