"""A run that goes on from what dbt answered last time, until dbt has written what it reads now.

While nothing that the answer depends on has changed, dbt answers the same; so it is not asked a
second time, which would take as long as a build's own reading. The manifest that the first build
writes is compared with the earlier one, before anybody is told that the build is over.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from dbtorch.adapters.dbt.process.written import Written, stamp
from dbtorch.ports import EngineError

#: What a manifest says of a resource that depends on where and when it was read, and on whether it
#: was executed. Of dbt 1, so do the macros among what a node depends on: those it has called.
_PASSING = frozenset(
    {
        *("build_path", "compiled", "compiled_code", "compiled_path", "created_at"),
        *("extra_ctes", "extra_ctes_injected", "generated_sql_file"),
    }
)

#: Seconds between two looks whether a manifest has been written.
_LOOK = 0.02

_DEPENDS_ON, _MACROS = "depends_on", "macros"


def manifest_digest(path: Path) -> str:
    """What a manifest says, in short: the same for the same code, whoever wrote it and when.

    Raises `EngineError` where it cannot be read.
    """
    try:
        parts = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        said = hashlib.sha256()
        for name, content in parts.items():
            if name != "metadata":
                said.update(b"\0".join((name.encode(), *_lasting(content), b"")))
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise EngineError(f"dbt's manifest {path} cannot be read ({error})") from error
    return said.hexdigest()


def _lasting(content: msgspec.Raw) -> Iterator[bytes]:
    """What stays the same of a part of the manifest: of resources by id, or of anything else."""
    if not _is_object(content):
        yield content
        return
    for id, resource in msgspec.json.decode(content, type=dict[str, msgspec.Raw]).items():
        yield id.encode()
        if not _is_object(resource):
            yield resource
            continue
        for key, value in msgspec.json.decode(resource, type=dict[str, msgspec.Raw]).items():
            if key == _DEPENDS_ON and _is_object(value):
                said = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
                yield from (part for name, part in said.items() if name != _MACROS)
            elif key not in _PASSING:
                yield from (key.encode(), value)


def _is_object(value: msgspec.Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"{"


class Expected:
    """A manifest that is to be written as it was."""

    def __init__(self, digest: str, path: Path) -> None:
        """``path`` is where the earlier one lies, and dbt may write the same."""
        self._digest = digest
        self._path = path
        self._earlier = stamp(path)
        self._digests = Written(manifest_digest)

    def is_met(self, path: Path) -> bool | None:
        """Whether the manifest at ``path`` is that; None where no new one has been written."""
        if not self._is_new(path):
            return None
        try:
            return self._digests.of(path) == self._digest
        except EngineError:
            return False

    def read_early(self, path: Path, is_over: Callable[[], bool]) -> None:
        """Read the manifest as soon as it is whole, while dbt takes its leave."""
        while not is_over():
            with contextlib.suppress(EngineError):
                if self._is_new(path):
                    self._digests.of(path)
                    return
            time.sleep(_LOOK)

    def _is_new(self, path: Path) -> bool:
        written = stamp(path)
        return written is not None and (path != self._path or written != self._earlier)
