"""A run that goes on from what dbt answered last time, until dbt has written what it reads now.

While nothing that the answer depends on has changed, dbt answers the same; so it is not asked a
second time, which would take as long as a build's own reading. The manifest that the first build
writes is compared with the earlier one, before anybody is told that the build is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from dbtorch.adapters.dbt.being_written import decoded
from dbtorch.core.errors import EngineError

#: What a manifest says of a node that depends on where, when and whether it was executed. Of dbt 1,
#: so do the macros among what a node depends on: those that it has called are added.
_PASSING = frozenset(
    {
        *("build_path", "compiled", "compiled_code", "compiled_path", "created_at"),
        *("extra_ctes", "extra_ctes_injected", "generated_sql_file"),
    }
)
_DEPENDS_ON, _MACROS = "depends_on", "macros"

#: Parts of a manifest that have such nodes.
_EXECUTED = frozenset({"nodes", "unit_tests", "functions"})

_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])

#: Seconds between two looks whether a manifest has been written.
_LOOK = 0.02


def manifest_digest(path: Path) -> str:
    """What a manifest says, in short: the same for the same code, whoever wrote it and when.

    Raises `EngineError` where it cannot be read.
    """
    try:
        parts = decoded(path, _PARTS.decode)
        said = hashlib.sha256()
        for name, content in parts.items():
            if name in _EXECUTED:
                _add_nodes(said, content)
            elif name != "metadata":
                said.update(b"\0".join((name.encode(), content, b"")))
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise EngineError(f"dbt's manifest {path} cannot be read ({error})") from error
    return said.hexdigest()


def _add_nodes(said: hashlib._Hash, content: msgspec.Raw) -> None:
    nodes = msgspec.json.decode(content, type=dict[str, dict[str, msgspec.Raw]])
    for id, node in nodes.items():
        said.update(b"\0".join((id.encode(), *_lasting(node), b"")))


def _lasting(node: Mapping[str, msgspec.Raw]) -> Iterator[bytes]:
    for key, value in node.items():
        if key == _DEPENDS_ON:
            said = msgspec.json.decode(value, type=dict[str, msgspec.Raw] | None) or {}
            yield from (part for name, part in said.items() if name != _MACROS)
        elif key not in _PASSING:
            yield from (key.encode(), value)


class Expected:
    """A manifest that is to be written as it was."""

    def __init__(self, digest: str, path: Path) -> None:
        """``path`` is where the earlier one lies, and dbt may write the same."""
        self._digest = digest
        self._path = path
        self._earlier = _stamp(path)

    def is_met(self, path: Path) -> bool | None:
        """Whether the manifest at ``path`` is that; None where no new one has been written."""
        if not self._is_new(path):
            return None
        try:
            return manifest_digest(path) == self._digest
        except EngineError:
            return False

    def _is_new(self, path: Path) -> bool:
        written = _stamp(path)
        return written is not None and (path != self._path or written != self._earlier)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What is another one once a file has been written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
