"""`dbtorch rerun`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from dbtorch.cli.common_options import (
    ARTIFACTS,
    PROJECT,
    STORE,
    options_of,
    output,
    overrides,
    reason,
    shown,
    timing,
)
from dbtorch.cli.options import DbtCommand

_EXAMPLES = (
    (
        'dbtorch rerun latest -s orders --reason "half a file"',
        "a model, and what depends on it",
    ),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="recover")
@click.argument("run")
@click.option(
    "--select",
    "-s",
    "again",
    multiple=True,
    required=True,
    help="Nodes to run again, in dbt's words; also step:<name> and check:<name>.",
)
@click.option("--exclude", "never", multiple=True, help="Nodes that stay as they are.")
@reason()
@PROJECT
@overrides
@timing
@output
@STORE
@ARTIFACTS
def rerun(**given: Any) -> int:
    """Run a part of RUN again, whatever its state: what is selected, and what depends on it."""
    from dbtorch.cli.executed import executed
    from dbtorch.core.history.records import Verb
    from dbtorch.service.resume.request import RetryRequest
    from dbtorch.service.resume.retry import retry

    request = RetryRequest(
        verb=Verb.RERUN,
        select=given["again"],
        exclude=given["never"],
        reason=given["reason"],
    )
    work = partial(retry, options_of(given), given["run"], request)
    return executed(work, **shown(given))
