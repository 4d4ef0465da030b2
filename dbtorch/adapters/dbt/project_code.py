"""The code of a project out of its manifest.json, to compare it with another one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dbtorch.adapters.dbt.being_written import decoded
from dbtorch.core.ci.code import Code, Macro, Resource, Source
from dbtorch.core.errors import EngineError
from dbtorch.core.model.graph import Kind


class _DependsOn(msgspec.Struct):
    nodes: list[str] = []
    macros: list[str] = []


class _Config(msgspec.Struct):
    materialized: str | None = None
    unique_key: Any = None
    group: str | None = None
    meta: dict[str, Any] = {}


class _Contract(msgspec.Struct):
    enforced: bool = False
    checksum: str | None = None


class _TestMetadata(msgspec.Struct):
    name: str = ""
    kwargs: dict[str, Any] = {}


class _Owner(msgspec.Struct):
    name: str | None = None
    email: str | list[str] | None = None


class _Node(msgspec.Struct):
    unique_id: str
    name: str
    resource_type: str
    original_file_path: str = ""
    checksum: Any = None
    raw_code: str = ""
    language: str | None = "sql"
    version: str | int | float | None = None
    unrendered_config: dict[str, Any] = {}
    config: _Config = msgspec.field(default_factory=_Config)
    contract: _Contract = msgspec.field(default_factory=_Contract)
    description: str | None = ""
    depends_on: _DependsOn = msgspec.field(default_factory=_DependsOn)
    relation_name: str | None = None
    alias: str | None = None
    schema: str | None = ""
    database: str | None = ""
    primary_key: list[str] | None = None
    test_metadata: _TestMetadata | None = None
    attached_node: str | None = None
    column_name: str | None = None
    group: str | None = None
    meta: dict[str, Any] = {}
    owner: _Owner | None = None


class _Column(msgspec.Struct):
    name: str
    data_type: str | None = None


class _Source(msgspec.Struct):
    name: str
    relation_name: str | None = None
    identifier: str = ""
    schema: str = ""
    database: str | None = ""
    columns: dict[str, _Column] = {}


class _Macro(msgspec.Struct):
    macro_sql: str = ""
    depends_on: _DependsOn = msgspec.field(default_factory=_DependsOn)


class _Group(msgspec.Struct):
    name: str
    owner: _Owner = msgspec.field(default_factory=_Owner)


class _Metadata(msgspec.Struct):
    project_name: str | None = None


class _Manifest(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    nodes: dict[str, _Node] = {}
    sources: dict[str, _Source] = {}
    exposures: dict[str, _Node] = {}
    unit_tests: dict[str, _Node] = {}
    saved_queries: dict[str, _Node] = {}
    functions: dict[str, _Node] = {}
    macros: dict[str, _Macro] = {}
    groups: dict[str, _Group] = {}
    disabled: dict[str, list[_Node]] = {}


def _decoded(content: bytes) -> _Manifest:
    try:
        return msgspec.json.decode(content, type=_Manifest)
    except msgspec.DecodeError:  # dbt 1 writes NaN, which is no JSON
        return msgspec.convert(json.loads(content), _Manifest)


def read_code(path: Path) -> Code:
    """Read a manifest.json. Raises `EngineError` for what is none."""
    try:
        found = decoded(path, _decoded)
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise EngineError(f"the manifest {path} cannot be read: {error}") from error
    tested = dict(_tested(found))
    owners = {group.name: _named(group.owner) for group in found.groups.values()}
    return Code(
        resources={one.unique_id: _resource(one, tested, owners) for one in _nodes(found)},
        macros={
            id: Macro(code=one.macro_sql, macros=tuple(one.depends_on.macros))
            for id, one in found.macros.items()
        },
        sources={id: _source(id, one) for id, one in found.sources.items()},
        disabled={
            id: _resource(those[0], tested, owners)
            for id, those in found.disabled.items()
            if those and those[0].resource_type in _KINDS
        },
        project=found.metadata.project_name or "",
    )


_KINDS = {kind.value: kind for kind in Kind}


def _nodes(found: _Manifest) -> Iterator[_Node]:
    for nodes in (
        *(found.nodes, found.exposures, found.unit_tests),
        *(found.saved_queries, found.functions),
    ):
        yield from (one for one in nodes.values() if one.resource_type in _KINDS)


def _resource(one: _Node, tested: dict[str, tuple[str, ...]], owners: dict[str, str]) -> Resource:
    checksum = one.checksum.get("checksum") if isinstance(one.checksum, dict) else one.checksum
    return Resource(
        id=one.unique_id,
        kind=_KINDS[one.resource_type],
        name=one.name if one.version is None else f"{one.name}.v{one.version}",
        path=one.original_file_path,
        checksum=str(checksum or ""),
        code=one.raw_code,
        language=one.language or "sql",
        config=one.unrendered_config,
        contract=(one.contract.checksum or "") if one.contract.enforced else "",
        description=one.description or "",
        macros=tuple(one.depends_on.macros),
        parents=tuple(one.depends_on.nodes),
        relation=one.relation_name or "",
        identifier=one.alias or one.name,
        schema=one.schema or "",
        database=one.database or "",
        materialized=one.config.materialized or "",
        key=_key(one, tested),
        owner=_owner(one, owners),
        about=((one.attached_node or "").rpartition(".")[2], one.column_name or ""),
    )


def _source(id: str, one: _Source) -> Source:
    return Source(
        id=id,
        name=one.name,
        relation=one.relation_name or "",
        identifier=one.identifier or one.name,
        schema=one.schema,
        database=one.database or "",
        columns={column.name: column.data_type or "" for column in one.columns.values()},
    )


def _key(one: _Node, tested: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The primary key: as dbt infers it, as an incremental model has it, or as a test says."""
    said = one.config.unique_key
    unique = tuple(said) if isinstance(said, list) else (said,) if isinstance(said, str) else ()
    return tuple(one.primary_key or ()) or unique or tested.get(one.unique_id, ())


def _tested(found: _Manifest) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Models, and the columns that a test says are unique."""
    for one in found.nodes.values():
        said = one.test_metadata
        if said is None or one.attached_node is None:
            continue
        if said.name == "unique" and one.column_name and "where" not in one.unrendered_config:
            yield one.attached_node, (one.column_name,)
        columns = said.kwargs.get("combination_of_columns")
        if said.name == "unique_combination_of_columns" and isinstance(columns, list):
            yield one.attached_node, tuple(map(str, columns))


def _owner(one: _Node, owners: dict[str, str]) -> str:
    said = {**one.meta, **one.config.meta}.get("dbtorch")
    own = said.get("owner") if isinstance(said, dict) else None
    group = owners.get(one.config.group or one.group or "", "")
    return str(own or group or (_named(one.owner) if one.owner is not None else ""))


def _named(owner: _Owner) -> str:
    email = owner.email if isinstance(owner.email, str) else ", ".join(owner.email or [])
    return owner.name or email
