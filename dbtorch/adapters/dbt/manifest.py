"""manifest.json, as far as dbtorch reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dbtorch.adapters.dbt.being_written import decoded
from dbtorch.core.errors import EngineError
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Kind, Node


class _DependsOn(msgspec.Struct):
    nodes: list[str] = []


class _Config(msgspec.Struct):
    materialized: str | None = None
    meta: dict[str, Any] = {}
    group: str | None = None
    on_error: Any = None
    incremental_strategy: Any = None
    full_refresh: Any = None


class _Owner(msgspec.Struct):
    name: str | None = None
    email: str | list[str] | None = None


class _Resource(msgspec.Struct):
    unique_id: str
    name: str
    resource_type: str
    package_name: str = ""
    original_file_path: str = ""
    patch_path: str | None = None
    description: str | None = ""
    tags: list[str] = []
    meta: dict[str, Any] = {}
    config: _Config = msgspec.field(default_factory=_Config)
    depends_on: _DependsOn = msgspec.field(default_factory=_DependsOn)
    group: str | None = None
    owner: _Owner | None = None
    source_name: str = ""
    source_meta: dict[str, Any] = {}
    freshness: Any = None


class _Group(msgspec.Struct):
    name: str
    owner: _Owner = msgspec.field(default_factory=_Owner)


class _Link(msgspec.Struct):
    """Something that nobody executes and that others depend on."""

    depends_on: _DependsOn = msgspec.field(default_factory=_DependsOn)


class _Manifest(msgspec.Struct):
    nodes: dict[str, _Resource] = {}
    sources: dict[str, _Resource] = {}
    exposures: dict[str, _Resource] = {}
    unit_tests: dict[str, _Resource] = {}
    saved_queries: dict[str, _Resource] = {}
    functions: dict[str, _Resource] = {}
    groups: dict[str, _Group] = {}
    metrics: dict[str, _Link] = {}
    semantic_models: dict[str, _Link] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Every resource of a project and dbt's own edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    freshness: Mapping[str, Thresholds]  # of sources that have it


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.json; unknown keys are ignored, as later versions of its schema add some.

    Raises `EngineError` for what is none.
    """
    try:
        return decoded(path, decode_manifest)
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        what = getattr(error, "strerror", None) or error
        raise EngineError(
            f"dbt's manifest {path} cannot be read ({what}); "
            "see that there is room on the disk, and run again"
        ) from error


def decode_manifest(content: bytes) -> Manifest:
    """Decode the content of a manifest.json."""
    manifest = _decoded(content)
    owners = {group.name: _owner(group.owner) for group in manifest.groups.values()}
    resources = list(_resources(manifest))
    nodes = tuple(_node(resource, owners) for resource in resources)
    known = {node.id for node in nodes}
    links = {**manifest.metrics, **manifest.semantic_models}
    edges = tuple(
        (parent, resource.unique_id)
        for resource in resources
        for parent in dict.fromkeys(_parents(resource.depends_on.nodes, known, links))
    )
    return Manifest(nodes=nodes, edges=edges, freshness=dict(_thresholds(manifest.sources)))


def _decoded(content: bytes) -> _Manifest:
    try:
        return msgspec.json.decode(content, type=_Manifest)
    except msgspec.DecodeError as error:
        try:  # dbt 1 writes NaN and Infinity (`.nan` in a YAML file), which are no JSON
            found = json.loads(content, parse_constant=lambda _: None)
        except ValueError:
            raise error from None
        return msgspec.convert(found, _Manifest)


#: Seconds of dbt's periods.
_PERIODS = {"minute": 60, "hour": 3600, "day": 86_400}


def _thresholds(sources: dict[str, _Resource]) -> Iterator[tuple[str, Thresholds]]:
    for id, source in sources.items():
        said = source.freshness if isinstance(source.freshness, dict) else {}
        warn, error = _seconds(said.get("warn_after")), _seconds(said.get("error_after"))
        if warn is not None or error is not None:
            yield id, Thresholds(warn_after=warn, error_after=error)


def _seconds(limit: Any) -> float | None:
    """A threshold in seconds; None where there is none."""
    said = limit if isinstance(limit, dict) else {}
    count, period = said.get("count"), _PERIODS.get(str(said.get("period")))
    return count * period if isinstance(count, int) and period is not None else None


def _parents(ids: list[str], known: set[str], links: dict[str, _Link]) -> Iterator[str]:
    """Parents among the known; an exposure of a metric comes after the metric's models."""
    for id in ids:
        if id in known:
            yield id
        elif id in links:
            yield from _parents(links[id].depends_on.nodes, known, links)


_KINDS = {kind.value: kind for kind in Kind}


def _resources(manifest: _Manifest) -> Iterator[_Resource]:
    for found in (
        manifest.nodes,
        manifest.sources,
        manifest.exposures,
        manifest.unit_tests,
        manifest.saved_queries,
        manifest.functions,
    ):
        for resource in found.values():
            if resource.resource_type in _KINDS:
                yield resource


def _node(resource: _Resource, owners: dict[str, str]) -> Node:
    meta = {**resource.meta, **resource.config.meta}
    own, whole = meta.get("dbtorch"), resource.source_meta.get("dbtorch")
    if isinstance(own, dict) and isinstance(whole, dict):
        own = meta["dbtorch"] = {**whole, **own}  # dbt lets a table's replace its source's
    said = own if isinstance(own, dict) else {}
    group = resource.config.group or resource.group or ""
    owner = said.get("owner") or owners.get(group, "")
    if not owner and resource.owner is not None:
        owner = _owner(resource.owner)
    name = resource.name
    if resource.source_name:
        name = f"{resource.source_name}.{resource.name}"
    return Node(
        id=resource.unique_id,
        kind=_KINDS[resource.resource_type],
        name=name,
        package=resource.package_name,
        path=resource.original_file_path,
        patch_path=(resource.patch_path or "").partition("://")[2],
        materialized=resource.config.materialized or "",
        owner=str(owner),
        runbook=str(said.get("runbook") or ""),
        group=group,
        tags=tuple(resource.tags),
        description=resource.description or "",
        meta=meta,
        splits=resource.config.incremental_strategy == "microbatch",
        full_refresh=_full_refresh(resource),
        on_error=_on_error(resource),
    )


def _full_refresh(resource: _Resource) -> bool | None:
    said = resource.config.full_refresh
    return None if said is None else bool(said)


def _on_error(resource: _Resource) -> str:
    """Of models alone: https://docs.getdbt.com/reference/resource-configs/on_error."""
    said = resource.config.on_error
    return said if resource.resource_type == "model" and isinstance(said, str) else ""


def _owner(owner: _Owner) -> str:
    email = owner.email if isinstance(owner.email, str) else ", ".join(owner.email or [])
    return owner.name or email
