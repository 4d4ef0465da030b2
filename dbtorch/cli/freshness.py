"""`dbtorch freshness`: the gate for scripts and CI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dbtorch.cli.errors import GATED, NODE_FAILED, OK, UsageError
from dbtorch.cli.planning import open_session
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import and_more, gist
from dbtorch.cli.run_options import Options
from dbtorch.core.events import Outcome
from dbtorch.core.freshness import Thresholds, age_told
from dbtorch.core.graph import Graph, Kind, Node
from dbtorch.core.summary import LISTED, by_importance
from dbtorch.ports import Selected

_RAISED = "runtime error"

_HEAD = ("SOURCE", "STATUS", "AGE", "LIMITS", "DEPENDS ON IT")


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
        return str(self.said.get("status") or _RAISED)

    @property
    def age(self) -> float | None:
        """Seconds; None when it could not be checked."""
        found = self.said.get("max_loaded_at_time_ago_in_s")
        return None if found is None else float(found)


def freshness(options: Options, format: str, fail_on: str) -> int:
    """Check the selected sources, print what was found, write sources.json. Answers the exit code.

    ``fail_on`` is the status from which a source counts as stale: warn or error.
    """
    with open_session(options, options.dbt_args) as (_, engine, selected):
        ids = sorted(selected.selected_sources & selected.freshness.keys())
        if not ids and options.narrowed:
            raise UsageError("the selection matches no source to which dbt gives freshness")
        checks = _checks(selected, ids, engine.check(ids)) if ids else []
    click.echo(_as_json(checks) if format == "json" else _as_text(checks))
    return _exit_code(checks, fail_on)


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


def _exit_code(checks: Sequence[Check], fail_on: str) -> int:
    """1 when something could not be checked, 3 when something is stale, 0 when all is fresh."""
    found = {check.status for check in checks}
    if _RAISED in found:
        return NODE_FAILED
    stale = {"error", "warn"} if fail_on == "warn" else {"error"}
    return GATED if stale & found else OK


def _as_text(checks: Sequence[Check]) -> str:
    if not checks:
        return "dbt gives freshness to no source of this project."
    rows = [
        [
            check.source.name,
            check.status,
            age_told(check.age),
            str(check.limits),
            and_more(check.behind[:3], len(check.behind)) or "nothing",
        ]
        for check in checks
    ]
    raised = [gist(check.outcome.message) for check in checks if check.status == _RAISED]
    return "\n".join(
        [*table(_HEAD, rows, right=frozenset({2})), *([""] if raised else []), *raised]
    )


def _as_json(checks: Sequence[Check]) -> str:
    return json.dumps({"sources": [_one(check) for check in checks]}, indent=2)


def _one(check: Check) -> dict[str, Any]:
    failure = check.outcome.failure_class
    return {
        "id": check.source.id,
        "name": check.source.name,
        "status": check.status,
        "message": check.outcome.message,
        "failure_class": failure.value if failure is not None else None,
        "age_seconds": check.age,
        "max_loaded_at": check.said.get("max_loaded_at"),
        "snapshotted_at": check.said.get("snapshotted_at"),
        "warn_after_seconds": check.limits.warn_after,
        "error_after_seconds": check.limits.error_after,
        "filter": check.limits.filter or None,
        "owner": check.source.owner or None,
        "depends_on_it": len(check.behind),
        "most_important": list(check.behind[:LISTED]),
    }
