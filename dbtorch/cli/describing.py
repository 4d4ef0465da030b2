"""What is written of a run when it begins, and what its steps are told of it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from dbtorch.adapters.git import Checkout
from dbtorch.adapters.processes import this_host
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.opening import Opening
from dbtorch.cli.project import Project
from dbtorch.cli.run_options import Options
from dbtorch.core.history import RunRecord
from dbtorch.core.scrub import scrubber, secrets_of
from dbtorch.core.state import RunState
from dbtorch.ports import Selected, StepContext
from dbtorch.version import VERSION


def describe_run(
    occasion: Occasion, options: Options, project: Project, opening: Opening, commit: Checkout
) -> RunRecord:
    """The record of a run that starts at its logical date; without nodes."""
    selected = opening.selected
    return RunRecord(
        run_id=occasion.run_id,
        pipeline=occasion.pipeline,
        project=selected.project,
        target=str(selected.target["name"]),
        logical_date=occasion.logical_date,
        data_interval_start=occasion.data_interval_start,
        data_interval_end=occasion.data_interval_end,
        state=RunState.RUNNING,
        started_at=occasion.logical_date,
        command=_without_secrets(options.command),
        dbt_args=options.dbt_args_for(project.config),
        dbtorch_version=VERSION,
        dbt_version=selected.dbt_version,
        adapter=selected.adapter,
        manifest_hash=selected.manifest_hash,
        git_commit=commit.commit,
        git_dirty=commit.dirty,
        host=this_host(),
        pid=os.getpid(),
        edges=tuple(opening.planned.plan.graph.edges()),
    )


def step_context(occasion: Occasion, project: Project, selected: Selected) -> StepContext:
    """What every step of a run is told about it."""
    return StepContext(
        run_id=occasion.run_id,
        project=project.name,
        pipeline=occasion.pipeline,
        logical_date=occasion.logical_date,
        data_interval_start=occasion.data_interval_start,
        data_interval_end=occasion.data_interval_end,
        project_dir=project.dir,
        target=selected.target,
        vars=selected.vars,
    )


def _without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """A command line as it may be kept: passwords in URLs may hold anything."""
    hide = scrubber(secrets_of(os.environ))
    return tuple(hide(re.sub(r"://\S*@", "://*****@", word)) for word in words)
