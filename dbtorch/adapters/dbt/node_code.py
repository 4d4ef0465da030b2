"""The code of one node and what is written about it, out of dbt's last artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from dbtorch.adapters.dbt.being_written import decoded
from dbtorch.core.errors import EngineError
from dbtorch.core.model.graph import Kind

#: Characters of a code that are read; nobody reads more of it on a page.
_MOST = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCode:
    """One resource, as the last manifest says it."""

    raw: str = ""
    compiled: str = ""  # empty where dbt has not compiled it
    description: str = ""
    relation: str = ""
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)  # what somebody has written of it
    columns: tuple[Mapping[str, str], ...] = ()  # name, type, description
    tests: tuple[str, ...] = ()  # ids of tests that look at it


class _Column(msgspec.Struct):
    name: str = ""
    data_type: str | None = None
    description: str | None = None


class _Resource(msgspec.Struct):
    raw_code: str | None = None
    compiled_code: str | None = None
    compiled_path: str | None = None
    package_name: str = ""
    original_file_path: str = ""
    description: str | None = None
    relation_name: str | None = None
    tags: list[str] = []
    unrendered_config: dict[str, Any] = {}
    columns: dict[str, _Column] = {}


class _Manifest(msgspec.Struct):
    nodes: dict[str, msgspec.Raw] = {}
    sources: dict[str, msgspec.Raw] = {}
    exposures: dict[str, msgspec.Raw] = {}
    unit_tests: dict[str, msgspec.Raw] = {}
    saved_queries: dict[str, msgspec.Raw] = {}
    functions: dict[str, msgspec.Raw] = {}
    child_map: dict[str, list[str]] = {}


def read_node_code(target_path: Path, id: str) -> NodeCode | None:
    """What dbt's last manifest says of a node; None where it, or its manifest, is not there.

    Raises `EngineError` for a manifest that is none.
    """
    path = target_path / "manifest.json"
    try:
        manifest = decoded(path, partial(msgspec.json.decode, type=_Manifest))
        found = next((one[id] for one in _all(manifest) if id in one), None)
        if found is None:
            return None
        resource = msgspec.json.decode(found, type=_Resource)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise EngineError(f"dbt's manifest {path} cannot be read ({error})") from error
    return NodeCode(
        raw=(resource.raw_code or "")[:_MOST],
        compiled=(resource.compiled_code or _compiled(target_path, resource))[:_MOST],
        description=resource.description or "",
        relation=resource.relation_name or "",
        tags=tuple(resource.tags),
        config=resource.unrendered_config,
        columns=tuple(
            {
                "name": column.name or name,
                "type": column.data_type or "",
                "description": column.description or "",
            }
            for name, column in resource.columns.items()
        ),
        tests=tuple(
            one
            for one in dict.fromkeys(manifest.child_map.get(id, ()))
            if Kind.of(one) in (Kind.TEST, Kind.UNIT_TEST)
        ),
    )


def _all(manifest: _Manifest) -> Iterator[dict[str, msgspec.Raw]]:
    yield from (manifest.nodes, manifest.sources, manifest.exposures)
    yield from (manifest.unit_tests, manifest.saved_queries, manifest.functions)


def _compiled(target_path: Path, resource: _Resource) -> str:
    """What dbt has compiled it to, where the manifest does not say; never a file from elsewhere."""
    if not resource.package_name or not resource.original_file_path.endswith(".sql"):
        return ""
    folder = (target_path / "compiled").resolve()
    path = (folder / resource.package_name / resource.original_file_path).resolve()
    if not path.is_relative_to(folder):
        return ""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
