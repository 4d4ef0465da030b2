"""Reading a history that may not be written: another user's, or on a disk that is read only."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import quote


def connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """The history as it is, with what is only in SQLite's log. Raises `sqlite3.Error`, `OSError`.

    Reading beside a writer takes files that the writer has made, or that may be made. Without a
    log the file alone is read. A log that its writer has left is read in a copy.
    """
    try:
        return _opened(path, "mode=ro", busy_timeout)
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if not log.exists() or log.stat().st_size == 0:
            return _opened(path, "immutable=1", busy_timeout)
        return _copied(path, log, busy_timeout)


def _opened(path: Path, how: str, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{how}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _copied(path: Path, log: Path, busy_timeout: float) -> sqlite3.Connection:
    with tempfile.TemporaryDirectory(prefix="dbtorch-") as folder:
        copy = Path(folder, path.name)
        shutil.copyfile(path, copy)
        shutil.copyfile(log, Path(folder, log.name))
        return _opened(copy, "mode=rw", busy_timeout)  # what is open stays when its name goes
