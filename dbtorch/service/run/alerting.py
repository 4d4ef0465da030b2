"""Who tells people about an execution of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from dbtorch.app.resume import ResumePlan
from dbtorch.core.config import PipelineSpec
from dbtorch.core.history.records import RunRecord
from dbtorch.ports.store import Store
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.run.deadlines import found_earlier
from dbtorch.service.run.launch import Launched

if TYPE_CHECKING:
    from dbtorch.app.alerting import Alerting


def alerting_of(
    stack: ExitStack,
    launched: Launched,
    store: Store,
    record: RunRecord,
    opened: OpenedPlan,
    resumed: ResumePlan,
    *,
    pipeline: PipelineSpec,
    earlier: RunRecord | None,
    log_at: Callable[[str, int], str] | None,
) -> tuple[Alerting, ...]:
    """What tells of it, if anything does; however ``stack`` is left, it is waited for a bit.

    ``log_at`` answers where people find the log of an attempt; by default they get its path.
    """
    spec, note = launched.project.config.alerts, launched.listener.note
    if spec is None or not spec.notifiers or not launched.options.alerts:
        return ()
    if why := spec.silence(record.target):
        note(why, level="info" if spec.targets else "warning")
        return ()
    from dbtorch.service.alerts.notifiers import Subject, build_alerting

    subject = Subject(
        record=record,
        plan=opened.planned.plan,
        pipeline=pipeline,
        nodes=opened.selected.nodes,
        edges=opened.selected.edges,
        states=resumed.before,
        earlier=earlier,
    )
    alerting = build_alerting(
        launched.project,
        store.apart(),  # whatever becomes of a table of alerts, the run goes on
        subject,
        launched.files,
        launched.clock,
        late=found_earlier(earlier) if earlier is not None else (),
        log_at=log_at,
        note=partial(note, level="warning"),
    )
    return (stack.enter_context(alerting),)
