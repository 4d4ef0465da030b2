"""How old pipelines, sources and tables are, and whether that is well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.config.meta import settings_for
from dbtorch.app.step_wiring import step_node
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.errors import EngineError
from dbtorch.core.history.health import (
    BUILT,
    LOOKS,
    HealthFacts,
    Item,
    built_item,
    failed_item,
    pipeline_item,
    source_item,
)
from dbtorch.core.history.records import AttemptRecord
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.measure import relation_of
from dbtorch.core.model.naming import short_name
from dbtorch.core.model.state import State
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import is_driven
from dbtorch.service.project.options import DEFAULT_PIPELINE, RunOptions
from dbtorch.service.project.project import Project, top_level
from dbtorch.service.tell import Tell, nobody

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of the project's graph, and of its sources if they have just been asked."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...] = ()
    limits: Mapping[str, Thresholds] = field(default_factory=dict)
    checks: Mapping[str, AttemptRecord] = field(default_factory=dict)
    complete: bool = True  # False: there is no manifest, these are those of the last runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectHealth:
    """How a project stands on a target at a moment."""

    project: str
    standing: HealthFacts  # what the history says of the target
    items: tuple[Item, ...]
    at: datetime
    nodes: tuple[Node, ...]  # dbt's
    edges: tuple[tuple[str, str], ...]
    complete: bool  # False: there is no manifest, and the nodes are those of the last runs

    @property
    def healthy(self) -> bool | None:
        """None when nothing is known to be wrong, and not everything is known."""
        said = {item.healthy for item in self.items}
        return False if False in said else None if None in said else True


def health(
    project: Project,
    store: Store,
    options: RunOptions,
    *,
    target: str | None = None,
    check: bool = False,
    clock: Clock | None = None,
    warn: Tell = nobody,
) -> ProjectHealth:
    """How old pipelines, sources and tables are, healthy or not, and why.

    ``target`` is the one that was run last by default. With ``check`` dbt is asked how fresh the
    sources are now. Raises `StoreError`, and with ``check`` what `open_session` raises.
    """
    clock = clock or SystemClock()
    standing = store.standing(target or "")
    options = replace(options, dbt_args=_on_target(options.dbt_args, standing.target))
    known = (
        _checked_now(options, clock, warn)
        if check
        else _last_known(project, standing, options.environ)
    )
    now = clock.now()
    return ProjectHealth(
        project=project.name,
        standing=standing,
        items=tuple(_items(project, store, standing, known, now)),
        at=now,
        nodes=known.nodes,
        edges=known.edges,
        complete=known.complete,
    )


def _on_target(words: tuple[str, ...], target: str) -> tuple[str, ...]:
    """Options for dbt that ask about the target which the history is read for."""
    return words if not target or "--target" in words else (*words, "--target", target)


# -------------------------------------------------------------------- what is known


def _last_known(project: Project, standing: HealthFacts, environ: Mapping[str, str]) -> _Known:
    """What the last manifest says, or without one the history."""
    path = target_path(project.dir, environ) / "manifest.json"
    if path.is_file():
        found = _manifest(path, path.stat().st_mtime_ns)
        return _Known(nodes=found.nodes, edges=found.edges, limits=found.freshness)
    nodes = tuple(
        Node(id=id, kind=end.kind, name=end.name, path=end.path, owner=end.owner)
        for id, end in standing.ends.items()
        if end.kind in (*BUILT, Kind.TEST, Kind.UNIT_TEST, Kind.SOURCE)
        and end.kind is not Kind.STEP
    )
    return _Known(nodes=nodes, complete=False)


@lru_cache(maxsize=1)
def _manifest(path: Path, written_at: int) -> Manifest:
    """What the file says, read once as long as it is that of ``written_at``: it may be large."""
    del written_at
    from dbtorch.adapters.dbt.manifest import read_manifest

    return read_manifest(path)


def known_nodes(project_dir: Path, environ: Mapping[str, str]) -> dict[str, Node]:
    """What dbt's last manifest says of each node; nothing where there is none, or a damaged one."""
    path = target_path(project_dir, environ) / "manifest.json"
    try:
        return {node.id: node for node in _manifest(path, path.stat().st_mtime_ns).nodes}
    except (OSError, EngineError):
        return {}


