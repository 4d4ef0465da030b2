"""`dbtorch trigger`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PARAMS, PROJECT, STORE
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch trigger daily --param country=fr", "a run of it, started by `dbtorch serve`"),
    ("dbtorch trigger daily --key order-4711", "once, however often it is asked for"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.argument("pipeline")
@PARAMS
@click.option("--key", default="", help="Idempotency key: each starts one run of the pipeline.")
@FORMAT
@PROJECT
@STORE
def trigger(pipeline: str, params: Any, key: str, format: str, **given: Any) -> int:
    """Have `dbtorch serve` run PIPELINE, whichever server of this history comes first.

    Answers at once. Without a server it waits for one; `dbtorch run` runs it here and now.
    """
    from dbtorch.cli.text.by_hand import triggered_json, triggered_text
    from dbtorch.service.schedule.project import scheduled_project
    from dbtorch.service.schedule.trigger import trigger

    with scheduled_project(given["project_dir"], given["database_url"]) as (config, store):
        found = trigger(store, config, pipeline, dict(params), key=key)
    echo(triggered_json(found) if format == "json" else triggered_text(found))
    return OK
