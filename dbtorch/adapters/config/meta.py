"""Reads ``meta.dbtorch`` of dbt's nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from dbtorch.adapters.config import specs
from dbtorch.adapters.config.loading import unknown_pool
from dbtorch.adapters.config.locate import Locator
from dbtorch.adapters.config.problems import ConfigError, Path, Problem, Report, dotted
from dbtorch.adapters.config.setting_keys import META
from dbtorch.core.config import Config, Settings
from dbtorch.core.graph import Kind, Node

_KEY = "dbtorch"
_NOT_OF_SOURCES = (
    "says nothing, nobody builds a source; give it freshness with warn_after or error_after"
)
_RELATIONS = (Kind.SOURCE, Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)
_NODE = "\0"  # stands for the node in a sentence that several nodes share


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A problem of one node."""

    node: str
    file: str
    meta: Mapping[str, Any]
    problem: Problem

    def value(self) -> Any:
        """What was written; None where nothing was."""
        value = self.meta[_KEY]
        for part in self.problem.at:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def settings_of(
    meta: Mapping[str, Any],
    *,
    node: str,
    file: str,
    project_dir: File,
    pools: Collection[str] | None = None,
) -> Settings:
    """What a node's ``meta.dbtorch`` says; ``file`` is where dbt has the node's YAML from.

    With ``pools``, a pool that is not among them is an error. Raises `ConfigError`.
    """
    if _KEY not in meta:
        return Settings()
    meta = _as_written(meta)
    said, problems = _read(meta, pools)
    if problems:
        wrong = [_Wrong(node, file, meta, problem) for problem in problems]
        raise ConfigError(_sentences(wrong, project_dir))
    return said


def settings_for(nodes: Iterable[Node], config: Config, project_dir: File) -> dict[str, Settings]:
    """Settings of the nodes that have some, by id, without ``config.defaults`` under them.

    Raises `ConfigError` with the problems of all nodes.
    """
    found: dict[str, Settings] = {}
    wrong: list[_Wrong] = []
    for node in nodes:
        if _KEY not in node.meta:
            continue
        meta = _as_written(node.meta)
        said, problems = _read(meta, config.pools, node.kind)
        if said.checks and (why := _uncheckable(node)):
            problems = [*problems, Problem(("checks",), f"{_name(('checks',))} {why}")]
        found[node.id] = said
        wrong += [
            _Wrong(node.id, node.patch_path or node.path, meta, problem) for problem in problems
        ]
    if wrong:
        raise ConfigError(_sentences(wrong, project_dir))
    return found


def _read(
    meta: Mapping[str, Any], pools: Collection[str] | None, kind: Kind | None = None
) -> tuple[Settings, list[Problem]]:
    report = Report(name=_name)
    said = META.read(meta[_KEY], (), report) or {}
    if kind is Kind.SOURCE and "max_age" in said:
        report.wrong(("max_age",), _NOT_OF_SOURCES)
    pool = said.get("pool")
    if pools is not None and pool is not None and pool not in pools:
        report.wrong(("pool",), unknown_pool(pool, pools))
    return specs.settings({} if report.problems else said), report.problems


def _uncheckable(node: Node) -> str:
    """Why a node can have no checks; empty when it can."""
    if node.kind not in _RELATIONS:
        return "is for sources, models, seeds and snapshots"
    if node.materialized == "ephemeral":
        return "cannot be: an ephemeral model has no relation that could be checked"
    return ""


def _as_written(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Meta with ``retry: {on: …}``: dbt's YAML takes the key ``on`` for the word true."""
    own = meta[_KEY]
    retry = own.get("retry") if isinstance(own, Mapping) else None
    if not isinstance(retry, Mapping):
        return meta
    words = {"on" if str(key) in ("true", "True") else key: value for key, value in retry.items()}
    return {**meta, _KEY: {**own, "retry": words}}


def _name(at: Path) -> str:
    return dotted(("meta", _KEY, *at)) + f" of {_NODE}"


def _sentences(wrong: Iterable[_Wrong], project_dir: File) -> list[str]:
    """One per mistake: what stands in ``dbt_project.yml`` is inherited by many nodes."""
    locator = Locator(project_dir)
    nodes: dict[tuple[str, str], list[str]] = {}
    for found in wrong:
        place = locator.find(found.node, found.file, found.problem.at, found.value())
        nodes.setdefault((str(place), found.problem.text), []).append(found.node)
    return [f"{place}: {text.replace(_NODE, _listed(ids))}" for (place, text), ids in nodes.items()]


def _listed(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"
