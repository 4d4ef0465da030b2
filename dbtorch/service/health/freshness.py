"""How fresh sources are, by dbt's own rules: the gate for scripts and CI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbtorch.core.errors import UsageError
from dbtorch.core.history.summary import by_importance
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.freshness import Thresholds, status_of
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.ports.engine import Selected
from dbtorch.service.planning.preview import open_session
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.tell import Tell, nobody

#: dbt's word for a source that could not be checked.
RAISED = "runtime error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check has found."""

    source: Node
    limits: Thresholds
    outcome: Outcome
    behind: tuple[str, ...]  # names of what depends on it, the most important first

    @property
    def said(self) -> dict[str, Any]:
        """Dbt's entry in sources.json; empty when there is none."""
        return dict(self.outcome.details.get("source") or {})

    @property
    def status(self) -> str:
        """Dbt's word: pass, warn, error or runtime error."""
        return status_of(self.said) or RAISED

    @property
    def age(self) -> float | None:
        """Seconds; None when it could not be checked."""
        found = self.said.get("max_loaded_at_time_ago_in_s")
        return None if found is None else float(found)


def check_freshness(options: RunOptions, *, warn: Tell = nobody) -> tuple[Check, ...]:
    """Check the selected sources by dbt's rules, and write sources.json.

    ``warn`` is told what nobody has to mend now. Raises `UsageError` where the selection has no
    source with freshness, `ConfigError`, `EngineError`.
    """
    config = open_project(options.project_dir).config
    words = options.choosing(config, sources=True).words(options.dbt_args)
    with open_session(options, words, warn=warn) as (_, engine, selected):
        ids = sorted(selected.selected_sources & selected.freshness.keys())
        if not ids and options.narrowed:
            raise UsageError("the selection matches no source to which dbt gives freshness")
        return tuple(_checks(selected, ids, engine.check_sources(ids))) if ids else ()


def _checks(selected: Selected, ids: Sequence[str], found: Sequence[Outcome]) -> list[Check]:
    graph = Graph(selected.nodes, selected.edges)
    looks = (Kind.TEST, Kind.UNIT_TEST)
    return [
        Check(
            source=graph.nodes[id],
            limits=selected.freshness[id],
            outcome=outcome,
            behind=tuple(
                by_importance(
                    (n for n in graph.descendants(id) if graph.nodes[n].kind not in looks), graph
                )
            ),
        )
        for id, outcome in zip(ids, found, strict=True)
    ]
