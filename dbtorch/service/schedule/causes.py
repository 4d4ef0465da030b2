"""What a scheduler tells a run that it starts of what that was made by."""

from __future__ import annotations

import json
from collections.abc import MutableMapping

from dbtorch.core.errors import UsageError
from dbtorch.core.schedule.cause import Cause, CauseKind, cause_of
from dbtorch.service.project.options import TICK, TICK_CAUSE, TICK_INTERVAL


def told_cause(environ: MutableMapping[str, str]) -> Cause | None:
    """What this process was started by, if a scheduler says so; taken out, as of this run alone.

    Raises `UsageError` for what nobody can read.
    """
    said = environ.pop(TICK_CAUSE, "")
    if not said:
        by_schedule = TICK in environ and TICK_INTERVAL in environ
        return Cause(kind=CauseKind.SCHEDULE) if by_schedule else None
    try:
        return cause_of(json.loads(said))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{TICK_CAUSE} is not what `dbtorch serve` writes: {error}") from error


def telling(cause: Cause) -> dict[str, str]:
    """The variable that says so to a run."""
    return {TICK_CAUSE: json.dumps(cause.to_json())}
