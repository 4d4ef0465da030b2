"""What a notifier without threads and updates tells of a run: at first, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbtorch.core.alerts.card import RunCard


def worth_telling(run: RunCard, receipt: Mapping[str, Any]) -> bool:
    """Whether there is something new: the first failure, or more of them at the end."""
    if not receipt:
        return bool(run.open)
    return run.finished and bool(run.open) and run.failed > receipt.get("failed", 0)


def told_of(run: RunCard) -> dict[str, Any]:
    """What has been said so far, as a receipt."""
    return {"failed": run.failed}
