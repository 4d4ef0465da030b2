"""When a run is late, from what the project, the command line and an earlier stretch say."""

from __future__ import annotations

from datetime import datetime

from dbtorch.adapters.config.deadlines import moment
from dbtorch.cli.opening import Options
from dbtorch.core.config import PipelineSpec
from dbtorch.core.deadline import Deadline, DeadlineAction
from dbtorch.core.history import RunRecord, Verb


def deadline_of(
    pipeline: PipelineSpec, options: Options, now: datetime, earlier: RunRecord | None
) -> Deadline | None:
    """The deadline of a run that begins now, or that goes on now.

    A run that goes on keeps its deadline. One that has passed already cancels nothing any more:
    nothing could ever be retried.
    """
    if options.deadline is None and earlier is not None:
        return _kept(earlier, options, now)
    rule = options.deadline or pipeline.deadline
    if rule is None:
        return None
    timezone = pipeline.schedule.timezone if pipeline.schedule is not None else None
    action = options.deadline_action or pipeline.deadline_action
    return Deadline(at=moment(rule, now, timezone), action=action)


def _kept(earlier: RunRecord, options: Options, now: datetime) -> Deadline | None:
    kept = Deadline.recorded(earlier.options)
    if kept is None:
        return None
    told = any(a.action == Verb.DEADLINE and a.at >= kept.at for a in earlier.actions)
    action = options.deadline_action or kept.action
    return Deadline(
        at=kept.at, action=DeadlineAction.ALERT if now >= kept.at else action, told=told
    )
