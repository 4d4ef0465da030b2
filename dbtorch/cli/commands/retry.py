"""`dbtorch retry`."""

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
from dbtorch.cli.options import DbtCommand, resume_options

_EXAMPLES = (
    ("dbtorch retry", "the newest run"),
    ("dbtorch retry 20260301T06 --from orders", "an earlier one, and a model that succeeded in it"),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="recover")
@click.argument("run", default="latest")
@click.option(
    "--from",
    "start_from",
    multiple=True,
    metavar="NODE",
    help="Run this node and everything after it again, whatever their state.",
)
@click.option("--same-code", is_flag=True, help="Refuse when the code is not what the run used.")
@reason()
@PROJECT
@overrides
@timing
@output
@STORE
@ARTIFACTS
@resume_options
def retry(**given: Any) -> int:
    """Continue RUN: run again what did not succeed, and what depends on it.

    A node whose code has changed since it succeeded runs again, too. Options that would make
    another run of it are refused unless they say what the run said.
    """
    from dbtorch.cli.executed import executed
    from dbtorch.core.history.records import Verb
    from dbtorch.service.resume.request import RetryRequest
    from dbtorch.service.resume.retry import retry

    request = RetryRequest(
        verb=Verb.RETRY,
        start_from=given["start_from"],
        same_code=given["same_code"],
        reason=given["reason"],
    )
    work = partial(retry, options_of(given), given["run"], request)
    return executed(work, **shown(given))
