"""Reads ``meta.dbtorch`` of dbt's nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from dbtorch.adapters.config.locate import Locator
from dbtorch.adapters.config.problems import Path, Problem, Report, dotted
from dbtorch.adapters.config.setting_keys import META
from dbtorch.core.config import Config, Origin
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.settings import Settings

_KEY = "dbtorch"
_NOT_OF_SOURCES = (
    "says nothing, nobody builds a source; give it freshness with warn_after or error_after"
)
_READS = (Kind.MODEL, Kind.SNAPSHOT, Kind.FUNCTION, Kind.EXPOSURE, Kind.SAVED_QUERY)

#: Kinds on which a key has an effect, where that is not every kind.
_ONLY: Mapping[str, tuple[Kind, ...]] = {
    "on_stale": (Kind.SOURCE,),
    "every": (Kind.SOURCE,),
    "for": (Kind.SOURCE,),
    "then": (Kind.SOURCE,),
    "require": _READS,
    "max_age": (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT),
    "partition": (Kind.MODEL, Kind.SNAPSHOT),
}
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
    report = Report(name=_name, pools=pools)
    written = meta[_KEY]
    said: Settings | None = META.read(written, (), report)
    for key in written if isinstance(written, Mapping) and kind is not None else ():
        if kind not in _ONLY.get(key, (kind,)):
            report.wrong((key,), _without_effect(key, kind))
    return said or Settings(), report.problems


def _without_effect(key: str, kind: Kind | None) -> str:
    if kind is Kind.SOURCE and key == "max_age":
        return _NOT_OF_SOURCES
    *others, last = (_plural(one) for one in _ONLY[key])
    listed = f"{', '.join(others)} and {last}" if others else last
    article = "an" if _words(kind)[:1] in "aeo" else "a"
    return f"has no effect on {article} {_words(kind)}, it is for {listed}"


def _plural(kind: Kind) -> str:
    return f"{_words(kind)[:-1]}ies" if kind is Kind.SAVED_QUERY else f"{_words(kind)}s"


def _words(kind: Kind | None) -> str:
    return (kind or "").replace("_", " ")


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
    nodes: dict[tuple[Origin, str], list[str]] = {}
    for found in wrong:
        place = locator.find(found.node, found.file, found.problem.at, found.value())
        nodes.setdefault((place, found.problem.text), []).append(found.node)
    return [place.says(text.replace(_NODE, _listed(ids))) for (place, text), ids in nodes.items()]


def _listed(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more"
