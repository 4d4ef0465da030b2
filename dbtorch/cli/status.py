"""`dbtorch status`: how old pipelines, sources and tables are, and whether that is well."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import click

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.config import settings_for
from dbtorch.adapters.processes import lives
from dbtorch.app.planning import step_node
from dbtorch.cli.errors import GATED, OK, UsageError
from dbtorch.cli.project import Project, configured_store, open_project, top_level
from dbtorch.cli.run_options import DEFAULT_PIPELINE, Options
from dbtorch.cli.status_text import as_json, as_text
from dbtorch.cli.wiring import build_store
from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.freshness import Thresholds
from dbtorch.core.graph import Kind, Node
from dbtorch.core.history import AttemptRecord, RunSummary
from dbtorch.core.standing import BUILT, Item, Standing, built_item, pipeline_item, source_item
from dbtorch.ports import Clock, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of the project's graph, and of its sources if they have just been asked."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...] = ()
    limits: Mapping[str, Thresholds] = field(default_factory=dict)
    checks: Mapping[str, AttemptRecord] = field(default_factory=dict)
    complete: bool = True  # False: there is no manifest, these are those of the last runs


def status(options: Options, *, check: bool, alert: bool, format: str, target: str | None) -> int:
    """Print how the project stands, and tell owners if asked. Answers the exit code."""
    project, clock = open_project(options.project_dir), SystemClock()
    if alert and not (project.config.alerts and project.config.alerts.notifiers):
        raise UsageError(
            "alerts are not configured, so --alert tells nobody; write `alerts: {slack: {token: …,"
            " channel: …}}`, `webhook` or `email` into dbtorch.yml"
        )
    url = options.database_url or configured_store(None, project.dir)
    store = build_store(project.dir, url, create=False)
    try:
        standing = store.standing(project.name, target or "")
        known = _asked(options, clock) if check else _kept(project, standing)
        now = clock.now()
        items = list(_items(project, store, standing, known, now))
        if format == "json":
            click.echo(as_json(project.name, standing, items, now))
        else:
            for line in as_text(project.name, standing, items, complete=known.complete):
                click.echo(line)
        if alert:
            from dbtorch.cli.status_alert import tell

            tell(project, store, standing, known.nodes, known.edges, items, clock)
    finally:
        store.close()
    return GATED if any(item.healthy is False for item in items) else OK


# -------------------------------------------------------------------- what is known


def _kept(project: Project, standing: Standing) -> _Known:
    """What the last manifest says, or without one the history."""
    from dbtorch.adapters.dbt.manifest import read_manifest

    path = _target_path(project.dir) / "manifest.json"
    if path.is_file():
        found = read_manifest(path)
        return _Known(nodes=found.nodes, edges=found.edges, limits=found.freshness)
    nodes = tuple(
        Node(id=id, kind=end.kind, name=end.name, path=end.path, owner=end.owner)
        for id, end in standing.ends.items()
        if end.kind in (*BUILT, Kind.SOURCE) and end.kind is not Kind.STEP
    )
    return _Known(nodes=nodes, complete=False)


def _asked(options: Options, clock: Clock) -> _Known:
    """What dbt says now: every source with freshness is checked."""
    from dbtorch.cli.planning import open_session

    with open_session(options, options.dbt_args) as (_, engine, selected):
        ids = sorted(id for id, limits in selected.freshness.items() if limits.checkable)
        outcomes = engine.check(ids) if ids else []
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


def _target_path(project_dir: Path) -> Path:
    """Where dbt puts its artifacts: DBT_TARGET_PATH, target-path of the project, or `target`."""
    said = os.environ.get("DBT_TARGET_PATH") or top_level(project_dir, "target-path")
    return project_dir / (said if said and "{" not in said else "target")


# -------------------------------------------------------------------- how things stand


def _items(
    project: Project, store: Store, standing: Standing, known: _Known, now: datetime
) -> Iterator[Item]:
    config = project.config
    for spec in _pipelines(config, standing):
        mine = [run for run in standing.runs if run.pipeline == spec.name]
        last = max(mine, key=lambda run: run.started_at, default=None)
        alive = last is not None and _is_alive(store, project, last, now)
        yield pipeline_item(spec, mine, now, alive=alive)
    for node in known.nodes:
        check = known.checks.get(node.id) or standing.checks.get(node.id)
        if node.kind is Kind.SOURCE and (node.id in known.limits or check is not None):
            yield source_item(node, known.limits.get(node.id), check, now)
    settings = settings_for(known.nodes, config, project.dir)
    limits = {id: said.max_age for id, said in settings.items()}
    limits |= {spec.id: spec.settings.max_age for spec in config.steps.values()}
    read = {before for before, after in known.edges if after.startswith("model.")}
    for node in (*known.nodes, *map(step_node, config.steps.values())):
        if node.kind not in BUILT or node.materialized == "ephemeral":
            continue
        limit = limits.get(node.id)
        limit = config.defaults.max_age if limit is None else limit
        mart = node.kind is Kind.MODEL and node.id not in read
        if limit is not None or mart:
            end, since = standing.ends.get(node.id), standing.successes.get(node.id)
            yield built_item(node, limit, since, end, now)


def _pipelines(config: Config, standing: Standing) -> list[PipelineSpec]:
    ran = any(run.pipeline == DEFAULT_PIPELINE for run in standing.runs)
    implied = DEFAULT_PIPELINE not in config.pipelines and (ran or not config.pipelines)
    return [*config.pipelines.values(), *([PipelineSpec(name=DEFAULT_PIPELINE)] * implied)]


def _is_alive(store: Store, project: Project, run: RunSummary, now: datetime) -> bool:
    lease = store.holder(f"{project.name}/{run.pipeline}")
    if lease is None or lease.run_id != run.run_id:
        return False
    return lease.expires_at > now and lives(lease.host, lease.pid)
