"""Files of runs in whatever fsspec can reach: S3, GCS, Azure, SFTP, … Imported where it is used."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dbtorch.adapters.install_command import install_command
from dbtorch.core.errors import UsageError
from dbtorch.core.failures.scrub import Scrubber, passwords_of
from dbtorch.ports.artifacts import ArtifactMissing, ArtifactsError

#: Bytes of a file that go in one message, and are held in memory for it.
_IN_ONE = 8_000_000

#: File systems of fsspec that may be used by several threads at once.
_OF_MANY = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})

#: What fsspec is told where a user's configuration of it says nothing of the kind: we try again
#: ourselves, and tell people in the meantime.
_S3 = {
    "config_kwargs": {
        "retries": {"max_attempts": 1},
        "connect_timeout": 5,
        "read_timeout": 30,
    }
}
_TOLD: Mapping[str, Mapping[str, Any]] = {"s3": _S3, "s3a": _S3}

#: What file systems call the time when a file was written.
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")


def open_remote(url: str, protocol: str, under: str) -> RemoteArtifacts:
    """The files below a URL; ``under`` is the project's folder there. Asks nobody anything.

    Raises `UsageError` where a package is missing or fsspec knows no such protocol.
    """
    shown = Scrubber(passwords_of(url))(url)
    if importlib.util.find_spec("fsspec") is None:
        packages = ["'dbtorch[artifacts]'", *({"s3": ["s3fs"]}.get(protocol, []))]
        raise UsageError(_missing(shown, "fsspec", packages))
    known: Any = importlib.import_module("fsspec.registry")
    found = known.known_implementations.get(protocol)
    if found is None and protocol not in known.registry:
        raise UsageError(
            f"--artifacts-url {shown} begins with {protocol}, which fsspec does not know: use"
            " s3://, gs://, abfs:// or file://, or install the package that knows it"
        )
    package = found["class"].partition(".")[0] if found else "fsspec"
    if importlib.util.find_spec(package) is None:
        raise UsageError(_missing(shown, package, [package]))
    _refuse_malformed(url, shown)
    return RemoteArtifacts(url, shown, protocol, under)


def _refuse_malformed(url: str, shown: str) -> None:
    """Raise `UsageError` for what no file system could open, whatever the network is like."""
    for part in url.split("::"):
        try:
            urlsplit(part)
        except ValueError as error:
            raise UsageError(f"--artifacts-url {shown} is no URL: {error}") from None
    protocol, _, named = part.partition("://")
    if not named.strip("/") and protocol.lower() != "memory":
        raise UsageError(
            f"--artifacts-url {shown} names no bucket, host or folder: write s3://BUCKET/FOLDER"
        )


def _missing(url: str, package: str, packages: list[str]) -> str:
    command = install_command(sys.executable, packages)
    return f"--artifacts-url {url} needs {package}, which is not installed: `{command}`"


class RemoteArtifacts:
    """Implements `Artifacts`: ``<url>/<project>/<run id>/<name>``."""

    def __init__(self, url: str, shown: str, protocol: str, under: str) -> None:
        """``shown`` is the URL as people may see it."""
        self._url = url
        self._protocol = protocol
        self._under = under
        self._hide = Scrubber(passwords_of(url))
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self.url = _joined(shown, under)
        self.parallel = 4 if protocol in _OF_MANY and "::" not in url else 1

    def put(self, run_id: str, name: str, chunks: Iterable[bytes]) -> None:
        """A small file in one message; a large one from a copy, as it may go in parts."""
        with self._told(f"{run_id}/{name}"), tempfile.SpooledTemporaryFile(_IN_ONE) as copy:
            for chunk in chunks:
                copy.write(chunk)
            files, folder = self._there()
            path = _joined(folder, run_id, name)
            if self._has_folders(files):
                files.makedirs(path.rpartition("/")[0], exist_ok=True)
            size = copy.tell()
            copy.seek(0)
            if size <= _IN_ONE:
                files.pipe_file(path, copy.read())
                return
            with tempfile.NamedTemporaryFile() as whole:
                for piece in iter(lambda: copy.read(1 << 20), b""):
                    whole.write(piece)
                whole.flush()
                files.put_file(whole.name, path)

    def get(self, run_id: str, name: str, to: Path) -> None:
        """Fetch it; a file that is cut off is none."""
        with self._told(f"{run_id}/{name}"):
            files, folder = self._there()
            files.get_file(_joined(folder, run_id, name), str(to))

    def sizes(self, run_id: str) -> Mapping[str, int]:
        """List them."""
        with self._told(run_id):
            base = _joined(self._there()[1], run_id)
            return {_below(path, base): int(info["size"]) for path, info in self._listed(run_id)}

    def runs(self) -> list[str]:
        """List the folders."""
        with self._told(""):
            files, folder = self._there()
            files.invalidate_cache()
            try:
                found = files.ls(folder, detail=True)
            except FileNotFoundError:
                return []
            names = (one["name"].rstrip("/") for one in found if one["type"] == "directory")
            return sorted(name.rpartition("/")[2] for name in names)

    def written_at(self, run_id: str) -> datetime | None:
        """What its files say, as far as the file system knows."""
        with self._told(run_id):
            times = [_time(info) for _, info in self._listed(run_id)]
            return max((time for time in times if time is not None), default=None)

    def remove(self, run_id: str) -> None:
        """Remove the folder."""
        with self._told(run_id):
            files, folder = self._there()
            files.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                files.rm(_joined(folder, run_id), recursive=True)

    def _listed(self, run_id: str) -> list[tuple[str, dict[str, Any]]]:
        files, folder = self._there()
        files.invalidate_cache()
        try:
            return list(files.find(_joined(folder, run_id), detail=True).items())
        except FileNotFoundError:
            return []

    def _there(self) -> tuple[Any, str]:
        """The file system, and the project's folder in it; importing it may take a second."""
        with self._lock:
            if self._opened is None:
                core: Any = importlib.import_module("fsspec.core")
                files, root = core.url_to_fs(self._url, **self._told_fsspec())
                self._opened = files, _joined(root, self._under)
            return self._opened

    def _told_fsspec(self) -> dict[str, Any]:
        config: Any = importlib.import_module("fsspec.config")
        said = config.conf.get(self._protocol, {})
        ours = _TOLD.get(self._protocol, {})
        return {key: value for key, value in ours.items() if key not in said}

    def _has_folders(self, files: Any) -> bool:
        """Whether a folder must be there before a file; of a bucket it would be asked each time."""
        return self._protocol not in _OF_MANY or self._protocol == "memory"

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say what fsspec lets through of every protocol: anything at all."""
        try:
            yield
        except ArtifactsError:
            raise
        except FileNotFoundError as error:
            why = self._hide(str(error)) or "there is no such file"
            raise ArtifactMissing(f"{self.url}/{what}: {why}") from None
        except Exception as error:
            why = self._hide(" ".join(str(error).split())) or type(error).__name__
            raise ArtifactsError(f"{self.url}/{what}: {why}") from None


def _joined(*parts: str) -> str:
    """A path of parts, of which some may be empty."""
    return "/".join(part.rstrip("/") for part in parts if part)


def _below(path: str, base: str) -> str:
    return path.lstrip("/").removeprefix(base.lstrip("/")).lstrip("/")


def _time(info: Mapping[str, Any]) -> datetime | None:
    found = next((info[name] for name in _TIMES if info.get(name)), None)
    readers: dict[type, Callable[[Any], datetime]] = {
        str: datetime.fromisoformat,
        float: lambda seconds: datetime.fromtimestamp(seconds, UTC),
        int: lambda seconds: datetime.fromtimestamp(seconds, UTC),
    }
    try:
        time = found if isinstance(found, datetime) else readers[type(found)](found)
    except (KeyError, ValueError):
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
