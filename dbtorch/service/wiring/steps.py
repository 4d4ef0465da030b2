"""The place that builds the runner of steps; `engines.py` builds engines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dbtorch.adapters.run_files import RunFiles
from dbtorch.core.config import GRACE
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.events import Attempt, Batch
from dbtorch.service.project.project import Project
from dbtorch.service.run.context import RunContext

if TYPE_CHECKING:
    from dbtorch.adapters.steps.runner import Look, StepRunner
    from dbtorch.core.history.records import Lease
    from dbtorch.ports.loop import Emit
    from dbtorch.ports.queue import Queue
    from dbtorch.ports.steps import StepContext, Steps
    from dbtorch.ports.store import Store


def build_steps(
    project: Project,
    context: StepContext,
    files: RunFiles,
    run_context: RunContext,
    emit: Emit,
    *,
    environ: Mapping[str, str] = os.environ,
    grace: float = GRACE,
    hide: Scrubber | None = None,
    store: Store | None = None,
    far: Far | None = None,
) -> Steps:
    """The runner of all steps that are no SQL; ``hide`` knows the secrets of the run.

    What steps wait for may be in the ``store``. Without ``far`` steps with a queue run here.
    """
    work_dir = files.root / "steps"
    shutil.rmtree(work_dir, ignore_errors=True)  # an earlier supervisor and its guard were killed
    work_dir /= os.urandom(4).hex()  # if that guard is still at work, it removes its own
    if not project.config.steps:
        return _NoSteps()
    from dbtorch.adapters.steps.runner import StepRunner
    from dbtorch.service.run.private_context import keep_output

    runner = StepRunner(
        emit,
        project.config.steps,
        context,
        log_path=files.log,
        work_dir=work_dir,
        python=project.python,
        failure_classes=project.config.failure_classes,
        environ=environ,
        grace=grace,
        hide=hide,
        keep=partial(keep_output, files),
        look=_looks(project, context, store, environ),
    )
    runner.outputs = run_context.outputs  # one mapping, so that sql steps see the others' outputs
    if far is None or store is None:
        return runner
    return _with_workers(runner, project, context, files, emit, hide or Scrubber(), store, far)


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """What steps with a queue need besides, and what workers know their supervisor by."""

    queue: Queue
    lease: Lease
    before: frozenset[str] = frozenset()  # runs whose supervisors are gone


def _with_workers(
    runner: StepRunner,
    project: Project,
    context: StepContext,
    files: RunFiles,
    emit: Emit,
    hide: Scrubber,
    store: Store,
    far: Far,
) -> Steps:
    """The runner, and beside it what offers steps with a queue to workers."""
    from dbtorch.adapters.steps.carried import carried
    from dbtorch.app.remote_steps import RemoteSteps
    from dbtorch.app.split_steps import SplitSteps
    from dbtorch.service.wiring.queue import address

    specs = {spec.id: spec for spec in project.config.steps.values() if spec.queue}

    def log_to(attempt: Attempt, text: str) -> None:
        with files.log(attempt).open("a", encoding="utf-8") as file:
            file.write(text)

    remote = RemoteSteps(
        emit,
        specs,
        store=store.apart(),
        queue=far.queue,
        lease=far.lease,
        address=partial(address, store.identity.project_id),
        told=lambda spec: carried(spec, context, runner.outputs, hide),
        outputs=runner.outputs,
        log_to=log_to,
        before=far.before,
    )
    return SplitSteps(runner, remote, specs.keys())


def _looks(
    project: Project, context: StepContext, store: Store | None, environ: Mapping[str, str]
) -> Look | None:
    """What looks at what steps wait for; None where none waits."""
    if store is None or not any(spec.wait is not None for spec in project.config.steps.values()):
        return None
    from dbtorch.service.conditions.looker import Looker
    from dbtorch.service.conditions.waiting import WaitingLooks

    looker = Looker(project=project, store=store.apart(), environ=environ)
    place = store.identity.place(str(context.target["name"]))
    return WaitingLooks(looker=looker, context=context, place=place)


class _NoSteps:
    """Implements `Steps` for a project without any."""

    def start(self, batch: Batch) -> None:
        raise AssertionError(f"{batch.attempts[0].node_id} is no step of this project")

    def cancel(self, attempt: Attempt) -> None:
        """Nothing runs."""

    def kill(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is open."""
