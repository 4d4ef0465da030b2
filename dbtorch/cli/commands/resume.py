"""`dbtorch resume`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (("dbtorch resume daily", "from its next time on"),)


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.argument("pipeline")
@PROJECT
@STORE
def resume(pipeline: str, **given: Any) -> int:
    """Let a paused PIPELINE start by its schedule again, from its next time on."""
    from dbtorch.cli.text.by_hand import paused_text
    from dbtorch.service.schedule.pauses import resume
    from dbtorch.service.schedule.project import scheduled_project

    with scheduled_project(given["project_dir"], given["database_url"]) as (config, store):
        echo(paused_text(resume(store, config, pipeline)))
    return OK
