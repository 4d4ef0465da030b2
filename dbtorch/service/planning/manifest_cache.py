"""Planning while dbt still reads the project, when it will answer what it did last time.

dbt takes seconds to import and parse. What it answered last time (`Selected`) is kept together with
a fingerprint of everything the answer depends on: options, files, environment variables. While the
fingerprint is the same, a run is planned from the kept answer and its first steps start at once;
with dbt 2, which reads fast, every run is planned so. dbt's own answer is compared as soon as it is
there; dbt nodes never start before that.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.failures.scrub import secrets_of
from dbtorch.ports.engine import Selected
from dbtorch.service.project.environment import PREFIXES
from dbtorch.version import VERSION

#: Options that make dbt's answer depend on more than the project.
_FOREIGN = frozenset({"--state", "--defer-state", "--no-partial-parse"})
_FOREIGN_VARIABLES = tuple(
    f"{prefix}{name}"
    for prefix in PREFIXES
    for name in ("STATE", "ARTIFACT_STATE_PATH", "DEFER_STATE")
)


class _Kept(msgspec.Struct):
    fingerprint: str
    digest: str  # of the answer: what a full disk or a crash has left of one is none
    selected: msgspec.Raw


class ManifestCache:
    """The kept answer for one set of options."""

    def __init__(
        self,
        project_dir: Path,
        words: Sequence[str],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``words`` is all that was asked of dbt, in order."""
        self._words = (*words, VERSION)
        self._environ = environ
        self._foreign = bool(_FOREIGN & set(words)) or any(map(environ.get, _FOREIGN_VARIABLES))
        name = hashlib.sha256("\0".join(self._words).encode()).hexdigest()[:16]
        self._path = state_dir(project_dir, environ) / "cache" / f"selected-{name}.json"

    def recall(self) -> Selected | None:
        """What dbt answered last time, if it must answer the same now."""
        if self._foreign:
            return None
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=_Kept)
            if kept.digest != _digest(kept.selected):
                return None
            selected = msgspec.json.decode(kept.selected, type=Selected, dec_hook=_decode)
            return selected if kept.fingerprint == self._fingerprint(selected) else None
        except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
            return None

    def keep(self, selected: Selected) -> None:
        """Keep an answer for the next time; a cache that cannot be written is no matter.

        One that does not say what it depends on is of no use.
        """
        if self._foreign or not selected.watched:
            return
        if any(secrets_of(variables) for variables in (selected.vars, selected.target)):
            return  # they would be in the file
        answer = msgspec.Raw(msgspec.json.encode(selected, enc_hook=str))
        draft = self._path.with_suffix(f".{os.getpid()}")
        try:
            fingerprint = self._fingerprint(selected)  # a file may vanish meanwhile
            kept = _Kept(fingerprint=fingerprint, digest=_digest(answer), selected=answer)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.touch(0o600)
            draft.write_bytes(msgspec.json.encode(kept))
            draft.replace(self._path)
        except OSError:
            return

    def forget(self) -> None:
        """Drop the kept answer; one that cannot be dropped is of no use either way."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _fingerprint(self, selected: Selected) -> str:
        seen = hashlib.sha256("\0".join(self._words).encode())
        of_dbt = (name for name in self._environ if name.startswith("DBT_"))  # options, too
        for name in sorted({"HOME", *of_dbt, *selected.env_vars}):
            seen.update(f"\0{name}={self._environ.get(name)}".encode(errors="replace"))
        for path in _files(selected.watched):
            found = path.stat()
            seen.update(f"\0{path} {found.st_size} {found.st_mtime_ns}".encode(errors="replace"))
        return seen.hexdigest()


def same(one: Selected, other: Selected) -> bool:
    """Whether two answers lead to the same plan."""
    return (
        one.manifest_hash == other.manifest_hash
        and one.selected == other.selected
        and set(one.selected_edges) == set(other.selected_edges)
        and set(one.edges) == set(other.edges)
        and one.selected_sources == other.selected_sources
        and one.resolved == other.resolved
        and one.freshness == other.freshness
        and (one.threads, one.fail_fast) == (other.threads, other.fail_fast)
        and (one.target, one.exclusive_file) == (other.target, other.exclusive_file)
        and (one.dbt_version, one.batches) == (other.dbt_version, other.batches)
    )


def _digest(answer: msgspec.Raw) -> str:
    return hashlib.sha256(bytes(answer)).hexdigest()


def _files(watched: Sequence[str]) -> Iterator[Path]:
    for name in watched:
        path = Path(name)
        if path.is_file():
            yield path
        for folder, below, files in os.walk(path):
            below.sort()
            yield from (found for file in sorted(files) if (found := Path(folder, file)).exists())


def _decode(type: object, value: object) -> object:
    if type is Path:
        return Path(str(value))
    raise NotImplementedError(type)