def _checked_now(options: RunOptions, clock: Clock, warn: Tell) -> _Known:
    """What dbt says now: every source with freshness is checked."""
    from dbtorch.service.planning.preview import open_session

    with open_session(options, options.dbt_args, warn=warn) as (_, engine, selected):
        ids = sorted(id for id, limits in selected.freshness.items() if limits.checkable)
        outcomes = engine.check_sources(ids) if ids else []
    now = clock.now()
    return _Known(
        nodes=selected.nodes,
        edges=selected.edges,
        limits=selected.freshness,
        checks={
            id: AttemptRecord(
                number=1,
                state=outcome.state,
                queued_at=now,
                finished_at=now,
                message=outcome.message,
                details=outcome.details,
            )
            for id, outcome in zip(ids, outcomes, strict=True)
        },
    )


def target_path(project_dir: Path, environ: Mapping[str, str]) -> Path:
    """Where dbt puts its artifacts: DBT_TARGET_PATH, target-path of the project, or `target`."""
    said = environ.get("DBT_TARGET_PATH") or top_level(project_dir, "target-path")
    return project_dir / (said if said and "{" not in said else "target")


# -------------------------------------------------------------------- how things stand


def _items(
    project: Project, store: Store, standing: HealthFacts, known: _Known, now: datetime
) -> Iterator[Item]:
    config = project.config
    for spec in _pipelines(config, standing):
        mine = [run for run in standing.runs if run.pipeline == spec.name]
        whole = (run for run in mine if not run.partial)
        last = max(whole, key=lambda run: run.started_at, default=None)
        alive = last is not None and is_driven(store, last.run_id)
        yield pipeline_item(spec, mine, now, alive=alive)
    for node in known.nodes:
        check = known.checks.get(node.id) or standing.checks.get(node.id)
        if node.kind is Kind.SOURCE and (node.id in known.limits or check is not None):
            yield source_item(node, known.limits.get(node.id), check, now)
    limits = max_ages(project, known.nodes)
    models = {node.id for node in known.nodes if node.kind is Kind.MODEL}
    read = {before for before, after in known.edges if after in models}
    steps = tuple(map(step_node, config.steps.values()))
    for node in (*known.nodes, *steps):
        if node.kind not in BUILT or node.materialized == "ephemeral":
            continue
        limit = limits.get(node.id)
        mart = node.kind is Kind.MODEL and node.id not in read
        end, since = standing.ends.get(node.id), standing.successes.get(node.id)
        failed = end is not None and end.state is State.FAILED
        if limit is not None or mart or failed:
            yield built_item(node, limit, since, end, now)
    yield from _failed_looks(standing, {node.id for node in (*known.nodes, *steps)})


def max_ages(project: Project, nodes: Iterable[Node]) -> dict[str, float]:
    """Seconds since its last success after which a node is stale, by id, of those that have some.

    Of dbt's nodes that are built, and of steps. Raises `ConfigError`.
    """
    config = project.config
    nodes = list(nodes)
    settings = settings_for(nodes, config, project.dir)
    said = {id: settings[id].max_age if id in settings else None for id in _built(nodes)}
    said |= {spec.id: spec.settings.max_age for spec in config.steps.values()}
    default = config.defaults.max_age
    found = {id: default if limit is None else limit for id, limit in said.items()}
    return {id: limit for id, limit in found.items() if limit is not None}


def _built(nodes: Iterable[Node]) -> Iterator[str]:
    return (node.id for node in nodes if node.kind in BUILT)


def _failed_looks(standing: HealthFacts, known: AbstractSet[str]) -> Iterator[Item]:
    """Tests and checks that failed when they were last run, if there still are any."""
    for id, end in standing.ends.items():
        looks_at = relation_of(id) if end.kind is Kind.CHECK else id
        if end.kind in LOOKS and end.state is State.FAILED and looks_at in known:
            yield failed_item(end, short_name(end))


def _pipelines(config: Config, standing: HealthFacts) -> list[PipelineSpec]:
    ran = any(run.pipeline == DEFAULT_PIPELINE for run in standing.runs)
    implied = DEFAULT_PIPELINE not in config.pipelines and (ran or not config.pipelines)
    return [*config.pipelines.values(), *([PipelineSpec(name=DEFAULT_PIPELINE)] * implied)]
