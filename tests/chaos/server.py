"""A Postgres of one's own, that may be stopped at any moment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.waiting import PATIENCE

#: Where Debian puts what is not for everybody's PATH.
_DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None where no server is installed."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


class Server:
    """A running server; databases in it are made by name."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._programs = programs
        self.port = _free_port()
        # initdb refuses to be root
        self._who: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []}
            if os.getuid() == 0
            else {}
        )
        if self._who:
            shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "-D", self._data, "-U", "dbtorch", "-A", "trust", "-E", "UTF8")
        self.start()

    @property
    def url(self) -> str:
        """Address of the database everybody has."""
        return self.database("postgres")

    def database(self, name: str) -> str:
        """Address of a database."""
        return f"postgresql://dbtorch@127.0.0.1:{self.port}/{name}"

    def make(self, name: str) -> str:
        """Make a database anew; answers its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"drop database if exists {name} with (force)")  # type: ignore[arg-type]
            connection.execute(f"create database {name}")  # type: ignore[arg-type]
        return self.database(name)

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
        }
        words = " ".join(f"-c {key}={value}" for key, value in settings.items())
        self._run("pg_ctl", "-D", self._data, "-w", "-l", self._log, "-o", words, "start")

    def crash(self) -> None:
        """Stop it at once: every connection breaks, and it has to recover when it starts."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *words: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, words)],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would be inherited by the server, and never end
            **self._who,
        )


@contextmanager
def own_server() -> Iterator[Server]:
    """A new server, gone afterwards."""
    found = programs()
    if found is None:
        raise RuntimeError("there is no initdb: install Postgres")
    folder = Path(tempfile.mkdtemp(prefix="dbtorch-postgres-"))
    folder.chmod(0o711)
    server = Server(folder, found)
    try:
        yield server
    finally:
        with suppress(subprocess.CalledProcessError):
            server.crash()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_up(url: str, *, seconds: float = PATIENCE) -> None:
    """Return when a server takes connections again."""
    until = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
