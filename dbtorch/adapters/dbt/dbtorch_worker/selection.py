"""What dbt selected, as the supervisor needs it to plan. Touches no warehouse."""

from __future__ import annotations

import contextlib
import importlib.metadata
from pathlib import Path
from typing import Any

from .channel import Message
from .checksums import checksums, digest
from .freshness import threads_of, thresholds


def describe_selection(task: Any, request: Message) -> Message:
    """The selected graph and what else the supervisor plans with. Touches no warehouse."""
    from dbt.flags import get_flags

    config = task.config
    credentials = config.credentials
    graph = task.job_queue.graph
    said = project_vars(config)
    of_code = {name: value for name, value in said.items() if name not in request["run_vars"]}
    found_checksums = checksums(task.manifest, of_code)
    resolved, unreadable = resolve_all(task, request["resolve"])
    # dbt executes a unit test with its model, and never without it.
    unit_tests = {m: found for m, found in task.model_to_unit_test_map.items() if m in graph}
    return {
        "selected": sorted(
            {*graph.nodes, *(uid for found in unit_tests.values() for uid in found)}
        ),
        "edges": sorted({*build_order(graph), *unit_test_edges(graph, unit_tests)}),
        "selected_sources": sorted(selected_sources(task)),
        "freshness": thresholds(task),
        "resolved": resolved,
        "unreadable": unreadable,
        "threads": threads_of(config),
        "target": {
            "name": config.target_name,
            "type": credentials.type,
            "database": credentials.database,
            "schema": credentials.schema,
            "path": database_file(credentials) or getattr(credentials, "path", None),
        },
        "exclusive_file": database_file(credentials),
        "dbt_version": importlib.metadata.version("dbt-core"),
        "adapter": adapter_version(credentials.type),
        "project": config.project_name,
        "project_dir": str(Path(config.project_root).resolve()),
        "vars": said,
        "target_path": str(Path(config.project_root, config.target_path).resolve()),
        "fail_fast": bool(get_flags().FAIL_FAST),
        "manifest_path": str(manifest_file(task, request)),
        "manifest_hash": manifest_hash(task.manifest, found_checksums),
        "checksums": found_checksums,
        "watched": watched(task),
        "env_vars": sorted(env_vars(task)),
    }


def watched(task: Any) -> list[str]:
    """Files and folders that dbt has read; while they stay the same, so does its answer."""
    from dbt.flags import get_flags

    config = task.config
    root = Path(config.project_root)
    folders = {
        folder
        for kind in ("model", "seed", "snapshot", "test", "analysis", "macro", "docs", "function")
        for folder in getattr(config, f"{kind}_paths", None) or ()
    }
    files = ("dbt_project.yml", "packages.yml", "dependencies.yml", "selectors.yml", "catalogs.yml")
    found = {root / name for name in (*folders, *files, config.packages_install_path)}
    found.add(Path(get_flags().PROFILES_DIR, "profiles.yml"))
    return sorted(str(path.resolve()) for path in found)


def env_vars(task: Any) -> set[str]:
    """Names of the environment variables that dbt has read so far."""
    found = set(task.manifest.env_vars)
    for owner, name in ((task.config, "project_env_vars"), (task.config, "profile_env_vars")):
        found |= set(getattr(owner, name, None) or ())
    return found


def project_vars(config: Any) -> dict[str, Any]:
    """What `var()` answers in the project: dbt_project.yml, then --vars."""
    given = dict(config.vars.vars)
    own = given.get(config.project_name)
    return {**given, **(own if isinstance(own, dict) else {}), **(config.cli_vars or {})}


def manifest_hash(manifest: Any, found: dict[str, str]) -> str:
    """A hash of what the project says: the same for two parses of the same code."""
    sources = {
        uid: [node.relation_name, node.unrendered_config] for uid, node in manifest.sources.items()
    }
    macros = {uid: macro.macro_sql for uid, macro in manifest.macros.items()}
    return digest([found, sources, macros])


def manifest_file(task: Any, request: Message) -> Path:
    """Where the manifest of this very parse is; written here if dbt was told not to."""
    path = Path(task.config.project_root, task.config.target_path, "manifest.json").resolve()
    if not task.args.write_json:
        path = Path(request["scratch"], "manifest.json")
        task.manifest.writable_manifest().write(str(path))
    return path


def kind_of(unique_id: str) -> str:
    """What a node is of which only the id is known: dbt's resource type."""
    return unique_id.partition(".")[0]


def build_order(graph: Any) -> list[tuple[str, str]]:
    """The order of `dbt build`, without edges that a longer path implies.

    dbt draws an edge from a test to all that its failure blocks, near and far: with 500 tests over
    1,000 models a few hundred thousand. The near ones are enough.
    """
    far: set[tuple[str, str]] = set()
    for test in graph.nodes:
        if kind_of(test) == "test":
            blocked = set(graph.successors(test))
            beyond = {child for near in blocked for child in graph.successors(near)}
            far.update((test, child) for child in blocked & beyond)
    return [edge for edge in graph.edges if edge not in far]


def unit_test_edges(graph: Any, by_model: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Unit tests run after their model's parents and before the model, as in `dbt build`."""
    edges = []
    for model, unit_tests in by_model.items():
        for unit_test in unit_tests:
            edges += [(parent, unit_test) for parent in graph.predecessors(model)]
            edges.append((unit_test, model))
    return edges


def selected_sources(task: Any) -> set[str]:
    """Sources within the selection."""
    return select(task, task.get_selection_spec(), ["source"])


def resolve_all(task: Any, texts: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What dbt selects for each text, and why it cannot read those that it cannot."""
    resolved: dict[str, list[str]] = {}
    unreadable: dict[str, str] = {}
    for text in texts:
        try:
            resolved[text] = sorted(resolve(task, text))
        except Exception as error:
            words = str(error).removeprefix("Runtime Error").split()
            unreadable[text] = " ".join(words) or type(error).__name__
    return resolved, unreadable


def resolve(task: Any, text: str) -> set[str]:
    """What dbt selects for a text; tests only if it selects nothing else."""
    from dbt.graph import parse_difference

    kind, _, name = text.partition(":")
    spec = task.config.get_selector(name) if kind == "selector" else parse_difference((text,), None)
    plain = ["model", "seed", "snapshot", "source", "exposure", "function", "saved_query"]
    return select(task, spec, plain) or select(task, spec, ["test", "unit_test"])


def select(task: Any, spec: Any, resource_types: list[str]) -> set[str]:
    """Nodes of these types that a selection comes to."""
    from dbt.graph import ResourceTypeSelector
    from dbt.node_types import NodeType

    known = {str(member.value) for member in NodeType}
    selector = ResourceTypeSelector(
        graph=task.graph,
        manifest=task.manifest,
        previous_state=task.previous_state,
        resource_types=[NodeType(name) for name in resource_types if name in known],
    )
    return set(selector.get_selected(spec=spec, warn_on_no_nodes=False))


def database_file(credentials: Any) -> str | None:
    """The database file that only one process may have open at a time, if there is one."""
    path = getattr(credentials, "path", None)
    if credentials.type != "duckdb" or not isinstance(path, str):
        return None
    if path.startswith((":memory:", "md:", "motherduck:")) or "://" in path:
        return None
    return str(Path(path).resolve())


def adapter_version(type: str) -> str:
    """The adapter and, where it can be told, its version."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{type} {importlib.metadata.version(f'dbt-{type}')}"
    return type
