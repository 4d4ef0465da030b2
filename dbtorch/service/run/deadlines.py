"""When a run and its nodes are late: what project, command line and an earlier execution say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from dbtorch.core.config import PipelineSpec
from dbtorch.core.history.records import RunRecord, Verb
from dbtorch.core.model.deadline import Deadline, DeadlineAction, Deadlines, Late, node_deadlines
from dbtorch.core.model.naming import label
from dbtorch.core.plan import Plan
from dbtorch.core.text.deadlines import moment
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import took
from dbtorch.service.project.options import RunOptions

if TYPE_CHECKING:
    from dbtorch.core.run.machine import Run
    from dbtorch.core.run.timekeeper import Timekeeper


def deadline_of(
    pipeline: PipelineSpec,
    options: RunOptions,
    now: datetime,
    earlier: RunRecord | None,
    *,
    due: datetime | None = None,
) -> Deadline | None:
    """The deadline of a run that begins now, or that goes on now.

    It counts from when the run was ``due``, if a schedule wanted it sooner. A run that goes on
    keeps its deadline. One that has passed already cancels nothing any more: nothing could ever be
    retried, or caught up with.
    """
    if options.deadline is None and earlier is not None:
        return _kept(earlier, options, now)
    rule = options.deadline or pipeline.deadline
    if rule is None:
        return None
    action = options.deadline_action or pipeline.deadline_action
    at = moment(rule, due or now, _zone(pipeline))
    action = DeadlineAction.ALERT if now >= at else action
    return Deadline(at=at, action=action, by_calendar=rule.by is not None)


def deadlines_of(
    run: Deadline | None,
    plan: Plan,
    pipeline: PipelineSpec,
    started_at: datetime,
    earlier: RunRecord | None,
) -> Deadlines | None:
    """All deadlines of a run, or None; those of nodes count from its very first start.

    What was told of them in an earlier execution is not told again.
    """
    rules = {
        id: policy.deadline for id, policy in plan.policies.items() if policy.deadline is not None
    }
    if run is None and not rules:
        return None
    if run is not None and earlier is not None:
        missed = [late for late in found_earlier(earlier) if late.missed and not late.node_id]
        run = replace(run, told=run.told or any(late.deadline == run.at for late in missed))
    nodes = {id: moment(rule, started_at, _zone(pipeline)) for id, rule in rules.items()}
    told = earlier.actions if earlier is not None else ()
    return Deadlines(
        run=run,
        nodes=nodes,
        by_calendar=frozenset(id for id, rule in rules.items() if rule.by is not None),
        missed=frozenset(a.node_id for a in told if a.action == Verb.DEADLINE and a.node_id),
        at_risk=frozenset(a.node_id for a in told if a.action == Verb.AT_RISK),
    )


def timekeeper_of(
    deadlines: Deadlines, run: Run, durations: Mapping[str, tuple[float, ...]]
) -> Timekeeper:
    """What watches the deadlines; by ``durations``, those of the past, it says what is at risk."""
    from dbtorch.core.run.forecast import Forecast  # most runs have no deadlines
    from dbtorch.core.run.timekeeper import Timekeeper

    forecast = Forecast(run.plan, durations, run.states) if durations else None
    return Timekeeper(deadlines, forecast, run.states)


def late_sentence(
    late: Late, plan: Plan, *, cancels: bool = False, zone: tzinfo | None = None
) -> str:
    """What is said of a deadline, here and in the history."""
    what = _label(late.node_id, plan) if late.node_id else "the run"
    at = shown(late.deadline, zone)
    if late.missed:
        return f"{what} is late, its deadline was {at}" + ("; it is cancelled" if cancels else "")
    text = f"{what} will probably miss its deadline, {at}"
    if late.expected is not None:
        text += f": expected end {shown(late.expected, zone)}"
    if late.costliest:
        text += f", {_label(late.costliest, plan)} costs the most, {took(late.costs)}"
    return text


def found_earlier(record: RunRecord) -> list[Late]:
    """What was found out about deadlines before; who is told of it twice is told it once."""
    run, nodes = Deadline.recorded(record.options), node_deadlines(record.options)
    at = {**nodes, **({"": run.at} if run is not None else {})}
    found = [
        Late(
            node_id=action.node_id,
            deadline=at[action.node_id],
            at=action.at,
            missed=action.action == Verb.DEADLINE,
        )
        for action in record.actions
        if action.action in (Verb.DEADLINE, Verb.AT_RISK) and action.node_id in at
    ]
    # What was missed before its time was another deadline, which somebody has moved since.
    return [late for late in found if not late.missed or late.at >= late.deadline]


def _label(id: str, plan: Plan) -> str:
    node = plan.graph.nodes[id]
    return label(node)


def _zone(pipeline: PipelineSpec) -> str | None:
    return pipeline.schedule.timezone if pipeline.schedule is not None else None


def _kept(earlier: RunRecord, options: RunOptions, now: datetime) -> Deadline | None:
    kept = Deadline.recorded(earlier.options)
    if kept is None:
        return None
    told = any(a.action == Verb.DEADLINE and a.at >= kept.at for a in earlier.actions)
    action = options.deadline_action or kept.action
    action = DeadlineAction.ALERT if now >= kept.at else action
    return replace(kept, action=action, told=told)
