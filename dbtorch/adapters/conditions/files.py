"""Looks at files: of the project's folder, or of whatever fsspec can reach."""

from __future__ import annotations

import glob
import importlib
import importlib.util
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from dbtorch.adapters.conditions.unknown import Unknown
from dbtorch.core.errors import Refused
from dbtorch.core.failures.scrub import Scrubber, passwords_of
from dbtorch.core.schedule.news import Observation

#: Files that one condition tells apart.
MOST = 1000

#: What file systems call what changes with a file's content, and the time when it was written.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "checksum")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there."""

    name: str
    word: str  # another one when the file is another one
    written_at: float | None  # Unix time


@dataclass(slots=True, kw_only=True)
class FileLooks:
    """Looks at files again and again, and knows since when each is as it is."""

    base: Path  # that paths are relative to
    clock: Any = time.time  # Unix time
    _since: dict[str, dict[str, float]] = field(default_factory=dict, init=False)

    def look(self, what: str, *, stable: float, marker: str = "") -> Observation:
        """Those that count, and those that are still changing. Raises `Unknown`."""
        if marker:
            found = [*_listed(_beside(what, marker), self.base)]
            return Observation(words=" ".join(one.word for one in found), text=_told(found))
        found = sorted(_listed(what, self.base), key=lambda one: one.name)
        if len(found) > MOST:
            raise Unknown(
                f"{_shown(what)} matches more than {MOST:,} files: use a narrower pattern, or a"
                " marker"
            )
        now = self.clock()
        before = self._since.get(what, {})
        since = self._since[what] = {one.word: before.get(one.word, now) for one in found}
        settled = [one for one in found if now - _unchanged_since(one, since, now) >= stable]
        young = [one.word for one in found if one not in settled]
        return Observation(
            words=" ".join(one.word for one in settled),
            pending=" ".join(young),
            text=_told(sorted(settled, key=lambda one: -(one.written_at or 0.0))),
        )


def check(text: str) -> None:
    """Raise `Refused` for what is no path or URL."""
    if "\n" in text or not text.strip():
        raise Refused("is no path")
    protocol, there, _ = text.partition("://")
    if there and not protocol.isalnum() and "::" not in text:
        raise Refused(f'begins with "{protocol}://", which is no protocol')


def _unchanged_since(one: Found, since: Mapping[str, float], now: float) -> float:
    """By its own time if that is not ahead of ours, else by when it was first seen so."""
    seen = since[one.word]
    return min(seen, one.written_at) if one.written_at and one.written_at <= now else seen


def _listed(what: str, base: Path) -> Iterator[Found]:
    if "://" in what:
        yield from _remote(what)
        return
    path = str(base / Path(what).expanduser()) + ("/" if what.endswith("/") else "")
    pattern = f"{glob.escape(path)}**" if what.endswith("/") else path
    try:
        for name in glob.iglob(pattern, recursive=True):  # noqa: PTH207  # of text that ends with /
            there = Path(name)
            if there.is_file():
                stat = there.stat()
                word = _word(name, stat.st_size, stat.st_mtime_ns, stat.st_ino)
                yield Found(name.removeprefix(f"{base}/"), word, stat.st_mtime)
    except FileNotFoundError:  # it has just gone
        return
    except OSError as error:
        raise Unknown(f"{what} cannot be read: {error.strerror}") from None


def _remote(url: str) -> Iterator[Found]:
    if importlib.util.find_spec("fsspec") is None:
        raise Unknown("a URL needs fsspec: pip install 'dbtorch[artifacts]'")
    core: Any = importlib.import_module("fsspec.core")
    try:
        files, path = core.url_to_fs(url)
        files.invalidate_cache()
        if _PATTERN.search(path):
            found = files.glob(path, detail=True)
        elif url.endswith("/"):
            found = files.find(path, detail=True)
        else:
            found = {path: files.info(path)} if files.exists(path) else {}
    except FileNotFoundError:
        return
    except Exception as error:
        hide = Scrubber(passwords_of(url))
        raise Unknown(f"{_shown(url)}: {hide(' '.join(str(error).split()))}") from None
    for name, info in found.items():
        if info.get("type", "file") == "file":
            version = next((info[key] for key in _VERSIONS if info.get(key)), "")
            time = next((info[key] for key in _TIMES if info.get(key)), None)
            yield Found(name, _word(name, info.get("size"), version, time), _seconds(time))


def _seconds(time: Any) -> float | None:
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            return None
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return float(time) if isinstance(time, int | float) else None


def _beside(what: str, marker: str) -> str:
    """The marker's path: in the folder of the files."""
    head = _PATTERN.split(what)[0]
    return f"{head[: head.rfind('/') + 1]}{marker}"


def _word(*parts: Any) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:8]


def _told(found: list[Found]) -> str:
    names = [one.name for one in found]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"file {names[0]}{more}" if names else ""


def _shown(url: str) -> str:
    return Scrubber(passwords_of(url))(url)
