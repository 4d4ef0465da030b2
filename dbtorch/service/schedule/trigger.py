"""Starting a pipeline by asking for it: a row that whatever `dbtorch serve` there is picks up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbtorch.adapters.actor import actor
from dbtorch.adapters.clock import SystemClock
from dbtorch.core.config import Config
from dbtorch.core.errors import UsageError
from dbtorch.core.model.interval import Interval
from dbtorch.core.params import settled
from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.core.schedule.ledger import Pause, SkipReason, TickRecord, TickState
from dbtorch.ports.store import Store
from dbtorch.service.project.known_secrets import refuse_secrets, scrubber_of_environment
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.schedule.backfills import serving
from dbtorch.service.schedule.timetable import key_of

#: Characters that an idempotency key may have.
_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """What came of it."""

    pipeline: str
    params: Mapping[str, Any]
    served: bool  # somebody is there to start it
    pause: Pause | None  # until which is over it waits, or for which it was skipped
    before: TickRecord | None  # that the same key has made already: nothing was added


def trigger(
    store: Store,
    config: Config,
    pipeline: str,
    params: Mapping[str, Any],
    *,
    key: str = "",
    cause: Cause | None = None,
) -> Triggered:
    """Ask for a run of a pipeline with these parameters; with a ``key`` once for each.

    One that a person asks for waits while its pipeline is paused; any other is skipped then. Raises
    `NotFound`, and `UsageError` for parameters that no run could have.
    """
    spec = pipeline_of(config, RunOptions(pipeline=pipeline))
    values = settled(spec.name, spec.params, params)
    refuse_secrets(values, scrubber_of_environment())
    if cause is None:
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise UsageError(
                f"--key is no idempotency key: give it at most {_LONGEST_KEY} characters, none of"
                " which is a control character"
            )
        cause = Cause(kind=CauseKind.TRIGGER, text="dbtorch trigger", by=actor(), key=key)
    cause = Cause(kind=cause.kind, text=cause.text, by=cause.by, key=cause.key, params=values)
    where, view = key_of(spec, store.identity), store.ledger()
    known = view.schedules.get(where)
    pause = known.pause if known is not None else None
    skips = pause is not None and cause.kind is not CauseKind.TRIGGER
    now = SystemClock().now()
    before = store.trigger(where, _tick(cause, now, skipped=skips))
    return Triggered(
        pipeline=spec.name,
        params=values,
        served=any(name.startswith(serving(store)) for name in view.leases),
        pause=pause,
        before=before,
    )


def _tick(cause: Cause, now: datetime, *, skipped: bool) -> TickRecord:
    """The store says when it is."""
    return TickRecord(
        scheduled_for=now,
        interval=Interval(None, now),
        due_at=now,
        state=TickState.SKIPPED if skipped else TickState.QUEUED,
        reason=SkipReason.PAUSED if skipped else None,
        backlog=True,
        cause=cause,
        ended_at=now if skipped else None,
    )
