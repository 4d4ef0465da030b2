"""What a dbt executable says of a project before anything is executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.being_written import decoded
from dbtorch.adapters.dbt.dbtorch_worker.checksums import checksums, digest
from dbtorch.adapters.dbt.manifest import read_manifest
from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.generation import generation_of
from dbtorch.adapters.dbt.process.operations.hooks import HookCode, read_hooks
from dbtorch.adapters.dbt.process.project.build_order import build_order
from dbtorch.adapters.dbt.process.project.inputs import env_vars, watched
from dbtorch.adapters.dbt.process.project.listing import Listing, flag
from dbtorch.adapters.dbt.process.project.manifest_check import manifest_digest
from dbtorch.adapters.dbt.process.project.selections import Selections
from dbtorch.adapters.dbt.process.project.target import profiles_paths, read_target, read_vars
from dbtorch.core.errors import EngineError
from dbtorch.core.model.graph import BUILT, Kind
from dbtorch.ports.engine import Hook, Selected


class _Part(dict[str, Any]):
    """A part of the manifest, with its keys as attributes, as dbt's own objects have them.

    dbt 2 leaves out what is null.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name, _ABSENT.get(name))


_ABSENT: dict[str, Any] = {"nodes": (), "macros": (), "depends_on": _Part()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A project as dbt has read it."""

    selected: Selected
    manifest: Any  # as it is written
    manifest_path: Path  # where it is written
    hooks: tuple[HookCode, ...]
    blocks: bool  # whether an on-run-start hook that fails leaves out everything


def open_project(
    executable: Executable,
    words: DbtArgs,
    listing: Listing,
    texts: Sequence[str],
    *,
    folder: Path,
    project_dir: Path,
    cwd: Path,
    environ: Mapping[str, str],
    batches: int = 1,
) -> Opened:
    """What dbt says of the project; ``batches`` may be at work at once.

    ``folder`` is for what a dbt writes that is asked more than that.

    Raises `EngineError` with dbt's own words.
    """
    project = listing.project
    files = watched(project, project_dir, profiles_paths(words, cwd, environ))
    names = env_vars(files)
    dbt = shutil.which(executable.entry.executable, path=environ.get("PATH"))
    listed = listing.ids()
    target_path = _target_path(words, project, project_dir, environ)
    path = (listing.apart or target_path) / "manifest.json"
    manifest = read_manifest(path)
    raw = read_raw(path)
    resolved, unreadable = Selections(executable, words, folder, raw).resolve(texts)
    said = read_vars(words, project)
    found = checksums(raw, said)
    nodes = tuple(replace(node, checksum=found.get(node.id, "")) for node in manifest.nodes)
    kinds = {node.id: node.kind for node in nodes}
    unit_tested = {id for id in listed if kinds.get(id) is Kind.MODEL}
    selected = frozenset(
        id
        for id in listed
        if kinds.get(id) in BUILT
        and (kinds[id] is not Kind.UNIT_TEST or _model_of(id, manifest.edges) in unit_tested)
    )
    metadata = raw.get("metadata") or {}
    dbt_version = str(metadata.get("dbt_version") or "")
    base = generation_of(dbt_version).base_folder(project_dir, cwd)
    target = read_target(words, project, cwd=cwd, base=base, env=environ)
    answer = Selected(
        nodes=nodes,
        edges=manifest.edges,
        selected=selected,
        selected_edges=tuple(build_order(nodes, manifest.edges, selected)),
        selected_sources=frozenset(id for id in listed if kinds.get(id) is Kind.SOURCE),
        resolved=resolved,
        unreadable=unreadable,
        freshness=manifest.freshness,
        hooks=tuple(
            Hook(id=node.id, name=node.name) for node in nodes if node.kind is Kind.OPERATION
        ),
        threads=target.threads,
        fail_fast=_fails_fast(words, project, environ),
        target=target.told(),
        exclusive_file=target.exclusive_file,
        vars=said,
        dbt_version=dbt_version,
        adapter=str(metadata.get("adapter_type") or target.type),
        project=str(project.get("name") or ""),
        project_dir=project_dir,
        target_path=target_path,
        manifest_path=path,
        manifest_hash=digest([found, _sources(raw), _macros(raw)]),
        manifest_digest=manifest_digest(path),
        watched=(*files, dbt) if dbt else (),
        env_vars=names,
        batches=1 if target.alone else batches,
        warnings=listing.warnings,
    )
    return Opened(
        selected=answer,
        manifest=raw,
        manifest_path=path,
        hooks=read_hooks(raw, answer.project),
        blocks=flag(project, "skip_nodes_if_on_run_start_fails"),
    )


def _model_of(unit_test: str, edges: Sequence[tuple[str, str]]) -> str:
    return next((before for before, after in edges if after == unit_test), "")


def read_raw(path: Path) -> Any:
    """A manifest with all that it says. Raises `EngineError`."""
    try:
        return decoded(path, partial(json.loads, object_hook=_Part))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"dbt's manifest {path} cannot be read ({error})") from error


def _sources(raw: Any) -> dict[str, Any]:
    return {
        id: [source.get("relation_name"), source.get("unrendered_config")]
        for id, source in (raw.get("sources") or {}).items()
    }


def _macros(raw: Any) -> dict[str, str]:
    return {id: macro.get("macro_sql", "") for id, macro in (raw.get("macros") or {}).items()}


def _target_path(
    words: DbtArgs,
    project: Mapping[str, Any],
    project_dir: Path,
    environ: Mapping[str, str],
) -> Path:
    given = words.values.get("--target-path") or environ.get("DBT_TARGET_PATH")
    if given:
        return (project_dir / given).resolve()
    return (project_dir / str(project.get("target-path") or "target")).resolve()


def _fails_fast(words: DbtArgs, project: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    if words.has("--fail-fast") or words.has("--no-fail-fast"):
        return words.has("--fail-fast")
    if "DBT_FAIL_FAST" in environ:
        return environ["DBT_FAIL_FAST"].lower() in ("1", "true", "t", "yes", "y")
    return flag(project, "fail_fast")
