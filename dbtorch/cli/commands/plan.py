"""`dbtorch plan`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import (
    CHECKS,
    DOWNSTREAM,
    FORMAT,
    FRESHNESS,
    PIPELINE,
    PROJECT,
    STEPS,
    STORE,
    options_of,
    overrides,
)
from dbtorch.cli.options import DbtCommand, dbt_options
from dbtorch.cli.text.terminal import echo, note, warn

_EXAMPLES = (
    ("dbtorch plan", "everything that a run would do"),
    ("dbtorch plan -s tag:daily", "a selection, in dbt's words"),
    ("dbtorch plan --format json", "for programs"),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="production")
@PROJECT
@PIPELINE
@STEPS
@DOWNSTREAM
@FRESHNESS
@CHECKS
@overrides
@FORMAT
@STORE
@dbt_options
def plan(**given: Any) -> int:
    """Show what would run, in which order and why. Runs nothing."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.plan import plan_text
    from dbtorch.service.planning.preview import open_plan

    with Signals(), open_plan(options_of(given), warn=warn, note=note) as opening:
        found = opening.selected.warnings
        echo(plan_text(opening.planned.plan, format=given["format"], dbt_warnings=found))
    return OK
