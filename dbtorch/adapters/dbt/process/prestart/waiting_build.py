"""A `dbt build` that reads the project while nobody knows yet what it is to build.

dbt 2 parses first and then reads the state that selects its nodes. Where that is a named pipe, it
waits there, with no connection open, until it is told. So the time in which it parses is not added
to the time in which another dbt lists what is selected.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable, stop
from dbtorch.adapters.dbt.process.dbt_cli.values import RUN_RESULTS

#: Seconds in which one that has looked up the name comes to the pipe, and before the second look;
#: the next ones have twice as long each, for it comes at once or not at all.
_LATEST, _LOOK = 60.0, 0.05


class WaitingBuild:
    """A build that waits to be told its nodes."""

    def __init__(self, executable: Executable, words: DbtArgs, folder: Path) -> None:
        """Start it. Raises `EngineError`, `OSError` where there are no named pipes."""
        self._path, self._pipe = folder / RUN_RESULTS, folder / "pipe"
        self._executable = executable
        self._make_pipe(folder)
        self._process = executable.start(("build", *words.batch(str(folder))))

    def go_on(self, folder: Path) -> subprocess.Popen[bytes] | None:
        """Tell it the nodes of a folder, beside the caller; None when it has ended by now."""
        if self._process.poll() is not None:
            self._executable.ended(self._process)
            return None
        try:
            content = (folder / RUN_RESULTS).read_bytes()
        except OSError:
            self.give_up()
            raise
        threading.Thread(target=self._tell, args=(content,), daemon=True).start()
        return self._process

    def give_up(self) -> None:
        """End it: it is of no use."""
        stop(self._process, signal.SIGKILL)
        self._executable.ended(self._process)

    def _tell(self, content: bytes) -> None:
        """Whether it comes there before this or after, it reads the same.

        On a disk that is full it is told through the pipe alone, or ended.
        """
        draft, written = self._path.with_suffix(".draft"), False
        with contextlib.suppress(OSError):
            draft.write_bytes(content)
            draft.replace(self._path)
            written = True
        pipe = self._end_of_pipe()
        if pipe is not None:
            os.set_blocking(pipe, True)
            with contextlib.suppress(OSError), os.fdopen(pipe, "wb") as file:
                file.write(content)  # unless it has ended: nobody reads
        elif not written:
            stop(self._process, signal.SIGKILL)

    def _make_pipe(self, folder: Path) -> None:
        """Make the folder's run_results.json a named pipe.

        The pipe has another name, too: the first is soon a file's.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for path in (self._path, self._pipe):
            path.unlink(missing_ok=True)
        os.mkfifo(self._pipe)
        self._path.hardlink_to(self._pipe)

    def _end_of_pipe(self) -> int | None:
        """The pipe, if it waits there; it may have found the name just before that was a file's."""
        until, patience = time.monotonic() + _LATEST, _LOOK
        while self._process.returncode is None and time.monotonic() < until:
            try:
                return os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody waits
                time.sleep(patience)
                patience *= 2
        return None
