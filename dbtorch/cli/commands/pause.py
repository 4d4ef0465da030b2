"""`dbtorch pause`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE, reason
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ('dbtorch pause daily --reason "the warehouse moves"', "until `dbtorch resume daily`"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.argument("pipeline")
@reason()
@PROJECT
@STORE
def pause(pipeline: str, reason: str, **given: Any) -> int:
    """Keep PIPELINE from starting by its schedule until `dbtorch resume`.

    A run that is under way goes on.
    """
    from dbtorch.cli.text.by_hand import paused_text
    from dbtorch.service.schedule.pauses import pause
    from dbtorch.service.schedule.project import scheduled_project

    with scheduled_project(given["project_dir"], given["database_url"]) as (config, store):
        echo(paused_text(pause(store, config, pipeline, reason=reason)))
    return OK
