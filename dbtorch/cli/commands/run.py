"""`dbtorch run`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from dbtorch.cli.common_options import (
    ARTIFACTS,
    CHECKS,
    DOWNSTREAM,
    FRESHNESS,
    PARAMS,
    PIPELINE,
    PROJECT,
    STEPS,
    STORE,
    options_of,
    output,
    overrides,
    shown,
    timing,
)
from dbtorch.cli.options import DbtCommand, dbt_options
from dbtorch.cli.param_types import Moment, named

_EXAMPLES = (
    ("dbtorch run", "everything"),
    ("dbtorch run -s +orders -t prod", "a model and all before it, on a target"),
    ("dbtorch run -p daily -q", "a pipeline of dbtorch.yml, in a cron job"),
    ("dbtorch run -p daily --partition 2026-11-01", "one of its partitions again"),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="production")
@PROJECT
@PIPELINE
@PARAMS
@STEPS
@DOWNSTREAM
@FRESHNESS
@CHECKS
@overrides
@timing
@click.option("--logical-date", type=Moment(), help="Logical date of the run; now by default.")
@click.option(
    "--partition",
    callback=named,
    help="Which of its pipeline's partitions to run, such as 2026-11-01.",
)
@click.option("--run-id", help="Name the run; given again, the same run goes on.")
@click.option("--fail-on-empty", is_flag=True, help="Exit with 2 when the selection is empty.")
@output
@STORE
@ARTIFACTS
@dbt_options
def run(**given: Any) -> int:
    """Run the project, or a part of it, node by node."""
    from dbtorch.cli.executed import executed
    from dbtorch.service.run.run import run

    return executed(partial(run, options_of(given)), **shown(given))
