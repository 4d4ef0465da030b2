"""What an execution goes on with: everything, or what an earlier one has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbtorch.app.earlier import built
from dbtorch.app.resume import ResumePlan, ResumeSpec, resume, start
from dbtorch.core.errors import EngineError
from dbtorch.core.history.records import RunRecord, Verb
from dbtorch.core.plan import Plan
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.run.launch import Launched
from dbtorch.service.run.private_context import refuse_without

if TYPE_CHECKING:
    from dbtorch.service.resume.request import RetryRequest


def resumption(
    launched: Launched,
    opened: OpenedPlan,
    earlier: RunRecord | None,
    request: RetryRequest | None,
    *,
    without: frozenset[str],
) -> ResumePlan:
    """What stays of ``earlier`` and what runs, told as ``request`` wants it.

    ``without`` are steps whose outputs nobody has any more. Raises `UsageError`.
    """
    plan, now = opened.planned.plan, launched.clock.now()
    if earlier is None:
        return start(plan)
    if request is None:
        return resume(earlier, plan, ResumeSpec(), now)
    from dbtorch.service.resume.request import notes

    gone = _relations_gone(launched, plan, earlier) if request.verb is Verb.RETRY else frozenset()
    resumed = request.go_on(earlier, opened, launched.project.config, now, gone=gone)
    if without:
        kinds = {id: node.kind for id, node in plan.graph.nodes.items()}
        again = [id for id in kinds if id not in resumed.prior or not resumed.prior[id].stays]
        refuse_without(without, earlier, kinds, again)
    for note in notes(resumed, earlier):
        launched.listener.note(note, level="info")
    return resumed


def _relations_gone(launched: Launched, plan: Plan, earlier: RunRecord) -> frozenset[str]:
    """What a retry builds again although it succeeded: somebody has dropped it since."""
    try:
        return launched.engine.gone(built(earlier, plan.graph))
    except EngineError as error:
        why = f"what succeeded is taken to be there; nobody could look: {error}"
        launched.listener.note(why, level="warning")
        return frozenset()
