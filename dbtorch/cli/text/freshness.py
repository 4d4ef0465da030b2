"""What checks of sources have found, as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbtorch.cli.errors import GATED, NODE_FAILED, OK
from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.failures.message import gist
from dbtorch.core.history.summary import LISTED
from dbtorch.core.model.freshness import age_told
from dbtorch.core.text.phrases import and_more
from dbtorch.service.health.freshness import RAISED, Check

_HEAD = ("SOURCE", "STATUS", "AGE", "LIMITS", "DEPENDS ON IT")


def freshness_code(checks: Sequence[Check], fail_on: str) -> int:
    """1 when something could not be checked, 3 when something is stale, 0 when all is fresh.

    ``fail_on`` is the status from which a source counts as stale: warn or error.
    """
    found = {check.status for check in checks}
    if RAISED in found:
        return NODE_FAILED
    stale = {"error", "warn"} if fail_on == "warn" else {"error"}
    return GATED if stale & found else OK


def freshness_text(checks: Sequence[Check]) -> str:
    """A table, and why checks failed."""
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
    raised = [gist(check.outcome.message) for check in checks if check.status == RAISED]
    return "\n".join(
        [*table(_HEAD, rows, right=frozenset({2})), *([""] if raised else []), *raised]
    )


def freshness_json(checks: Sequence[Check]) -> str:
    """For programs."""
    return document(sources=[_one(check) for check in checks])


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
