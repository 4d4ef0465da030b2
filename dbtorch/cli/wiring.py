"""The place that builds step runners and stores; `engines.py` builds engines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dbtorch.adapters.run_files import RunFiles
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.project import Project
from dbtorch.core.config import GRACE
from dbtorch.core.events import Attempt, Batch
from dbtorch.ports import Emit, StepContext, Steps, Store


def build_steps(
    project: Project,
    context: StepContext,
    files: RunFiles,
    occasion: Occasion,
    emit: Emit,
    *,
    grace: float = GRACE,
) -> Steps:
    """The runner of all steps that are no SQL."""
    work_dir = files.root / "steps"
    shutil.rmtree(work_dir, ignore_errors=True)  # an earlier supervisor and its guard were killed
    work_dir /= os.urandom(4).hex()  # if that guard is still at work, it removes its own
    if not project.config.steps:
        return _NoSteps()
    from dbtorch.adapters.steps.runner import StepRunner

    runner = StepRunner(
        emit,
        project.config.steps,
        context,
        log_path=lambda attempt: files.log(attempt.node_id, attempt.number),
        work_dir=work_dir,
        python=project.python,
        failure_classes=project.config.failure_classes,
        grace=grace,
    )
    runner.outputs = occasion.outputs  # one mapping, so that sql steps see the others' outputs
    return runner


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


def build_store(project_dir: Path, database_url: str | None, *, create: bool) -> Store:
    """The run history of a project. Raises `StoreError`."""
    from dbtorch.adapters.state_dir import state_dir
    from dbtorch.adapters.store import open_store

    if create:
        state_dir(project_dir)  # also with Postgres: logs are files
    return open_store(database_url, project_dir, create=create)
