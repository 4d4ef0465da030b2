"""SQLite: a file beside the project, one writer at a time and readers that never wait."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from dbtorch.core.errors import StoreError

#: Seconds to wait for another process that writes.
BUSY_TIMEOUT = 10.0


class SqliteDriver:
    """Implements `Driver` over the standard library's sqlite3."""

    error: type[Exception] = sqlite3.Error
    begin_read = "BEGIN"
    begin_write = "BEGIN IMMEDIATE"  # waits for other writers here, and nowhere later
    lock_rows = ""  # nobody else writes meanwhile
    concatenate = "group_concat"
    now = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000+00:00'"
    has_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
    lock_schema: str | None = None
    take_time: str | None = None
    waits_for_others = False  # but for who writes to the file, which another connection does, too

    def __init__(
        self, path: Path, *, busy_timeout: float = BUSY_TIMEOUT, writes: bool = True
    ) -> None:
        """What does not write reads a file that it may not write, too."""
        self.path = path
        self._writes = writes
        self.name = str(path)
        self._busy_timeout = busy_timeout
        self._opened: tuple[int, int] | None = None  # the file, whatever its name is by now

    def connect(self) -> sqlite3.Connection:
        """Open the file, making it if there is none. Raises `StoreError`."""
        if self._opened is not None and _file(self.path) is None:
            raise StoreError(f"the run history {self.path} is not there any more")
        connection = self._connect()
        self._opened = _file(self.path)
        return connection

    def _connect(self) -> sqlite3.Connection:
        if not self._writes and not _may_write(self.path):
            from dbtorch.adapters.store.sqlite_read_only import connect

            try:
                return connect(self.path, self._busy_timeout)
            except (sqlite3.Error, OSError) as error:
                raise StoreError(self.explain(error)) from error
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.row_factory = sqlite3.Row
            self._use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise StoreError(self.explain(error)) from error
        return connection

    def settle(self) -> None:
        """Move what was written from the log to the file, and both to the disk.

        The last connection would do so as it closes; what is missed here it still does.
        """
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # waits for nobody

    def sql(self, text: str) -> str:
        """The text itself: ``:name`` is SQLite's own notation."""
        return text

    def lost(self, connection: sqlite3.Connection) -> bool:
        """Never: a file does not hang up."""
        return False

    def moved(self) -> bool:
        """Whether somebody has put another file there, or none, while this one is only read.

        What is open would stay as it was for ever. Who writes keeps what it has begun with.
        """
        return not self._writes and self._opened != _file(self.path)

    def passes(self, error: Exception) -> bool:
        """Whether another program was writing, for longer than one statement waits."""
        return str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_BUSY")

    def explain(self, error: Exception) -> str:
        """What is wrong with the file, and what to do."""
        code = getattr(error, "sqlite_errorname", "") or ""
        for prefix, sentence in _SENTENCES.items():
            if code.startswith(prefix):
                return sentence.format(path=self.path, error=error)
        return f"the run history {self.path} does not work: {error}"

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite answers "locked" at once, without its busy timeout, when two processes
        # change the mode of a new file at the same moment.
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


def _file(path: Path) -> tuple[int, int] | None:
    """Which file has a name; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _may_write(path: Path) -> bool:
    """Whether the file may be written, and files of SQLite's own beside it."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


#: SQLite's result code, or how it begins -> what to say.
_SENTENCES = {
    "SQLITE_CANTOPEN": (
        "the run history {path} cannot be opened ({error}): check that its folder exists and may"
        " be written, or choose another place with --database-url"
    ),
    "SQLITE_PERM": "the run history {path} may not be opened ({error}): check its permissions",
    "SQLITE_READONLY": (
        "the run history {path} cannot be written ({error}): check the permissions of the file"
        " and its folder, or choose another place with --database-url"
    ),
    "SQLITE_NOTADB": (
        "the run history {path} is not a SQLite database: move the file away, or choose another"
        " place with --database-url"
    ),
    "SQLITE_CORRUPT": (
        "the run history {path} is damaged ({error}): move the file away and a new one is made"
    ),
    "SQLITE_BUSY": (
        "the run history {path} is locked by another process: try again when that is done"
    ),
    "SQLITE_LOCKED": (
        "the run history {path} is locked by another process: try again when that is done"
    ),
    "SQLITE_FULL": (
        "the run history {path} cannot grow ({error}): make room on the disk and try again"
    ),
    "SQLITE_IOERR": (
        "the run history {path} cannot be read or written ({error}): check the disk; a network"
        " drive is no place for SQLite, use Postgres there"
    ),
}
