"""Takes files of a run to where every machine can read them, behind the back of the run.

Whoever hands a file over goes on at once. What cannot be uploaded is tried again, with waits that
grow, as long as the run goes on; at its end so long is waited as somebody says, and no longer: a
thread that hangs in a network is left behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dbtorch.core.history.uploaded import Uploaded
from dbtorch.ports.artifacts import Artifacts

#: Seconds before the first further try of a place that does not answer; twice as many each time.
_WAIT, _LONGEST_WAIT = 0.5, 30.0

#: Failures in a row after which somebody is told, and after which the end of a run gives up.
_TOLD_AFTER, _GIVEN_UP_AFTER = 2, 3

#: Size and time of a file: another one where it has been written since.
_Stamp: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _File:
    """A file to upload."""

    name: str  # within the run
    path: Path
    unless_there: bool  # an earlier execution has made it, and may have uploaded it


#: Seconds between two looks whether somebody is in a hurry.
_LOOK_EVERY = 0.25

#: What threads are called that use a network.
THREAD = "dbtorch-uploads"


def any_hangs() -> bool:
    """Whether a thread still uses the network after all uploads have been finished."""
    return any(thread.name == THREAD for thread in threading.enumerate())


class Uploads:
    """The files of one execution of a run on their way."""

    def __init__(
        self,
        artifacts: Artifacts,
        run_id: str,
        *,
        read: Callable[[Path], Iterable[bytes]],
        warn: Callable[[str], None],
    ) -> None:
        """``read`` answers what of a file may be uploaded, and raises `OSError`.

        ``warn`` is told at most once that something cannot be uploaded.
        """
        self._artifacts = artifacts
        self._run_id = run_id
        self._read = read
        self._warn = warn
        self._changed = threading.Condition()
        self._waiting: dict[str, _File] = {}
        self._under_way: dict[str, _File] = {}
        self._done: dict[str, _Stamp | None] = {}  # what each was like
        self._failures = 0  # in a row; of several files at the same time it is one
        self._not_before = 0.0  # when the next try may begin
        self._error = ""
        self._warned = False
        self._ending = False
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._there: dict[str, int] | None = None  # what earlier executions have uploaded
        self._asking = threading.Lock()

    @property
    def url(self) -> str:
        """Where the files of the run are, without secrets."""
        return f"{self._artifacts.url}/{self._run_id}"

    def has(self, name: str) -> bool:
        """Whether a file has been uploaded."""
        return name in self._done

    def add(self, name: str, path: Path, *, unless_there: bool = False) -> None:
        """Upload a file, again where it is not as it was; returns at once.

        With ``unless_there`` not if there is one of its name and size.
        """
        with self._changed:
            if self._closed or (name in self._done and self._done[name] == _stamp(path)):
                return
            self._waiting[name] = _File(name, path, unless_there)
            self._done.pop(name, None)
            at_once = len(self._waiting) + len(self._under_way)
            if len(self._threads) < min(self._artifacts.parallel, at_once):
                self._start()
            self._changed.notify()

    def finish(self, patience: float, hurry: Callable[[], float | None] = lambda: None) -> Uploaded:
        """Wait until everything is uploaded, ``patience`` seconds at most; nothing is afterwards.

        ``hurry`` answers how many seconds are left by now, where somebody says so. A place that
        refuses a few times more is not waited for.
        """
        until = time.monotonic() + patience
        with self._changed:
            self._ending, self._failures, self._not_before = True, 0, 0.0
            self._changed.notify_all()
            while self._waiting or self._under_way:
                rest, said = until - time.monotonic(), hurry()
                rest = rest if said is None else min(rest, said)
                if rest <= 0 or self._failures >= _GIVEN_UP_AFTER:
                    break
                self._changed.wait(min(rest, _LOOK_EVERY))
            left = len({*self._waiting, *self._under_way})
            self._closed = True
            self._changed.notify_all()
        found = Uploaded(url=self.url, files=len(self._done), left=left, error=self._error)
        if left and not self._warned:
            self._warned = True
            self._warn(_told(found))
        return found

    # ---------------------------------------------------------------- in threads

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (taken := self._next()) is not None:
            file, since = taken
            stamp = _stamp(file.path)
            try:
                if stamp is not None:  # an attempt that wrote no log
                    self._upload(file, stamp)
            except Exception as error:
                self._failed(file, since, str(error) or type(error).__name__)
            else:
                self._settle(file, stamp)

    def _upload(self, file: _File, stamp: _Stamp) -> None:
        if not file.unless_there or self._sizes().get(file.name) != stamp[0]:
            self._artifacts.put(self._run_id, file.name, self._read(file.path))

    def _sizes(self) -> dict[str, int]:
        with self._asking:
            if self._there is None:
                self._there = dict(self._artifacts.sizes(self._run_id))
            return self._there

    def _next(self) -> tuple[_File, int] | None:
        """The next file when one may be tried, and failures by then; None when there is none."""
        with self._changed:
            while not self._closed:
                rest = self._not_before - time.monotonic()
                name = next((one for one in self._waiting if one not in self._under_way), None)
                if name is not None and rest <= 0:
                    file = self._under_way[name] = self._waiting.pop(name)
                    return file, self._failures
                self._changed.wait(rest if name is not None else None)
            return None

    def _settle(self, file: _File, stamp: _Stamp | None) -> None:
        with self._changed:
            del self._under_way[file.name]
            self._failures, self._not_before = 0, 0.0
            if stamp is not None and file.name not in self._waiting:
                self._done[file.name] = stamp
            self._changed.notify_all()

    def _failed(self, file: _File, since: int, error: str) -> None:
        with self._changed:
            del self._under_way[file.name]
            self._waiting.setdefault(file.name, file)
            self._error = error
            if self._failures == since:
                self._failures += 1
                wait = min(_LONGEST_WAIT, _WAIT * 2 ** min(since, 10))
                self._not_before = time.monotonic() + wait
            says = self._failures >= _TOLD_AFTER and not (self._ending or self._warned)
            self._warned |= says
            self._changed.notify_all()
        if says:
            self._warn(
                f"files of the run cannot be uploaded to {self.url} ({error}); the run goes on,"
                " and it is tried again until its end"
            )


def _stamp(path: Path) -> _Stamp | None:
    """What a file is like; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _told(found: Uploaded) -> str:
    why = found.error or "there was no more time"
    total = found.left + found.files
    return f"{found.left} of {total} files of the run are not at {found.url}: {why}"
