"""When a run and its nodes are late: what project, command line and an earlier stretch say."""

from __future__ import annotations

from datetime import datetime, tzinfo

from dbtorch.adapters.config.deadlines import moment
from dbtorch.cli.render.words import took
from dbtorch.cli.run_options import Options
from dbtorch.core.config import PipelineSpec
from dbtorch.core.deadline import Deadline, DeadlineAction, Deadlines, Late, node_deadlines
from dbtorch.core.history import RunRecord, Verb
from dbtorch.core.naming import short_name
from dbtorch.core.plan import Plan


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
    action = options.deadline_action or pipeline.deadline_action
    return Deadline(at=moment(rule, now, _zone(pipeline)), action=action)


def deadlines_of(
    run: Deadline | None,
    plan: Plan,
    pipeline: PipelineSpec,
    started_at: datetime,
    earlier: RunRecord | None,
) -> Deadlines:
    """All deadlines of a run; those of nodes count from its very first start.

    What was told of them in an earlier stretch is not told again.
    """
    nodes = {
        id: moment(policy.deadline, started_at, _zone(pipeline))
        for id, policy in plan.policies.items()
        if policy.deadline is not None
    }
    told = earlier.actions if earlier is not None else ()
    return Deadlines(
        run=run,
        nodes=nodes,
        missed=frozenset(a.node_id for a in told if a.action == Verb.DEADLINE and a.node_id),
        at_risk=frozenset(a.node_id for a in told if a.action == Verb.AT_RISK),
    )


def told(late: Late, plan: Plan, *, cancels: bool = False, zone: tzinfo | None = None) -> str:
    """What is said of a deadline, here and in the history."""
    what = _label(late.node_id, plan) if late.node_id else "the run"
    at = f"{late.deadline.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if late.missed:
        return f"{what} is late, its deadline was {at}" + ("; it is cancelled" if cancels else "")
    text = f"{what} will probably miss its deadline, {at}"
    if late.expected is not None:
        text += f": expected end {late.expected.astimezone(zone):%Y-%m-%d %H:%M:%S}"
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
    return f"{node.kind} {short_name(id, node.name)}"


def _zone(pipeline: PipelineSpec) -> str | None:
    return pipeline.schedule.timezone if pipeline.schedule is not None else None


def _kept(earlier: RunRecord, options: Options, now: datetime) -> Deadline | None:
    kept = Deadline.recorded(earlier.options)
    if kept is None:
        return None
    told = any(a.action == Verb.DEADLINE and a.at >= kept.at for a in earlier.actions)
    action = options.deadline_action or kept.action
    return Deadline(
        at=kept.at, action=DeadlineAction.ALERT if now >= kept.at else action, told=told
    )
