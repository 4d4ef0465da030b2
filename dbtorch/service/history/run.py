"""One run as it is now, with everything that the history knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from dbtorch.adapters.clock import SystemClock
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.measure import Rows
from dbtorch.ports.loop import Clock
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import (
    INTERRUPTED,
    IsAlive,
    holds_lease,
    read_run,
    state_of,
    without_running,
)

#: Successes that say what is usual.
_FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run at a moment."""

    record: RunRecord
    state: str  # a `RunState`, or `INTERRUPTED` when nobody drives it any more
    rows: Mapping[str, Rows]  # node -> what it wrote, beside what it usually writes
    at: datetime


def show_run(
    store: Store,
    run: str,
    *,
    clock: Clock | None = None,
    is_alive: IsAlive | None = None,
    transitions: bool = True,
) -> RunReport:
    """The run that ``run`` means: "latest", an id, or the beginning of one.

    Without its ``transitions``, of which there are most, it is there sooner.

    Raises `UsageError` for a run that is not there, `StoreError`.
    """
    record = read_run(store, run, transitions=transitions)
    state = state_of(record, is_alive or holds_lease(store))
    return RunReport(
        record=without_running(record) if state == INTERRUPTED else record,
        state=state,
        rows=store.rows(record.run_id),
        at=(clock or SystemClock()).now(),
    )


def usual_seconds(store: Store, run: RunRecord) -> dict[str, float]:
    """What nodes take as a rule on the target of a run, where enough is known."""
    took = store.durations(run.target)
    return {id: round(median(found), 3) for id, found in took.items() if len(found) >= _FEWEST}
