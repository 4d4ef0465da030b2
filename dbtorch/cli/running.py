"""`dbtorch run`: starts dbt, and then everything else."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.cron import interval
from dbtorch.adapters.run_folder import new_run_id
from dbtorch.cli.launching import launch
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.project import open_project
from dbtorch.cli.run_options import Options, pipeline_of

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.early import Early


def run(options: Options, early: Early | None = None) -> int:
    """Run a pipeline once, of which ``early`` has begun. Answers the exit code."""
    project = open_project(options.project_dir)
    pipeline = pipeline_of(project.config, options)
    now = SystemClock().now()
    logical_date = options.logical_date or now.replace(microsecond=0)
    start, end = interval(pipeline.schedule, logical_date)
    occasion = Occasion(
        run_id=new_run_id() if early is None else early.run_id,
        pipeline=pipeline.name,
        logical_date=logical_date,
        data_interval_start=start,
        data_interval_end=end,
    )
    with ExitStack() as stack:
        begun = launch(stack, project, options, occasion, early=early, recalls=True)
        from dbtorch.cli.stretch import Stretch  # what takes its time, while dbt starts

        return Stretch(stack, begun, now).go()
