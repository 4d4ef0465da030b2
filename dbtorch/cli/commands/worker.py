"""`dbtorch worker`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.param_types import Duration

_EXAMPLES = (
    ("dbtorch worker --queue crm", "execute steps with `queue: crm`, one at a time"),
    ("dbtorch worker --queue crm --queue gpu --at-once 4", "of two queues, four at a time"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="steps")
@click.option(
    "--queue", "queues", multiple=True, required=True, metavar="NAME", help="Queue to work for."
)
@click.option("--at-once", type=click.IntRange(1, 1000), default=1, help="Steps at once.")
@click.option("--grace", type=Duration(), help="From asking a step to end to killing it.")
@PROJECT
@STORE
def worker(queues: tuple[str, ...], at_once: int, grace: float | None, **given: Any) -> int:
    """Execute steps of runs that are driven on other machines, until SIGTERM.

    The history is a Postgres that they share. Prints one JSON object a line. A first SIGTERM lets
    what has begun end, a second one ends it too.
    """
    from dbtorch.cli.working import work
    from dbtorch.service.project.options import RunOptions

    options = RunOptions(
        project_dir=given["project_dir"], database_url=given["database_url"], grace=grace
    )
    return work(options, list(dict.fromkeys(queues)), at_once)
